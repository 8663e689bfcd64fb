//! The postmaster of a data directory, and what it leaves behind when it dies.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use program::trust;
use rustix::process::{Pid, Signal};

use super::memory::{self, Segments};
use super::ours::Ours;
use crate::process::{GONE, Process, processes};

/// The postmaster of a data directory.
pub struct Postmaster {
    process: Process,
    data: PathBuf,
    /// Its owner, and so the servers' user.
    owner: u32,
}

impl Postmaster {
    /// The living postmaster of a lab's data directory `data`, whose parent bears the lab's marker; `None` if there is none.
    ///
    /// # Errors
    /// If `data` is a link, if a process works there that is not provably the lab's, or if it cannot be told.
    pub(crate) fn of(data: &Path, ours: &Ours) -> Result<Option<Postmaster>> {
        let Some(owner) = owner(data)? else { return Ok(None) };
        let Some(pid) = recorded_pid(data)? else { return Ok(None) };
        let data = data.canonicalize().with_context(|| data.display().to_string())?;
        let Some(process) = Process::pin(pid)? else { return Ok(None) };
        // The order matters: pinned first, then proven, then still alive, so that it is this process that was proven.
        if !process.works_in(&data, false)? || !process.lives()? {
            return Ok(None);
        }
        let proven = ours.check_server(&process, &data, owner);
        if !process.lives()? {
            return Ok(None);
        }
        proven.map(|()| Some(Postmaster { process, data, owner }))
    }

    /// As [`Postmaster::of`], for who ends it: where `postmaster.pid` is no plain file, which is the servers' user's doing, the
    /// server is found by where it works.
    ///
    /// # Errors
    /// As [`Postmaster::of`].
    pub(crate) fn to_end(data: &Path, ours: &Ours) -> Result<Option<Postmaster>> {
        let Some(owner) = owner(data)? else { return Ok(None) };
        if recorded_pid(data).is_ok() {
            return Postmaster::of(data, ours);
        }
        let data = data.canonicalize().with_context(|| data.display().to_string())?;
        let mut servers = Vec::new();
        for process in processes(|stat, process| Ok(stat.name == "postgres" && process.works_in(&data, false)?))? {
            let proven = ours.check_server(&process, &data, owner);
            if process.lives()? {
                proven?;
                servers.push(process);
            }
        }
        let numbers: Vec<i32> = servers.iter().map(|process| process.pid.as_raw_nonzero().get()).collect();
        let is_child = |process: &Process| process.parent().is_some_and(|parent| numbers.contains(&parent));
        let postmaster = servers.into_iter().find(|process| !is_child(process));
        Ok(postmaster.map(|process| Postmaster { process, data, owner }))
    }

    /// Whether it takes connections: the eighth line of `postmaster.pid`, by which `pg_ctl --wait` tells it too. Else it
    /// is starting or stopping.
    #[must_use]
    pub fn takes_connections(&self) -> bool {
        let text = trust::read_plain(&self.data.join("postmaster.pid")).unwrap_or_default();
        text.lines().nth(7).is_some_and(|status| matches!(status.trim(), "ready" | "standby"))
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// What the system says.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.process.signal(signal)
    }

    /// Kills it and all its children at once, and returns when all are seen to be gone.
    ///
    /// Each backend is its own session and process group, so the children are listed first: with the postmaster alone
    /// gone, two more acks came through. `first_act` is called between the listing and the first signal.
    ///
    /// All are stopped before the first is killed: a process that dies takes the processor that the next signal needs.
    /// Killed one by one, the last of 300 backends on two busy cores acknowledged a write 0.6 s after the first was dead;
    /// a server that crashes is gone at once.
    ///
    /// # Errors
    /// If one of them is not gone in time.
    pub fn kill_all(&self, first_act: &mut dyn FnMut()) -> Result<()> {
        let children = self.children()?;
        first_act();
        for signal in [Signal::STOP, Signal::KILL] {
            self.process.signal(signal)?;
            for child in &children {
                child.signal(signal)?;
            }
        }
        let end = Instant::now() + GONE;
        self.process.wait_gone(end)?;
        for child in &children {
            child.wait_gone(end)?;
        }
        // A child that was forked between the listing and the kill dies with its postmaster, but not at once.
        loop {
            let left = self.left_over()?;
            if left.is_empty() {
                return Ok(());
            }
            for process in &left {
                process.signal(Signal::KILL)?;
                process.wait_gone(end)?;
            }
        }
    }

