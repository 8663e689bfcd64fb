//! PostgreSQL's programs that nobody waits for any more: what a killed set-up or a killed server left running.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::Signal;

use super::memory::Segments;
use super::ours::Ours;
use crate::process::{GONE, Process, processes};

/// Time for `initdb` and the servers that tools start for themselves to end when nobody waits for them: a step of
/// `initdb` takes half a second, and on a busy machine many times that.
const END_BY_THEMSELVES: Duration = Duration::from_secs(15);

/// How often it is looked whether they have.
const LOOK: Duration = Duration::from_millis(10);

/// Kills every process that runs one of the lab's programs as the servers' user and works below `dir`: backends without their
/// postmaster, and tools that a killed set-up left behind. Nobody's shell, and nothing else that only stands there.
///
/// # Errors
/// If one of them is not gone in time.
pub(super) fn kill_below(dir: &Path, ours: &Ours) -> Result<u32> {
    kill_wanted(dir, ours, |_| Ok(true))
}

/// As [`kill_below`], but servers and their backends are left at work: what is ended is the tools that a killed
/// set-up left behind, with the servers that `initdb` and `pg_rewind` start for themselves.
///
/// # Errors
/// As [`kill_below`].
pub(super) fn kill_orphans_below(dir: &Path, ours: &Ours) -> Result<u32> {
    kill_wanted(dir, ours, |process| Ok(is_server_of_a_tool(process)? || !is_server(process)?))
}

/// Lets `initdb` below `dir`, and the servers that tools started for themselves, end by themselves, for some seconds; to
/// be called before anything is killed there. Such a server ends when its tool does; killed in its first moments, it leaves
/// shared memory that nothing names yet.
///
/// # Errors
/// If a process cannot be looked at, or a signal comes.
pub(super) fn end_gently_below(dir: &Path, ours: &Ours) -> Result<u32> {
    // One that does not say what it is gets no time of its own.
    let is_wanted = |process: &Process| Ok(is_initdb(process) || is_server_of_a_tool(process).unwrap_or(false));
    let begun = found_below(dir, ours, is_wanted)?;
    for process in begun.iter().filter(|process| is_initdb(process)) {
        process.signal(Signal::TERM)?; // it stops after the step that it is at
    }
    let end = Instant::now() + END_BY_THEMSELVES;
    while Instant::now() < end && !found_below(dir, ours, is_wanted)?.is_empty() {
        program::stop::pause(LOOK)?;
    }
    let mut ended = 0;
    for process in &begun {
        ended += u32::from(!process.lives()?);
    }
    Ok(ended)
}

fn found_below(dir: &Path, ours: &Ours, wanted: impl Fn(&Process) -> Result<bool>) -> Result<Vec<Process>> {
    let dir = dir.canonicalize().with_context(|| dir.display().to_string())?;
    let user = ours.account().uid();
    processes(|_, process| Ok(process.works_in(&dir, true, user)? && ours.is_tool(process) && wanted(process)?))
}

fn kill_wanted(dir: &Path, ours: &Ours, wanted: impl Fn(&Process) -> Result<bool>) -> Result<u32> {
    let (last, mut killed) = (Instant::now() + 2 * GONE, 0);
    loop {
        let found = found_below(dir, ours, &wanted)?;
        if found.is_empty() {
            return Ok(killed);
        }
        let segments: Vec<Segments> = found.iter().map(Segments::of).collect();
        let end = Instant::now() + GONE; // from here on: a process can make the look at its memory slow
        for process in &found {
            process.signal(Signal::KILL)?;
        }
        for process in &found {
            process.wait_gone(end)?;
            killed += 1;
        }
        segments.into_iter().try_for_each(Segments::remove_left)?;
        if Instant::now() >= last {
            bail!("processes below {} keep coming back", dir.display());
        }
    }
}

fn is_initdb(process: &Process) -> bool {
    process.program().file_name().is_some_and(|name| name == "initdb")
}

/// Whether it is a server, or a backend of one (which says what it does in place of its arguments).
fn is_server(process: &Process) -> Result<bool> {
    let arguments = process.arguments()?;
    Ok(arguments.first().is_some_and(|program| program.starts_with("postgres") || program.ends_with("/postgres")))
}

/// Whether it is a server that `initdb` or `pg_rewind` started for itself: on its own, for one session, fed by a pipe.
fn is_server_of_a_tool(process: &Process) -> Result<bool> {
    let arguments = process.arguments()?;
    Ok(is_server(process)? && arguments.iter().any(|word| matches!(word.as_str(), "--single" | "--boot" | "--check")))
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::super::bed_for_tests::{Lab, end};
    use super::*;

    /// Anybody may stand in a directory, with a program that calls itself what it likes.
    #[test]
    fn only_programs_of_the_lab_are_killed_below_its_directory() {
        let lab = Lab::new();
        let spawn = |program: &Path| -> Child {
            let mut command = Command::new(program);
            command.args(["-c", "read wait"]).current_dir(lab.data()).stdin(Stdio::piped()).spawn().unwrap()
        };
        let theirs = [spawn(Path::new("/bin/sh")), spawn(&lab.dir.path().join("elsewhere/postgres"))];
        let ours = spawn(&lab.dir.path().join("bin/postgres"));
        assert_eq!(kill_below(lab.dir.path(), &lab.ours).unwrap(), 1);
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&ours.wait_with_output().unwrap().status), Some(9));
        for mut other in theirs {
            assert!(other.try_wait().unwrap().is_none(), "it was killed");
            end(other);
        }
    }
}
