//! The folder of a run, and `run.toml` in it: what has to be known to read the figures.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use program::run::{Run, utc_of_origin};
use serde::Serialize;
use xshell::{Shell, cmd};

use crate::build::workspace;

/// `run.toml`.
#[derive(Serialize)]
struct RunFile {
    run: String,
    command_line: Vec<String>,
    understudy_version: &'static str,
    /// The commit that was run; `+` if there were changes beside it.
    commit: String,
    origin_utc: String,
    /// CLOCK_MONOTONIC at the origin: with the boot id, times of other programs on this machine can be compared.
    origin_monotonic_ns: u64,
    boot_id: Option<String>,
    kernel: Option<String>,
    cpus: Option<usize>,
}

/// Makes the folder `reports/runs/<UTC time>-<what>` with its `run.toml`; in `runs`, where that is given.
pub(crate) fn make(sh: &Shell, what: &str, runs: Option<&Path>) -> Result<(Run, PathBuf)> {
    let runs = match runs {
        Some(runs) => std::path::absolute(runs).with_context(|| runs.display().to_string())?,
        None => workspace().join("reports/runs"),
    };
    let (run, dir) = Run::with_folder(&runs, what)?;
    let file = RunFile {
        run: run.name.clone(),
        command_line: std::env::args().collect(),
        understudy_version: env!("CARGO_PKG_VERSION"),
        commit: commit(sh),
        origin_utc: utc_of_origin(run.clock),
        origin_monotonic_ns: run.clock.origin_ns(),
        boot_id: system_file("/proc/sys/kernel/random/boot_id"),
        kernel: system_file("/proc/sys/kernel/osrelease"),
        cpus: std::thread::available_parallelism().ok().map(Into::into),
    };
    let path = dir.join("run.toml");
    std::fs::write(&path, toml::to_string(&file)?).with_context(|| format!("cannot write {}", path.display()))?;
    Ok((run, dir))
}

/// The path of a run's folder as the reader can type it from the workspace.
pub(crate) fn shown(dir: &Path) -> String {
    dir.strip_prefix(workspace()).unwrap_or(dir).display().to_string()
}

/// The commit, as far as git and a repository are there.
fn commit(sh: &Shell) -> String {
    let read = |command: xshell::Cmd<'_>| command.quiet().ignore_stderr().ignore_status().read().unwrap_or_default();
    let changes = read(cmd!(sh, "git status --porcelain --untracked-files=no"));
    read(cmd!(sh, "git rev-parse --short HEAD")) + if changes.is_empty() { "" } else { "+" }
}

fn system_file(path: &str) -> Option<String> {
    Some(std::fs::read_to_string(path).ok()?.trim().to_owned())
}
