//! Text of a server, whatever its bytes mean: in a database whose encoding is SQL_ASCII they need not be UTF-8.

use std::error::Error;
use std::fmt::Write as _;

use tokio_postgres::types::{FromSql, Type, accepts};

/// Text to be shown, or to name a row. What is not UTF-8 is shown as bytes, `caf\xe9`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Text(pub(crate) String);

impl<'a> FromSql<'a> for Text {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Text, Box<dyn Error + Sync + Send>> {
        Ok(match std::str::from_utf8(raw) {
            Ok(text) => Text(text.to_owned()),
            Err(_) => Text(escaped(raw)),
        })
    }

    accepts!(TEXT);
}

/// Text as its bytes came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Raw(pub(crate) Vec<u8>);

impl<'a> FromSql<'a> for Raw {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Raw, Box<dyn Error + Sync + Send>> {
        Ok(Raw(raw.to_vec()))
    }

    accepts!(TEXT);
}

impl Raw {
    /// As it is shown, if it is UTF-8 where it is whole.
    pub(crate) fn shown(self) -> Shown {
        match String::from_utf8(self.0) {
            Ok(text) => Shown { text, is_whole: true },
            Err(error) => Shown::escaped(error.as_bytes()),
        }
    }
}

/// Text to be shown, of which it is known whether it is the text itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) text: String,
    /// Whether nothing of it had to be escaped: else no statement can name what is called so.
    pub(crate) is_whole: bool,
}

impl Shown {
    /// Bytes of another encoding.
    pub(crate) fn escaped(raw: &[u8]) -> Shown {
        Shown { text: escaped(raw), is_whole: false }
    }
}

fn escaped(raw: &[u8]) -> String {
    let mut text = String::new();
    for chunk in raw.utf8_chunks() {
        text += &chunk.valid().replace('\\', r"\\");
        for byte in chunk.invalid() {
            let _ = write!(text, r"\x{byte:02x}"); // into a String, which takes all
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use tokio_postgres::types::{FromSql as _, Type};

    use super::Text;

    #[test]
    fn what_is_no_utf_8_is_shown_as_bytes() {
        let shown = |raw: &[u8]| Text::from_sql(&Type::TEXT, raw).unwrap().0;
        assert_eq!(shown("café\\".as_bytes()), "café\\");
        assert_eq!(shown(b"caf\xe9\\"), r"caf\xe9\\");
        assert_ne!(shown(b"caf\xe9"), shown(b"caf\xe8"));
    }
}
