//! A run as the page needs it: judged, and with the files that no verdict stands on.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use program::folder;
use program::judged::{Drill, JudgedRun};
use report::load::LoadRow;
use report::runs::RunRow;
use report::settings::SettingRow;
use report::takeovers::{Takeover, takeovers};

/// One folder, read.
pub(crate) struct Run {
    /// The folder, as it was named.
    pub(crate) dir: PathBuf,
    /// What its files say.
    pub(crate) judged: JudgedRun,
    /// Its takeovers, in order; none, if the drill could not be judged.
    pub(crate) takeovers: Vec<Takeover>,
    /// The load, second by second; an error where the file is not there or not whole.
    pub(crate) load: Result<Vec<LoadRow>>,
    /// The settings that the run's claims depend on.
    pub(crate) settings: Result<Vec<SettingRow>>,
    /// Whether it counts among its repetitions: a warm-up does not.
    pub(crate) counts: bool,
}

impl Run {
    /// # Errors
    /// If there is no such folder. What is wrong inside of it stands on the page.
    pub(crate) fn read(dir: &Path) -> Result<Run> {
        ensure!(dir.is_dir(), "{} is not a directory: name the folder of a run", dir.display());
        let judged = JudgedRun::read(dir);
        let takeovers = match &judged.drill {
            Ok(drill) => takeovers(&drill.evidence.ledger, &drill.evidence.events)?,
            Err(_) => Vec::new(),
        };
        let (load, settings) = (folder::rows(dir, "load.csv"), folder::rows(dir, "settings.csv"));
        let counts = !is_warm_up(dir, &judged);
        Ok(Run { dir: dir.to_owned(), judged, takeovers, load, settings, counts })
    }

    /// The run's name; the folder's, where its files do not tell.
    pub(crate) fn name(&self) -> String {
        let folder = || self.dir.file_name().map(|name| name.to_string_lossy().into_owned());
        match self.drill() {
            Some(drill) => drill.evidence.plan.run.clone(),
            None => folder().unwrap_or_else(|| self.dir.display().to_string()),
        }
    }

    pub(crate) fn drill(&self) -> Option<&Drill> {
        self.judged.drill.as_ref().ok()
    }
}

/// Whether the rows above its folder, which `cargo xtask drill --runs` leaves, say that it does not count. Above a folder others
/// may write: only who made the folder is believed.
fn is_warm_up(dir: &Path, judged: &JudgedRun) -> bool {
    let above = dir.join("../runs.csv");
    let (Ok(folder), Ok(file)) = (fs::metadata(dir), fs::symlink_metadata(&above)) else { return false };
    if !file.is_file() || file.uid() != folder.uid() {
        return false;
    }
    let (Ok(drill), Ok(beside)) = (&judged.drill, folder::rows_of::<RunRow>(&above)) else { return false };
    beside.iter().any(|row| row.run == drill.evidence.plan.run && !row.counted)
}
