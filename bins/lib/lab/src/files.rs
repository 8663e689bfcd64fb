//! Directories and files of a lab. Others may pass through its directories, whatever the caller's umask: the servers may be
//! somebody else, as root and in containers. The secrets are in files of their own.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use program::dirs;

/// The mode of a lab's directories.
const MODE: u32 = 0o755;

/// Makes a directory of a lab, or mends the mode of one that a killed set-up left. One that may be somebody else's has to
/// be proven ours first.
///
/// # Errors
/// What the system says, or if it is a symbolic link.
pub fn make_dir(dir: &Path) -> Result<()> {
    make_missing_dirs(dir)?;
    ensure!(!dir.is_symlink(), "{} is a symbolic link: it is left alone", dir.display());
    dirs::set_mode(dir, MODE)
}

/// Makes a directory and those above it that are missing. What is there is left as it is.
///
/// # Errors
/// What the system says, or if somebody else could change what leads there.
pub fn make_missing_dirs(dir: &Path) -> Result<()> {
    dirs::make_missing(dir, Some(MODE), None)
}

/// Removes a file, if it is there.
pub(crate) fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}
