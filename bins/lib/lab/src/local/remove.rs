//! Removing directories of the servers' user. It may have filled them with anything, and may still be at it: so what is in one
//! is removed as that user, and by `rm`, which needs no descriptor for each step down. Never as root: what that user may not
//! remove, it may still move there.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use program::{stop, tool};

use crate::account::Account;
use crate::process::processes;

/// How often a directory is emptied before its owner is said to go on filling it.
const TRIES: u32 = 5;

/// What lies between two tries: time for a process that has just been killed to be gone.
const BETWEEN: Duration = Duration::from_millis(100);

/// Time for all tries together, by `rm` and `chmod`: a disk removes some ten thousand files a second, and an idle lab has a
/// thousand a node. Their user may stop them, and would else hold up each try for as long.
const RM_DEADLINE: Duration = Duration::from_secs(600);

/// Time for `find`, which reads directories and no more.
const FIND_DEADLINE: Duration = Duration::from_secs(60);

/// Removes a directory that stands in one of ours, with all that is in it.
///
/// # Errors
/// If something stays in it; who may have put it there.
pub(super) fn remove_dir(dir: &Path) -> Result<()> {
    remove_within(dir, RM_DEADLINE)
}

fn remove_within(dir: &Path, limit: Duration) -> Result<()> {
    let metadata = fs::symlink_metadata(dir).with_context(|| dir.display().to_string())?;
    let is_ours = metadata.uid() == rustix::process::geteuid().as_raw();
    let owner = if is_ours { Account::Own } else { Account::Other { uid: metadata.uid(), gid: metadata.gid() } };
    let (mut said, begun) = (String::new(), Instant::now());
    for _ in 0..TRIES {
        let Some(time) = limit.checked_sub(begun.elapsed()) else { break };
        said = run(owner, "rm", &["-rf"], dir, time)?;
        if is_gone(dir)? {
            return Ok(());
        }
        // Its owner can have closed a directory to itself.
        run(owner, "chmod", &["-R", "u+rwx"], dir, limit.saturating_sub(begun.elapsed()))?;
        stop::pause(BETWEEN)?;
    }
    Err(somebody_elses(dir, owner).unwrap_or_else(|| left(dir, owner, &said)))
}

/// What is there and is not its owner's: a copy that root has made, or what that user was let move there. Only who may say what
/// it is may remove it.
fn somebody_elses(dir: &Path, owner: Account) -> Option<anyhow::Error> {
    let mut command = Command::new("find");
    command.arg(dir).args(["-xdev", "!", "-uid", &owner.uid().to_string(), "-print", "-quit"]).current_dir("/");
    let found = tool::output(Account::Own.apply(command), FIND_DEADLINE).ok()?.stdout;
    let path = report::foreign::quoted(found.lines().next()?);
    Some(anyhow!(
        "{path} is not of the user whose directory {} is: move it away or remove it, then try again",
        dir.display()
    ))
}

/// Runs a tool on the directory, however it ends, and returns the end of what it complained of. One that was not done in time
/// has done a part, and the next goes on there.
fn run(account: Account, program: &str, args: &[&str], dir: &Path, time: Duration) -> Result<String> {
    let mut command = Command::new(program);
    command.args(args).arg("--").arg(dir).current_dir("/");
    match tool::output(account.apply(command), time) {
        Ok(said) => Ok(said.stderr.lines().last().unwrap_or_default().to_owned()),
        Err(error) if error.is::<tool::TimedOut>() => Ok(error.to_string()),
        Err(error) => Err(error),
    }
}

/// Takes the directory itself away, if nothing is in it: it stands in one of ours, where its owner may not.
fn is_gone(dir: &Path) -> Result<bool> {
    match fs::remove_dir(dir) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
        Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => Ok(false),
        Err(error) => Err(error).with_context(|| format!("cannot remove {}", dir.display())),
    }
}

