//! What was asked of a lab and of each of its nodes: `lab.toml` and `node.toml`.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};
use cluster::file::NodeSection;
use program::trust;
use serde::{Deserialize, Serialize};

use crate::account::Account;
use crate::conf::SyncMode;

/// The directory, in a lab's, with what compose needs.
pub(crate) const COMPOSE_DIR: &str = "compose";

/// `lab.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabState {
    /// The lab's name.
    pub name: String,
    /// Where its PostgreSQL is (local).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bin: Option<PathBuf>,
    /// Where it was before: a server that has not been restarted since still runs from there (local).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former_bins: Vec<PathBuf>,
    /// The name of its image (compose).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// What that name led to when the lab was made, by the engine's id (compose); labs of before have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_id: Option<String>,
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

    /// The same with its PostgreSQL in `bin`.
    #[must_use]
    pub fn with_bin(self, bin: &Path) -> LabState {
        let mut former_bins = self.bins();
        former_bins.retain(|former| former != bin);
        LabState { bin: Some(bin.to_owned()), former_bins, ..self }
    }

    /// Where the PostgreSQL of a local lab is, and where it was.
    #[must_use]
    pub fn bins(&self) -> Vec<PathBuf> {
        self.bin.iter().chain(&self.former_bins).cloned().collect()
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

    /// The image that its containers and steps are run from: by its id, for a name may be moved to another one.
    ///
    /// # Errors
    /// As [`LabState::image`].
    pub fn what_runs(&self) -> Result<&str> {
        let name = self.image()?;
        Ok(self.image_id.as_deref().unwrap_or(name))
    }

    /// Reads the state of the lab in `dir`, which only we or root could have written: what it names is run.
    ///
    /// # Errors
    /// If it is somebody else's, or cannot be read.
    pub fn read(dir: &Path) -> Result<LabState> {
        read(&dir.join("lab.toml"))
    }

    /// As [`LabState::read`]; `None` if there is no such file.
    ///
    /// # Errors
    /// As [`LabState::read`].
    pub fn read_if_there(dir: &Path) -> Result<Option<LabState>> {
        read_if_there(&dir.join("lab.toml"))
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

    /// As [`NodeState::read`]; `None` if there is no such file.
    ///
    /// # Errors
    /// As [`NodeState::read`].
    pub fn read_if_there(dir: &Path) -> Result<Option<NodeState>> {
        read_if_there(&dir.join("node.toml"))
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
    read_if_there(path)?.with_context(|| format!("cannot read {}: there is no such file", path.display()))
}

fn read_if_there<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<Option<T>> {
    let Some(text) = trust::read_if_there(path)? else { return Ok(None) };
    toml::from_str(&text).map(Some).map_err(|error| {
        let said = report::foreign::in_line(&text, error.span().map(|span| span.start), error.message());
        anyhow!("{}: {said}", path.display())
    })
}

fn write<T: Serialize>(path: &Path, state: &T) -> Result<()> {
    let text = toml::to_string(state).with_context(|| format!("cannot write {}", path.display()))?;
    Account::Own.write_private(path, &text)
}
