//! Processes, proven ours before anything is done to them.
//!
//! A pid is only a number that the system may give away again. So each process is pinned by a pidfd first, then proven
//! by its working directory (PostgreSQL's processes live in their data directory), its user and its program, then signalled
//! through the pidfd.

use std::fs;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// Time for killed processes to be gone. The kernel needs milliseconds; a process in an uninterruptible write longer.
pub(crate) const GONE: Duration = Duration::from_secs(10);

/// How much of that is read: a server's maps have some 30 kB.
const MOST_BYTES: u64 = 16 << 20;

/// Time for the kernel to copy out what a process has in its memory: microseconds, and seconds on a machine that is too busy.
const SHOWN: Duration = Duration::from_secs(3);

/// A process, pinned: whatever is done to it or asked of it, it is this one.
pub(crate) struct Process {
    pub(crate) pid: Pid,
    fd: OwnedFd,
}

impl Process {
    /// Pins a process; `None` if there is none of that number.
    pub(crate) fn pin(pid: Pid) -> Result<Option<Process>> {
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(fd) => Ok(Some(Process { pid, fd })),
            Err(Errno::SRCH | Errno::INVAL) => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot look at process {pid}")),
        }
    }

    /// Whether it lives: neither gone nor a zombie that nobody has reaped.
    pub(crate) fn lives(&self) -> Result<bool> {
        let mut fds = [PollFd::new(&self.fd, PollFlags::IN)];
        Ok(poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).context("poll on a pidfd")? == 0)
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
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
        ensure!(
            ready > 0,
            "process {} still lives {GONE:?} after SIGKILL: the kernel waits for a disk, or for another program that serves it a \
             file system. `ps -U {}` lists those of its user: end what it may wait for, then try again",
            self.pid,
            self.uid().unwrap_or_default()
        );
        Ok(())
    }

    /// Whether it works in `dir`, and may do things as the user `owner`; below it, with `below`.
    ///
    /// Anybody can have a process that seems to stand there, in a mount namespace of his own, or that names it among its
    /// arguments. So whose it is comes first: nothing of what is asked then can be held up by somebody else.
    ///
    /// Root without CAP_SYS_PTRACE (as in a container) may not read the working directory of another user's process.
    /// What is then left is the command line, which names the data directory for a postmaster and for every tool.
    pub(crate) fn works_in(&self, dir: &Path, below: bool, owner: u32) -> Result<bool> {
        if self.uid() != Some(owner) {
            return Ok(false);
        }
        let fits = |path: &Path| path == dir || (below && path.starts_with(dir));
        match fs::read_link(format!("/proc/{}/cwd", self.pid)) {
            Ok(cwd) => Ok(fits(&cwd)),
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                Ok(self.arguments()?.iter().any(|argument| fits(Path::new(argument))))
            }
            // What is that deep has no path that could be named, and nothing of ours works there.
            Err(error) if error.kind() == std::io::ErrorKind::InvalidFilename => Ok(false),
            Err(error) if is_gone(&error) => Ok(false),
            Err(error) => Err(error).with_context(|| format!("cannot tell where process {} works", self.pid)),
        }
    }

    /// The user that it may do things as; `None` if it is gone.
    pub(crate) fn uid(&self) -> Option<u32> {
        let status = fs::read(format!("/proc/{}/status", self.pid)).ok()?; // its name may hold anything
        let text = String::from_utf8_lossy(&status);
        // Real, effective, saved, of the file system.
        text.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_whitespace().nth(1)?.parse().ok()
    }

    /// The program that it runs; where that may not be read, what it says that it is. One that was replaced on the disk,
    /// by an upgrade say, is shown as deleted.
    pub(crate) fn program(&self) -> PathBuf {
        match fs::read_link(format!("/proc/{}/exe", self.pid)) {
            Ok(exe) => match exe.as_os_str().as_bytes().strip_suffix(b" (deleted)") {
                Some(path) => PathBuf::from(std::ffi::OsStr::from_bytes(path)),
                None => exe,
            },
            Err(_) => self.arguments().ok().and_then(|words| words.first().map(PathBuf::from)).unwrap_or_default(),
        }
    }

    /// The process that it is a child of; `None` if it is gone.
    pub(crate) fn parent(&self) -> Option<i32> {
        stat(self.pid).map(|stat| stat.parent)
    }

    /// Whether it is stopped, or lives no more: in either case it does nothing.
    pub(crate) fn is_still(&self) -> Result<bool> {
        Ok(!self.lives()? || stat(self.pid).is_none_or(|stat| stat.state == 'T'))
    }

    /// Its command line; empty if it is gone.
    ///
    /// # Errors
    /// As [`Process::in_memory`].
    pub(crate) fn arguments(&self) -> Result<Vec<String>> {
        let bytes = self.in_memory("cmdline")?;
        Ok(bytes.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect())
    }

    /// A file of `/proc/PID` that stands in the process's own memory; empty if it is gone.
    ///
    /// # Errors
    /// If the kernel does not show it: it waits for a lock that the process holds, which may be for as long as somebody likes who
    /// serves it a file system. The thread that asks is left behind then.
    pub(crate) fn in_memory(&self, file: &str) -> Result<Vec<u8>> {
        let path = format!("/proc/{}/{file}", self.pid);
        let (tell, told) = mpsc::channel();
        let read = move || -> std::io::Result<Vec<u8>> {
            let mut bytes = Vec::new();
            fs::File::open(path)?.take(MOST_BYTES).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        std::thread::spawn(move || tell.send(read().unwrap_or_default()));
        let Ok(bytes) = told.recv_timeout(SHOWN) else {
            bail!(
                "process {} of user {} does not show its {file} within {SHOWN:?}: end it, or what it waits for, then try again",
                self.pid,
                self.uid().unwrap_or_default()
            )
        };
        Ok(bytes)
    }
}

