//! The processes of a node: proven ours before anything is done to them.
//!
//! A pid is only a number that the system may give away again. So each process is pinned by a pidfd first, then proven
//! by its working directory (PostgreSQL's processes live in their data directory), then signalled through the pidfd.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// Time for killed processes to be gone. The kernel needs milliseconds; a process in an uninterruptible write longer.
const GONE: Duration = Duration::from_secs(10);

/// The programs that a lab starts in its directories.
const TOOLS: [&str; 7] = ["postgres", "initdb", "pg_ctl", "pg_basebackup", "pg_rewind", "pg_waldump", "pg_controldata"];

/// The postmaster of a data directory.
pub struct Postmaster {
    process: Process,
    data: std::path::PathBuf,
}

/// A process, pinned: whatever is done to it or asked of it, it is this one.
pub(crate) struct Process {
    pid: Pid,
    fd: OwnedFd,
}

impl Process {
    /// Pins a process; `None` if there is none of that number.
    fn pin(pid: Pid) -> Result<Option<Process>> {
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(fd) => Ok(Some(Process { pid, fd })),
            Err(Errno::SRCH | Errno::INVAL) => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot look at process {pid}")),
        }
    }

    /// Whether it lives: neither gone nor a zombie that nobody has reaped.
    fn lives(&self) -> Result<bool> {
        let mut fds = [PollFd::new(&self.fd, PollFlags::IN)];
        Ok(poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).context("poll on a pidfd")? == 0)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        match pidfd_send_signal(&self.fd, signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(error).with_context(|| format!("cannot signal process {}", self.pid)),
        }
    }

    /// Waits until it is gone.
    ///
    /// # Errors
    /// If it still lives by `end`.
    pub(crate) fn wait_gone(&self, end: Instant) -> Result<()> {
        let left = end.saturating_duration_since(Instant::now());
        let limit =
            Timespec { tv_sec: i64::try_from(left.as_secs()).unwrap_or(0), tv_nsec: i64::from(left.subsec_nanos()) };
        let mut fds = [PollFd::new(&self.fd, PollFlags::IN)];
        let ready = poll(&mut fds, Some(&limit)).context("poll on a pidfd")?;
        ensure!(ready > 0, "process {} still lives {GONE:?} after SIGKILL", self.pid);
        Ok(())
    }

    /// Whether it works in `dir`; below it, with `below`.
    ///
    /// Root without CAP_SYS_PTRACE (as in a container) may not read the working directory of another user's process.
    /// What is then left is the command line, which names the data directory for a postmaster and for every tool.
    fn works_in(&self, dir: &Path, below: bool) -> Result<bool> {
        let fits = |path: &Path| path == dir || (below && path.starts_with(dir));
        match fs::read_link(format!("/proc/{}/cwd", self.pid)) {
            Ok(cwd) => Ok(fits(&cwd)),
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                Ok(self.arguments().iter().any(|argument| fits(Path::new(argument))))
            }
            Err(error) if is_gone(&error) => Ok(false),
            Err(error) => Err(error).with_context(|| format!("cannot tell where process {} works", self.pid)),
        }
    }

    fn arguments(&self) -> Vec<String> {
        let bytes = fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        bytes.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
    }

    /// Whether it runs one of PostgreSQL's programs from `bin`.
    fn runs_tool_of(&self, bin: &Path) -> bool {
        let program = match fs::read_link(format!("/proc/{}/exe", self.pid)) {
            Ok(exe) => exe,
            Err(_) => self.arguments().first().map(std::path::PathBuf::from).unwrap_or_default(),
        };
        let is_tool = program.file_name().is_some_and(|name| TOOLS.iter().any(|tool| *tool == name));
        is_tool && program.parent() == Some(bin)
    }
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
    /// # Errors
    /// If one of them is not gone in time.
    pub fn kill_all(&self, first_act: &mut dyn FnMut()) -> Result<()> {
        let children = self.children()?;
        first_act();
        self.process.signal(Signal::KILL)?;
        for child in &children {
            child.signal(Signal::KILL)?;
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

/// Kills every process that runs one of PostgreSQL's programs from `bin` and works below `dir`: backends without their
/// postmaster, and tools that a killed set-up left behind. Nobody's shell, and nothing else that only stands there.
///
/// # Errors
/// If one of them is not gone in time.
pub fn kill_tools_below(dir: &Path, bin: &Path) -> Result<u32> {
    kill_below(dir, bin, |_| true)
}

/// As [`kill_tools_below`], but servers and their backends are left at work: what is ended is the tools that a killed
/// set-up left behind, with the servers that `initdb` and `pg_rewind` start for themselves.
///
/// # Errors
/// As [`kill_tools_below`].
pub fn kill_orphans_below(dir: &Path, bin: &Path) -> Result<u32> {
    kill_below(dir, bin, |process| {
        let arguments = process.arguments();
        let alone = arguments.iter().any(|argument| matches!(argument.as_str(), "--single" | "--boot" | "--check"));
        alone
            || !arguments
                .first()
                .is_some_and(|program| program.starts_with("postgres") || program.ends_with("/postgres"))
    })
}

/// The first process of the container `id`, if the engine's number for it is one of this machine and its control group
/// bears the container's name. When it is gone, so is every other process of the container: the kernel sees to that first.
///
/// # Errors
/// If it cannot be looked at.
pub(crate) fn first_of_container(pid: &str, id: &str) -> Result<Option<Process>> {
    let Some(pid) = pid.parse().ok().and_then(Pid::from_raw) else { return Ok(None) };
    let Some(process) = Process::pin(pid)? else { return Ok(None) };
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    Ok((groups.contains(id) && process.lives()?).then_some(process))
}

/// Kills the container engine's clients of the lab `id` that a killed set-up left behind. They work below `dir`, and have
/// the lab's id in their environment: [`crate::compose::engine::Engine::at`] gives them both.
///
/// # Errors
/// As [`kill_tools_below`].
pub(crate) fn kill_clients_below(dir: &Path, id: &crate::marker::LabId) -> Result<()> {
    let Ok(dir) = dir.canonicalize() else { return Ok(()) };
    let (end, ours) = (Instant::now() + GONE, format!("UNDERSTUDY_LAB={}", id.as_str()));
    let found = processes(|_, process| {
        let environment = || fs::read(format!("/proc/{}/environ", process.pid)).unwrap_or_default();
        Ok(process.works_in(&dir, true)? && environment().split(|byte| *byte == 0).any(|word| word == ours.as_bytes()))
    })?;
    for process in &found {
        process.signal(Signal::KILL)?;
        process.wait_gone(end)?;
    }
    Ok(())
}

fn kill_below(dir: &Path, bin: &Path, wanted: impl Fn(&Process) -> bool) -> Result<u32> {
    let dir = dir.canonicalize().with_context(|| dir.display().to_string())?;
    let end = Instant::now() + GONE;
    let mut killed = 0;
    loop {
        let found =
            processes(|_, process| Ok(process.works_in(&dir, true)? && process.runs_tool_of(bin) && wanted(process)))?;
        if found.is_empty() {
            return Ok(killed);
        }
        for process in &found {
            process.signal(Signal::KILL)?;
        }
        for process in &found {
            process.wait_gone(end)?;
            killed += 1;
        }
        if Instant::now() >= end {
            bail!("processes below {} keep coming back", dir.display());
        }
    }
}

fn is_gone(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::NotFound || error.raw_os_error() == Some(Errno::SRCH.raw_os_error())
}

/// Removes `postmaster.pid` if its postmaster is gone. PostgreSQL does that itself, but not while the dead process is
/// unreaped or its number belongs to somebody else.
///
/// # Errors
/// If it cannot be removed.
pub fn clear_stale_pid_file(data: &Path) -> Result<()> {
    if recorded_pid(data)?.is_some() && Postmaster::of(data)?.is_none() {
        let file = data.join("postmaster.pid");
        fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
    }
    Ok(())
}

/// The System V shared memory segment of a dead postmaster, which only a restart or `ipcrm` takes away.
///
/// `postmaster.pid` names its key and id; the system must agree that a process of that number made it, and that nobody
/// is attached to it.
///
/// # Errors
/// If it cannot be told.
pub fn orphaned_segment(data: &Path) -> Result<Option<u64>> {
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

struct Stat {
    name: String,
    parent: i32,
}

/// The living processes that `wanted` wants, each pinned before it is asked.
///
/// # Errors
/// If one of them cannot be looked at (no descriptor is left, say): a list with holes must not pass for a whole one.
fn processes(wanted: impl Fn(&Stat, &Process) -> Result<bool>) -> Result<Vec<Process>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").context("cannot read /proc")? {
        let Some(pid) = entry.ok().and_then(|entry| entry.file_name().to_str()?.parse::<i32>().ok()) else { continue };
        let Some(pid) = Pid::from_raw(pid) else { continue };
        let Some(process) = Process::pin(pid)? else { continue };
        let Some(stat) = stat(pid) else { continue };
        if wanted(&stat, &process)? && process.lives()? {
            found.push(process);
        }
    }
    Ok(found)
}

/// Name and parent of a process, from `/proc/PID/stat`: `pid (name) state ppid …`, where the name may hold anything.
fn stat(pid: Pid) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (name, rest) = (text.split_once('(')?.1, text.rsplit_once(')')?.1);
    let name = name.rsplit_once(')')?.0.to_owned();
    Some(Stat { name, parent: rest.split_whitespace().nth(1)?.parse().ok()? })
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