fn left(dir: &Path, owner: Account, said: &str) -> anyhow::Error {
    let works_there = || -> Result<Vec<String>> {
        let real = dir.canonicalize()?;
        let found = processes(|_, process| process.works_in(&real, true, owner.uid()))?;
        Ok(found
            .iter()
            .map(|process| {
                format!("{} ({})", process.pid, report::foreign::one_line(&process.program().to_string_lossy()))
            })
            .collect())
    };
    let who = match works_there() {
        Ok(found) if !found.is_empty() => format!("end what works there, process {}", found.join(", ")),
        _ => format!("`ps -U {}` lists what may be writing there: end it", owner.uid()),
    };
    let dir = dir.display();
    let said = report::foreign::quoted(said);
    anyhow!("{dir} was emptied again and again and there is something in it: {who}, then try again ({said})")
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::fd::OwnedFd;
    use std::os::unix::fs::{PermissionsExt as _, fchown};
    use std::os::unix::process::CommandExt as _;
    use std::process::{Child, Stdio};

    use rustix::fs::{Mode, OFlags, mkdirat, openat};

    use super::*;

    const NOBODY: u32 = 65_534;

    /// Deeper than a program can go that keeps a descriptor open for each step, and goes down by calling itself.
    const DEEP: u32 = 20_000;

    /// A directory of ours, and one in it that is another user's, if there is another one.
    struct Room {
        base: tempfile::TempDir,
        data: std::path::PathBuf,
    }

    impl Room {
        fn new() -> Room {
            let base = tempfile::tempdir().unwrap();
            fs::set_permissions(base.path(), Permissions::from_mode(0o755)).unwrap();
            let data = base.path().join("data");
            fs::create_dir(&data).unwrap();
            give(fs::File::open(&data).unwrap());
            Room { base, data }
        }

        fn is_removed(&self) {
            remove_dir(&self.data).unwrap();
            assert_eq!(fs::read_dir(self.base.path()).unwrap().count(), 0);
        }
    }

    fn is_root() -> bool {
        rustix::process::geteuid().is_root()
    }

    fn give(file: impl std::os::fd::AsFd) {
        if is_root() {
            fchown(file, Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }

    #[test]
    fn what_is_nested_without_end_is_removed() {
        let room = Room::new();
        let mut at = OwnedFd::from(fs::File::open(&room.data).unwrap());
        for _ in 0..DEEP {
            mkdirat(&at, "d", Mode::RWXU).unwrap();
            at = openat(&at, "d", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap();
            give(&at);
        }
        drop(at); // the kernel needs long to remove what is above a directory that is open
        room.is_removed();
    }

    #[test]
    fn what_its_owner_has_closed_is_removed_and_a_links_target_stays() {
        let (room, target) = (Room::new(), tempfile::tempdir().unwrap());
        fs::write(target.path().join("thesis"), "").unwrap();
        std::os::unix::fs::symlink(target.path(), room.data.join("link")).unwrap();
        let closed = room.data.join("closed");
        fs::create_dir_all(closed.join("below")).unwrap();
        give(fs::File::open(closed.join("below")).unwrap());
        fs::write(closed.join("below/file"), "").unwrap(); // as root: root's, in a directory of another user
        give(fs::File::open(&closed).unwrap());
        fs::set_permissions(&closed, Permissions::from_mode(0o000)).unwrap();
        room.is_removed();
        assert!(target.path().join("thesis").exists());
    }

    /// Its owner may move a directory there that it may not empty, and root would empty it in its name.
    #[test]
    fn as_root_what_is_somebody_elses_stays_and_is_named() {
        if !is_root() {
            return; // all that we can make is our own
        }
        let room = Room::new();
        let moved = room.data.join("moved");
        fs::create_dir_all(moved.join("roots")).unwrap();
        fs::write(moved.join("roots/thesis"), "").unwrap();
        give(fs::File::open(&moved).unwrap());
        let said = remove_dir(&room.data).unwrap_err().to_string();
        assert!(said.contains("moved/roots") && said.contains("move it away"), "{said}");
        assert!(moved.join("roots/thesis").exists());
    }

    /// Ended with its variable.
    struct Maker(Child);

    impl Drop for Maker {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn who_goes_on_filling_a_directory_is_named() {
        let room = Room::new();
        let mut command = Command::new("sleep");
        command.arg("600").current_dir(&room.data).stdin(Stdio::null());
        let owner = if is_root() { Account::Other { uid: NOBODY, gid: NOBODY } } else { Account::Own };
        if is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        let maker = Maker(command.spawn().unwrap());
        let mut command = Command::new("sleep");
        let ours = Maker(command.arg("600").current_dir(&room.data).stdin(Stdio::null()).spawn().unwrap());
        let said = left(&room.data, owner, "rm: it is not empty").to_string();
        assert!(!is_root() || !said.contains(&ours.0.id().to_string()), "root's: {said}");
        drop(ours);
        let said_by_them = left(&room.data, owner, "rm: \x1b[2J").to_string();
        assert!(said_by_them.contains("rm: \\u{1b}[2J"), "{said_by_them:?}");
        for words in [&format!("process {} (", maker.0.id()), room.data.to_str().unwrap(), "rm: it is not empty"] {
            assert!(said.contains(words), "{words}: {said}");
        }
        drop(maker);
        let said = left(&room.data, owner, "").to_string();
        assert!(said.contains(&format!("`ps -U {}`", owner.uid())), "{said}");
    }

    /// Says that this process removes that directory, with a `rm` that notes who runs it.
    const REMOVING: &str = "UNDERSTUDY_TEST_OF_REMOVE";

    /// Runs a test of this file again as a program of its own, with a `rm` that begins with these lines.
    fn again(test: &str, room: &Room, rm: &str) -> std::process::Output {
        let tools = tempfile::tempdir().unwrap();
        fs::set_permissions(tools.path(), Permissions::from_mode(0o755)).unwrap();
        let program = tools.path().join("rm");
        fs::write(&program, format!("#!/bin/sh\n{rm}\nexec /bin/rm \"$@\"\n")).unwrap();
        fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
        let path = format!("{}:{}", tools.path().display(), std::env::var("PATH").unwrap());
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", &format!("local::remove::tests::{test}")]);
        command.env(REMOVING, &room.data).env("PATH", path).output().unwrap()
    }

    /// What a name leads to there is the owner's to say, so nothing may be done to it as root.
    #[test]
    fn as_root_what_is_in_a_directory_is_removed_as_its_owner() {
        if !is_root() {
            return; // there is nobody else to be
        }
        if let Some(dir) = std::env::var_os(REMOVING) {
            return remove_dir(Path::new(&dir)).unwrap();
        }
        let (room, log) = (Room::new(), tempfile::NamedTempFile::new().unwrap());
        fs::write(room.data.join("file"), "").unwrap();
        fs::set_permissions(log.path(), Permissions::from_mode(0o666)).unwrap();
        let rm = format!("id -u >> '{}'", log.path().display());
        let output = again("as_root_what_is_in_a_directory_is_removed_as_its_owner", &room, &rm);
        assert!(output.status.success(), "{output:?}");
        assert!(!room.data.exists());
        // The file is a name in a directory of nobody's, so nobody can remove it, whosever it is.
        assert_eq!(fs::read_to_string(log.path()).unwrap(), format!("{NOBODY}\n"));
    }

    #[test]
    fn a_rm_that_its_owner_stops_holds_up_all_tries_once() {
        if let Some(dir) = std::env::var_os(REMOVING) {
            let begun = Instant::now();
            let said = remove_within(Path::new(&dir), Duration::from_secs(1)).unwrap_err().to_string();
            // Its second, and the time that a tool has to end before it is killed: of one try and not of five.
            assert!(said.contains("then try again") && begun.elapsed().as_secs() < 25, "{said} {:?}", begun.elapsed());
            return;
        }
        let room = Room::new();
        let file = fs::File::create(room.data.join("file")).unwrap();
        give(file);
        let output = again("a_rm_that_its_owner_stops_holds_up_all_tries_once", &room, "kill -STOP $$");
        assert!(output.status.success(), "{output:?}");
        assert!(room.data.join("file").exists());
    }
}
