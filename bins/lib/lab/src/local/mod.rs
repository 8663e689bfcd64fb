//! Nodes as real PostgreSQL servers on this machine.
//!
//! ```text
//! HOME/LAB/               pg-understudy.lab (marker), lab.toml, cluster.toml, lock, passfile (0600, the caller's)
//! HOME/LAB/NODE/          pg-understudy.lab (marker), node.toml, passfile (0600, the servers' user's)
//! HOME/LAB/NODE/conf/     postgresql.conf, pg_hba.conf, follow.conf, sync.conf
//! HOME/LAB/NODE/log/      postgresql.log (the directory is the servers' user's)
//! HOME/LAB/NODE/socket/   .s.PGSQL.PORT, where WAL is fetched (the directory is the servers' user's, closed to others)
//! HOME/LAB/NODE/data/     pg-understudy.lab (marker), PostgreSQL's data directory (the servers' user's)
//! ```
//! `data.new` is a clone in the making, `data.old` what a clone replaced, kept until the clone streams.

#[cfg(test)]
mod bed_for_tests;
pub mod converge;
mod data;
mod data_owner;
pub mod down;
mod memory;
mod node;
mod ours;
pub mod postmaster;
mod remove;
mod site;
mod tools;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use cluster::file::{BackendName, NodeSection};
use cluster::wait::until_true;
use program::tool::{self, Output};
use program::trust;

use crate::account::Account;
use crate::backend::Backend;
use crate::binaries::Binaries;
use crate::data_dir::{DataDir, Tool};
use crate::link::{Cut, Link};
use crate::local::node::NodeDir;
use crate::lost_marker;
use crate::marker::{self, LabId};
use crate::power::{FirstAct, Power, State};
use crate::standby::Upstream;
use crate::state::{LabState, NodeState};
use crate::{conf, files, lock, ports, standby};
use ours::Ours;
use postmaster::Postmaster;

/// Time for a server to take connections. A clean start takes 0.1 s; crash recovery replays up to `max_wal_size`.
const START_DEADLINE: Duration = Duration::from_secs(120);

/// Time for a fast shutdown: it writes a checkpoint and waits until standbys have received it.
const STOP_DEADLINE: Duration = Duration::from_secs(60);

/// How often a server is looked at that starts or stops.
const LOOK: Duration = Duration::from_millis(10);

/// A lab of local servers.
pub struct LocalLab {
    dir: PathBuf,
    id: LabId,
    binaries: Binaries,
    account: Account,
    ours: Ours,
    /// The account's name.
    user: String,
}

impl LocalLab {
    /// Opens the lab in `dir`, which must bear our marker.
    ///
    /// # Errors
    /// If there is no lab of ours.
    pub fn open(dir: &Path, binaries: Binaries) -> Result<LocalLab> {
        let id = lost_marker::read(dir)?;
        let ours = Ours::of(dir, &id)?.with_bin(&binaries.dir);
        let account = ours.account();
        Ok(LocalLab { dir: dir.to_owned(), id, binaries, account, ours, user: account.name()? })
    }

    /// Its directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The programs that it runs.
    #[must_use]
    pub fn binaries(&self) -> &Binaries {
        &self.binaries
    }

    /// Takes its lock.
    ///
    /// # Errors
    /// If somebody else holds it.
    pub fn lock(&self) -> Result<lock::Lock> {
        lock::Lock::take(&self.dir)
    }

    /// What was asked of it.
    ///
    /// # Errors
    /// If its file cannot be read.
    pub fn state(&self) -> Result<LabState> {
        LabState::read(&self.dir)
    }

    /// A node's directory, which must bear this lab's marker.
    fn node(&self, name: &str) -> Result<NodeDir> {
        let node = NodeDir::at(&self.dir, name)?;
        marker::check(&node.dir, &self.id)?;
        Ok(node)
    }

    /// Runs one of PostgreSQL's tools as the servers' user from the node's directory: that is how `down` finds one that was
    /// left over.
    fn run(&self, node: &NodeDir, tool: &Tool<'_>) -> Result<Output> {
        let mut command = Command::new(self.binaries.path(tool.program));
        command.args(&tool.args).current_dir(&node.dir);
        let mut command = self.account.apply(command);
        let said = match tool.input {
            None => tool::output(command, tool.deadline),
            Some(text) => {
                let input = node.dir.join("input");
                self.account.write_private(&input, text)?;
                let stdin = trust::open_plain(&input)?;
                let said = tool::output_with_stdin(&mut command, stdin.into(), tool.deadline);
                files::remove_file(&input)?;
                said
            }
        };
        said.with_context(|| format!("node {}: {}", node.name, tool.program))
    }

    /// Writes one of a node's configuration files, readable by its server.
    fn write_conf(&self, node: &NodeDir, file: &str, text: &str) -> Result<()> {
        self.account.write_private(&node.conf().join(file), text)
    }

    /// A node's living server.
    fn postmaster(&self, node: &NodeDir) -> Result<Option<Postmaster>> {
        Postmaster::of(&node.data(), &self.ours)
    }

    fn check_stopped(&self, node: &NodeDir) -> Result<()> {
        ensure!(self.postmaster(node)?.is_none(), "node {} runs", node.name);
        Ok(())
    }

    fn running(&self, node: &NodeDir) -> Result<Postmaster> {
        self.postmaster(node)?
            .with_context(|| format!("node {} does not run: there is nothing to be done to it", node.name))
    }

    /// Waits until a server that somebody else began to start or to stop takes connections or is gone.
    fn wait_settled(&self, node: &NodeDir) -> Result<()> {
        self.postmaster(node)?; // what is not ours is not waited for
        until_true(&format!("node {} to take connections or to be gone", node.name), START_DEADLINE, LOOK, || {
            Ok(self.postmaster(node)?.is_none_or(|postmaster| postmaster.takes_connections()))
        })
    }

