//! Servers that are not ours and run as the same user of the system as ours: either could read and signal the other.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::account::{Account, DEDICATED};
use crate::marker;
use crate::process::{Process, processes};

/// What there is to say of one, if there is one. As ourselves we need no warning of what we run ourselves.
///
/// # Errors
/// If the processes of this machine cannot be listed.
pub(crate) fn warning(account: Account) -> Result<Option<String>> {
    let Account::Other { uid, .. } = account else { return Ok(None) };
    // The oldest of them, most often the postmaster.
    let Some((pid, dir)) = foreign_servers(uid)?.into_iter().min() else { return Ok(None) };
    Ok(Some(format!(
        "the lab's servers run as the same user (uid {uid}) as process {pid}, a server in {}: each can read and signal the \
         other. A user of their own keeps them apart: useradd --system {DEDICATED}",
        report::foreign::one_line(&dir.to_string_lossy())
    )))
}

/// The PostgreSQL servers of that user in directories that are no lab's. What is gone, or may not be looked at, is not among
/// them.
fn foreign_servers(uid: u32) -> Result<Vec<(i32, PathBuf)>> {
    let servers = processes(|stat, process| {
        let proc = proc_of(process);
        Ok(stat.name == "postgres"
            && process.uid() == Some(uid)
            && fs::read_link(proc.join("exe")).is_ok_and(|exe| exe.ends_with("postgres")))
    })?;
    let with_dir =
        |process: &Process| Some((process.pid.as_raw_pid(), fs::read_link(proc_of(process).join("cwd")).ok()?));
    Ok(servers.iter().filter_map(with_dir).filter(|(_, dir)| !is_labs(dir)).collect())
}

fn proc_of(process: &Process) -> PathBuf {
    PathBuf::from(format!("/proc/{}", process.pid))
}

/// Whether a server's directory is a lab's: it or one above it bears a marker.
fn is_labs(dir: &Path) -> bool {
    dir.ancestors().take(3).any(|dir| dir.join(marker::FILE).exists())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::process::Command;
    use std::time::Duration;

    use super::*;

    #[test]
    fn as_root_a_server_of_the_same_user_is_told_of() {
        let Account::Other { uid, gid } = Account::for_servers().unwrap() else { return };
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let server = dir.path().join("postgres");
        fs::copy("/bin/sleep", &server).unwrap();
        let command = Account::Other { uid, gid }.apply(Command::new(&server));
        let mut child = { command }.arg("60").current_dir(dir.path()).spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let is_seen = || foreign_servers(uid).unwrap().contains(&(pid, dir.path().to_owned()));
        let (limit, look) = (Duration::from_secs(10), Duration::from_millis(5));
        let seen = cluster::wait::until_true("it to be seen", limit, look, || Ok(is_seen()));
        let seen_as_anothers = foreign_servers(uid + 1).unwrap().iter().any(|(found, _)| *found == pid);
        let told = warning(Account::Other { uid, gid }).unwrap();
        fs::write(dir.path().join(marker::FILE), "").unwrap();
        let seen_as_a_labs = is_seen();
        child.kill().unwrap();
        child.wait().unwrap();
        seen.unwrap();
        assert!(told.is_some_and(|told| told.contains(&format!("(uid {uid})")) && told.contains("useradd --system")));
        assert!(!seen_as_a_labs && !seen_as_anothers);
        assert!(warning(Account::Own).unwrap().is_none());
    }
}
