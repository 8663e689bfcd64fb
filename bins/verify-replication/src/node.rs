//! A node as this program holds it: a session for short questions, and sessions that read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use cluster::args::Cluster;
use cluster::file::Role;
use cluster::session::Session;
use cluster::{args, fence};

use crate::reader::Reader;

/// A server and our sessions on it.
pub(crate) struct Node {
    /// Its name.
    pub(crate) name: String,
    /// For short questions: fences, names.
    pub(crate) door: Session,
    /// For reading; at least one.
    pub(crate) readers: Vec<Reader>,
    /// The last fence that it passed.
    passed: Arc<AtomicU64>,
}

impl Node {
    /// Opens `jobs` sessions for reading beside the one that is there.
    ///
    /// # Errors
    /// If the server refuses them.
    pub(crate) fn open(cluster: &Cluster, node: &args::Node, door: Session, jobs: usize) -> Result<Node> {
        let info = cluster.info(node, Role::Monitor)?;
        let passed = Arc::new(AtomicU64::new(0));
        let open = |_| Reader::open(&node.name, &info, Arc::clone(&passed));
        let readers = (0..jobs).map(open).collect::<Result<_>>()?;
        Ok(Node { name: node.name.clone(), door, readers, passed })
    }

    /// The first of its readers, for what one session does.
    pub(crate) fn reader(&mut self) -> &mut Reader {
        &mut self.readers[0]
    }
}

/// A standby, or why it is one no more for us.
pub(crate) struct Standby {
    /// Its name.
    pub(crate) name: String,
    /// The node, or what was wrong with it. Once it is given up it stays so: a server that was restarted may show an
    /// older state than the fence that it had passed, and one that misses a fence would let every table wait for it.
    pub(crate) node: Result<Node, String>,
    /// Whether that was said.
    pub(crate) told: bool,
}

impl Standby {
    /// Raises a fence on the primary for it, and waits until it has passed. Gives it up if it does not.
    pub(crate) fn pass_fence(&mut self, primary: &Session, limit: Duration) {
        let Ok(node) = &self.node else { return };
        if let Err(error) = pass(primary, node, limit) {
            self.node = Err(format!("{error:#}"));
        }
    }
}

/// Raises a fence on the primary and waits until a standby has passed it.
///
/// # Errors
/// If it does not by `limit`.
pub(crate) fn pass(primary: &Session, standby: &Node, limit: Duration) -> Result<()> {
    let fence = fence::raise(primary).context("cannot raise a fence")?;
    fence::wait(&standby.door, fence, limit)?;
    standby.passed.store(fence.0, Ordering::Relaxed);
    Ok(())
}
