//! From a cluster file to the lab that it describes.

use anyhow::{Context as _, Result, bail};
use cluster::file::ClusterFile;

use crate::backend::Backend;
use crate::binaries::Binaries;
use crate::conf::SyncMode;
use crate::local::LocalLab;
use crate::local::state::LabState;
use crate::lock::Lock;
use crate::standby::{Upstream, upstream};

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
    if file.backend != "local" {
        bail!("backend {}: this drill knows only `local`", file.backend);
    }
    let local = file.local.as_ref().context("the cluster file has no section `local`")?;
    let binaries = Binaries::at(&local.bin, "the lab's own")?;
    let lab = LocalLab::open(&local.dir, binaries)?;
    let lock = lab.lock()?;
    let LabState { sync, quorum, .. } = lab.state()?;
    Ok(OpenLab { backend: Box::new(lab), sync, quorum, file: file.clone(), _lock: lock })
}

impl OpenLab {
    /// What `standby` needs to know to follow `primary`.
    ///
    /// # Errors
    /// If there is no such node.
    pub fn upstream(&self, primary: &str, standby: &str) -> Result<Upstream> {
        let section = self.file.node.iter().find(|node| node.name == primary);
        let section = section.with_context(|| format!("there is no node {primary}"))?;
        let local = self.file.local.as_ref().context("the cluster file has no section `local`")?;
        Ok(upstream(section, standby, &local.dir.join(standby).join("passfile")))
    }
}
