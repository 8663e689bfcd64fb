//! One at a time: whoever changes or hurts a lab holds its lock.

use std::fs::{File, Permissions};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use program::trust;
use rustix::fs::{FlockOperation, flock};

/// Between a fork and the start of its program; and how often it is looked at.
const MOMENT: Duration = Duration::from_millis(250);
const LOOK: Duration = Duration::from_millis(5);

/// A lab's lock, held until dropped; the system lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of the lab in `dir`, which is ours. Whoever can open the file can hold the lock: it is for nobody else
    /// to open.
    ///
    /// # Errors
    /// If somebody else holds it, or it is no plain file.
    pub fn take(dir: &Path) -> Result<Lock> {
        let path = dir.join("lock");
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(trust::OPEN_FLAGS);
        let file = options.open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        let metadata = file.metadata().with_context(|| path.display().to_string())?;
        ensure!(metadata.is_file(), "{} is not a plain file", path.display());
        file.set_permissions(Permissions::from_mode(0o600)).with_context(|| path.display().to_string())?;
        match try_for_a_moment(&file) {
            // Its last holder may have removed it with the lab: who comes then locks another.
            Ok(()) if !is_at(&file, &path) => bail!("the lab in {} was just taken down: try again", dir.display()),
            Ok(()) => Ok(Lock { _file: file }),
            Err(rustix::io::Errno::WOULDBLOCK) => {
                bail!(
                    "the lab in {} is in use by another setup or drill: wait for it, or use another --name",
                    dir.display()
                )
            }
            Err(error) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
        }
    }
}

/// Whether it is still the file of that name.
fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(one), Ok(other)) = (file.metadata(), std::fs::symlink_metadata(path)) else { return false };
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Tries again for a moment: a process that was just forked elsewhere in this one holds a copy of what was let go of here,
/// until it runs its program.
fn try_for_a_moment(file: &File) -> rustix::io::Result<()> {
    let end = Instant::now() + MOMENT;
    loop {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < end => std::thread::sleep(LOOK),
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::process::Command;

    use super::Lock;

    #[test]
    fn the_second_is_refused_until_the_first_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let first = Lock::take(dir.path()).unwrap();
        assert!(Lock::take(dir.path()).unwrap_err().to_string().contains("in use"));
        drop(first);
        Lock::take(dir.path()).unwrap();
    }

    /// Whoever can open it can hold it.
    #[test]
    fn a_lock_is_for_nobody_else_to_open_and_a_plain_file() {
        let (dir, target) = (tempfile::tempdir().unwrap(), tempfile::NamedTempFile::new().unwrap());
        let (file, mode) = (dir.path().join("lock"), || fs::metadata(dir.path().join("lock")).unwrap().permissions());
        drop(Lock::take(dir.path()).unwrap());
        assert_eq!(mode().mode() & 0o777, 0o600);
        fs::set_permissions(&file, Permissions::from_mode(0o666)).unwrap(); // as `cp` or a former version had it
        drop(Lock::take(dir.path()).unwrap());
        assert_eq!(mode().mode() & 0o777, 0o600);
        fs::remove_file(&file).unwrap();
        assert!(Command::new("mkfifo").args(["-m", "600"]).arg(&file).status().unwrap().success());
        assert!(Lock::take(dir.path()).unwrap_err().to_string().contains("not a plain file"));
        fs::remove_file(&file).unwrap();
        fs::set_permissions(target.path(), Permissions::from_mode(0o640)).unwrap();
        symlink(target.path(), &file).unwrap();
        Lock::take(dir.path()).unwrap_err();
        assert_eq!(fs::metadata(target.path()).unwrap().permissions().mode() & 0o777, 0o640, "through a link");
    }
}
