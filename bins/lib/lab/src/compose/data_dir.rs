//! PostgreSQL's tools over the data of a container's node, each in a container of its own.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use program::tool::Output;
use report::lsn::Lsn;

use super::{CLONE_DEADLINE, ComposeLab};
use crate::data_dir::DataDir;
use crate::link::Link as _;
use crate::secrets::REWIND;
use crate::standby::Upstream;

/// Time for `pg_rewind` and the other tools: they read the WAL since the last checkpoint before the fork.
const TOOL_DEADLINE: Duration = Duration::from_secs(300);

/// What a container of ours may do, as `compose.yaml` says it for the others.
pub(super) const CONFINED: [(&str, &str); 7] = [
    ("--cap-drop", "ALL"),
    ("--cap-add", "CHOWN"),
    ("--cap-add", "DAC_OVERRIDE"),
    ("--cap-add", "KILL"),
    ("--cap-add", "SETGID"),
    ("--cap-add", "SETUID"),
    ("--security-opt", "no-new-privileges:true"),
];

impl ComposeLab {
    /// Runs one word of `node.sh` in a container of its own, over the node's volumes.
    pub(super) fn step(&self, node: &str, words: &[&str], deadline: Duration) -> Result<Output> {
        self.finish_kill()?;
        let (id, network) = (self.container(node)?, self.network());
        let ([lab, dir], name) = (self.labels.both(), format!("UNDERSTUDY_NODE={node}"));
        let own = format!("{}_step_{node}_{}", self.project, std::process::id());
        let mut args = vec!["run", "--rm", "--init", "--name", &own, "--volumes-from", &id];
        args.extend(["--label", &lab, "--label", &dir]);
        args.extend(["--network", &network]);
        args.extend(CONFINED.iter().flat_map(|option| [option.0, option.1]));
        args.extend(["--env", &name, "--entrypoint", "sh", &self.image, "/understudy/node.sh"]);
        args.extend(words);
        let said = self.engine.output(&args, deadline);
        if said.is_err() {
            // Too long, or a signal: what was ended is the client. The container would go on, and keep the node's lock.
            self.engine.remove_now(&own);
        }
        said.with_context(|| format!("node {node}: {}", words[0]))
    }

    pub(super) fn step_done(&self, node: &str, words: &[&str], deadline: Duration) -> Result<String> {
        let said = self.step(node, words, deadline)?;
        ensure!(said.status.success(), "node {node}: {} failed: {}", words[0], said.why());
        Ok(said.stdout)
    }
}

impl DataDir for ComposeLab {
    fn make_standby(&self, node: &str) -> Result<()> {
        ensure!(!self.runs(node)?, "node {node} runs");
        self.step_done(node, &["make-standby"], TOOL_DEADLINE).map(drop)
    }

    fn clone_from(&self, node: &str, upstream: &Upstream) -> Result<()> {
        ensure!(!self.runs(node)?, "node {node} runs");
        self.follow(node, Some(upstream))?;
        self.step_done(node, &["clone"], CLONE_DEADLINE).map(drop)
    }

    fn discard_old(&self, node: &str) -> Result<()> {
        let id = self.container(node)?;
        self.engine.order(&["exec", &id, "sh", "/understudy/node.sh", "discard-old"]).map(drop)
    }

    fn rewind(&self, node: &str, upstream: &Upstream) -> Result<()> {
        ensure!(!self.runs(node)?, "node {node} runs");
        self.link(&upstream.node)?;
        self.step_done(node, &["rewind", &upstream.conninfo_as(REWIND)], TOOL_DEADLINE).map(drop)
    }

    fn waldump(&self, node: &str, timeline: u32, start: Lsn) -> Result<(String, String)> {
        // It ends with an error where the WAL ends: that is what it is run for.
        let said = self.step(node, &["waldump", &timeline.to_string(), &start.to_string()], TOOL_DEADLINE)?;
        Ok((said.stdout, said.stderr))
    }

    fn query_alone(&self, node: &str, dbname: &str, query: &str) -> Result<String> {
        ensure!(!self.runs(node)?, "node {node} runs");
        ensure!(!query.contains('\n'), "a query in single-user mode is one line");
        self.step_done(node, &["single", dbname, query], TOOL_DEADLINE)
    }

    fn pg_ctl_promote(&self, node: &str, limit: Duration) -> Result<()> {
        let (id, seconds) = (self.container(node)?, limit.as_secs().to_string());
        let said = self.engine.output(&["exec", &id, "sh", "/understudy/node.sh", "promote", &seconds], limit)?;
        if !said.status.success() {
            bail!("node {node}: pg_ctl promote failed: {}", said.why());
        }
        Ok(())
    }
}
