//! The seam for what PostgreSQL's tools do to a node's data directory.

use std::time::Duration;

use anyhow::Result;
use report::lsn::Lsn;

use crate::standby::Upstream;

/// PostgreSQL's tools over a node's data directory.
pub trait DataDir {
    /// Makes a stopped node a standby: `standby.signal`, and none of the settings that a copy brought along.
    ///
    /// # Errors
    /// If its data directory cannot be changed.
    fn make_standby(&self, node: &str) -> Result<()>;

    /// Replaces a stopped node's data directory with a fresh base backup of `upstream`; what was there is kept until
    /// [`DataDir::discard_old`].
    ///
    /// # Errors
    /// If the backup fails; the old data directory is then untouched.
    fn clone_from(&self, node: &str, upstream: &Upstream) -> Result<()>;

    /// Removes what [`DataDir::clone_from`] kept.
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
    fn waldump(&self, node: &str, timeline: u32, start: Lsn) -> Result<(String, String)>;

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
}
