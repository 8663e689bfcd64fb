//! The seam for what PostgreSQL's tools do to a node's data directory.
//!
//! A backend says where a tool runs and as whom; what is run is said here, once.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use program::tool::Output;
use report::lsn::Lsn;

use crate::secrets::{ADMIN, REPLICATION, REWIND};
use crate::standby::Upstream;

/// Time for `initdb`: 0.6–0.9 s on two idle cores, and some for a slow disk.
const INITDB_DEADLINE: Duration = Duration::from_secs(120);

/// Time for `pg_basebackup`: it copies everything. An hour at 100 MB/s is 360 GB: more than a lab holds.
const CLONE_DEADLINE: Duration = Duration::from_secs(3_600);

/// Time for `pg_rewind` and `pg_waldump`, which read the WAL since the last checkpoint before the fork, and for single-user
/// mode, which may have to recover from a crash first.
const TOOL_DEADLINE: Duration = Duration::from_secs(300);

/// What single-user mode says before it reads a query.
const PROMPT: &str = "backend> ";

/// A run of one of PostgreSQL's tools.
pub struct Tool<'a> {
    /// Its name.
    pub(crate) program: &'a str,
    /// Its arguments; what they say of files is meant where the tool runs.
    pub(crate) args: Vec<String>,
    /// What it reads: on stdin, and in the file `input` of the node's directory, which goes afterwards.
    pub(crate) input: Option<&'a str>,
    /// Whether the node's server may run meanwhile.
    pub(crate) beside_server: bool,
    /// Time for it.
    pub(crate) deadline: Duration,
}

impl<'a> Tool<'a> {
    pub(crate) fn new(program: &'a str, args: &[&str], deadline: Duration) -> Tool<'a> {
        let args = args.iter().map(|&arg| arg.to_owned()).collect();
        Tool { program, args, input: None, beside_server: false, deadline }
    }

    pub(crate) fn beside_server(self) -> Tool<'a> {
        Tool { beside_server: true, ..self }
    }

    fn reads(self, input: &'a str) -> Tool<'a> {
        Tool { input: Some(input), ..self }
    }

    /// Its output, if it succeeded on that node.
    pub(crate) fn done(&self, node: &str, said: Output) -> Result<Output> {
        ensure!(said.status.success(), "node {node}: {} failed: {}", self.program, said.why());
        Ok(said)
    }
}

/// PostgreSQL's tools over a node's data directory.
pub trait DataDir {
    /// The node's directory as tools see it; the data are in `data` there, the passwords for its server in `passfile`.
    ///
    /// # Errors
    /// If there is no such node.
    fn place(&self, node: &str) -> Result<PathBuf>;

