//! What a lab's way of running nodes has to offer: power, links, PostgreSQL's tools over a data directory, each a seam of its
//! own, and beside them a node's configuration, its log, and how it is reached.
//!
//! Promotion, roles and slots are SQL, and the same for every backend.

use anyhow::Result;
use cluster::file::{BackendName, NodeSection};
use report::foreign;

use crate::data_dir::DataDir;
use crate::link::Link;
use crate::power::Power;
use crate::standby::Upstream;

/// What the taking down of a lab has removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Servers, and processes without one, that were ended.
    pub processes: u32,
    /// Nodes whose directories or containers were removed.
    pub nodes: u32,
}

/// A way of running the nodes of a lab.
pub trait Backend: Power + Link + DataDir + Sync {
    /// The word for it in rows and files.
    fn name(&self) -> BackendName;

    /// Sets `synchronous_standby_names` of a node: empty on all but the primary.
    ///
    /// # Errors
    /// If its configuration cannot be written.
    fn sync_names(&self, node: &str, names: &str) -> Result<()>;

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
