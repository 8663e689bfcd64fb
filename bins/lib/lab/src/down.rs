//! Taking a lab down, whatever its backend: everything that bears its marker, and nothing else.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use program::trust;

use crate::backend::Removed;
use crate::files::remove_file;
use crate::lock::Lock;
use crate::lost_marker;
use crate::marker::{self, LabId};
use crate::state::{COMPOSE_DIR, LabState};
use crate::{compose, local};

/// Ends the servers of the lab in `dir` and removes it. What does not bear its marker is left alone, and then the lab's
/// own directory stays too.
///
/// # Errors
/// If `dir` is no lab of ours, somebody uses it, or something cannot be removed.
pub fn down(dir: &Path) -> Result<Removed> {
    trust::check_dir(dir)?;
    if dir.is_dir() && marker::is_blank(dir)? {
        marker::remove_blank(dir)?; // a set-up was killed before it could mark it
        return Ok(Removed::default());
    }
    let id = lost_marker::read(dir)?;
    marker::check(dir, &id)?;
    let _lock = Lock::take(dir)?;
    remove(dir, &id)
}

/// The same for a lab whose lock is held.
///
/// # Errors
/// As [`down`].
pub(crate) fn remove(dir: &Path, id: &LabId) -> Result<Removed> {
    // Without its file: a set-up was killed, or the file was removed by hand.
    let state = LabState::read_if_there(dir)?;
    let of_containers = state.map_or(dir.join(COMPOSE_DIR).is_dir(), |state| state.image.is_some());
    let removed = if of_containers { compose::down::down(dir, id)? } else { local::down::down(dir, id)? };
    for file in ["lab.toml", "cluster.toml", "passfile", "lab.new", "cluster.new", "passfile.new"] {
        remove_file(&dir.join(file))?;
    }
    // The marker goes last: until here, `down` can be repeated.
    remove_file(&dir.join("lock"))?;
    let strangers = fs::read_dir(dir)?.filter_map(Result::ok).find(|entry| entry.file_name() != marker::FILE);
    if let Some(stranger) = strangers {
        bail!("{} is not ours and is left alone; the rest of the lab is gone", stranger.path().display());
    }
    remove_file(&dir.join(marker::FILE))?;
    fs::remove_dir(dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    Ok(removed)
}
