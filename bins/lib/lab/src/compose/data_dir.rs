//! PostgreSQL's tools over the data of a container's node, each in a container of its own.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use program::tool::Output;

use super::ComposeLab;
use crate::data_dir::{DataDir, Tool};

/// Time for files to be written or removed in a volume.
pub(super) const FILES_DEADLINE: Duration = Duration::from_secs(60);

/// Where the lab's volume is in every container, with a directory for each node.
pub(super) const VOLUME: &str = "/var/lib/postgresql";

/// What runs the words of `node.sh`, in any container of the lab.
const NODE_SH: [&str; 2] = ["sh", "/understudy/node.sh"];

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
    /// Runs one word of `node.sh` in a container of its own, over the node's volumes, with `input` to read.
    fn step(&self, node: &str, words: &[&str], input: Option<&str>, deadline: Duration) -> Result<Output> {
        self.finish_kill()?;
        let (id, network) = (self.container(node)?, self.network());
        let ([lab, dir], name) = (self.labels.both(), format!("UNDERSTUDY_NODE={node}"));
        let own = format!("{}_step_{node}_{}", self.project, std::process::id());
        let mut args = vec!["run", "--rm", "--init", "--interactive", "--name", &own, "--volumes-from", &id];
        args.extend(["--label", &lab, "--label", &dir]);
        args.extend(["--network", &network]);
        args.extend(CONFINED.iter().flat_map(|option| [option.0, option.1]));
        args.extend(["--env", &name, "--entrypoint", NODE_SH[0], &self.image, NODE_SH[1]]);
        args.extend(words);
        let said = self.engine.output_with_stdin(&args, stdin(input)?, deadline);
        if said.is_err() {
            // Too long, or a signal: what was ended is the client. The container would go on, and keep the node's lock.
            self.engine.remove_now(&own);
        }
        said.with_context(|| format!("node {node}: {}", words[0]))
    }

    /// The same for a word that must succeed; its stdout.
    pub(super) fn step_done(&self, node: &str, words: &[&str]) -> Result<String> {
        let said = self.step(node, words, None, FILES_DEADLINE)?;
        ensure!(said.status.success(), "node {node}: {} failed: {}", words[0], said.why());
        Ok(said.stdout)
    }

    fn check_stopped(&self, node: &str) -> Result<()> {
        ensure!(!self.runs(node)?, "node {node} runs");
        Ok(())
    }

    /// Runs a word of `node.sh` beside the server of a container that runs.
    fn beside(&self, node: &str, words: &[&str], deadline: Duration) -> Result<Output> {
        let id = self.container(node)?;
        self.engine.output(&[&["exec", &id], &NODE_SH[..], words].concat(), deadline)
    }
}

/// Something to read: `text`, or nothing.
fn stdin(text: Option<&str>) -> Result<Stdio> {
    let Some(text) = text else { return Ok(Stdio::null()) };
    let (reader, mut writer) = std::io::pipe().context("cannot make a pipe")?;
    // A query or a password is smaller than a pipe's buffer: this does not wait for its reader.
    std::io::Write::write_all(&mut writer, text.as_bytes()).context("cannot fill a pipe")?;
    Ok(reader.into())
}

/// The words of `node.sh` that run a tool.
fn words<'a>(first: &[&'a str], tool: &'a Tool<'_>) -> Vec<&'a str> {
    first.iter().copied().chain([tool.program]).chain(tool.args.iter().map(String::as_str)).collect()
}

impl DataDir for ComposeLab {
    fn place(&self, node: &str) -> Result<PathBuf> {
        Ok(Path::new(VOLUME).join(node))
    }

    fn tool(&self, node: &str, tool: &Tool<'_>) -> Result<Output> {
        if tool.beside_server {
            return self.beside(node, &words(&["beside"], tool), tool.deadline);
        }
        self.check_stopped(node)?;
        self.step(node, &words(&["tool"], tool), tool.input, tool.deadline)
    }

    fn make_data(&self, node: &str, tool: &Tool<'_>, standby: bool) -> Result<()> {
        self.check_stopped(node)?;
        let kind = if standby { "standby" } else { "primary" };
        let said = self.step(node, &words(&["make", kind], tool), tool.input, tool.deadline)?;
        tool.done(node, said).map(drop)
    }

    fn make_standby(&self, node: &str) -> Result<()> {
        self.check_stopped(node)?;
        self.step_done(node, &["make-standby"]).map(drop)
    }

    fn discard_old(&self, node: &str) -> Result<()> {
        let said = self.beside(node, &["discard-old"], FILES_DEADLINE)?;
        ensure!(said.status.success(), "node {node}: discard-old failed: {}", said.why());
        Ok(())
    }
}
