//! A file that is replaced as a whole: whoever reads it finds the old text or the new one, and never a part.

use std::fs::{self, Permissions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use tempfile::NamedTempFile;

/// Who may read it: a node exporter is another user.
const MODE: u32 = 0o644;

/// Sees that the file can be replaced, and leaves it as it is.
///
/// # Errors
/// Why not: there is no such directory, it cannot be written to, or what is there is no plain file.
pub(super) fn can_replace(path: &Path) -> Result<()> {
    ensure!(path.file_name().is_some() && !path.to_string_lossy().ends_with('/'), "name a file");
    match fs::symlink_metadata(path) {
        // A device would be replaced, too, and a link.
        Ok(there) if !there.is_file() => bail!("there is something that is no plain file: name another one"),
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(named(error, path)),
        _ => {}
    }
    new_beside(path).map(drop)
}

/// Replaces the file, with mode 0644 whatever the umask.
///
/// # Errors
/// What the system says. The file is then as it was.
pub(super) fn replace(path: &Path, text: &str) -> Result<()> {
    let mut new = new_beside(path)?;
    new.write_all(text.as_bytes())
        .and_then(|()| new.as_file().set_permissions(Permissions::from_mode(MODE)))
        .and_then(|()| new.as_file().sync_all())
        .map_err(|error| named(error, path))?;
    new.persist(path).map_err(|error| named(error.error, path))?;
    Ok(())
}

/// A new file in the same directory: it can be renamed. By its name no node exporter takes it for one of its own.
fn new_beside(path: &Path) -> Result<NamedTempFile> {
    let dir = path.parent().context("name a file in a directory")?;
    ensure!(dir.is_dir(), "there is no directory {}: make it first", dir.display());
    let new = tempfile::Builder::new().prefix(".understudy-").suffix(".new").tempfile_in(dir);
    new.with_context(|| format!("cannot write to the directory {}", dir.display()))
}

fn named(error: std::io::Error, path: &Path) -> anyhow::Error {
    anyhow::Error::new(error).context(format!("cannot replace {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::{can_replace, replace};

    #[test]
    fn a_file_is_replaced_as_a_whole_and_everybody_may_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("drill.prom");
        for text in ["first, and longer\n", "second\n"] {
            can_replace(&path).unwrap();
            replace(&path, text).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o644);
        }
        let held = fs::File::open(&path).unwrap();
        replace(&path, "third\n").unwrap();
        assert_eq!(std::io::read_to_string(held).unwrap(), "second\n", "who reads it has one of them");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn what_cannot_be_replaced_is_told_and_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (link, pipe) = (dir.path().join("link"), dir.path().join("pipe"));
        symlink("/dev/null", &link).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let missing = dir.path().join("no/such/drill.xml");
        for (path, why) in [
            (missing.as_path(), "no/such: make it first"),
            (dir.path(), "no plain file"),
            (&link, "no plain file"),
            (&pipe, "no plain file"),
            (std::path::Path::new("/proc/drill.xml"), "cannot write to the directory /proc"),
        ] {
            let said = format!("{:#}", can_replace(path).unwrap_err());
            assert!(said.contains(why), "{}: {said}", path.display());
        }
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }
}
