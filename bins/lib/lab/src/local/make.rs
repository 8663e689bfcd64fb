//! Making nodes: directory, marker, port, password file, configuration.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use super::converge::Converging;
use super::node::NodeDir;

use crate::data_dir::DataDir as _;
use crate::secrets::ADMIN;
use crate::state::NodeState;
use crate::wanted::NODE;
use crate::{conf, files, marker, ports};

impl Converging<'_> {
    /// Makes the first node, with a new data directory.
    pub(super) fn make_first(&self) -> Result<String> {
        let name = &format!("{NODE}1");
        self.progress.step(format!("initdb for {name}"));
        self.make_node(name)?;
        self.lab.init(name, &self.secrets.verifier(ADMIN)?)?;
        Ok(name.clone())
    }

    /// Makes a node's directory, with marker, port and password file. The directory stays ours: the servers' user owns
    /// only its data directories and its log's, so that as root we never write where somebody else decides what a name
    /// leads to.
    pub(super) fn make_node(&self, name: &str) -> Result<NodeDir> {
        let node = NodeDir::at(self.lab.dir(), name)?;
        files::make_missing_dirs(&node.dir)?;
        if marker::is_blank(&node.dir)? {
            marker::put(&node.dir, &self.lab.id)?;
        }
        marker::check(&node.dir, &self.lab.id)?;
        marker::keep_private(&node.dir)?;
        files::make_dir(&node.dir)?; // not before it is known to be ours
        let home = self.lab.dir().parent().context("a lab has a parent")?;
        let runs = self.lab.postmaster(&node)?.is_some();
        if let Some(moved) = ports::settle(home, &node.dir, name, self.state.first_port, runs)?.moved {
            self.progress.warn(&moved);
        }
        files::make_dir(&node.conf())?;
        if !node.log_dir().exists() {
            self.lab.account.make_dir(&node.log_dir())?;
        }
        if !node.socket().exists() {
            self.lab.account.make_dir(&node.socket())?;
        }
        self.write_passfiles()?;
        self.configure(name)?;
        Ok(node)
    }

    /// Writes all password files anew: each names the addresses of the nodes that are there.
    pub(super) fn write_passfiles(&self) -> Result<()> {
        let nodes = self.nodes()?;
        // A set-up may have been killed before a node had its port.
        let port = |node: &NodeDir| Ok(NodeState::read_if_there(&node.dir)?.map(|state| state.port));
        let ports: Vec<Option<u16>> = nodes.iter().map(port).collect::<Result<_>>()?;
        let ports: Vec<u16> = ports.into_iter().flatten().collect();
        let sockets: Vec<PathBuf> = nodes.iter().map(NodeDir::socket).collect();
        self.secrets.write(&ports, &sockets)?;
        nodes.iter().try_for_each(|node| self.secrets.write_for_server(&node.passfile(), self.lab.account, &sockets))
    }

    /// Writes a node's configuration, and has a running server read it.
    pub(super) fn configure(&self, name: &str) -> Result<()> {
        let node = self.lab.node(name)?;
        let port = NodeState::read(&node.dir)?.port;
        let text = conf::postgresql_conf(&conf::Node {
            name,
            port,
            conf: &node.conf(),
            socket: &node.socket(),
            sync: self.state.sync,
            settings: &self.state.settings,
        })?;
        self.lab.write_conf(&node, "postgresql.conf", &text)?;
        self.lab.write_conf(&node, "pg_hba.conf", conf::PG_HBA)?;
        self.lab.reload(&node)
    }
}
