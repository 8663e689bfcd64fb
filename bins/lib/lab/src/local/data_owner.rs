//! What a data directory says of the server that runs in it: whose it is, and the pid in `postmaster.pid`.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use program::trust;
use rustix::process::Pid;

/// Whose a data directory is; `None` if it is not there. Only its owner's servers run in it: PostgreSQL sees to that.
///
/// # Errors
/// If it is no directory: what a link leads to is not the lab's, whatever lies there.
pub(super) fn owner(data: &Path) -> Result<Option<u32>> {
    let metadata = match fs::symlink_metadata(data) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other.with_context(|| data.display().to_string())?,
    };
    ensure!(!metadata.is_symlink(), "{} is a symbolic link: it is left alone", data.display());
    ensure!(metadata.is_dir(), "{} is not a directory: it is left alone", data.display());
    Ok(Some(std::os::unix::fs::MetadataExt::uid(&metadata)))
}

/// The pid that `postmaster.pid` names; `None` without such a file.
pub(super) fn recorded_pid(data: &Path) -> Result<Option<Pid>> {
    let text = trust::read_plain_if_there(&data.join("postmaster.pid"))
        .context("which server runs there cannot be told, but `setup --down` ends it all the same")?;
    let Some(text) = text else { return Ok(None) };
    // A single-user server writes its pid as a negative number.
    let number = text.lines().next().and_then(|line| line.trim().parse::<i32>().ok()).map(i32::abs);
    Ok(number.and_then(Pid::from_raw))
}
