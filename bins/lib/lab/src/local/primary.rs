//! What the nodes are, for choosing the primary: their data, and what those that run say.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};
use cluster::topology::is_primary;

use super::converge::Converging;
use super::node::NodeDir;
use crate::data_dir::{DataDir as _, Tool};
use crate::primary::{self, Found};

/// Time for `pg_controldata`.
const CONTROLDATA_DEADLINE: Duration = Duration::from_secs(10);

impl Converging<'_> {
    /// The node that is primary, or that is to be started as primary.
    pub(super) fn find_primary(&self, nodes: &[NodeDir]) -> Result<Option<String>> {
        let (mut found, mut mute) = (Vec::new(), None);
        for node in nodes.iter().filter(|node| node.has_data()) {
            let is_standby = node.data().join("standby.signal").exists();
            // A set-up that was killed may have begun to start it. A standby is not waited for: without its primary it
            // may never take connections.
            if !is_standby {
                self.lab.wait_settled(node)?;
            }
            let mut writes = false;
            if self.lab.postmaster(node)?.is_some() {
                match self.session(&node.name, "postgres").and_then(|session| is_primary(&session)) {
                    Ok(answer) => writes = answer,
                    Err(error) => mute = Some(error),
                }
            }
            found.push(Found { name: node.name.clone(), timeline: self.timeline(node)?, is_standby, writes });
        }
        match mute {
            Some(error) if !found.iter().any(|node| node.writes) => {
                Err(error.context("no node is known to be primary, and one that runs does not answer"))
            }
            _ => primary::choose(&found, "`pg_ctl promote`"),
        }
    }

    /// The newest timeline that a stopped or running node knows of.
    fn timeline(&self, node: &NodeDir) -> Result<u32> {
        let data = self.lab.path(&node.name, "data")?;
        let tool = Tool::new("pg_controldata", &["--pgdata", &data], CONTROLDATA_DEADLINE).beside_server();
        let of_checkpoint = tool
            .done(&node.name, self.lab.tool(&node.name, &tool)?)?
            .stdout
            .lines()
            .find_map(|line| line.strip_prefix("Latest checkpoint's TimeLineID:")?.trim().parse::<u32>().ok())
            .with_context(|| format!("node {}: pg_controldata tells no timeline", node.name))?;
        let of_history = fs::read_dir(node.data().join("pg_wal"))?.filter_map(|entry| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            report::timeline::of_wal_file(name.strip_suffix(".history")?)
        });
        Ok(of_history.max().unwrap_or(0).max(of_checkpoint))
    }
}
