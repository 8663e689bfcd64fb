//! What was asked of a lab and of each of its nodes: `lab.toml` and `node.toml`.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::account::Account;
use crate::conf::SyncMode;
use crate::secrets::write_private;

/// `lab.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabState {
    /// The lab's name.
    pub name: String,
    /// Where its PostgreSQL is.
    pub bin: std::path::PathBuf,
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
    write_private(path, &text, Account::Own)
}
