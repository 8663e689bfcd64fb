//! Databases whose encoding is neither UTF-8 nor SQL_ASCII: there, the server would convert all text that it sends us.
//!
//! Not all of it can be converted: the catalogs that all databases share hold what other databases wrote in their encodings,
//! and some encodings have bytes that are no character of UTF-8. So what is compared is sent as it is, by statements in ASCII,
//! which mean the same in each encoding; only what is shown to people is converted, text by text.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Whether the server has to convert text of this encoding for us.
pub(crate) fn is_foreign(encoding: &str) -> bool {
    !["UTF8", "SQL_ASCII"].contains(&encoding)
}

/// The same statement in ASCII: in names and literals PostgreSQL takes characters by their numbers. `None`: one stands
/// somewhere else.
pub(crate) fn ascii(sql: &str) -> Option<Cow<'_, str>> {
    if sql.is_ascii() {
        return Some(Cow::Borrowed(sql));
    }
    let (mut text, mut rest) = (String::with_capacity(2 * sql.len()), sql);
    while let Some(at) = rest.find(['"', '\'']) {
        let (before, quoted) = rest.split_at(at);
        let escapes = has_escapes(before) && quoted.starts_with('\'');
        let (quoted, after) = quoted.split_at(end(quoted, escapes)?);
        if !before.is_ascii() || before.ends_with('&') && !quoted.is_ascii() {
            return None;
        }
        text += before;
        if quoted.is_ascii() {
            text += quoted;
        } else {
            by_number(quoted, escapes, &mut text);
        }
        rest = after;
    }
    rest.is_ascii().then(|| Cow::Owned(text + rest))
}

/// Whether a literal after this is one in which a backslash escapes what follows: `E'…'`.
fn has_escapes(before: &str) -> bool {
    let in_word = |c: char| c.is_alphanumeric() || "_$\"".contains(c);
    before.strip_suffix(['E', 'e']).is_some_and(|before| !before.ends_with(in_word))
}

/// Where something quoted ends, behind its last quote. A quote that is written twice stands for itself.
fn end(quoted: &str, escapes: bool) -> Option<usize> {
    let mut chars = quoted.char_indices().peekable();
    let (_, quote) = chars.next()?;
    while let Some((at, c)) = chars.next() {
        if c == '\\' && escapes {
            chars.next();
        } else if c == quote && chars.next_if(|(_, next)| *next == quote).is_none() {
            return Some(at + 1);
        }
    }
    None
}

/// Writes something quoted with numbers for all that is not ASCII.
fn by_number(quoted: &str, escapes: bool, text: &mut String) {
    if !escapes {
        *text += "U&";
    }
    for c in quoted.chars() {
        let number = u32::from(c);
        let _ = match (c.is_ascii(), escapes, number > 0xFFFF) {
            (true, false, _) if c == '\\' => write!(text, r"\\"),
            (true, ..) => write!(text, "{c}"),
            (false, false, false) => write!(text, r"\{number:04X}"),
            (false, false, true) => write!(text, r"\+{number:06X}"),
            (false, true, false) => write!(text, r"\u{number:04X}"),
            (false, true, true) => write!(text, r"\U{number:08X}"),
        }; // into a String, which takes all
    }
}

#[cfg(test)]
mod tests {
    use cluster::ident::{literal, quote};

    use super::ascii;

    #[test]
    fn a_statement_is_the_same_in_ascii() {
        let ascii = |sql: &str| ascii(sql).unwrap().into_owned();
        assert_eq!(ascii(r#"SELECT "a\"."b" FROM 'é'"#), r#"SELECT "a\"."b" FROM U&'\00E9'"#);
        assert_eq!(ascii(r#"ONLY "s"."a""é\😀""#), r#"ONLY "s".U&"a""\00E9\\\+01F600""#);
        let name = quote(r#"é\'"x"#);
        assert_eq!(name, r#""é\'""x""#);
        assert_eq!(ascii(&name), r#"U&"\00E9\\'""x""#);
        assert_eq!(ascii(&format!("CASE {}::regclass", literal(&name))), r#"CASE E'"\u00E9\\''""x"'::regclass"#);
        assert_eq!(ascii("E'é😀\\'' || '\\' || 'ä'"), "E'\\u00E9\\U0001F600\\'' || '\\' || U&'\\00E4'");
    }

    #[test]
    fn what_cannot_be_written_so_is_not() {
        assert_eq!(ascii("SELECT é"), None);
        assert_eq!(ascii("SELECT U&'é'"), None);
        assert_eq!(ascii("SELECT 'é"), None);
    }
}
