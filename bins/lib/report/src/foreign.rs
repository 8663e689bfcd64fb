//! Text that servers, tools and files of others give us, made fit to be shown.
//!
//! Whoever writes such a text must not be able to move the cursor, clear the screen, turn the direction of reading, or
//! print a line that passes for ours (`verdict   held`). Control characters are shown escaped; of several lines each
//! bears a mark.

use std::borrow::Cow;

/// How much of one text is shown, in bytes. The longest that a server says of its own accord is far below.
const LONGEST: usize = 8_000;

/// What stands before each line of a text of several lines.
const MARK: &str = "  | ";

/// A text as one line: control characters and line ends are escaped (`\n`, `\u{1b}`).
#[must_use]
pub fn one_line(text: &str) -> Cow<'_, str> {
    escape(cut(text), |_| false)
}

/// A message of ours that is one line and may hold such text: as [`one_line`], whatever its length.
#[must_use]
pub fn on_one_line(message: &str) -> Cow<'_, str> {
    escape(message, |_| false)
}

/// A text of one line as [`one_line`]; one of several below what was said before, each line with a mark.
#[must_use]
pub fn quoted(text: &str) -> String {
    let text = cut(text.trim());
    if !text.contains('\n') {
        return one_line(text).into_owned();
    }
    text.lines().map(|line| format!("\n{MARK}{}", escape(line, |c| c == '\t'))).collect()
}

/// A word of a command that we tell people to type: whatever it holds, a shell takes it as one word and runs nothing of it.
#[must_use]
pub fn for_shell(word: &str) -> String {
    let word = one_line(word);
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@,=".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.into_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// A message of ours that may hold such text: line ends and tabs stay, for they are ours; all else is escaped.
#[must_use]
pub fn for_terminal(message: &str) -> Cow<'_, str> {
    escape(message, |c| c == '\n' || c == '\t')
}

/// What is wrong with a file of settings, and in which line: that of the byte `at`. Of the line itself no more than the field's name:
/// who names the file may have named one of passwords.
#[must_use]
pub fn in_line(text: &str, at: Option<usize>, what: &str) -> String {
    let what = one_line(what);
    let Some(before) = at.and_then(|at| text.get(..at)) else { return what.into_owned() };
    let number = before.matches('\n').count();
    let line = text.lines().nth(number).unwrap_or_default();
    let is_name = |name: &&str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let field = line.split_once('=').map(|(name, _)| name.trim()).filter(is_name);
    format!("line {}{}: {what}", number + 1, field.map_or(String::new(), |name| format!(", `{name}`")))
}

/// An error of ours: whatever a name in it holds, no line of it but the first begins as ours do.
#[must_use]
pub fn error(message: &str) -> String {
    let lines = message.lines().enumerate();
    let marked = lines.map(|(at, line)| match at > 0 && !line.starts_with(MARK) {
        true => format!("{MARK}{line}"),
        false => line.to_owned(),
    });
    marked.collect::<Vec<_>>().join("\n")
}

/// The text, or its beginning where it is too long to be shown, on whole characters.
fn cut(text: &str) -> &str {
    let end = (0..=text.len().min(LONGEST)).rev().find(|at| text.is_char_boundary(*at));
    &text[..end.unwrap_or(0)]
}

fn escape(text: &str, may_stay: impl Fn(char) -> bool) -> Cow<'_, str> {
    let has_to_go = |c: char| (c.is_control() || turns(c)) && !may_stay(c);
    if !text.contains(has_to_go) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if has_to_go(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// Whether a character turns the direction in which those after it are read, or begins a line to a terminal that knows
/// Unicode's own line ends.
fn turns(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::{LONGEST, error, for_shell, for_terminal, in_line, on_one_line, one_line, quoted};

    #[test]
    fn no_text_moves_the_cursor_or_makes_a_line() {
        assert_eq!(one_line("a\x1b[2Jb\r\nverdict   held\u{9b}1m"), "a\\u{1b}[2Jb\\r\\nverdict   held\\u{9b}1m");
        // All that turn the direction of reading, by Unicode's Bidi_Control.
        for c in ['\u{61c}', '\u{200e}', '\u{200f}']
            .into_iter()
            .chain('\u{202a}'..='\u{202e}')
            .chain('\u{2066}'..='\u{2069}')
        {
            assert_eq!(one_line(&format!("a{c}b")), format!("a{}b", c.escape_unicode()));
        }
        assert_eq!(for_terminal("ours\n\ta\x07"), "ours\n\ta\\u{7}");
        assert_eq!(for_terminal("ours\rverdict   held"), "ours\\rverdict   held");
        // A name in a message of ours; and Unicode's own line ends, which some terminals obey.
        assert_eq!(on_one_line("table \"a\nverdict   held\""), "table \"a\\nverdict   held\"");
        assert_eq!(one_line("a\u{2028}verdict   held\u{2029}"), "a\\u{2028}verdict   held\\u{2029}");
    }

    #[test]
    fn what_is_plain_stays() {
        for text in ["", "plain", "größer als „null“", "表"] {
            assert_eq!(one_line(text), text);
        }
    }

    #[test]
    fn each_line_of_several_is_marked() {
        assert_eq!(quoted(" one\x1b \n"), "one\\u{1b}");
        assert_eq!(quoted("one\nverdict   held\n"), "\n  | one\n  | verdict   held");
        assert_eq!(quoted("one\nall is well\rverdict   held"), "\n  | one\n  | all is well\\rverdict   held");
    }

    #[test]
    fn what_is_no_toml_is_not_shown() {
        let text = "name = 'lab'\n127.0.0.1:5432:*:admin:lIHLNH57Ea\n";
        let error = toml::from_str::<toml::Table>(text).unwrap_err();
        let said = in_line(text, error.span().map(|span| span.start), error.message());
        assert!(said.starts_with("line 2: ") && !said.contains("lIHL"), "{said}");
        assert_eq!(in_line("a = 1\n port = 99999", Some(9), "too large"), "line 2, `port`: too large");
        assert_eq!(in_line("aGVsbG8gd29ybGQ=", Some(0), "no"), "line 1: no");
        assert_eq!((in_line(text, None, "a\nb"), in_line(text, Some(999), "c")), ("a\\nb".to_owned(), "c".to_owned()));
    }

    #[test]
    fn a_shell_takes_what_is_told_as_one_word() {
        assert_eq!(for_shell("/labs/a-b/node1"), "/labs/a-b/node1");
        assert_eq!(for_shell("x`;touch pwned;`"), "'x`;touch pwned;`'");
        assert_eq!(for_shell("it's $(id)"), r"'it'\''s $(id)'");
        assert_eq!((for_shell(""), for_shell("*")), ("''".to_owned(), "'*'".to_owned()));
    }

    #[test]
    fn a_name_with_line_ends_makes_no_line_of_ours() {
        assert_eq!(error("a\nverdict   held: no such file"), "a\n  | verdict   held: no such file");
        assert_eq!(error("psql failed:\n  | one\n  two"), "psql failed:\n  | one\n  |   two");
    }

    #[test]
    fn a_long_text_is_cut_on_a_whole_character() {
        let text = "ä".repeat(LONGEST);
        assert_eq!(one_line(&text).len(), LONGEST);
        assert_eq!(quoted(&format!("x{text}")).len(), LONGEST - 1);
        let lines = quoted(&"x\n".repeat(LONGEST));
        assert_eq!(lines.matches('x').count(), LONGEST / 2, "of several lines, too");
    }
}