    /// Tells a running server to read its configuration again.
    fn reload(&self, node: &NodeDir) -> Result<()> {
        match self.postmaster(node)? {
            Some(postmaster) => postmaster.signal(rustix::process::Signal::HUP),
            None => Ok(()),
        }
    }
}

impl Power for LocalLab {
    fn power(&self, node: &str) -> Result<State> {
        let node = self.node(node)?;
        Ok(match self.postmaster(&node)? {
            Some(postmaster) if postmaster.is_frozen()? => State::Frozen,
            Some(_) => State::On,
            None => State::Off,
        })
    }

    fn start(&self, node: &str) -> Result<()> {
        let node = self.node(node)?;
        postmaster::clear_stale_pid_file(&node.data(), &self.ours)?;
        let port = NodeState::read(&node.dir)?.port;
        if self.postmaster(&node)?.is_none() {
            ports::check_free(&node.name, port)?;
            postmaster::clear_stale_socket(&node.socket())?;
        }
        let (data, log) = (self.path(&node.name, "data")?, self.path(&node.name, "log/postgresql.log")?);
        // It is in a directory of the servers' user, and a pipe would be waited for.
        let is_odd = std::fs::symlink_metadata(&log).is_ok_and(|there| !there.is_file());
        ensure!(!is_odd, "node {}: {log} is not a plain file (a pipe, a symbolic link): remove it", node.name);
        let seconds = START_DEADLINE.as_secs().to_string();
        // The log as a file: else the postmaster would keep our pipe open.
        let args = ["start", "--silent", "--wait", "--timeout", &seconds, "--pgdata", &data, "--log", &log];
        let start = Tool::new("pg_ctl", &args, START_DEADLINE + Duration::from_secs(5));
        match self.run(&node, &start).and_then(|said| start.done(&node.name, said)) {
            Ok(_) => Ok(()),
            // Somebody who was killed meanwhile had begun to start it, and that server came first.
            Err(_) if self.postmaster(&node)?.is_some() => self.wait_settled(&node),
            Err(error) => {
                ports::check_free(&node.name, port)?; // taken in between
                Err(error)
            }
        }
        .map_err(|error| self.with_log(&node.name, error.context(format!("node {} does not start", node.name))))
    }

    fn stop(&self, node: &str) -> Result<()> {
        let node = self.node(node)?;
        let Some(postmaster) = self.postmaster(&node)? else { return Ok(()) };
        postmaster.shut_down(STOP_DEADLINE).with_context(|| format!("node {}", node.name))
    }

    fn kill(&self, node: &str, first_act: FirstAct<'_>) -> Result<()> {
        let node = self.node(node)?;
        let postmaster = self.running(&node)?;
        postmaster.kill_all(first_act).with_context(|| format!("node {}", node.name))
    }

    fn freeze(&self, node: &str, first_act: FirstAct<'_>) -> Result<()> {
        let node = self.node(node)?;
        let postmaster = self.running(&node)?;
        postmaster.freeze_all(first_act).with_context(|| format!("node {}", node.name))
    }

    fn thaw(&self, node: &str) -> Result<()> {
        self.running(&self.node(node)?)?.thaw_all()
    }
}

impl Link for LocalLab {
    fn cut(&self, standby: &str) -> Result<Cut> {
        self.follow(standby, None)?;
        Ok(Cut::Receiver)
    }

    fn follow(&self, node: &str, upstream: Option<&Upstream>) -> Result<()> {
        let node = self.node(node)?;
        self.write_conf(&node, "follow.conf", &conf::follow_conf(upstream))?;
        self.reload(&node)
    }
}

impl DataDir for LocalLab {
    fn place(&self, node: &str) -> Result<PathBuf> {
        Ok(NodeDir::at(&self.dir, node)?.dir)
    }

    fn tool(&self, node: &str, tool: &Tool<'_>) -> Result<Output> {
        let node = self.node(node)?;
        if !tool.beside_server {
            self.check_stopped(&node)?;
            postmaster::clear_stale_pid_file(&node.data(), &self.ours)?;
        }
        self.run(&node, tool)
    }

    fn make_data(&self, node: &str, tool: &Tool<'_>, standby: bool) -> Result<()> {
        let node = self.node(node)?;
        self.check_stopped(&node)?;
        self.make_data_dir(&node, tool, standby)
    }

    fn make_standby(&self, node: &str) -> Result<()> {
        let node = self.node(node)?;
        self.check_stopped(&node)?;
        self.make_standby_dir(&node.data())
    }

    fn discard_old(&self, node: &str) -> Result<()> {
        let node = self.node(node)?;
        self.remove_data(&node.data_old())
    }
}

impl Backend for LocalLab {
    fn name(&self) -> BackendName {
        BackendName::Local
    }

    fn sync_names(&self, node: &str, names: &str) -> Result<()> {
        let node = self.node(node)?;
        self.write_conf(&node, "sync.conf", &conf::sync_conf(names))?;
        self.reload(&node)
    }

    fn upstream(&self, primary: &NodeSection, standby: &str) -> Upstream {
        // Over its socket: libpq then sees whose process it is before it says a word, and nobody can put one there.
        let host = self.dir.join(&primary.name).join("socket").display().to_string();
        let upstream = standby::upstream(primary, standby, &self.dir.join(standby).join("passfile"));
        Upstream { host, server_user: Some(self.user.clone()), ..upstream }
    }

    fn log_tail(&self, node: &str) -> String {
        match self.node(node) {
            Ok(node) => node.log_tail(),
            Err(error) => format!("{error:#}"),
        }
    }
}
