//! A lab whose marker file is gone: nothing is done to it, and its owner is told how to put the marker back.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};

use crate::marker::{self, LabId};
use crate::state::COMPOSE_DIR;

/// The lab in `dir`.
///
/// # Errors
/// If it bears no marker; what to do is said, if there was one once.
pub(crate) fn read(dir: &Path) -> Result<LabId> {
    marker::read(dir)?.ok_or_else(|| {
        let way_out = way_out(dir).map_or(String::new(), |way_out| format!("; {way_out}"));
        anyhow!("{} is no lab of ours: it bears no marker{way_out}", dir.display())
    })
}

/// How the owner of the lab in `dir` puts its marker back; `None` if it has one, or never was a lab.
#[must_use]
pub fn way_out(dir: &Path) -> Option<String> {
    if !dir.join("lab.toml").is_file() || marker::read(dir).is_ok_and(|found| found.is_some()) {
        return None;
    }
    let marker = dir.join(marker::FILE);
    let command = match copy_in_a_node(dir) {
        Some(copy) => format!("`install -m 600 {} {}`", copy.display(), marker.display()),
        None if dir.join(COMPOSE_DIR).join(".env").is_file() => {
            let env = dir.join(COMPOSE_DIR).join(".env");
            format!("`(umask 077; sed -n 's/^UNDERSTUDY_LAB=//p' {} > {})`", env.display(), marker.display())
        }
        None => {
            return Some(format!(
                "it has a lab.toml, but nothing in it says whose it is: if it is yours, end its servers (`pg_ctl stop -D \
                 {}/NODE/data`) and remove it by hand",
                dir.display()
            ));
        }
    };
    Some(format!("it has a lab.toml: if it is yours, {command} puts the marker back, and `setup --down` works again"))
}

/// The marker of the lab that one of its nodes bears.
fn copy_in_a_node(dir: &Path) -> Option<PathBuf> {
    let mut nodes: Vec<PathBuf> = fs::read_dir(dir).ok()?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    nodes.sort();
    let node = nodes.into_iter().find(|node| marker::read(node).is_ok_and(|found| found.is_some()))?;
    Some(node.join(marker::FILE))
}
