//! Who a server is, by what it says of itself.

use std::net::IpAddr;

use anyhow::{Context as _, Result};

use crate::session::Session;

/// What a server said of itself.
#[derive(Clone, Debug)]
pub struct Identity {
    /// What `initdb` gave to its cluster, and what all standbys of it share.
    pub system_identifier: i64,
    /// The major version of PostgreSQL.
    pub major: i32,
    /// When its postmaster was started, in seconds since 1970.
    pub started: String,
    /// Where it listens.
    pub port: i32,
    /// Its own address, if the session came over TCP.
    pub address: Option<IpAddr>,
    /// Whether it is a standby.
    pub in_recovery: bool,
}

impl Identity {
    /// Whether both are one server that was not started anew between the two sessions.
    #[must_use]
    pub fn is_same_start_as(&self, other: &Identity) -> bool {
        (self.system_identifier, self.port, &self.started) == (other.system_identifier, other.port, &other.started)
    }
}

/// Asks the server that a session is with.
///
/// # Errors
/// If it does not answer.
pub fn ask(session: &Session) -> Result<Identity> {
    let rows = session.rows(crate::sql!("identity"), &[])?;
    let row = rows.first().context("the server did not say who it is")?;
    Ok(Identity {
        system_identifier: row.try_get(0)?,
        major: row.try_get::<_, i32>(1)? / 10_000,
        started: row.try_get(2)?,
        port: row.try_get(3)?,
        address: row.try_get(4)?,
        in_recovery: row.try_get(5)?,
    })
}
