//! All our sessions on a node have to be with one server. What lies between may lead each connection to another one (a balancer, a
//! name of several addresses, an address that moves), and what was proven of the one says nothing about the other.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, bail, ensure};
use cluster::session::Session;

/// The server that a node's sessions are with.
#[derive(Clone)]
pub(crate) struct SameServer(Arc<Mutex<Server>>);

#[derive(Debug)]
struct Server {
    system_identifier: i64,
    /// Its port and, if it is reached over TCP, its own address.
    address: String,
    in_recovery: bool,
    started: String,
}

impl SameServer {
    /// The one that this session is with.
    pub(crate) fn of(session: &Session) -> Result<SameServer> {
        Ok(SameServer(Arc::new(Mutex::new(server(session)?))))
    }

    /// Sees that a session that was opened a moment later is with the same one.
    ///
    /// # Errors
    /// If it is with another one, or with the same one that was started anew, promoted, or made a standby.
    pub(crate) fn check_at_once(&self, session: &Session) -> Result<()> {
        let (found, node) = (server(session)?, session.node());
        let since = self.0.lock().unwrap_or_else(PoisonError::into_inner).started.clone();
        self.check(session)?;
        // Two servers may have one address, each in a network of its own.
        ensure!(
            found.started == since,
            "node {node}: it was restarted, or not all connections to it lead to the same server"
        );
        Ok(())
    }

    /// Sees that another session is with the same one, which may have been restarted meanwhile.
    ///
    /// # Errors
    /// If it is with another one, or with the same one that was promoted or made a standby.
    pub(crate) fn check(&self, session: &Session) -> Result<()> {
        let (found, node) = (server(session)?, session.node());
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same = (found.system_identifier, &found.address) == (known.system_identifier, &known.address);
        ensure!(
            is_same,
            "node {node}: not all connections to it lead to the same server (one at {}, another at {}): name the servers \
             themselves, and not what balances between them",
            known.address,
            found.address
        );
        match (known.in_recovery, found.in_recovery) {
            (true, false) => bail!("node {node}: it is no longer a standby"),
            (false, true) => bail!("node {node}: it is a standby by now"),
            _ => *known = found,
        }
        Ok(())
    }
}

fn server(session: &Session) -> Result<Server> {
    let rows = session.rows(cluster::sql!("verify_server"), &[])?;
    let row = rows.first().context("a server that does not say who it is")?;
    Ok(Server {
        system_identifier: row.try_get(0)?,
        address: row.try_get(1)?,
        in_recovery: row.try_get(2)?,
        started: row.try_get(3)?,
    })
}