    /// Runs a tool as the servers' user, however it ends.
    ///
    /// # Errors
    /// If it cannot be run or takes too long; if the node runs, unless the tool may work beside its server.
    fn tool(&self, node: &str, tool: &Tool<'_>) -> Result<Output>;

    /// Replaces a stopped node's data directory, if it has one, with what a tool makes in `data.new`; what was there is kept
    /// until [`DataDir::discard_old`].
    ///
    /// # Errors
    /// If the tool fails; the old data directory is then untouched.
    fn make_data(&self, node: &str, tool: &Tool<'_>, standby: bool) -> Result<()>;

    /// Makes a stopped node a standby: `standby.signal`, and none of the settings that a copy brought along.
    ///
    /// # Errors
    /// If its data directory cannot be changed.
    fn make_standby(&self, node: &str) -> Result<()>;

    /// Removes what [`DataDir::make_data`] kept.
    ///
    /// # Errors
    /// If it cannot be removed.
    fn discard_old(&self, node: &str) -> Result<()>;

    /// A path in the node's directory, as a tool's argument.
    ///
    /// # Errors
    /// If it is not UTF-8.
    fn path(&self, node: &str, name: &str) -> Result<String> {
        let path = self.place(node)?.join(name);
        path.to_str().map(str::to_owned).with_context(|| format!("{}: not UTF-8", path.display()))
    }

    /// Makes a new, empty data directory. `password` is the administrator's, or its verifier.
    ///
    /// # Errors
    /// If `initdb` fails.
    fn init(&self, node: &str, password: &str) -> Result<()> {
        let (data, pwfile) = (self.path(node, "data.new")?, self.path(node, "input")?);
        let place = ["--pgdata", &data, "--username", ADMIN, "--pwfile", &pwfile];
        let how = ["--auth", "scram-sha-256", "--data-checksums", "--encoding", "UTF8", "--locale", "C"];
        self.make_data(node, &Tool::new("initdb", &[&place[..], &how].concat(), INITDB_DEADLINE).reads(password), false)
    }

    /// Replaces a stopped node's data directory with a fresh base backup of `upstream`.
    ///
    /// # Errors
    /// As [`DataDir::make_data`].
    fn clone_from(&self, node: &str, upstream: &Upstream) -> Result<()> {
        let (data, conninfo) = (self.path(node, "data.new")?, upstream.conninfo_as(REPLICATION));
        let place = ["--pgdata", &data, "--dbname", &conninfo];
        let how = ["--wal-method", "stream", "--slot", &upstream.slot, "--checkpoint", "fast"];
        self.make_data(node, &Tool::new("pg_basebackup", &[&place[..], &how].concat(), CLONE_DEADLINE), true)
    }

    /// Runs `pg_rewind` over a stopped node's data directory, with `upstream` as its source.
    ///
    /// # Errors
    /// If it fails, or says that there is nothing to rewind.
    fn rewind(&self, node: &str, upstream: &Upstream) -> Result<()> {
        let (data, source) = (self.path(node, "data")?, upstream.conninfo_as(REWIND));
        let tool = Tool::new("pg_rewind", &["--target-pgdata", &data, "--source-server", &source], TOOL_DEADLINE);
        let said = tool.done(node, self.tool(node, &tool)?)?;
        // Up to PostgreSQL 15 it says so wrongly until the new primary has made a checkpoint, and calls their timelines one: it
        // would be a server with rows of its own that follows all the same. After a clean switchover it is so.
        let said = said.stdout + &said.stderr;
        let wrongly = said.contains("no rewind required") && said.contains("same timeline");
        ensure!(!wrongly, "node {node}: pg_rewind says that no rewind is required");
        Ok(())
    }

    /// Runs `pg_waldump` over a stopped node's WAL of one timeline from `start`; its stdout and its last error.
    ///
    /// # Errors
    /// If it cannot be run.
    fn waldump(&self, node: &str, timeline: u32, start: Lsn) -> Result<(String, String)> {
        let (wal, timeline, start) = (self.path(node, "data/pg_wal")?, timeline.to_string(), start.to_string());
        let args = ["--path", &wal, "--timeline", &timeline, "--start", &start];
        // It ends with an error where the WAL ends: that is what it is run for.
        let said = self.tool(node, &Tool::new("pg_waldump", &args, TOOL_DEADLINE))?;
        ensure!(said.status.code().is_some(), "node {node}: pg_waldump: {}", said.status);
        Ok((said.stdout, said.stderr))
    }

    /// The rows of one query on a stopped primary that nobody else can reach (single-user mode), as CSV: no socket, no port.
    ///
    /// # Errors
    /// If the node runs, is a standby or does not recover.
    fn query_alone(&self, node: &str, dbname: &str, query: &str) -> Result<String> {
        ensure!(!query.contains('\n'), "a query in single-user mode is one line");
        let (data, copy) = (self.path(node, "data")?, format!("COPY ({query}) TO STDOUT (FORMAT csv)\n"));
        // A commit in here must not wait for a standby that nobody lets in.
        let settings = ["-c", "synchronous_standby_names=", "-c", "archive_mode=off"];
        let args = [&["--single"], &settings[..], &["-D", &data, dbname]].concat();
        let said = self.tool(node, &Tool::new("postgres", &args, TOOL_DEADLINE).reads(&copy))?;
        // After an error it goes on, ends well, and has said the rows that came before it.
        let whole = said.status.success() && !said.stderr.contains("ERROR:");
        let rows = rows_in(&said.stdout).filter(|_| whole);
        rows.with_context(|| format!("node {node}: single-user mode gave no rows: {}", said.why()))
    }

    /// Promotes with `pg_ctl promote -w`: the raw floor that our own takeover is held against.
    ///
    /// # Errors
    /// If it fails.
    fn pg_ctl_promote(&self, node: &str, limit: Duration) -> Result<()> {
        let (data, seconds) = (self.path(node, "data")?, limit.as_secs().to_string());
        let args = ["promote", "--silent", "--wait", "--timeout", &seconds, "--pgdata", &data];
        let tool = Tool::new("pg_ctl", &args, limit).beside_server();
        tool.done(node, self.tool(node, &tool)?).map(drop)
    }
}

/// The rows that single-user mode has said: between the first prompt and the last one, which is there if none are missing.
fn rows_in(said: &str) -> Option<String> {
    let (_, rows) = said.split_once(PROMPT)?;
    rows.trim_end_matches('\n').strip_suffix(PROMPT).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_all_that_is_said_between_two_prompts_and_without_the_last_one_some_are_missing() {
        let begin = "\nPostgreSQL stand-alone backend 15.18\n";
        assert_eq!(rows_in(&format!("{begin}backend> 1,2\n1,3\nbackend> ")).as_deref(), Some("1,2\n1,3\n"));
        assert_eq!(rows_in(&format!("{begin}backend> backend> \n")).as_deref(), Some(""));
        assert_eq!(rows_in(&format!("{begin}backend> 1,2\n1,")), None, "it was ended, or said more than is kept");
        assert_eq!(rows_in(begin), None);
    }
}
