//! `setup --backend compose`: what only a lab of containers has to settle before anything is made.

use std::path::{Path, PathBuf};

use anyhow::Result;
use program::progress::Progress;

use super::ComposeLab;
use super::engine::Engine;
use super::image::{self, Image};
use crate::state::{COMPOSE_DIR, LabState};
use crate::wanted::Wanted;
use crate::{converge, files};

/// Makes the lab what was asked and returns the path of its cluster file.
///
/// # Errors
/// If it cannot. Of a new lab nothing is left then; one that was there has the settings that it had, and what was made
/// so far.
pub fn converge(wanted: &Wanted, engine: Engine, progress: &Progress) -> Result<PathBuf> {
    wanted.check()?;
    let old = wanted.old_state()?;
    let Image { name, id } = image::choose(wanted, old.as_ref(), &engine, progress)?;
    progress.say(&format!("image {name}; Docker {}, {}", engine.version, engine.compose_command()));
    let state = LabState { image: Some(name), image_id: id, ..wanted.settle(old.clone())? };
    let open = |dir: &Path, _is_new| {
        files::make_dir(&dir.join(COMPOSE_DIR))?;
        files::make_dir(&dir.join(COMPOSE_DIR).join("nodes"))?;
        let lab = ComposeLab::open(dir, state.what_runs()?, engine)?;
        let secrets = lab.secrets.clone(); // those of a new lab are nowhere else yet
        Ok((lab, secrets))
    };
    converge::converge(wanted, (old.as_ref(), &state), open, progress)
}
