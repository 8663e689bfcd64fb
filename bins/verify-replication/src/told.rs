//! What the server of a session was told about how to look for rows, to print values and to send text. It is told anew when that
//! changes, with the next statement.

use std::cell::Cell;

use tokio_postgres::Client;

/// How a session looks for rows after `sql/verify_session.sql`.
pub(crate) const BY_SCAN: &str = cluster::sql!("verify_by_scan");

/// How it looks for rows of catalogs: the catalogs of a thousand tables are long, and are read for each table.
pub(crate) const BY_INDEX: &str = cluster::sql!("verify_by_index");

/// How it prints values, the same on both nodes.
pub(crate) const FIXED: &str = cluster::sql!("verify_settings");

/// How it prints values as other sessions of its role in this database do.
pub(crate) const OWN: &str = cluster::sql!("verify_own_settings");

/// The session speaks UTF-8, as our driver has to.
pub(crate) const UTF8: &str = "SET client_encoding = 'UTF8';\n";

/// The session sends text as its bytes are. (`SQL_ASCII` means that of every server.)
pub(crate) const BYTES: &str = "SET client_encoding = 'SQL_ASCII';\n";

/// Scripts that set how the server is to look for rows, how to print values, and how to send text. They are empty while that is not
/// known; the last one always, where the server has nothing to convert.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) mode: &'static str,
    pub(crate) prints: &'static str,
    pub(crate) text: &'static str,
}

impl Told {
    /// What has to be told for text in UTF-8.
    pub(crate) fn utf8(mode: &'static str, prints: &'static str, is_foreign: bool) -> Told {
        Told { mode, prints, text: if is_foreign { UTF8 } else { "" } }
    }
}

/// Does `work` once the server was told what is `wanted`. If it was not yet, that and the work are sent at once: the server does
/// one after the other.
pub(crate) async fn once_told<T>(
    client: &Client,
    wanted: Told,
    told: &Cell<Told>,
    work: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, tokio_postgres::Error> {
    let before = told.get();
    if before == wanted {
        return work.await;
    }
    told.set(Told { mode: "", prints: "", text: "" }); // should it never be known what became of it
    let each = [(before.text, wanted.text), (before.mode, wanted.mode), (before.prints, wanted.prints)];
    let script: String = each.iter().filter(|(told, wanted)| told != wanted).map(|(_, wanted)| *wanted).collect();
    let (set, done) = tokio::join!(biased; client.batch_execute(&script), work);
    set?;
    told.set(wanted);
    done
}
