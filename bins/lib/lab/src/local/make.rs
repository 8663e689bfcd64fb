//! Making nodes: directory, marker, port, password file, configuration.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use super::converge::Converging;
use super::node::NodeDir;

use crate::conf;
use crate::marker;
use crate::ports::{self, Choosing, FIRST_PORT, is_free};
use crate::state::NodeState;

impl Converging<'_> {
    /// Makes the first node, with a new data directory.
    pub(super) fn make_first(&self) -> Result<String> {
        let name = "node1";
        self.progress.step(format!("initdb for {name}"));
        let node = self.make_node(name)?;
        self.lab.init_data(&node, self.secrets)?;
        Ok(name.to_owned())
    }

    /// Makes a node's directory, with marker, port and password file. The directory stays ours: the servers' user owns
    /// only its data directories and its log's, so that as root we never write where somebody else decides what a name
    /// leads to.
    pub(super) fn make_node(&self, name: &str) -> Result<NodeDir> {
        let node = NodeDir::at(self.lab.dir(), name)?;
        if !node.dir.exists() {
            fs::DirBuilder::new().mode(0o755).create(&node.dir)?;
        }
        if marker::is_blank(&node.dir)? {
            marker::put(&node.dir, &self.lab.id)?;
        }
        marker::check(&node.dir, &self.lab.id)?;
        self.settle_port(&node)?;
        if !node.conf().exists() {
            fs::DirBuilder::new().mode(0o755).create(node.conf())?;
        }
        if !node.log_dir().exists() {
            self.lab.account.make_dir(&node.log_dir())?;
        }
        self.secrets.write_for_server(&node.passfile(), self.lab.account)?;
        self.configure(name)?;
        Ok(node)
    }

    /// The directory of all labs.
    fn home(&self) -> Result<&Path> {
        self.lab.dir().parent().context("a lab has a parent")
    }

    /// Gives a node its port, and another one if somebody took it before the node had any data.
    fn settle_port(&self, node: &NodeDir) -> Result<()> {
        let _choosing = Choosing::begin(self.home()?)?;
        let keeps = match NodeState::read(&node.dir) {
            Ok(NodeState { port }) => node.has_data() || is_free(port),
            Err(_) => false,
        };
        if !keeps {
            NodeState { port: self.free_port(node)? }.write(&node.dir)?;
        }
        Ok(())
    }

    /// The next free port from the lab's first one on. A first port that was asked for must itself be free.
    fn free_port(&self, node: &NodeDir) -> Result<u16> {
        let (taken, first) = (ports::taken(self.home()?, &node.dir)?, self.state.first_port);
        let asked = first != FIRST_PORT && self.nodes()?.len() == 1;
        let free = |port: u16| !taken.contains(&port) && is_free(port);
        ensure!(!asked || free(first), "--port {first} is in use: name another, or leave it out");
        let found = (first..=u16::MAX).find(|port| free(*port));
        found.with_context(|| format!("no port from {first} on is free"))
    }

    /// Writes a node's configuration, and has a running server read it.
    pub(super) fn configure(&self, name: &str) -> Result<()> {
        let node = self.lab.node(name)?;
        let port = NodeState::read(&node.dir)?.port;
        let text = conf::postgresql_conf(&conf::Node {
            name,
            port,
            conf: &node.conf(),
            sync: self.state.sync,
            settings: &self.state.settings,
        })?;
        self.lab.write_conf(&node, "postgresql.conf", &text)?;
        self.lab.write_conf(&node, "pg_hba.conf", conf::PG_HBA)?;
        self.lab.reload(&node)
    }
}
