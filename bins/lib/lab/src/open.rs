//! From a cluster file to the lab that it describes.

use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use cluster::file::{BackendName, ClusterFile};
use program::trust;

use crate::account::Account;
use crate::backend::Backend;
use crate::binaries::Binaries;
use crate::compose::ComposeLab;
use crate::compose::engine::Engine;
use crate::conf::SyncMode;
use crate::local::LocalLab;
use crate::lock::Lock;
use crate::standby::Upstream;
use crate::state::LabState;
use crate::{cluster_file, lost_marker};

/// A lab that we may hurt, locked.
pub struct OpenLab {
    /// What can be done to its nodes.
    pub backend: Box<dyn Backend>,
    /// How commits wait for standbys.
    pub sync: SyncMode,
    /// How many standbys must confirm.
    pub quorum: u32,
    file: ClusterFile,
    dir: PathBuf,
    _lock: Lock,
}

/// Opens and locks the lab of a cluster file.
///
/// # Errors
/// If it is no lab of ours, or somebody else could write to it; if the file says of it what is not so, or somebody else uses it.
pub fn open(file: &ClusterFile) -> Result<OpenLab> {
    let dir = lab_dir(file)?;
    trust::check_dir(dir)?;
    let id = lost_marker::read(dir)?;
    let (lock, state) = (Lock::take(dir)?, LabState::read(dir)?);
    cluster_file::check(file, dir, &id, &state)?;
    // Only now is something of it run, and that is what the lab's own state names.
    let backend: Box<dyn Backend> = match &state.bin {
        Some(bin) => Box::new(LocalLab::open(dir, Binaries::at(bin, "the lab's own")?)?),
        None => Box::new(ComposeLab::open(dir, state.what_runs()?, Engine::find()?)?),
    };
    Ok(OpenLab {
        backend,
        sync: state.sync,
        quorum: state.quorum,
        file: file.clone(),
        dir: dir.to_owned(),
        _lock: lock,
    })
}

/// Where the lab of a cluster file should be.
fn lab_dir(file: &ClusterFile) -> Result<&Path> {
    let dir = named_dir(file)?;
    // The lab's own file is written by it: it has to lead there from everywhere.
    let is_plain = dir.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    let is_same_everywhere = dir.is_absolute() && is_plain && !dir.starts_with("/proc");
    ensure!(is_same_everywhere, "`dir` in the cluster file is {}: give it from / on, without `..`", dir.display());
    Ok(dir)
}

fn named_dir(file: &ClusterFile) -> Result<&Path> {
    match (file.backend, &file.local, &file.compose) {
        (BackendName::Local, Some(local), None) => Ok(&local.dir),
        (BackendName::Compose, None, Some(compose)) => Ok(&compose.dir),
        (BackendName::Local, ..) => {
            bail!("`backend` in the cluster file is local: it needs [local], and no other section")
        }
        (BackendName::Compose, ..) => {
            bail!("`backend` in the cluster file is compose: it needs [compose], and no other section")
        }
        (BackendName::External, ..) => {
            bail!("`backend` in the cluster file is external: only labs that `setup` made are ever hurt")
        }
    }
}

impl OpenLab {
    /// The path of the lab's own cluster file, for programs that are started: one that was given may have come from stdin, and
    /// a copy may lie where others can write. It says the same.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn own_file(&self) -> Result<PathBuf> {
        let path = self.dir.join("cluster.toml");
        if !ClusterFile::read(&path).is_ok_and(|own| own == self.file) {
            Account::Own.write_private(&path, &self.file.render()?)?;
        }
        Ok(path)
    }

    /// What `standby` needs to know to follow `primary`.
    ///
    /// # Errors
    /// If there is no such node.
    pub fn upstream(&self, primary: &str, standby: &str) -> Result<Upstream> {
        let section = self.file.node.iter().find(|node| node.name == primary);
        let section = section.with_context(|| format!("there is no node {primary}"))?;
        Ok(self.backend.upstream(section, standby))
    }
}
