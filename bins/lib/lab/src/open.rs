//! From a cluster file to the lab that it describes.

use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use cluster::file::ClusterFile;

use crate::backend::Backend;
use crate::binaries::Binaries;
use crate::compose::ComposeLab;
use crate::compose::engine::Engine;
use crate::conf::SyncMode;
use crate::local::LocalLab;
use crate::lock::Lock;
use crate::standby::Upstream;
use crate::state::LabState;

/// A lab that we may hurt, locked.
pub struct OpenLab {
    /// What can be done to its nodes.
    pub backend: Box<dyn Backend>,
    /// How commits wait for standbys.
    pub sync: SyncMode,
    /// How many standbys must confirm.
    pub quorum: u32,
    file: ClusterFile,
    _lock: Lock,
}

/// Opens and locks the lab of a cluster file.
///
/// # Errors
/// If it is no lab of ours, or somebody else uses it.
pub fn open(file: &ClusterFile) -> Result<OpenLab> {
    let sections = (file.backend.as_str(), &file.local, &file.compose);
    let (backend, lock, state): (Box<dyn Backend>, Lock, LabState) = match sections {
        ("local", Some(local), None) => {
            let lab = LocalLab::open(&local.dir, Binaries::at(&local.bin, "the lab's own")?)?;
            let (lock, state) = (lab.lock()?, lab.state()?);
            is_of_lab(file, &local.dir)?;
            (Box::new(lab), lock, state)
        }
        ("compose", None, Some(compose)) => {
            let state = LabState::read(&compose.dir)?;
            let lab = ComposeLab::open(&compose.dir, state.image()?, Engine::find()?)?;
            let lock = lab.lock()?;
            is_of_lab(file, &compose.dir)?;
            (Box::new(lab), lock, state)
        }
        (backend, ..) => bail!(
            "the cluster file says backend = {backend:?}: a lab has \"local\" or \"compose\" there, and the section of that name \
             alone; nothing else is ever hurt"
        ),
    };
    Ok(OpenLab { backend, sync: state.sync, quorum: state.quorum, file: file.clone(), _lock: lock })
}

/// Sees that a cluster file says of the lab in `dir` what `setup` wrote there: it may be old, or somebody's own, and what it
/// names would be killed.
fn is_of_lab(file: &ClusterFile, dir: &Path) -> Result<()> {
    let path = dir.join("cluster.toml");
    let own = ClusterFile::read(&path).context("the lab's own cluster file; `setup` writes it anew")?;
    for (what, same) in [
        ("name", own.name == file.name),
        ("backend", own.backend == file.backend),
        ("[local]", own.local == file.local),
        ("[compose]", own.compose == file.compose),
        ("[[node]]", own.node == file.node),
    ] {
        ensure!(same, "the cluster file is not of this lab: {what} differs from {}; give that file", path.display());
    }
    Ok(())
}

impl OpenLab {
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
