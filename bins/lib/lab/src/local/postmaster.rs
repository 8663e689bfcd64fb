//! The postmaster of a data directory, and what it leaves behind when it dies.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use program::tool;
use rustix::process::{Pid, Signal};
use xshell::{Shell, cmd};

use crate::process::{GONE, Process, processes};

/// Time for `ipcrm`.
const IPCRM_DEADLINE: Duration = Duration::from_secs(10);

/// The postmaster of a data directory.
pub struct Postmaster {
    process: Process,
    data: PathBuf,
}

impl Postmaster {
    /// The living postmaster of the data directory `data`; `None` if there is none.
    ///
    /// # Errors
    /// If it cannot be told.
    pub fn of(data: &Path) -> Result<Option<Postmaster>> {
        let Some(pid) = recorded_pid(data)? else { return Ok(None) };
        let data = data.canonicalize().with_context(|| data.display().to_string())?;
        let Some(process) = Process::pin(pid)? else { return Ok(None) };
        // The order matters: pinned first, then proven, then still alive, so that it is this process that was proven.
        let ours = process.works_in(&data, false)? && process.lives()?;
        Ok(ours.then_some(Postmaster { process, data }))
    }

    /// Whether it takes connections: the eighth line of `postmaster.pid`, by which `pg_ctl --wait` tells it too. Else it
    /// is starting or stopping.
    #[must_use]
    pub fn takes_connections(&self) -> bool {
        let text = fs::read_to_string(self.data.join("postmaster.pid")).unwrap_or_default();
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

    fn children(&self) -> Result<Vec<Process>> {
        let parent = self.process.pid.as_raw_nonzero().get();
        // The postmaster is proven ours, and only it can be their parent: nothing else has to be asked.
        processes(|stat, _| Ok(stat.parent == parent))
    }

    fn left_over(&self) -> Result<Vec<Process>> {
        processes(|stat, process| Ok(stat.name == "postgres" && process.works_in(&self.data, false)?))
    }
}

/// Removes `postmaster.pid` if its postmaster is gone, and the shared memory that only this file still names. PostgreSQL
/// does that itself at a start, but not while the dead process is unreaped or its number belongs to somebody else.
///
/// # Errors
/// If it cannot be removed.
pub fn clear_stale_pid_file(data: &Path) -> Result<()> {
    if recorded_pid(data)?.is_some() && Postmaster::of(data)?.is_none() {
        remove_orphaned_segment(data)?;
        let file = data.join("postmaster.pid");
        fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
    }
    Ok(())
}

/// Removes the System V shared memory segment of a dead postmaster, which else stays until a start in the same
/// directory or the next boot. To be called before the directory, or its `postmaster.pid`, is removed.
///
/// # Errors
/// If it cannot be told. That `ipcrm` fails is none: 56 bytes of shared memory are not worth failing for.
pub fn remove_orphaned_segment(data: &Path) -> Result<()> {
    if let Some(segment) = orphaned_segment(data)? {
        let (sh, segment) = (Shell::new()?, segment.to_string());
        let _ = tool::run(cmd!(sh, "ipcrm -m {segment}").into(), IPCRM_DEADLINE);
    }
    Ok(())
}

/// The segment of a dead postmaster.
///
/// `postmaster.pid` names its key and id; the system must agree that a process of that number made it, and that nobody
/// is attached to it.
///
/// # Errors
/// If it cannot be told.
fn orphaned_segment(data: &Path) -> Result<Option<u64>> {
    let Some(pid) = recorded_pid(data)? else { return Ok(None) };
    let text = fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
    let Some(line) = text.lines().nth(6) else { return Ok(None) };
    let mut words = line.split_whitespace();
    let (Some(key), Some(id)) = (words.next(), words.next()) else { return Ok(None) };
    let owner = std::os::unix::fs::MetadataExt::uid(&fs::metadata(data)?).to_string();
    let table = fs::read_to_string("/proc/sysvipc/shm").unwrap_or_default();
    let ours = table.lines().skip(1).any(|row| {
        let columns: Vec<&str> = row.split_whitespace().collect();
        // key shmid perms size cpid lpid nattch uid …; the key is printed as a signed number there
        let key_fits = columns.first().and_then(|k| k.parse::<i32>().ok()).map(|k| k as u32)
            == key.parse::<i64>().ok().map(|k| k as u32);
        key_fits
            && columns.get(1) == Some(&id)
            && columns.get(4) == Some(&pid.as_raw_nonzero().to_string().as_str())
            && columns.get(6) == Some(&"0")
            && columns.get(7) == Some(&owner.as_str())
    });
    Ok(if ours { id.parse().ok() } else { None })
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
fn recorded_pid(data: &Path) -> Result<Option<Pid>> {
    let file = data.join("postmaster.pid");
    let text = match fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
    };
    // A single-user server writes its pid as a negative number.
    let number = text.lines().next().and_then(|line| line.trim().parse::<i32>().ok()).map(i32::abs);
    Ok(number.and_then(Pid::from_raw))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_file_that_names_a_stranger_is_stale() {
        let dir = tempfile::tempdir().unwrap();
        let mut stranger = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        fs::write(dir.path().join("postmaster.pid"), format!("{}\n", stranger.id())).unwrap();
        assert!(Postmaster::of(dir.path()).unwrap().is_none(), "it works elsewhere");
        clear_stale_pid_file(dir.path()).unwrap();
        assert!(!dir.path().join("postmaster.pid").exists());
        stranger.kill().unwrap();
        stranger.wait().unwrap();
    }

    #[test]
    fn a_dead_process_that_nobody_reaped_does_not_live() {
        let dir = tempfile::tempdir().unwrap();
        let mut child = std::process::Command::new("sleep").arg("60").current_dir(dir.path()).spawn().unwrap();
        fs::write(dir.path().join("postmaster.pid"), format!("{}\n", child.id())).unwrap();
        // until the child has become `sleep`, it may still be on its way to its directory
        let postmaster = Postmaster::of(dir.path()).unwrap().expect("it lives and works there");
        child.kill().unwrap();
        postmaster.process.wait_gone(Instant::now() + GONE).unwrap();
        assert!(Postmaster::of(dir.path()).unwrap().is_none(), "a zombie is no postmaster");
        child.wait().unwrap();
    }
}
