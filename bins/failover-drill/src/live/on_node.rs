//! Sessions for threads that each wait for something on a node.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use cluster::args::Cluster;
use cluster::file::LoginKind;
use cluster::session::Session;

/// A session on a node: the one that was there before, or another one in its place once that is gone.
pub(super) struct OnNode<'a> {
    cluster: &'a Cluster,
    node: &'a str,
    before: Option<&'a Session>,
    anew: Option<Session>,
}

impl<'a> OnNode<'a> {
    pub(super) fn new(cluster: &'a Cluster, node: &'a str, sessions: &'a BTreeMap<String, Session>) -> OnNode<'a> {
        OnNode { cluster, node, before: sessions.get(node), anew: None }
    }

    /// The session; opened if there is none.
    ///
    /// # Errors
    /// If the node takes none.
    pub(super) fn session(&mut self) -> Result<&Session> {
        self.before = self.before.filter(|session| !session.has_ended());
        if let Some(before) = self.before {
            return Ok(before);
        }
        if self.anew.as_ref().is_none_or(Session::has_ended) {
            let info = self.cluster.info(self.cluster.node(self.node)?, LoginKind::Admin)?;
            self.anew = Some(Session::open(self.node, &info, "understudy failover-drill")?);
        }
        self.anew.as_ref().context("it was opened")
    }

    /// The session that was opened, for others to go on with.
    pub(super) fn opened(self) -> Option<Session> {
        self.anew
    }
}
