//! The inner cargo, and whatever else runs long before anything is measured: what it must not inherit, and that it ends
//! when we are told to end.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use program::progress::tell;
use program::{stop, tool};
use rustix::process::{Pid, Signal, kill_process_group};

/// How long something may take without a word.
const MUTE: Duration = Duration::from_secs(2);

/// Time to end after SIGTERM. Compilers end at once; `setup` first ends the tool that it runs.
const TERM_GRACE: Duration = Duration::from_secs(10);

/// How often a process is looked at that was told to end.
const POLL_EVERY: Duration = Duration::from_millis(5);

/// The workspace's directory.
pub(crate) fn workspace() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask).to_owned()
}

/// The command `cargo ARGS`, in the workspace, as a user would type it there.
///
/// `cargo xtask` is `cargo run`, which describes the package xtask in the environment of what it runs. Build scripts
/// that look at such variables (ring's does) would be run again, and everything that stands on them compiled again, each
/// time that somebody changes between `cargo xtask` and `cargo build`.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.args(args).current_dir(workspace());
    for (name, _) in std::env::vars_os() {
        if is_of_outer_cargo(&name.to_string_lossy()) {
            command.env_remove(name);
        }
    }
    command
}

/// Whether `cargo run` or `cargo test` sets it for what it runs. What a user sets to configure cargo (`CARGO_HOME`,
/// `CARGO_TARGET_DIR`, `CARGO_NET_…`, `CARGO_BUILD_…`, `RUSTUP_TOOLCHAIN`) is none of it.
fn is_of_outer_cargo(name: &str) -> bool {
    name == "CARGO" || ["CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_BIN_EXE_"].iter().any(|of| name.starts_with(of))
}

/// Runs a command to its end. When a signal comes, it is ended with all that it started: it has a process group of its
/// own. After [`MUTE`] `slow` is said.
///
/// # Errors
/// If it cannot be run, or a signal came.
pub(crate) fn to_its_end(mut command: Command, slow: Option<&str>) -> Result<ExitStatus> {
    let name = command.get_program().to_string_lossy().into_owned();
    let spawned = command.stdin(Stdio::null()).process_group(0).spawn();
    let mut child = spawned.with_context(|| format!("cannot run {name}"))?;
    let mut slow = slow;
    loop {
        match tool::wait(&mut child, MUTE) {
            Ok(Some(status)) => return Ok(status),
            // No deadline: how long a build or all tests take is up to the machine, and somebody watches.
            Ok(None) => slow.take().into_iter().for_each(tell),
            Err(error) => {
                end_group(&mut child);
                return Err(error);
            }
        }
    }
}

/// Ends a child and its process group: first with SIGTERM.
fn end_group(child: &mut Child) {
    // Not reaped yet: the pid is still its own, and so is the group.
    let group = Pid::from_child(child);
    let _ = kill_process_group(group, Signal::TERM);
    let end = Instant::now() + TERM_GRACE;
    while matches!(child.try_wait(), Ok(None)) {
        if Instant::now() >= end {
            let _ = kill_process_group(group, Signal::KILL);
            let _ = child.wait();
            return;
        }
        std::thread::sleep(POLL_EVERY); // not `stop::pause`: it is a signal that has brought us here
    }
}

/// Says what a signal has left, where one came.
pub(crate) fn explain_interrupt<T>(result: Result<T>, state: &str) -> Result<T> {
    if result.is_err() && stop::check().is_err() {
        tell(&format!("interrupted: {state}"));
    }
    result
}

#[cfg(test)]
mod tests {
    use super::is_of_outer_cargo;

    #[test]
    fn what_a_user_sets_for_cargo_is_kept() {
        for name in
            ["CARGO_HOME", "CARGO_TARGET_DIR", "CARGO_NET_OFFLINE", "CARGO_BUILD_JOBS", "RUSTUP_TOOLCHAIN", "PATH"]
        {
            assert!(!is_of_outer_cargo(name), "{name}");
        }
        for name in ["CARGO", "CARGO_MANIFEST_DIR", "CARGO_MANIFEST_PATH", "CARGO_PKG_NAME", "CARGO_PKG_VERSION_PRE"] {
            assert!(is_of_outer_cargo(name), "{name}");
        }
    }
}
