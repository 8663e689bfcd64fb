//! Markers: what bears one of this lab is ours, and only that may be removed or killed.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use program::trust;
use rand::Rng as _;

/// The name of the marker file in every directory that a lab owns.
pub const FILE: &str = "pg-understudy.lab";

/// A lab's identity, random, made once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabId(String);

impl LabId {
    /// A new one.
    #[must_use]
    pub fn new() -> LabId {
        LabId(format!("{:032x}", rand::rng().random::<u128>()))
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for LabId {
    fn default() -> Self {
        LabId::new()
    }
}

/// The text of the marker file.
#[must_use]
pub fn text(id: &LabId) -> String {
    format!("{}\n", id.0)
}

/// Marks a blank directory of ours as this lab's, for nobody else to read.
///
/// # Errors
/// If it cannot be written to.
pub fn put(dir: &Path, id: &LabId) -> Result<()> {
    let file = dir.join(FILE);
    crate::files::remove_file(&file)?; // one that a killed set-up had no time to write
    let write = || -> std::io::Result<()> {
        fs::File::options().write(true).create_new(true).mode(0o600).open(&file)?.write_all(text(id).as_bytes())
    };
    write().with_context(|| format!("cannot mark {}", dir.display()))
}

/// Takes a marker of ours away from others' eyes, if somebody has put it back with `cp`.
///
/// # Errors
/// What the system says.
pub fn keep_private(dir: &Path) -> Result<()> {
    let file = dir.join(FILE);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).with_context(|| file.display().to_string())
}

/// The lab that `dir` belongs to, by a marker that only we or root could have put there; `None` if it bears none.
///
/// # Errors
/// If there is a marker that cannot be read, or whoever put it there is somebody else.
pub fn read(dir: &Path) -> Result<Option<LabId>> {
    parse(trust::read_if_there(&dir.join(FILE))?, dir)
}

/// The same of a data directory, which is the servers' user's: what it says is worth something only below a directory that
/// bears the same marker.
///
/// # Errors
/// If there is a marker that cannot be read.
pub fn read_in_data(data: &Path) -> Result<Option<LabId>> {
    parse(trust::read_plain_if_there(&data.join(FILE))?, data)
}

fn parse(text: Option<String>, dir: &Path) -> Result<Option<LabId>> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) }; // empty: killed while it made it
    let id = text.trim();
    let whole = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    ensure!(whole, "{} is not a marker of ours", dir.join(FILE).display());
    Ok(Some(LabId(id.to_owned())))
}

/// Whether a directory holds nothing, or nothing but a marker that a killed set-up had no time to write.
///
/// # Errors
/// If it cannot be read.
pub fn is_blank(dir: &Path) -> Result<bool> {
    for entry in fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        if entry.file_name() != FILE || !metadata.is_file() || metadata.len() > 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Removes a blank directory.
///
/// # Errors
/// If it is not blank any more, or cannot be removed.
pub fn remove_blank(dir: &Path) -> Result<()> {
    crate::files::remove_file(&dir.join(FILE))?;
    fs::remove_dir(dir).with_context(|| format!("cannot remove {}", dir.display()))
}

/// Fails unless `dir` is a directory (no link to one) with this lab's marker.
///
/// # Errors
/// That it is not ours.
pub fn check(dir: &Path, id: &LabId) -> Result<()> {
    let metadata = fs::symlink_metadata(dir).with_context(|| dir.display().to_string())?;
    ensure!(!metadata.is_symlink(), "{} is a symbolic link: it is left alone", dir.display());
    ensure!(metadata.is_dir(), "{} is not a directory: it is left alone", dir.display());
    ensure!(read(dir)?.as_ref() == Some(id), "{} does not bear this lab's marker: it is left alone", dir.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_lab_passes() {
        let dir = tempfile::tempdir().unwrap();
        let (ours, other) = (LabId::new(), LabId::new());
        assert!(check(dir.path(), &ours).is_err(), "no marker");
        put(dir.path(), &ours).unwrap();
        check(dir.path(), &ours).unwrap();
        assert!(check(dir.path(), &other).is_err(), "another lab's");
        fs::write(dir.path().join(FILE), "nonsense").unwrap();
        assert!(check(dir.path(), &ours).is_err(), "no marker of ours");
        assert!(read(dir.path()).unwrap_err().to_string().contains("is not a marker of ours"), "nor is it none");
        put(dir.path(), &ours).unwrap();
        fs::set_permissions(dir.path().join(FILE), fs::Permissions::from_mode(0o602)).unwrap();
        assert!(check(dir.path(), &ours).unwrap_err().to_string().contains("others can write"), "anybody's");
    }

    #[test]
    fn a_marker_is_for_nobody_else_to_read() {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), &LabId::new()).unwrap();
        let mode = || fs::metadata(dir.path().join(FILE)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(), 0o600);
        fs::set_permissions(dir.path().join(FILE), fs::Permissions::from_mode(0o644)).unwrap(); // as `cp` has it
        keep_private(dir.path()).unwrap();
        assert_eq!(mode(), 0o600);
    }

    #[test]
    fn a_marker_that_was_not_written_is_none_and_its_directory_is_blank() {
        let dir = tempfile::tempdir().unwrap();
        assert!(is_blank(dir.path()).unwrap());
        fs::write(dir.path().join(FILE), "").unwrap();
        assert!(is_blank(dir.path()).unwrap() && read(dir.path()).unwrap().is_none());
        put(dir.path(), &LabId::new()).unwrap();
        assert!(!is_blank(dir.path()).unwrap());
        let other = tempfile::tempdir().unwrap();
        fs::write(other.path().join("somebody"), "").unwrap();
        assert!(!is_blank(other.path()).unwrap());
    }

    #[test]
    fn a_link_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let id = LabId::new();
        put(dir.path(), &id).unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(dir.path(), &link).unwrap();
        assert!(check(&link, &id).is_err());
    }
}
