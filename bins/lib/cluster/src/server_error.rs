//! What a server said, or what became of the connection to it, as an error that can be shown.

use report::foreign;
use tokio_postgres::error::SqlState;

use crate::stranger::Stranger;

/// An error of a server or its connection in one line: severity, message and SQLSTATE, where there are any. The detail
/// is left out: it can hold data, or a statement with a password in it.
#[derive(Debug)]
pub struct ServerError {
    text: String,
    error: tokio_postgres::Error,
}

impl std::fmt::Display for ServerError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for ServerError {}

/// Puts what a server or its connection said into one line, in which nothing moves a terminal's cursor.
#[must_use]
pub fn describe(error: tokio_postgres::Error) -> anyhow::Error {
    if let Some(stranger) = Stranger::below(&error) {
        return stranger.into();
    }
    let text = match error.as_db_error() {
        Some(db) => {
            // In English, whatever language the server's messages are in: texts of two servers can then be compared.
            let severity = db.parsed_severity().map_or_else(|| db.severity().to_owned(), |known| known.to_string());
            format!("{severity}: {} (SQLSTATE {})", db.message(), db.code().code())
        }
        None => match std::error::Error::source(&error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    };
    ServerError { text: foreign::one_line(&text).into_owned(), error }.into()
}

/// The SQLSTATE of an error that [`describe`] made, under whatever context.
#[must_use]
pub fn sqlstate(error: &anyhow::Error) -> Option<&SqlState> {
    error.downcast_ref::<ServerError>()?.error.code()
}

/// Whether the server refused the role that wanted in: a wrong password, no such role, no line of `pg_hba.conf`
/// (SQLSTATE class 28). To ask again is in vain.
#[must_use]
pub fn is_refused(error: &anyhow::Error) -> bool {
    sqlstate(error).is_some_and(|state| state.code().starts_with("28"))
}
