//! What the kernel knows of containers, and of the engine's clients.

use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use rustix::process::{Pid, Signal};

use crate::marker::LabId;
use crate::process::{GONE, Process, processes};

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

/// Kills the container engine's clients of the lab `id` that a killed set-up left behind. They are ours, work below `dir`, and
/// have the lab's id in their environment: [`super::engine::Engine::at`] gives them both.
///
/// # Errors
/// If one of them is not gone in time.
pub(crate) fn kill_clients_below(dir: &Path, id: &LabId) -> Result<()> {
    let Ok(dir) = dir.canonicalize() else { return Ok(()) };
    let (end, ours) = (Instant::now() + GONE, format!("UNDERSTUDY_LAB={}", id.as_str()));
    let found = processes(|_, process| {
        let environment = || fs::read(format!("/proc/{}/environ", process.pid)).unwrap_or_default();
        let is_ours = || process.uid() == Some(rustix::process::geteuid().as_raw());
        Ok(process.works_in(&dir, true)?
            && is_ours()
            && environment().split(|byte| *byte == 0).any(|word| word == ours.as_bytes()))
    })?;
    for process in &found {
        process.signal(Signal::KILL)?;
        process.wait_gone(end)?;
    }
    Ok(())
}
