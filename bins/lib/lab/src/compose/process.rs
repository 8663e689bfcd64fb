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
        Ok(process.works_in(&dir, true, rustix::process::geteuid().as_raw())?
            && environment().split(|byte| *byte == 0).any(|word| word == ours.as_bytes()))
    })?;
    for process in &found {
        process.signal(Signal::KILL)?;
        process.wait_gone(end)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::process::CommandExt as _;
    use std::process::{Child, Command};

    use super::*;

    #[test]
    fn a_process_is_a_containers_first_only_if_its_control_group_says_so() {
        let own = std::process::id().to_string();
        assert!(first_of_container(&own, "").unwrap().is_some(), "every group holds no name at all");
        assert!(first_of_container(&own, "no-container-of-ours").unwrap().is_none());
        assert!(first_of_container("0", "").unwrap().is_none() && first_of_container("x", "").unwrap().is_none());
    }

    fn works(child: &mut Child) -> bool {
        child.try_wait().unwrap().is_none()
    }

    /// Each of the others lacks one of the three.
    #[test]
    fn of_the_engines_clients_only_the_labs_own_are_killed() {
        let (dir, elsewhere, id) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), LabId::new());
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let client = |dir: &Path, lab: &LabId| {
            let mut command = Command::new("sleep");
            command.arg("600").current_dir(dir).env("UNDERSTUDY_LAB", lab.as_str());
            command
        };
        let mut ours = client(dir.path(), &id).spawn().unwrap();
        let mut others = vec![
            client(elsewhere.path(), &id).spawn().unwrap(),
            client(dir.path(), &LabId::new()).spawn().unwrap(),
            client(dir.path(), &id).env_remove("UNDERSTUDY_LAB").spawn().unwrap(),
        ];
        if rustix::process::geteuid().is_root() {
            others.push(client(dir.path(), &id).uid(65_534).spawn().unwrap());
        }
        let killed = kill_clients_below(dir.path(), &id);
        let (ours_works, others_work) = (works(&mut ours), others.iter_mut().map(works).collect::<Vec<_>>());
        for mut child in others.into_iter().chain([ours]) {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        killed.unwrap();
        assert!(!ours_works && others_work.iter().all(|works| *works), "{ours_works} {others_work:?}");
    }
}
