//! The seam between what a drill does and how nodes are run.
//!
//! It is small on purpose: power, state, a few files, PostgreSQL's tools over a node's data directory. Promotion, roles
//! and slots are SQL, and the same for every backend.

use std::time::Duration;

use anyhow::Result;
use cluster::file::{BackendName, NodeSection};
use report::foreign;

use crate::standby::Upstream;

/// What the taking down of a lab has removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Servers, and processes without one, that were ended.
    pub processes: u32,
    /// Nodes whose directories or containers were removed.
    pub nodes: u32,
}

/// Whether a node's server runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// The postmaster runs.
    On,
    /// It does not.
    Off,
}

/// How a cut shows on the standby.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Its receiver ends.
    Receiver,
    /// Nothing but silence: its receiver waits for `wal_receiver_timeout`.
    Network,
}

/// What can be done to the nodes of a lab from outside of PostgreSQL.
pub trait Backend: Sync {
    /// The word for it in rows and files.
    fn name(&self) -> BackendName;

    /// Whether the node's server runs.
    ///
    /// # Errors
    /// If it cannot be told.
    fn power(&self, node: &str) -> Result<Power>;

    /// Starts the node's server as whatever its data directory says it is, and waits until it takes connections.
    ///
    /// # Errors
    /// If it does not start; the error holds the end of its log.
    fn start(&self, node: &str) -> Result<()>;

    /// Shuts the node's server down cleanly.
    ///
    /// # Errors
    /// If it still runs at the deadline.
    fn stop(&self, node: &str) -> Result<()>;

    /// Ends every process of the node at once, as a crash would, and returns when all are seen to be gone.
    /// `first_act` is called just before the first of them is touched: that moment is T0.
    ///
    /// # Errors
    /// If it did not run, or is not provably gone: then nothing may be concluded from the fault.
    fn kill(&self, node: &str, first_act: &mut dyn FnMut()) -> Result<()>;

    /// Cuts the link over which a standby receives WAL. Returns once the cut was asked for; see that it took effect.
    ///
    /// # Errors
    /// If it cannot be asked for.
    fn cut(&self, standby: &str) -> Result<Cut>;

    /// Makes a stopped or running node follow `upstream` from its next start or at once; with `None` it has nobody to
    /// receive from.
    ///
    /// # Errors
    /// If its configuration cannot be written.
    fn follow(&self, node: &str, upstream: Option<&Upstream>) -> Result<()>;

    /// Sets `synchronous_standby_names` of a node: empty on all but the primary.
    ///
    /// # Errors
    /// If its configuration cannot be written.
    fn sync_names(&self, node: &str, names: &str) -> Result<()>;

    /// Makes a stopped node a standby: `standby.signal`, and none of the settings that a copy brought along.
    ///
    /// # Errors
    /// If its data directory cannot be changed.
    fn make_standby(&self, node: &str) -> Result<()>;

    /// Replaces a stopped node's data directory with a fresh base backup of `upstream`; what was there is kept until
    /// [`Backend::discard_old`].
    ///
    /// # Errors
    /// If the backup fails; the old data directory is then untouched.
    fn clone_from(&self, node: &str, upstream: &Upstream) -> Result<()>;

    /// Removes what [`Backend::clone_from`] kept.
    ///
    /// # Errors
    /// If it cannot be removed.
    fn discard_old(&self, node: &str) -> Result<()>;

    /// Runs `pg_rewind` over a stopped node's data directory, with `upstream` as its source.
    ///
    /// # Errors
    /// If it fails, or says that there is nothing to rewind.
    fn rewind(&self, node: &str, upstream: &Upstream) -> Result<()>;

    /// Runs `pg_waldump` over a stopped node's WAL of one timeline from `start`; its stdout and its last error.
    ///
    /// # Errors
    /// If it cannot be run.
    fn waldump(&self, node: &str, timeline: u32, start: report::lsn::Lsn) -> Result<(String, String)>;

    /// The rows of one query on a stopped node that nobody else can reach (single-user mode), as CSV.
    ///
    /// # Errors
    /// If the node runs or does not recover.
    fn query_alone(&self, node: &str, dbname: &str, query: &str) -> Result<String>;

    /// Promotes with `pg_ctl promote -w`: the raw floor that our own takeover is held against.
    ///
    /// # Errors
    /// If it fails.
    fn pg_ctl_promote(&self, node: &str, limit: Duration) -> Result<()>;

    /// What `standby` needs to know to follow the node of `primary`.
    fn upstream(&self, primary: &NodeSection, standby: &str) -> Upstream;

    /// The last lines of the node's log.
    fn log_tail(&self, node: &str) -> String;

    /// The same error, and below it what the node said last, which most often is the reason.
    fn with_log(&self, node: &str, error: anyhow::Error) -> anyhow::Error {
        if program::stop::check().is_err() {
            return error; // a signal came: the node is not to blame
        }
        let log = foreign::quoted(&format!("\n{}\n", self.log_tail(node)));
        anyhow::anyhow!("{error:#}\nthe log of node {node} ends with: {log}")
    }
}
