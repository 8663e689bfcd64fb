//! Why something could not be read: the kinds of errors that a comparison tells apart.

use std::fmt;

use cluster::server_error::sqlstate;
use tokio_postgres::error::SqlState;

/// The words of our statements' error if a table's name belongs to another table by now.
pub(crate) const ANOTHER: &str = "is the name of another table by now";

/// An error text with one of these says that a table, its schema or a column is not there by its name.
const NOT_BY_NAME: [&str; 4] = ["(SQLSTATE 42P01)", "(SQLSTATE 3F000)", "(SQLSTATE 42703)", ANOTHER];

/// Whether an error may come from a name that was changed after it was read.
pub(crate) fn is_of_a_name(error: &str) -> bool {
    NOT_BY_NAME.iter().any(|words| error.contains(words))
}

/// Whether an error is that text cannot be converted from one encoding to another: it is no text of the first, or has no
/// counterpart in the second.
pub(crate) fn is_of_conversion(error: &str) -> bool {
    ["(SQLSTATE 22021)", "(SQLSTATE 22P05)"].iter().any(|words| error.contains(words))
}

/// Why something could not be read.
#[derive(Clone, Debug)]
pub(crate) enum ReadError {
    /// An index is damaged there (XX002). If the statement reads no index, no statement on the table can be planned.
    Index(String),
    /// The table is damaged there (SQLSTATE XX001; 58030, the disk failed; 22P03 or 22021, the bytes are no value of their
    /// type).
    Corrupt(String),
    /// A file of the server's data is not there (58P01): the file, and what the server said.
    NoFile(String, String),
    /// An internal error of the server (XX000), or something is too large for it (54000). If another node reads the same
    /// without an error, this is damage.
    Internal(String),
    /// This statement failed; others may succeed.
    Unread(String),
    /// The session is gone, or the table is: nothing more of it can be read here.
    Lost(String),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::Index(why) | ReadError::Corrupt(why) | ReadError::NoFile(_, why) => f.write_str(why),
            ReadError::Internal(why) | ReadError::Unread(why) | ReadError::Lost(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for ReadError {}

impl ReadError {
    /// The kind of an error that came on a session, which may be `closed` since.
    pub(crate) fn of(error: &anyhow::Error, closed: bool) -> ReadError {
        let text = format!("{error:#}");
        match sqlstate(error) {
            Some(state) if DAMAGE.contains(state) => ReadError::Corrupt(text),
            Some(&SqlState::INDEX_CORRUPTED) => ReadError::Index(text),
            Some(&SqlState::UNDEFINED_FILE) => match data_file(&text) {
                Some(file) => ReadError::NoFile(file.to_owned(), text),
                None => ReadError::Unread(text), // a library, say
            },
            // An internal error, or a row of more than a gigabyte. It must not keep the rest of its chunk from being compared.
            Some(&(SqlState::INTERNAL_ERROR | SqlState::PROGRAM_LIMIT_EXCEEDED)) => ReadError::Internal(text),
            Some(
                &(SqlState::UNDEFINED_TABLE
                | SqlState::UNDEFINED_COLUMN
                | SqlState::INSUFFICIENT_PRIVILEGE
                | SqlState::LOCK_NOT_AVAILABLE),
            ) => ReadError::Lost(text),
            Some(_) if !closed => ReadError::Unread(text),
            _ => ReadError::Lost(text),
        }
    }

    /// The same, if the server had to convert what it was about to send: that it could not says nothing about its data.
    pub(crate) fn of_converted(self) -> ReadError {
        match self {
            ReadError::Corrupt(why) if is_of_conversion(&why) => ReadError::Unread(why),
            other => other,
        }
    }

    /// Whether this is damage for sure.
    pub(crate) fn is_damage(&self) -> bool {
        matches!(self, ReadError::Index(_) | ReadError::Corrupt(_) | ReadError::NoFile(..))
    }

    /// Whether a closer look may show that it is damage.
    pub(crate) fn may_be_damage(&self) -> bool {
        self.is_damage() || matches!(self, ReadError::Internal(_))
    }
}

/// What a server says of damage.
const DAMAGE: [SqlState; 4] = [
    SqlState::DATA_CORRUPTED,
    SqlState::IO_ERROR,
    SqlState::INVALID_BINARY_REPRESENTATION,
    SqlState::CHARACTER_NOT_IN_REPERTOIRE,
];

/// The file below the data directory that a message names, in whatever language and quotes.
fn data_file(message: &str) -> Option<&str> {
    const DIRECTORIES: [&str; 5] = ["base/", "global/", "pg_tblspc/", "pg_xact", "pg_multixact"];
    let in_path = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    message.split(|c| !in_path(c)).find(|word| DIRECTORIES.iter().any(|directory| word.starts_with(directory)))
}

#[cfg(test)]
mod tests {
    use super::data_file;

    #[test]
    fn a_file_of_the_data_is_told_from_a_library() {
        let missing =
            "node n2: ERROR: could not open file \"base/5/16384.1\" (target block 7): No such file or directory";
        assert_eq!(data_file(missing), Some("base/5/16384.1"));
        assert_eq!(data_file("konnte Datei »pg_tblspc/1/PG_15/5/2« nicht öffnen"), Some("pg_tblspc/1/PG_15/5/2"));
        assert_eq!(data_file("could not access file \"$libdir/isn\": No such file or directory"), None);
    }
}
