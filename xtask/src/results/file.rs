//! A file that is replaced as a whole: whoever reads it finds the old text or the new one, and never a part.

use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io::{ErrorKind, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use tempfile::NamedTempFile;

/// Who may read it: a node exporter is another user.
const MODE: u32 = 0o644;

/// A file that is to be replaced. Its directory is held open: whoever could move that, and lay a link in its place while a drill runs,
/// leads us nowhere else.
#[derive(Debug)]
pub(super) struct Target {
    /// As it was called, without links in what leads there.
    pub(super) path: PathBuf,
    dir: File,
    name: OsString,
}

impl Target {
    /// Sees that the file can be replaced, and leaves it as it is.
    ///
    /// # Errors
    /// Why not: there is no such directory, it cannot be written to, or what is there is no plain file.
    pub(super) fn open(path: &Path) -> Result<Target> {
        ensure!(path.file_name().is_some() && !path.to_string_lossy().ends_with('/'), "name a file");
        let above = path.parent().context("name a file in a directory")?;
        ensure!(above.is_dir(), "there is no directory {}: make it first", above.display());
        let (real, name) = (above.canonicalize()?, path.file_name().context("name a file")?.to_owned());
        let dir = File::open(&real).with_context(|| format!("cannot open the directory {}", above.display()))?;
        let target = Target { path: real.join(&name), dir, name };
        match fs::symlink_metadata(target.here().join(&target.name)) {
            // A device would be replaced, too, and a link.
            Ok(there) if !there.is_file() => bail!("there is something that is no plain file: name another one"),
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(target.named(error)),
            _ => {}
        }
        target.new_beside().map(|_| target)
    }

    /// Replaces the file, with mode 0644 whatever the umask.
    ///
    /// # Errors
    /// What the system says. The file is then as it was.
    pub(super) fn replace(&self, text: &str) -> Result<()> {
        let mut new = self.new_beside()?;
        new.write_all(text.as_bytes())
            .and_then(|()| new.as_file().set_permissions(Permissions::from_mode(MODE)))
            .and_then(|()| new.as_file().sync_all())
            .map_err(|error| self.named(error))?;
        new.persist(self.here().join(&self.name)).map_err(|error| self.named(error.error))?;
        Ok(())
    }

    /// The open directory, as a path.
    fn here(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.dir.as_raw_fd()))
    }

    /// A new file in the same directory: it can be renamed. By its name no node exporter takes it for one of its own.
    fn new_beside(&self) -> Result<NamedTempFile> {
        let new = tempfile::Builder::new().prefix(".understudy-").suffix(".new").tempfile_in(self.here());
        let dir = self.path.parent().unwrap_or(&self.path).display();
        new.with_context(|| format!("cannot write to the directory {dir}"))
    }

    fn named(&self, error: std::io::Error) -> anyhow::Error {
        anyhow::Error::new(error).context(format!("cannot replace {}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::Target;

    #[test]
    fn a_file_is_replaced_as_a_whole_and_everybody_may_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("drill.prom");
        for text in ["first, and longer\n", "second\n"] {
            Target::open(&path).unwrap().replace(text).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o644);
        }
        let held = fs::File::open(&path).unwrap();
        Target::open(&path).unwrap().replace("third\n").unwrap();
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
            let said = format!("{:#}", Target::open(path).unwrap_err());
            assert!(said.contains(why), "{}: {said}", path.display());
        }
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    /// Somebody who may write above the directory puts a link in its place while the drill runs.
    #[test]
    fn a_link_that_is_laid_meanwhile_leads_nowhere_else() {
        let base = tempfile::tempdir().unwrap();
        let [ci, old, other] = ["ci", "old", "other"].map(|name| base.path().join(name));
        fs::create_dir(&ci).unwrap();
        fs::create_dir(&other).unwrap();
        fs::write(other.join("config.json"), "of another").unwrap();
        let target = Target::open(&ci.join("config.json")).unwrap();
        fs::rename(&ci, &old).unwrap();
        symlink(&other, &ci).unwrap();
        target.replace("ours").unwrap();
        let read = |dir: &std::path::Path| fs::read_to_string(dir.join("config.json")).unwrap();
        assert_eq!((read(&other), read(&old)), ("of another".to_owned(), "ours".to_owned()));
    }
}
