//! What was asked of a lab and of each of its nodes: `lab.toml` and `node.toml`.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use cluster::file::NodeSection;
use serde::{Deserialize, Serialize};

use crate::account::Account;
use crate::conf::SyncMode;

/// `lab.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabState {
    /// The lab's name.
    pub name: String,
    /// Where its PostgreSQL is (local).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bin: Option<PathBuf>,
    /// Its image (compose).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The first port.
    pub first_port: u16,
    /// How many standbys.
    pub standbys: u32,
    /// How commits wait.
    pub sync: SyncMode,
    /// How many standbys must confirm.
    pub quorum: u32,
    /// `--set`.
    pub settings: BTreeMap<String, String>,
}

/// `node.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeState {
    /// Its port.
    pub port: u16,
}

impl LabState {
    /// The same with the settings that the lab has had until now. Its file says these until the servers have taken the new
    /// ones: what a set-up was killed over, or what was refused, does not stay.
    #[must_use]
    pub fn with_settings_of(&self, old: Option<&LabState>) -> LabState {
        LabState { settings: old.map(|old| old.settings.clone()).unwrap_or_default(), ..self.clone() }
    }

    /// Where the PostgreSQL of a local lab is.
    ///
    /// # Errors
    /// If it is no local lab.
    pub fn bin(&self) -> Result<&Path> {
        self.bin.as_deref().context("lab.toml: `bin` is missing: this is no local lab")
    }

    /// The image of a lab of containers.
    ///
    /// # Errors
    /// If it is no such lab.
    pub fn image(&self) -> Result<&str> {
        self.image.as_deref().context("lab.toml: `image` is missing: this is no lab of containers")
    }

    /// Reads the state of the lab in `dir`.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read(dir: &Path) -> Result<LabState> {
        read(&dir.join("lab.toml"))
    }

    /// Writes it.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, dir: &Path) -> Result<()> {
        write(&dir.join("lab.toml"), self)
    }
}

impl NodeState {
    /// How the node `name` is reached, and `dbname` on it: every lab listens on loopback.
    #[must_use]
    pub fn section(&self, name: &str, dbname: &str) -> NodeSection {
        let host = Ipv4Addr::LOCALHOST.to_string();
        NodeSection { name: name.to_owned(), host, port: self.port, dbname: dbname.to_owned() }
    }

    /// Reads the state of the node in `dir`.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read(dir: &Path) -> Result<NodeState> {
        read(&dir.join("node.toml"))
    }

    /// Writes it.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, dir: &Path) -> Result<()> {
        write(&dir.join("node.toml"), self)
    }
}

fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    toml::from_str(&text).with_context(|| path.display().to_string())
}

fn write<T: Serialize>(path: &Path, state: &T) -> Result<()> {
    let text = toml::to_string(state).with_context(|| format!("cannot write {}", path.display()))?;
    Account::Own.write_private(path, &text)
}