fn is_gone(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::NotFound || error.raw_os_error() == Some(Errno::SRCH.raw_os_error())
}

/// What `/proc/PID/stat` says.
pub(crate) struct Stat {
    pub(crate) name: String,
    /// `R` running, `S` sleeping, `T` stopped, and so on (proc(5)).
    pub(crate) state: char,
    pub(crate) parent: i32,
}

/// The living processes that `wanted` wants, each pinned before it is asked.
///
/// # Errors
/// If one of them cannot be looked at (no descriptor is left, say): a list with holes must not pass for a whole one.
pub(crate) fn processes(wanted: impl Fn(&Stat, &Process) -> Result<bool>) -> Result<Vec<Process>> {
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

/// Name, state and parent of a process, from `/proc/PID/stat`: `pid (name) state ppid …`, where the name may hold anything.
fn stat(pid: Pid) -> Option<Stat> {
    let bytes = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let text = String::from_utf8_lossy(&bytes); // its user may call it anything
    let (name, rest) = (text.split_once('(')?.1, text.rsplit_once(')')?.1);
    let name = name.rsplit_once(')')?.0.to_owned();
    let mut words = rest.split_whitespace();
    let (state, parent) = (words.next()?.chars().next()?, words.next()?.parse().ok()?);
    Some(Stat { name, state, parent })
}

#[cfg(test)]
mod tests {
    use std::os::fd::{AsRawFd as _, OwnedFd};
    use std::process::Command;

    use rustix::fs::{Mode, OFlags, mkdirat, openat};

    use super::*;

    /// Else anybody could keep all labs of a machine from being taken down.
    #[test]
    fn who_stands_deeper_than_a_path_is_long_is_in_nobodys_way() {
        let dir = tempfile::tempdir().unwrap();
        let (mut at, name) = (OwnedFd::from(fs::File::open(dir.path()).unwrap()), "d".repeat(200));
        for _ in 0..30 {
            mkdirat(&at, name.as_str(), Mode::RWXU).unwrap();
            at = openat(&at, name.as_str(), OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                .unwrap();
        }
        let mut command = Command::new("sleep");
        command.arg("600").current_dir(format!("/proc/self/fd/{}", at.as_raw_fd()));
        let mut child = command.spawn().unwrap();
        let process = Process::pin(Pid::from_raw(child.id().cast_signed()).unwrap()).unwrap().unwrap();
        let works_there = process.works_in(dir.path(), true, rustix::process::geteuid().as_raw());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!works_there.unwrap());
    }

    /// A program of the system's that has taken another user's rights may be told from that user's by this alone.
    #[test]
    fn as_root_a_process_is_whose_rights_it_has() {
        if !rustix::process::geteuid().is_root() {
            return; // there is nobody else to be
        }
        let mut command = Command::new("setpriv");
        command.args(["--ruid=65534", "--euid=54321", "--clear-groups", "sleep", "600"]);
        let mut child = command.spawn().unwrap();
        let process = Process::pin(Pid::from_raw(child.id().cast_signed()).unwrap()).unwrap().unwrap();
        let look = || Ok(process.uid() == Some(54_321));
        let seen = cluster::wait::until_true("it to be that user", GONE, Duration::from_millis(5), look);
        child.kill().unwrap();
        child.wait().unwrap();
        seen.unwrap();
    }
}
