//! What a set-up needs of local servers: their directories, what their data are, what was left at work there.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use cluster::peer::ServerUser;
use rustix::fs::OFlags;

use super::LocalLab;
use super::down::remove_node;
use super::node::NodeDir;
use super::tools;
use crate::converge::{Data, Job, Site};
use crate::data_dir::{DataDir as _, Tool};
use crate::state::{LabState, NodeState};
use crate::{conf, files, marker};

/// Time for `pg_controldata`.
const CONTROLDATA_DEADLINE: Duration = Duration::from_secs(10);

impl Site for LocalLab {
    fn begin(&self, _nodes: &[String]) -> Result<()> {
        // The lock is ours: whatever tool still works here was left by a set-up that was killed.
        tools::end_gently_below(&self.dir, &self.ours)?;
        tools::kill_orphans_below(&self.dir, &self.ours).map(drop)
    }

    fn data(&self, nodes: &[String]) -> Result<BTreeMap<String, Data>> {
        let mut data = BTreeMap::new();
        for name in nodes {
            let node = self.node(name)?;
            if !node.has_data() {
                continue;
            }
            let is_standby = fs::symlink_metadata(node.data().join("standby.signal")).is_ok_and(|file| file.is_file());
            // A set-up that was killed may have begun to start it. A standby is not waited for: without its primary it
            // may never take connections.
            if !is_standby {
                self.wait_settled(&node)?;
            }
            data.insert(name.clone(), Data { is_standby, timeline: self.timeline(&node)? });
        }
        Ok(data)
    }

    fn make(&self, names: &[String], job: &Job<'_>) -> Result<()> {
        let (mut nodes, mut ports) = (Vec::new(), Vec::new());
        for name in names {
            let node = self.make_dirs(name)?;
            ports.push(job.settle_port(&node.dir, name)?);
            nodes.push(node);
        }
        // All password files anew: each names the addresses of the nodes that are there.
        let sockets: Vec<PathBuf> = nodes.iter().map(NodeDir::socket).collect();
        job.secrets.write(&ports, &sockets)?;
        for node in &nodes {
            job.secrets.write_for_server(&node.passfile(), self.account, &sockets)?;
            self.configure(&node.name, job.state)?;
        }
        Ok(())
    }

    fn configure(&self, name: &str, state: &LabState) -> Result<()> {
        let node = self.node(name)?;
        let port = NodeState::read(&node.dir)?.port;
        let text = conf::postgresql_conf(&conf::Node {
            name,
            listen: "127.0.0.1",
            port,
            conf: &node.conf(),
            socket: &node.socket(),
            sync: state.sync,
            settings: &state.settings,
        })?;
        self.write_conf(&node, "postgresql.conf", &text)?;
        self.write_conf(&node, "pg_hba.conf", conf::PG_HBA)?;
        self.reload(&node)
    }

    fn remove(&self, name: &str) -> Result<()> {
        remove_node(&self.node(name)?.dir, &self.id, &self.ours)
    }

    fn server_user(&self) -> ServerUser {
        ServerUser::Lab(self.account.uid())
    }

    fn runs_without_server(&self) -> bool {
        false
    }

    fn promote_by_hand(&self) -> &'static str {
        "`pg_ctl promote`"
    }

    fn restart_by_hand(&self, name: &str) -> Result<String> {
        Ok(format!("{} restart -D {}", self.binaries.path("pg_ctl").display(), self.node(name)?.data().display()))
    }

    /// Standbys fetch their WAL at the primary's socket. A server that was started before labs had one has none.
    fn check_reached(&self, primary: &str, waiting: &[String]) -> Result<()> {
        ensure!(
            !waiting.iter().any(|name| name == "unix_socket_directories"),
            "{primary} was started by an older version of this program, and its standbys cannot reach it: {}, then run setup \
             again",
            self.restart_by_hand(primary)?
        );
        Ok(())
    }
}

impl LocalLab {
    /// Makes a node's directory, with its marker. The directory stays ours: the servers' user owns only its data directories
    /// and its log's, so that as root we never write where somebody else decides what a name leads to.
    fn make_dirs(&self, name: &str) -> Result<NodeDir> {
        let node = NodeDir::at(&self.dir, name)?;
        files::make_missing_dirs(&node.dir)?;
        if marker::is_blank(&node.dir)? {
            marker::put(&node.dir, &self.id)?;
        }
        marker::check(&node.dir, &self.id)?;
        marker::keep_private(&node.dir)?;
        files::make_dir(&node.dir)?; // not before it is known to be ours
        files::make_dir(&node.conf())?;
        for dir in [node.log_dir(), node.socket()] {
            // A set-up that was killed between two steps has left an empty one that is still root's.
            let is_there = fs::symlink_metadata(&dir)
                .is_ok_and(|made| made.uid() == self.account.uid() || fs::remove_dir(&dir).is_err());
            if !is_there {
                self.account.make_dir(&dir)?;
            }
        }
        Ok(node)
    }

    /// The newest timeline that a stopped or running node knows of.
    fn timeline(&self, node: &NodeDir) -> Result<u32> {
        let data = self.path(&node.name, "data")?;
        let tool = Tool::new("pg_controldata", &["--pgdata", &data], CONTROLDATA_DEADLINE).beside_server();
        let of_checkpoint = tool
            .done(&node.name, self.tool(&node.name, &tool)?)?
            .stdout
            .lines()
            .find_map(|line| line.strip_prefix("Latest checkpoint's TimeLineID:")?.trim().parse::<u32>().ok())
            .with_context(|| format!("node {}: pg_controldata tells no timeline", node.name))?;
        // The servers' user says what that name is: no link of its is followed.
        let (path, options) = (node.data().join("pg_wal"), OFlags::DIRECTORY | OFlags::NOFOLLOW);
        let mut open = fs::File::options();
        let wal = open.read(true).custom_flags(options.bits().cast_signed()).open(&path);
        let wal = wal.with_context(|| format!("{}: it is to be a directory", path.display()))?;
        let of_history = fs::read_dir(format!("/proc/self/fd/{}", wal.as_raw_fd()))?.filter_map(|entry| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            report::timeline::of_wal_file(name.strip_suffix(".history")?)
        });
        Ok(of_history.max().unwrap_or(0).max(of_checkpoint))
    }
}
