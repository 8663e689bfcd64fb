//! A lab that is being made for the first time: if it cannot be made, nothing of it stays.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};
use program::progress::Progress;
use program::stop::Interrupted;

use crate::down;
use crate::marker::{self, LabId};

/// What a directory may hold beside its marker before anything of a lab is made in it.
const BEFORE: [&str; 2] = [marker::FILE, "lock"];

/// The directory of a lab, and whether it is new; its lock is held.
pub(crate) struct NewLab {
    dir: PathBuf,
    id: LabId,
    is_new: bool,
}

impl NewLab {
    /// Looks whether anything of a lab is in `dir` yet.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn is(dir: &Path, id: &LabId) -> Result<NewLab> {
        let mut is_new = true;
        for entry in fs::read_dir(dir).with_context(|| dir.display().to_string())? {
            let name = entry?.file_name();
            is_new &= BEFORE.iter().any(|known| *known == name);
        }
        Ok(NewLab { dir: dir.to_owned(), id: id.clone(), is_new })
    }

    /// Whether nothing of a lab was there.
    pub(crate) fn is_new(&self) -> bool {
        self.is_new
    }

    /// Takes a new lab down that could not be made, and returns the error with what is left. One that was there stays; so
    /// does what was made when a signal came: whoever sends a second one must not have to wait.
    pub(crate) fn undone(&self, error: anyhow::Error, progress: &Progress) -> anyhow::Error {
        let shown = self.dir.display();
        if error.is::<Interrupted>() {
            progress.say(&format!("what was made is in {shown}: `setup` goes on with it, `setup --down` removes it"));
            return error;
        }
        if !self.is_new {
            return error;
        }
        match down::remove(&self.dir, &self.id) {
            Ok(_) => anyhow!("{error:#}\nNothing of the new lab is left."),
            Err(left) => anyhow!("{error:#}\nWhat was made so far is in {shown}: `setup --down` removes it ({left:#})"),
        }
    }
}
