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
        command_line: std::env::args().map(|word| without_password(&word)).collect(),
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

/// A word of the command line with `***` for what stands behind `password=` or, in a URI, between `:` and `@`.
fn without_password(word: &str) -> String {
    let mut shown = word.to_owned();
    if let Some((scheme, rest)) = shown.split_once("://")
        && let Some((login, host)) = rest.split_once('@')
        && let Some((user, _)) = login.split_once(':')
    {
        shown = format!("{scheme}://{user}:***@{host}");
    }
    let Some((before, value)) = shown.split_once("password=") else { return shown };
    // To the end of the word: a value in quotes may hold anything.
    let rest =
        value.split_once('&').filter(|_| before.contains("://")).map_or(String::new(), |(_, rest)| format!("&{rest}"));
    format!("{before}password=***{rest}")
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

#[cfg(test)]
mod tests {
    use super::without_password;

    #[test]
    fn a_run_keeps_no_password_of_its_command_line() {
        for (word, kept) in [
            ("postgres://me:s3:cret@h:5432/db", "postgres://me:***@h:5432/db"),
            (
                "--primary=postgresql://me@h/db?password=s3cret&sslmode=require",
                "--primary=postgresql://me@h/db?password=***&sslmode=require",
            ),
            ("host=h password='s3 cret' user=me", "host=h password=***"),
            ("--sync", "--sync"),
            ("postgres://h/db", "postgres://h/db"),
        ] {
            assert_eq!(without_password(word), kept);
        }
    }
}
