//! From a cluster file to the lab that it describes.

use anyhow::{Context as _, Result, bail};
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
    let (backend, lock, state): (Box<dyn Backend>, Lock, LabState) = match (&file.local, &file.compose) {
        (Some(local), None) => {
            let lab = LocalLab::open(&local.dir, Binaries::at(&local.bin, "the lab's own")?)?;
            let (lock, state) = (lab.lock()?, lab.state()?);
            (Box::new(lab), lock, state)
        }
        (None, Some(compose)) => {
            let state = LabState::read(&compose.dir)?;
            let lab = ComposeLab::open(&compose.dir, state.image()?, Engine::find()?)?;
            let lock = lab.lock()?;
            (Box::new(lab), lock, state)
        }
        _ => bail!("the cluster file needs a section `local` or `compose`: backend {} cannot be hurt", file.backend),
    };
    Ok(OpenLab { backend, sync: state.sync, quorum: state.quorum, file: file.clone(), _lock: lock })
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
