//! PostgreSQL's programs that nobody waits for any more: what a killed set-up or a killed server left running.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use rustix::process::Signal;

use crate::process::{GONE, Process, processes};

/// The programs that a lab starts in its directories.
const TOOLS: [&str; 7] = ["postgres", "initdb", "pg_ctl", "pg_basebackup", "pg_rewind", "pg_waldump", "pg_controldata"];

/// Kills every process that runs one of PostgreSQL's programs from `bin` and works below `dir`: backends without their
/// postmaster, and tools that a killed set-up left behind. Nobody's shell, and nothing else that only stands there.
///
/// # Errors
/// If one of them is not gone in time.
pub(super) fn kill_below(dir: &Path, bin: &Path) -> Result<u32> {
    kill_wanted(dir, bin, |_| true)
}

/// As [`kill_below`], but servers and their backends are left at work: what is ended is the tools that a killed
/// set-up left behind, with the servers that `initdb` and `pg_rewind` start for themselves.
///
/// # Errors
/// As [`kill_below`].
pub(super) fn kill_orphans_below(dir: &Path, bin: &Path) -> Result<u32> {
    kill_wanted(dir, bin, |process| {
        let arguments = process.arguments();
        let alone = arguments.iter().any(|argument| matches!(argument.as_str(), "--single" | "--boot" | "--check"));
        alone
            || !arguments
                .first()
                .is_some_and(|program| program.starts_with("postgres") || program.ends_with("/postgres"))
    })
}

fn kill_wanted(dir: &Path, bin: &Path, wanted: impl Fn(&Process) -> bool) -> Result<u32> {
    let dir = dir.canonicalize().with_context(|| dir.display().to_string())?;
    let end = Instant::now() + GONE;
    let mut killed = 0;
    loop {
        let found =
            processes(|_, process| Ok(process.works_in(&dir, true)? && runs_tool_of(process, bin) && wanted(process)))?;
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

/// Whether a process runs one of PostgreSQL's programs from `bin`.
fn runs_tool_of(process: &Process, bin: &Path) -> bool {
    let program = match fs::read_link(format!("/proc/{}/exe", process.pid)) {
        Ok(exe) => exe,
        Err(_) => process.arguments().first().map(PathBuf::from).unwrap_or_default(),
    };
    let is_tool = program.file_name().is_some_and(|name| TOOLS.iter().any(|tool| *tool == name));
    is_tool && program.parent() == Some(bin)
}