    /// The shared memory that it leaves if it is killed.
    pub(super) fn segments(&self) -> Segments {
        Segments::of(&self.process)
    }

    fn children(&self) -> Result<Vec<Process>> {
        let parent = self.process.pid.as_raw_nonzero().get();
        // The postmaster is proven ours, and only it can be their parent: nothing else has to be asked.
        processes(|stat, _| Ok(stat.parent == parent))
    }

    fn left_over(&self) -> Result<Vec<Process>> {
        let is_owners = |process: &Process| process.uid() == Some(self.owner);
        processes(|stat, process| {
            Ok(stat.name == "postgres" && process.works_in(&self.data, false)? && is_owners(process))
        })
    }
}

/// Removes `postmaster.pid` if its postmaster is gone, and the shared memory that only this file still names. PostgreSQL
/// does that itself at a start, but not while the dead process is unreaped or its number belongs to somebody else.
///
/// # Errors
/// If it cannot be removed.
pub(crate) fn clear_stale_pid_file(data: &Path, ours: &Ours) -> Result<()> {
    if recorded_pid(data)?.is_some() && Postmaster::of(data, ours)?.is_none() {
        memory::remove_recorded(data)?;
        let file = data.join("postmaster.pid");
        fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
    }
    Ok(())
}

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

/// Removes the socket that a dead postmaster left in its directory `dir`, and the lock beside it: that names a pid, which may
/// be somebody else's by now, and then no server would start.
///
/// # Errors
/// What the system says.
pub fn clear_stale_socket(dir: &Path) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(".s.PGSQL.")) {
            crate::files::remove_file(&path)?;
        }
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::marker::{self, LabId};
    use std::os::unix::process::CommandExt as _;
    use std::process::{Child, Command, Stdio};

    /// A data directory of a lab, the directory of its programs, and a program in it that waits for its stdin to end.
    struct Lab {
        dir: tempfile::TempDir,
        ours: Ours,
    }

    impl Lab {
        fn new() -> Lab {
            let (dir, id) = (tempfile::tempdir().unwrap(), LabId::new());
            for name in ["data", "bin", "elsewhere"] {
                fs::create_dir(dir.path().join(name)).unwrap();
            }
            for bin in ["bin", "elsewhere"] {
                fs::copy("/bin/sh", dir.path().join(bin).join("postgres")).unwrap();
            }
            marker::put(&dir.path().join("data"), &id).unwrap();
            let ours = Ours::for_test(&id, &dir.path().join("bin"));
            Lab { dir, ours }
        }

        fn data(&self) -> PathBuf {
            self.dir.path().join("data")
        }

        /// A process that works in the data directory and is in `postmaster.pid`.
        fn run(&self, program: &Path) -> Child {
            let mut command = Command::new(program);
            command.args(["-c", "read wait"]).current_dir(self.data()).stdin(Stdio::piped());
            let child = command.spawn().unwrap(); // it has become that program when this returns
            fs::write(self.data().join("postmaster.pid"), format!("{}\n", child.id())).unwrap();
            child
        }
    }

    fn end(mut child: Child) {
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_pid_file_that_names_a_stranger_is_stale() {
        let lab = Lab::new();
        let stranger = Command::new("sleep").arg("60").spawn().unwrap();
        fs::write(lab.data().join("postmaster.pid"), format!("{}\n", stranger.id())).unwrap();
        assert!(Postmaster::of(&lab.data(), &lab.ours).unwrap().is_none(), "it works elsewhere");
        clear_stale_pid_file(&lab.data(), &lab.ours).unwrap();
        assert!(!lab.data().join("postmaster.pid").exists());
        end(stranger);
    }

    #[test]
    fn a_dead_process_that_nobody_reaped_does_not_live() {
        let lab = Lab::new();
        let mut child = lab.run(&lab.dir.path().join("bin/postgres"));
        let postmaster = Postmaster::of(&lab.data(), &lab.ours).unwrap().expect("it lives and works there");
        child.kill().unwrap();
        postmaster.process.wait_gone(Instant::now() + GONE).unwrap();
        assert!(Postmaster::of(&lab.data(), &lab.ours).unwrap().is_none(), "a zombie is no postmaster");
        child.wait().unwrap();
    }

    #[test]
    fn who_works_there_and_is_not_the_labs_server_is_left_alone_by_name() {
        let lab = Lab::new();
        let refused = |word: &str| {
            let said = Postmaster::of(&lab.data(), &lab.ours).err().expect(word).to_string();
            assert!(said.contains(word) && said.contains("left alone"), "{said}");
            assert!(clear_stale_pid_file(&lab.data(), &lab.ours).is_err(), "{word}");
        };
        for program in [lab.dir.path().join("elsewhere/postgres"), "/bin/sh".into()] {
            let child = lab.run(&program);
            refused("is not the lab's `postgres`");
            end(child);
        }
        let child = lab.run(&lab.dir.path().join("bin/postgres"));
        assert!(Postmaster::of(&lab.data(), &lab.ours).unwrap().is_some());
        // Replaced on the disk, as by an upgrade, it still is.
        fs::remove_file(lab.dir.path().join("bin/postgres")).unwrap();
        assert!(Postmaster::of(&lab.data(), &lab.ours).unwrap().is_some());
        let kept = lab.dir.path().join("kept");
        fs::rename(lab.data(), &kept).unwrap();
        std::os::unix::fs::symlink(&kept, lab.data()).unwrap();
        refused("symbolic link");
        fs::remove_file(lab.data()).unwrap();
        fs::rename(&kept, lab.data()).unwrap();
        fs::remove_file(lab.data().join(marker::FILE)).unwrap();
        refused("does not bear this lab's marker");
        let pipe = lab.data().join(marker::FILE);
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        refused("not a plain file");
        refused(&child.id().to_string());
        marker::put(&lab.data(), &LabId::new()).unwrap();
        refused("another lab's marker");
        end(child);
    }

    /// Nothing that the servers' user puts in place of `postmaster.pid` keeps a lab from being taken down.
    #[test]
    fn a_server_whose_pid_file_is_no_plain_file_is_found_by_where_it_works() {
        let lab = Lab::new();
        let child = lab.run(&lab.dir.path().join("bin/postgres"));
        let file = lab.data().join("postmaster.pid");
        let found = || Postmaster::to_end(&lab.data(), &lab.ours).unwrap().map(|found| found.process.pid);
        let its = Pid::from_raw(child.id().cast_signed());
        assert_eq!(found(), its);
        for put in ["mkdir", "mkfifo", "ln -s /dev/zero", "truncate -s 1T"] {
            let _ = fs::remove_file(&file).or_else(|_| fs::remove_dir(&file));
            let mut words = put.split(' ');
            let mut command = Command::new(words.next().unwrap());
            assert!(command.args(words).arg(&file).status().unwrap().success());
            let said = format!("{:#}", Postmaster::of(&lab.data(), &lab.ours).err().expect(put));
            assert!(said.contains("postmaster.pid") && said.contains("`setup --down`"), "{said}");
            assert_eq!(found(), its, "{put}");
            memory::remove_recorded(&lab.data()).unwrap();
        }
        let stranger = Command::new(lab.dir.path().join("elsewhere/postgres"))
            .args(["-c", "read wait"])
            .current_dir(lab.data())
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let said = Postmaster::to_end(&lab.data(), &lab.ours).err().expect("an error").to_string();
        assert!(said.contains(&stranger.id().to_string()) && said.contains("left alone"), "{said}");
        end(stranger);
        end(child);
        assert_eq!(found(), None);
    }

    /// It runs the lab's own program there, and has a copy of its number in the file.
    #[test]
    fn as_root_a_process_of_another_user_is_left_alone() {
        if !rustix::process::geteuid().is_root() {
            return; // there is nobody else to be
        }
        let lab = Lab::new();
        let open = || std::os::unix::fs::PermissionsExt::from_mode(0o755);
        for dir in [lab.dir.path(), &lab.data()] {
            fs::set_permissions(dir, open()).unwrap();
        }
        let mut command = Command::new(lab.dir.path().join("bin/postgres"));
        command.args(["-c", "read wait"]).uid(65_534).gid(65_534).current_dir(lab.data()).stdin(Stdio::piped());
        let child = command.spawn().unwrap();
        fs::write(lab.data().join("postmaster.pid"), format!("{}\n", child.id())).unwrap();
        let said = Postmaster::of(&lab.data(), &lab.ours).err().expect("an error").to_string();
        assert!(said.contains("it is not its owner's") && said.contains("left alone"), "{said}");
        end(child);
    }
}
