//! Which node is primary, or is to be started as primary: never a second one, never one of an older timeline.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use cluster::topology::is_primary;
use xshell::{Shell, cmd};

use super::converge::Converging;
use super::node::NodeDir;
use super::process::Postmaster;

/// Time for `pg_controldata`.
const CONTROLDATA_DEADLINE: Duration = Duration::from_secs(10);

impl Converging<'_> {
    /// The node that is primary, or that is to be started as primary: never a second one, never an older timeline.
    pub(super) fn find_primary(&self, nodes: &[NodeDir]) -> Result<Option<String>> {
        let with_data: Vec<&NodeDir> = nodes.iter().filter(|node| node.has_data()).collect();
        let (mut out_of_recovery, mut mute) = (Vec::new(), Vec::new());
        for node in &with_data {
            // A set-up that was killed may have begun to start it. A standby is not waited for: without its primary it
            // may never take connections.
            if !node.data().join("standby.signal").exists() {
                self.lab.wait_settled(node)?;
            }
            if Postmaster::of(&node.data())?.is_none() {
                continue;
            }
            match self.session(&node.name, "postgres").and_then(|session| is_primary(&session)) {
                Ok(true) => out_of_recovery.push(node.name.clone()),
                Ok(false) => {}
                Err(error) => mute.push(error),
            }
        }
        if out_of_recovery.len() > 1 {
            bail!(
                "{} are all out of recovery: stop the wrong ones, then run setup again",
                out_of_recovery.join(" and ")
            );
        }
        let mut timelines = Vec::new();
        for node in &with_data {
            timelines.push((self.timeline(node)?, !node.data().join("standby.signal").exists(), *node));
        }
        let Some(newest) = timelines.iter().map(|(timeline, _, _)| *timeline).max() else { return Ok(None) };
        if let Some(primary) = out_of_recovery.pop() {
            let own = timelines.iter().find(|(_, _, node)| node.name == primary).map(|(timeline, _, _)| *timeline);
            ensure!(
                own == Some(newest),
                "{primary} is out of recovery, but another node knows timeline {newest}, which is newer: {primary} was \
                 started by hand after a takeover; stop it, then run setup again"
            );
            return Ok(Some(primary));
        }
        if let Some(error) = mute.pop() {
            return Err(error.context("no node is known to be primary, and one that runs does not answer"));
        }
        let mut could_be: Vec<&str> = timelines
            .iter()
            .filter(|(timeline, was_primary, _)| *was_primary && *timeline == newest)
            .map(|(_, _, node)| node.name.as_str())
            .collect();
        match (could_be.pop(), could_be.pop()) {
            (Some(one), None) => Ok(Some(one.to_owned())),
            (Some(one), Some(other)) => bail!(
                "{one} and {other} were both primary on timeline {newest}: remove the wrong one's directory by \
                 `setup --down`, or promote by hand"
            ),
            (None, _) => bail!(
                "no node was primary on timeline {newest}, the newest here: promote one of the standbys with \
                 `pg_ctl promote`, then run setup again"
            ),
        }
    }

    /// The newest timeline that a stopped or running node knows of.
    fn timeline(&self, node: &NodeDir) -> Result<u32> {
        let (sh, controldata, data) = (Shell::new()?, self.lab.binaries().path("pg_controldata"), node.data());
        let said = self.lab.run(node, cmd!(sh, "{controldata} --pgdata {data}"), CONTROLDATA_DEADLINE)?;
        let of_checkpoint = said
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
