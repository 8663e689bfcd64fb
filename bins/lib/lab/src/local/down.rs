//! Taking the nodes of a local lab down: everything that bears its marker, and nothing else.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use super::memory;
use super::ours::Ours;
use super::postmaster::Postmaster;
use super::remove::remove_dir;
use super::tools;
use crate::backend::Removed;
use crate::files::remove_file;
use crate::marker::{self, LabId};

/// Ends the servers of the lab in `dir`, whose lock is held, and removes its nodes.
pub(crate) fn down(dir: &Path, id: &LabId) -> Result<Removed> {
    let ours = Ours::of(dir, id)?;
    // Killed, not shut down: the data go anyway, and what a half-made node runs takes no orders.
    let mut removed = Removed { processes: end_processes(dir, id, &ours)?, nodes: 0 };
    for entry in fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let path = entry?.path();
        // What does not bear the marker is left for the end, and named there.
        let is_ours = fs::symlink_metadata(&path)?.is_dir() && marker::read(&path)?.is_none_or(|other| other == *id);
        if is_ours && (marker::read(&path)?.is_some() || marker::is_blank(&path)?) {
            remove_node(&path, id, &ours)?;
            removed.nodes += 1;
        }
    }
    Ok(removed)
}

/// Ends the servers of all nodes, and what a killed set-up or a killed server left running.
fn end_processes(dir: &Path, id: &LabId, ours: &Ours) -> Result<u32> {
    let mut datas = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let node = entry?.path();
        if marker::read(&node)?.as_ref() != Some(id) {
            continue;
        }
        for data in ["data", "data.new", "data.old"].map(|name| node.join(name)) {
            Postmaster::to_end(&data, ours)?; // nobody is ended before all are known to be ours
            datas.push(data);
        }
    }
    let mut ended = if ours.knows_programs() { tools::end_gently_below(dir, ours)? } else { 0 };
    for data in &datas {
        if let Some(postmaster) = Postmaster::to_end(data, ours)? {
            let segments = postmaster.segments();
            postmaster.kill_all(&mut || {})?;
            segments.remove_left()?;
            ended += 1;
        }
    }
    Ok(ended + if ours.knows_programs() { tools::kill_below(dir, ours)? } else { 0 })
}

/// Removes one node's directory.
///
/// # Errors
/// If it does not bear the lab's marker, or a server still runs in it.
pub(super) fn remove_node(dir: &Path, id: &LabId, ours: &Ours) -> Result<()> {
    if marker::is_blank(dir)? {
        return marker::remove_blank(dir); // a set-up was killed before it could mark it
    }
    marker::check(dir, id)?;
    for data in ["data", "data.new", "data.old"].map(|name| dir.join(name)) {
        let running = Postmaster::to_end(&data, ours)?.is_some();
        ensure!(!running, "a server runs in {}: it is left alone", data.display());
        memory::remove_recorded(&data)?;
    }
    // The marker stays until all else is gone, so that an interrupted removal can be repeated.
    for entry in fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name == marker::FILE) {
            continue;
        }
        if fs::symlink_metadata(&path)?.is_dir() { remove_dir(&path)? } else { remove_file(&path)? }
    }
    remove_file(&dir.join(marker::FILE))?;
    fs::remove_dir(dir).with_context(|| format!("cannot remove {}", dir.display()))
}
