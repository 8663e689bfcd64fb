//! Somebody who is in the place of a server.

use std::fmt;
use std::io;

/// Why a server is not spoken to. It got no password, and no statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stranger(pub(crate) String);

impl fmt::Display for Stranger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a stranger answers there, and was told nothing: {}", self.0)
    }
}

impl std::error::Error for Stranger {}

impl From<Stranger> for io::Error {
    fn from(stranger: Stranger) -> io::Error {
        io::Error::other(stranger)
    }
}

impl Stranger {
    /// Whether a connection failed because of a stranger, under whatever context.
    #[must_use]
    pub fn is_in(error: &anyhow::Error) -> bool {
        error.downcast_ref::<Stranger>().is_some()
    }

    /// The one that an error of a socket is.
    pub(crate) fn in_io(error: &io::Error) -> Option<&Stranger> {
        error.get_ref().and_then(|inner| inner.downcast_ref::<Stranger>())
    }

    /// The one below an error of the driver.
    pub(crate) fn below(error: &tokio_postgres::Error) -> Option<Stranger> {
        let mut next = std::error::Error::source(error);
        while let Some(source) = next {
            if let Some(stranger) = source.downcast_ref::<io::Error>().and_then(Stranger::in_io) {
                return Some(stranger.clone());
            }
            next = source.source();
        }
        None
    }
}
