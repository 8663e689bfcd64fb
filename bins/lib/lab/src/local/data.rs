//! Data directories: made by `initdb` or `pg_basebackup`, swapped by rename, read in single-user mode, removed.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use program::{tool, trust};
use xshell::{Shell, cmd};

use super::LocalLab;
use super::memory;
use super::node::NodeDir;
use super::postmaster::{self, Postmaster};
use super::remove::remove_dir;
use crate::conf;
use crate::marker;
use crate::secrets::{ADMIN, REPLICATION, Secrets};
use crate::standby::Upstream;

/// Time for `initdb`: 0.6–0.9 s on two idle cores, and some for a slow disk.
const INITDB_DEADLINE: Duration = Duration::from_secs(120);

/// Time for `pg_basebackup`: it copies everything. An hour at 100 MB/s is 360 GB: more than a lab holds.
const CLONE_DEADLINE: Duration = Duration::from_secs(3_600);

/// Time for single-user mode: it may have to recover from a crash first.
const SINGLE_DEADLINE: Duration = Duration::from_secs(120);

/// How many bytes of rows single-user mode may give. A drill asks for those of its ledger, some hundred bytes each; the file is
/// the servers' user's, who could let it grow without end.
const MOST_ROWS: u64 = 1 << 30;

impl LocalLab {
    /// Makes a new, empty data directory with the administrator's password.
    pub(super) fn init_data(&self, node: &NodeDir, secrets: &Secrets) -> Result<()> {
        let new = node.data_new();
        self.remove_data(&new)?;
        self.account.make_dir(&new)?; // initdb takes an empty directory
        let pwfile = node.dir.join("pwfile");
        self.account.write_private(&pwfile, secrets.password(ADMIN)?.reveal())?;
        let (sh, initdb) = (Shell::new()?, self.binaries.path("initdb"));
        let command = cmd!(
            sh,
            "{initdb} --pgdata {new} --username {ADMIN} --pwfile {pwfile} --auth scram-sha-256 --data-checksums
             --encoding UTF8 --locale C"
        );
        let made = self.run(node, command, INITDB_DEADLINE);
        fs::remove_file(&pwfile).with_context(|| format!("cannot remove {}", pwfile.display()))?;
        made?;
        self.put_in_order(&new)?;
        fs::rename(&new, node.data()).with_context(|| format!("cannot put {} in place", node.data().display()))
    }

    /// Replaces the data directory with a base backup of `upstream`, made beside it and swapped in by rename.
    pub(super) fn clone_data(&self, node: &NodeDir, upstream: &Upstream) -> Result<()> {
        let new = node.data_new();
        self.remove_data(&new)?;
        self.account.make_dir(&new)?; // so does pg_basebackup
        let conninfo = upstream.conninfo_as(REPLICATION);
        let (sh, basebackup, slot) = (Shell::new()?, self.binaries.path("pg_basebackup"), &upstream.slot);
        let command = cmd!(
            sh,
            "{basebackup} --dbname {conninfo} --pgdata {new} --wal-method stream --slot {slot} --checkpoint fast"
        );
        self.run(node, command, CLONE_DEADLINE)?;
        self.make_standby_dir(&new)?;
        if node.data().exists() {
            self.remove_data(&node.data_old())?;
            fs::rename(node.data(), node.data_old()).context("cannot set the old data directory aside")?;
        }
        fs::rename(&new, node.data()).with_context(|| format!("cannot put {} in place", node.data().display()))
    }

    /// Makes a data directory a standby's: the signal file, and none of the settings that a copy brought along.
    pub(super) fn make_standby_dir(&self, data: &Path) -> Result<()> {
        self.put_in_order(data)?;
        self.account.write(&data.join("standby.signal"), "")
    }

    /// What every data directory of ours has: marker, the one-line configuration, and no settings of another node.
    fn put_in_order(&self, data: &Path) -> Result<()> {
        self.account.write(&data.join(marker::FILE), &marker::text(&self.id))?;
        self.account.write(&data.join("postgresql.conf"), conf::INCLUDE)?;
        self.account.write(&data.join("postgresql.auto.conf"), "# ALTER SYSTEM writes here.\n")
    }

    /// Removes a data directory below a node's own, if it is there. The node's directory bears our marker (that was
    /// checked when it was opened); inside, an unfinished `initdb` or base backup may not have one yet.
    pub(super) fn remove_data(&self, data: &Path) -> Result<()> {
        match fs::symlink_metadata(data) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error).with_context(|| data.display().to_string()),
            Ok(metadata) => ensure!(metadata.is_dir(), "{} is not a directory: it is left alone", data.display()),
        }
        let parent = data.parent().context("a data directory has a parent")?;
        marker::check(parent, &self.id)?;
        let running = Postmaster::to_end(data, &self.ours)?.is_some();
        ensure!(!running, "a server runs in {}: it is left alone", data.display());
        memory::remove_recorded(data)?;
        remove_dir(data)
    }

    /// The rows of one query in single-user mode, as CSV: no socket, no port, nobody else.
    pub(super) fn query_single(&self, node: &NodeDir, dbname: &str, query: &str) -> Result<String> {
        let data = node.data();
        ensure!(Postmaster::of(&data, &self.ours)?.is_none(), "node {} runs", node.name);
        ensure!(!data.join("standby.signal").exists(), "node {} is a standby: single-user mode refuses it", node.name);
        ensure!(!query.contains('\n'), "a query in single-user mode is one line");
        postmaster::clear_stale_pid_file(&data, &self.ours)?;
        let (input, output) = (node.dir.join("single.sql"), node.log_dir().join("single.csv"));
        let _ = fs::remove_file(&output);
        let copy = format!("COPY ({query}) TO {} (FORMAT csv)", cluster::ident::literal(&output.display().to_string()));
        self.account.write_private(&input, &format!("{copy}\n"))?;
        let (sh, postgres) = (Shell::new()?, self.binaries.path("postgres"));
        // A commit in here must not wait for a standby that nobody lets in.
        let command =
            cmd!(sh, "{postgres} --single -c synchronous_standby_names= -c archive_mode=off -D {data} {dbname}");
        let mut command = self.command(node, command);
        let stdin = fs::File::open(&input).with_context(|| input.display().to_string())?;
        let said = tool::output_with_stdin(&mut command, stdin.into(), SINGLE_DEADLINE)?;
        let rows = rows_in(&output);
        for file in [&input, &output] {
            let _ = fs::remove_file(file);
        }
        let why = || format!("node {}: single-user mode gave no rows: {}", node.name, said.why());
        ensure!(said.status.success() && !said.stderr.contains("ERROR:"), why());
        rows.with_context(why)
    }
}

fn rows_in(file: &Path) -> Result<String> {
    trust::read_plain_up_to(file, MOST_ROWS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_without_end_are_not_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "1,2\n").unwrap();
        assert_eq!(rows_in(file.path()).unwrap(), "1,2\n");
        file.as_file().set_len(1 << 40).unwrap(); // sparse: it takes no room on the disk
        assert!(rows_in(file.path()).unwrap_err().to_string().contains("bytes"));
    }
}
