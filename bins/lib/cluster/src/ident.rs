//! Quoting of names and literals for SQL text. Values go through `$1` wherever the statement takes them.

use anyhow::{Result, ensure};

/// A quoted identifier.
#[must_use]
pub fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A quoted identifier that can be shown: with a control character in it, as `U&"a\001b"`, which PostgreSQL reads as the
/// same name.
#[must_use]
pub fn shown(name: &str) -> String {
    if report::foreign::one_line(name) == name {
        return quote(name);
    }
    let unit = |c: char| match c {
        '\\' => "\\\\".to_owned(),
        '"' => "\"\"".to_owned(),
        c if report::foreign::one_line(&c.to_string()) != c.to_string() => format!("\\{:04X}", u32::from(c)),
        c => c.to_string(),
    };
    format!("U&\"{}\"", name.chars().map(unit).collect::<String>())
}

/// A quoted string literal, right under `standard_conforming_strings` (always on since PostgreSQL 9.1).
#[must_use]
pub fn literal(text: &str) -> String {
    if text.contains('\\') {
        format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
    } else {
        format!("'{}'", text.replace('\'', "''"))
    }
}

/// Checks the name of a node. It becomes a directory, a slot and an `application_name`, so that all of their rules
/// hold at once: 1 to 63 of `a-z`, `0-9` and `_`, and none of the words of `synchronous_standby_names`.
///
/// # Errors
/// If it is not such a name.
pub fn check_node_name(name: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    ensure!(
        (1..=63).contains(&name.len()) && name.chars().all(plain),
        "node name {name:?}: a name has 1 to 63 of a-z, 0-9 and _ (it is also a slot's name)"
    );
    ensure!(
        !matches!(name, "first" | "any"),
        "node name {name:?} is a word of synchronous_standby_names: choose another"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{check_node_name, literal, quote, shown};

    #[test]
    fn quotes_what_would_end_the_quoting() {
        assert_eq!(quote(r#"a"b"#), r#""a""b""#);
        assert_eq!(shown("a\"b\u{1b}\\ä"), "U&\"a\"\"b\\001B\\\\ä\"");
        assert_eq!(shown("plain \\"), "\"plain \\\"");
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal(r"a\b"), r"E'a\\b'");
    }

    #[test]
    fn refuses_names_that_a_slot_or_a_sync_list_would_misread() {
        for name in ["", "a b", "a,b", "a'b", "a\"b", "Node1", "first", "any", "../x", "*", "ä", "-x", &"n".repeat(64)]
        {
            assert!(check_node_name(name).is_err(), "{name:?}");
        }
        for name in ["node1", "standby_2", "a", &"n".repeat(63)] {
            assert!(check_node_name(name).is_ok(), "{name:?}");
        }
    }
}
