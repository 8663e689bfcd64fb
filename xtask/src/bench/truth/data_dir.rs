//! The files of a node, read and changed from below it, as a bad disk would. Its data directory is the servers' user's, and we
//! may be root: no link is followed there, and only plain files of that user's that have no other name are touched.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags};

/// A data directory.
pub(super) struct DataDir {
    pub(super) path: PathBuf,
    dir: OwnedFd,
    /// Its owner's user and group.
    pub(super) owner: (u32, u32),
}

impl DataDir {
    /// Opens one.
    ///
    /// # Errors
    /// If it is no directory.
    pub(super) fn open(path: &Path) -> Result<DataDir> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let dir = rustix::fs::open(path, flags, Mode::empty()).with_context(|| path.display().to_string())?;
        let stat = rustix::fs::fstat(&dir)?;
        Ok(DataDir { path: path.to_owned(), dir, owner: (stat.st_uid, stat.st_gid) })
    }

    /// All of a file.
    ///
    /// # Errors
    /// If it is not one that may be touched, or what the system says.
    pub(super) fn read(&self, file: &str) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.file(file, OFlags::RDONLY)?.read_to_end(&mut bytes).with_context(|| file.to_owned())?;
        Ok(bytes)
    }

    /// Puts other bytes into a file.
    ///
    /// # Errors
    /// As [`DataDir::read`].
    pub(super) fn write(&self, file: &str, bytes: &[u8]) -> Result<()> {
        let mut open = self.file(file, OFlags::WRONLY)?;
        open.set_len(0).and_then(|()| open.write_all(bytes)).with_context(|| file.to_owned())
    }

    /// Removes a file.
    ///
    /// # Errors
    /// As [`DataDir::read`].
    pub(super) fn remove(&self, file: &str) -> Result<()> {
        self.file(file, OFlags::RDONLY)?;
        let (above, name) = file.rsplit_once('/').unwrap_or((".", file));
        let above = self.open_at(above, OFlags::PATH | OFlags::DIRECTORY)?;
        rustix::fs::unlinkat(above, name, AtFlags::empty()).with_context(|| file.to_owned())
    }

    fn file(&self, file: &str, how: OFlags) -> Result<File> {
        let open = File::from(self.open_at(file, how | OFlags::NONBLOCK)?);
        let metadata = open.metadata()?;
        let is_servers = metadata.is_file() && metadata.nlink() == 1 && metadata.uid() == self.owner.0;
        ensure!(is_servers, "{file} in {}: it is no plain file of its server's alone", self.path.display());
        Ok(open)
    }

    fn open_at(&self, path: &str, how: OFlags) -> Result<OwnedFd> {
        let within = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        rustix::fs::openat2(&self.dir, path, how | OFlags::CLOEXEC, Mode::empty(), within)
            .with_context(|| format!("{path} in {}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_name_that_leads_elsewhere_is_not_followed_and_nothing_is_changed() {
        let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        // Each has a single fault, so that no check hides that another one is missing: only `two` has a second name.
        let (root, kept, two) = (dir.path(), elsewhere.path().join("1"), elsewhere.path().join("2"));
        fs::create_dir(root.join("base")).unwrap();
        fs::write(root.join("base/1"), "own").unwrap();
        fs::write(&kept, "kept").unwrap();
        fs::write(&two, "kept").unwrap();
        symlink(&kept, root.join("base/link")).unwrap();
        symlink("1", root.join("base/within")).unwrap();
        symlink("base", root.join("also")).unwrap();
        symlink(elsewhere.path(), root.join("there")).unwrap();
        fs::hard_link(&two, root.join("base/hard")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, root.join("pipe"), rustix::fs::FileType::Fifo, Mode::RUSR, 0).unwrap();
        let data = DataDir::open(root).unwrap();
        let up = format!("../{}/1", elsewhere.path().file_name().unwrap().to_str().unwrap());
        let links = ["base/link", "there/1", "base/within", "also/1"];
        for file in links.into_iter().chain(["base/hard", "pipe", "base", &up, kept.to_str().unwrap()]) {
            assert!(
                data.read(file).is_err() && data.write(file, b"x").is_err() && data.remove(file).is_err(),
                "{file}"
            );
        }
        assert_eq!([&kept, &two].map(|file| fs::read_to_string(file).unwrap()), ["kept", "kept"]);
        assert_eq!(fs::read_to_string(root.join("base/1")).unwrap(), "own");
        data.write("base/1", b"new").unwrap();
        assert_eq!(data.read("base/1").unwrap(), b"new");
        data.remove("base/1").unwrap();
        assert!(!root.join("base/1").exists());
        symlink(root, elsewhere.path().join("data")).unwrap();
        assert!(DataDir::open(&elsewhere.path().join("data")).is_err());
    }

    #[test]
    fn as_root_a_file_of_another_user_than_the_servers_is_not_touched() {
        if !rustix::process::geteuid().is_root() {
            return; // nothing can be given away
        }
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("theirs");
        fs::write(&file, "kept").unwrap();
        std::os::unix::fs::chown(&file, Some(65_534), None).unwrap();
        let data = DataDir::open(dir.path()).unwrap();
        assert!(data.read("theirs").is_err() && data.write("theirs", b"x").is_err() && data.remove("theirs").is_err());
        assert_eq!(fs::read_to_string(&file).unwrap(), "kept");
    }
}
