//! Opens a session that reads tables.

use anyhow::{Context as _, Result};
use cluster::conninfo::Conninfo;
use cluster::session::Session;

use crate::APPLICATION;
use crate::encoding::is_foreign;
use crate::told::FIXED;

/// A session that is set up to read, and whether the server has to convert text for it.
pub(crate) fn session(node: &str, info: &Conninfo) -> Result<(Session, bool)> {
    let session = Session::open(node, info, APPLICATION)?;
    let rows = session.texts(cluster::sql!("verify_session"))?;
    let encoding = rows.iter().find_map(|row| match &row[..] {
        [Some(name), Some(value)] if name == "server_encoding" => Some(value),
        _ => None,
    });
    let is_foreign = is_foreign(encoding.context("a server that does not tell its encoding")?);
    session.script(FIXED)?;
    Ok((session, is_foreign))
}
