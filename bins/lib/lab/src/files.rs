//! Directories and files of a lab. Others may pass through its directories, whatever the caller's umask: the servers may be
//! somebody else, as root and in containers. The secrets are in files of their own.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

/// Makes a directory of a lab, or mends the mode of one that a killed set-up left. One that may be somebody else's has to
/// be proven ours first.
///
/// # Errors
/// What the system says, or if it is a symbolic link.
pub fn make_dir(dir: &Path) -> Result<()> {
    make_missing_dirs(dir)?;
    ensure!(!dir.is_symlink(), "{} is a symbolic link: it is left alone", dir.display());
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).with_context(|| dir.display().to_string())
}

/// Makes a directory and those above it that are missing. What is there is left as it is.
///
/// # Errors
/// What the system says.
pub fn make_missing_dirs(dir: &Path) -> Result<()> {
    let make = || -> io::Result<()> {
        match fs::DirBuilder::new().mode(0o755).create(dir) {
            Ok(()) => fs::set_permissions(dir, fs::Permissions::from_mode(0o755)), // also under a umask of 077
            Err(_) if dir.is_dir() => Ok(()),                                      // somebody else was faster
            Err(error) => Err(error),
        }
    };
    if dir.is_dir() {
        return Ok(());
    }
    if let Some(above) = dir.parent() {
        make_missing_dirs(above)?;
    }
    make().with_context(|| format!("cannot make {}", dir.display()))
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
