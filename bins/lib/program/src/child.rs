//! Programs of ours that a program of ours starts.
//!
//! Each gets a pipe as stdin and runs in its own process group. Closing the pipe asks it to finish normally; should we
//! be killed, the system closes it.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::run::Run;
use crate::tool;

/// How long a program has to end after SIGTERM before it is killed: it ends its own children and flushes its rows.
const TERM_GRACE: Duration = Duration::from_secs(5);

/// Where our program `name` is: beside the one that runs.
///
/// # Errors
/// If it is not there.
pub fn path(name: &str) -> Result<PathBuf> {
    let here = std::env::current_exe().context("cannot find this program's own path")?;
    let mut dir = here.parent().unwrap_or(Path::new("/"));
    if dir.ends_with("deps") {
        dir = dir.parent().unwrap_or(dir); // a test runs from target/…/deps
    }
    let path = dir.join(name);
    ensure!(path.is_file(), "{} is missing: build all programs with `cargo build --release`", path.display());
    Ok(path)
}

/// How often a running program is looked at.
const POLL_EVERY: Duration = Duration::from_millis(2);

/// A command for our program `name`, as part of `run`.
///
/// # Errors
/// If the program is not there.
pub fn command(name: &str, run: &Run) -> Result<Command> {
    let mut command = Command::new(path(name)?);
    run.hand_on(&mut command);
    Ok(command)
}

/// A program of ours that runs.
pub struct Program {
    name: String,
    child: std::process::Child,
}

impl Program {
    /// Starts `name`, which then runs until it is told to finish; `--until-eof` is added. `stdout` and `log` are the
    /// files that its stdout and stderr go to.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(
        name: &str,
        args: impl IntoIterator<Item = impl AsRef<OsStr>>,
        run: &Run,
        stdout: File,
        log: File,
    ) -> Result<Program> {
        let mut command = command(name, run)?;
        command.args(args).arg("--until-eof");
        command.stdin(Stdio::piped()).stdout(stdout).stderr(log).process_group(0);
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Program { name: name.to_owned(), child })
    }

    /// Runs `name` to its own end. When a signal comes it is told to end too, and waited for.
    ///
    /// # Errors
    /// If it cannot be started, or a signal came.
    pub fn run(
        name: &str,
        args: impl IntoIterator<Item = impl AsRef<OsStr>>,
        run: &Run,
        stdout: impl Into<Stdio>,
        log: File,
    ) -> Result<ExitStatus> {
        Program::run_in(Path::new("."), name, args, run, stdout, log)
    }

    /// The same in another working directory.
    ///
    /// # Errors
    /// As [`Program::run`].
    pub fn run_in(
        dir: &Path,
        name: &str,
        args: impl IntoIterator<Item = impl AsRef<OsStr>>,
        run: &Run,
        stdout: impl Into<Stdio>,
        log: File,
    ) -> Result<ExitStatus> {
        let mut command = command(name, run)?;
        command.args(args).current_dir(dir).stdin(Stdio::null()).stdout(stdout).stderr(log).process_group(0);
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        let mut program = Program { name: name.to_owned(), child };
        loop {
            if let Some(status) = program.ended()? {
                return Ok(status);
            }
            // On a signal this returns, and dropping the program ends it.
            crate::stop::pause(POLL_EVERY)?;
        }
    }

    /// Its process id; its own until [`Program::ended`] has said how it ended.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its exit status, if it has ended by itself.
    ///
    /// # Errors
    /// What the system says.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().with_context(|| format!("cannot look at {}", self.name))
    }

    /// Asks it to finish normally and waits; after `grace` it is ended, first with SIGTERM.
    ///
    /// # Errors
    /// What the system says.
    pub fn finish(&mut self, grace: Duration) -> Result<ExitStatus> {
        drop(self.child.stdin.take());
        // A signal to us must not cut this short: what was asked to finish is waited for.
        if let Some(status) = self.wait(grace)? {
            return Ok(status);
        }
        self.end()
    }

    /// Tells it to end now, and kills it if it does not.
    fn end(&mut self) -> Result<ExitStatus> {
        // Not reaped yet: the pid is still its own.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        if let Some(status) = self.wait(TERM_GRACE)? {
            return Ok(status);
        }
        self.child.kill().with_context(|| format!("cannot kill {}", self.name))?;
        self.child.wait().with_context(|| format!("cannot wait for {}", self.name))
    }

    fn wait(&mut self, limit: Duration) -> Result<Option<ExitStatus>> {
        let end = std::time::Instant::now() + limit;
        loop {
            match tool::wait(&mut self.child, end.saturating_duration_since(std::time::Instant::now())) {
                Err(error) if error.is::<crate::stop::Interrupted>() => {
                    std::thread::sleep(Duration::from_millis(5)); // interrupted already: keep looking, bounded by `end`
                    if std::time::Instant::now() >= end {
                        return self.ended();
                    }
                }
                other => return other,
            }
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            drop(self.child.stdin.take());
            let _ = self.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::unix::process::ExitStatusExt as _;
    use std::time::Instant;

    use super::*;

    /// A program that stands for one of ours, once it has done what `first` says.
    fn program(first: &str, script: &str) -> Program {
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("{first}; echo; {script}")).process_group(0);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdout.take().unwrap().read_exact(&mut [0]).unwrap();
        Program { name: "sh".to_owned(), child }
    }

    #[test]
    fn it_is_asked_by_the_end_of_its_stdin_then_by_sigterm_and_then_killed() {
        let (soon, long) = (Duration::from_millis(200), Duration::from_secs(60));
        let begun = Instant::now();
        assert_eq!(program(":", "cat >/dev/null; exit 7").finish(long).unwrap().code(), Some(7));
        let deaf = |trap: &str| program(&format!("trap '{trap}' TERM"), "while :; do sleep 0.01; done");
        assert_eq!(deaf("exit 8").finish(soon).unwrap().code(), Some(8));
        assert!(begun.elapsed() < TERM_GRACE, "it was waited for: {:?}", begun.elapsed());
        assert_eq!(deaf("").finish(soon).unwrap().signal(), Some(9));
        assert!(begun.elapsed() > TERM_GRACE);
    }

    #[test]
    fn dropped_it_is_ended() {
        let program = program(":", "while :; do sleep 0.01; done");
        let pid = Pid::from_child(&program.child);
        drop(program);
        assert!(rustix::process::test_kill_process(pid).is_err(), "it still runs");
    }
}
