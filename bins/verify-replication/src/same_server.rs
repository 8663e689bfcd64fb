//! All our sessions on a node have to be with one server. What lies between may lead each connection to another one (a balancer, a
//! name of several addresses, an address that moves), and what was proven of the one says nothing about the other.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, bail, ensure};
use cluster::identity::{self, Identity};
use cluster::session::Session;

/// The server that a node's sessions are with.
#[derive(Clone)]
pub(crate) struct SameServer(Arc<Mutex<Identity>>);

impl SameServer {
    /// The one that this session is with.
    pub(crate) fn of(session: &Session) -> Result<SameServer> {
        Ok(SameServer(Arc::new(Mutex::new(identity::ask(session)?))))
    }

    /// Sees that a session that was opened a moment later is with the same one.
    ///
    /// # Errors
    /// If it is with another one, or with the same one that was started anew, promoted, or made a standby.
    pub(crate) fn check_at_once(&self, session: &Session) -> Result<()> {
        let (before, found) = self.meet(session)?;
        // Two servers may have one address, each in a network of its own.
        ensure!(
            found.is_same_start_as(&before),
            "node {}: it was restarted, or not all connections to it lead to the same server",
            session.node()
        );
        Ok(())
    }

    /// Sees that another session is with the same one, which may have been restarted meanwhile.
    ///
    /// # Errors
    /// If it is with another one, or with the same one that was promoted or made a standby.
    pub(crate) fn check(&self, session: &Session) -> Result<()> {
        self.meet(session).map(|_| ())
    }

    /// What was known of the server, and what it says now; that is known from then on.
    fn meet(&self, session: &Session) -> Result<(Identity, Identity)> {
        let (found, node) = (identity::ask(session)?, session.node());
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = |server: &Identity| (server.system_identifier, server.port, server.address);
        ensure!(
            place(&found) == place(&known),
            "node {node}: not all connections to it lead to the same server (one at {}, another at {}): name the servers \
             themselves, and not what balances between them",
            said(&known),
            said(&found)
        );
        match (known.in_recovery, found.in_recovery) {
            (true, false) => bail!("node {node}: it is no longer a standby"),
            (false, true) => bail!("node {node}: it is a standby by now"),
            _ => Ok((std::mem::replace(&mut known, found.clone()), found)),
        }
    }
}

/// Where a server is, in words.
fn said(server: &Identity) -> String {
    let address = server.address.map(|address| format!(" {address}")).unwrap_or_default();
    format!("{}{address}", server.port)
}
