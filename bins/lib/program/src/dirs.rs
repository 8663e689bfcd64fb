//! Directories that are made on the way to another one. Each step is made in the directory that the step before has opened, by a
//! name and no path: so that nobody can lay a link into the way after it was looked at.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use rustix::fs::{CWD, Mode, OFlags, fchmod, fstat, mkdirat, openat};
use rustix::io::Errno;

use crate::trust;

/// A directory, and no link to one.
const DIRECTORY: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Makes a directory and those above it that are missing, with `mode` whatever the umask; without one, as the umask has it.
/// What is there is left as it is.
///
/// # Errors
/// If somebody other than we, root or `also` could change what leads there, or what the system says.
pub fn make_missing(dir: &Path, mode: Option<u32>, also: Option<u32>) -> Result<()> {
    let make = || -> Result<()> {
        let dir = std::path::absolute(dir)?;
        let (mut there, mut missing) = (dir.as_path(), Vec::new());
        let begin = loop {
            if let Some(real) = trust::follow(there, also)? {
                break real;
            }
            missing.push(there.file_name().context("write it without `..`")?);
            there = there.parent().context("there is no `/`")?;
        };
        // Only to go on from: it need not be readable.
        let mut at = openat(CWD, &begin, OFlags::PATH | DIRECTORY, Mode::empty())?;
        let mut path = begin;
        for name in missing.into_iter().rev() {
            path.push(name);
            at = make_in(&at, &path, mode, also).with_context(|| path.display().to_string())?;
        }
        Ok(())
    };
    make().with_context(|| format!("cannot make {}", dir.display()))
}

/// One step: makes the directory `path` in the one above it, and opens it.
fn make_in(above: impl AsFd, path: &Path, mode: Option<u32>, also: Option<u32>) -> Result<OwnedFd> {
    let name = path.file_name().context("a step has a name")?;
    let asked = Mode::from_raw_mode(mode.unwrap_or(0o777));
    let is_ours = match mkdirat(&above, name, asked) {
        Err(Errno::EXIST) => false, // somebody was faster
        made => made.map(|()| true)?,
    };
    let way = if is_ours { OFlags::RDONLY } else { OFlags::PATH };
    let dir = openat(&above, name, way | DIRECTORY, Mode::empty())?;
    trust::check_owner(path, fstat(&dir)?.st_uid, also)?;
    if is_ours && mode.is_some() {
        fchmod(&dir, asked)?;
    }
    Ok(dir)
}

/// Gives a directory of ours a mode.
///
/// # Errors
/// If it is a link or not ours, or what the system says.
pub fn set_mode(dir: &Path, mode: u32) -> Result<()> {
    let set = || -> Result<()> {
        let open = openat(CWD, dir, OFlags::RDONLY | DIRECTORY, Mode::empty())?;
        ensure!(fstat(&open)?.st_uid == rustix::process::geteuid().as_raw(), "it is not ours, and left alone");
        Ok(fchmod(&open, Mode::from_raw_mode(mode))?)
    };
    set().with_context(|| dir.display().to_string())
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::{PermissionsExt as _, chown, lchown, symlink};

    use super::*;

    const NOBODY: u32 = 65_534;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    /// A directory in which anybody may make something, as in `/tmp`.
    fn sticky(base: &Path) -> std::path::PathBuf {
        let dir = base.join("sticky");
        fs::create_dir(&dir).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o1777)).unwrap();
        dir
    }

    #[test]
    fn what_is_missing_is_made_and_what_is_there_stays() {
        let base = tempfile::tempdir().unwrap();
        let there = sticky(base.path());
        let link = base.path().join("link");
        symlink(&there, &link).unwrap();
        make_missing(&link.join("a/b"), Some(0o751), None).unwrap();
        make_missing(&there.join("a/b/"), Some(0o700), None).unwrap();
        make_missing(&there.join("a/c"), None, None).unwrap();
        assert_eq!([there.clone(), there.join("a"), there.join("a/b")].map(|dir| mode(&dir)), [0o1777, 0o751, 0o751]);
        // With a mode it has that, whatever the umask; without one, what the umask leaves.
        let umask = fs::create_dir(there.join("by-umask")).map(|()| mode(&there.join("by-umask"))).unwrap();
        make_missing(&there.join("a/open"), Some(0o777), None).unwrap();
        assert_eq!((mode(&there.join("a/open")), mode(&there.join("a/c"))), (0o777, umask));
        // Somebody was faster: what he made stays as it is.
        let above = File::open(there.join("a")).unwrap();
        make_in(&above, &there.join("a/c"), Some(0o700), None).unwrap();
        assert_eq!(mode(&there.join("a/c")), umask);
        fs::write(there.join("file"), "").unwrap();
        for no_directory in ["file", "file/a", "none/../a"] {
            let said = format!("{:#}", make_missing(&there.join(no_directory), None, None).unwrap_err());
            assert!(said.contains(&format!("cannot make {}", there.join(no_directory).display())), "{said}");
        }
        assert!(!there.join("none").exists());
        set_mode(&there.join("a"), 0o755).unwrap();
        assert_eq!(mode(&there.join("a")), 0o755);
        assert!(set_mode(&link, 0o700).is_err(), "a link to one");
    }

    /// As if it had come after the look.
    #[test]
    fn a_link_in_the_way_is_not_followed() {
        let (base, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let above = File::open(base.path()).unwrap();
        symlink(target.path(), base.path().join("a")).unwrap();
        let said = format!("{:#}", make_in(&above, &base.path().join("a"), Some(0o755), None).unwrap_err());
        assert!(said.contains("Not a directory"), "{said}");
        symlink(target.path().join("none"), base.path().join("b")).unwrap(); // `mkdir` alone would say that it is there
        assert!(make_missing(&base.path().join("b/c"), Some(0o755), None).is_err());
        assert_eq!(fs::read_dir(target.path()).unwrap().count(), 0);
    }

    #[test]
    fn as_root_nothing_is_made_in_what_another_user_has_laid_into_the_way() {
        if !rustix::process::geteuid().is_root() {
            return; // there is nobody else to be
        }
        let (base, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let dir = sticky(base.path());
        symlink(target.path(), dir.join("link")).unwrap();
        lchown(dir.join("link"), Some(NOBODY), None).unwrap();
        fs::create_dir(dir.join("dir")).unwrap();
        chown(dir.join("dir"), Some(NOBODY), None).unwrap();
        for theirs in ["link/b", "dir/b"] {
            let said = format!("{:#}", make_missing(&dir.join(theirs), Some(0o755), None).unwrap_err());
            assert!(said.contains("belongs to "), "{said}");
        }
        let above = File::open(&dir).unwrap();
        let said = format!("{:#}", make_in(&above, &dir.join("dir"), Some(0o755), None).unwrap_err());
        assert!(said.contains("belongs to "), "{said}");
        assert_eq!([target.path(), &dir.join("dir")].map(|dir| fs::read_dir(dir).unwrap().count()), [0, 0]);
        make_missing(&dir.join("dir/b"), None, Some(NOBODY)).unwrap();
        assert!(set_mode(&dir.join("dir"), 0o755).is_err(), "it is not ours");
    }
}
