//! The postmaster of a data directory, and what it leaves behind when it dies.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use cluster::wait::until_true;
use program::trust;
use rustix::process::Signal;

use super::data_owner::{owner, recorded_pid};
use super::memory::{self, Segments};
use super::ours::Ours;
use crate::process::{GONE, Process, processes};

/// How often a server is looked at that stops or shuts down.
const LOOK: Duration = Duration::from_millis(1);

/// Time for a process that ends to be gone, once it has given up its memory and so its program.
const ENDING: Duration = Duration::from_millis(500);

/// The postmaster of a data directory.
pub struct Postmaster {
    process: Process,
    data: PathBuf,
    /// Its owner, and so the servers' user.
    owner: u32,
}

impl Postmaster {
    /// The living postmaster of a lab's data directory `data`, whose parent bears the lab's marker; `None` if there is none. A
    /// process of another user is none, whatever its number: PostgreSQL serves no data directory but its owner's.
    ///
    /// # Errors
    /// If `data` is a link, if a process works there that is not provably the lab's, or if it cannot be told.
    pub(crate) fn of(data: &Path, ours: &Ours) -> Result<Option<Postmaster>> {
        let Some(owner) = owner(data)? else { return Ok(None) };
        let Some(pid) = recorded_pid(data)? else { return Ok(None) };
        let data = data.canonicalize().with_context(|| data.display().to_string())?;
        let Some(process) = Process::pin(pid)? else { return Ok(None) };
        // The order matters: pinned first, then proven, then still alive, so that it is this process that was proven.
        if !process.works_in(&data, false, owner)? || !process.lives()? {
            return Ok(None);
        }
        Ok(is_proven(&process, &data, owner, ours)?.then_some(Postmaster { process, data, owner }))
    }

    /// As [`Postmaster::of`], for who ends it: where `postmaster.pid` is no plain file, which is the servers' user's doing, the
    /// server is found by where it works.
    ///
    /// # Errors
    /// As [`Postmaster::of`].
    pub(crate) fn to_end(data: &Path, ours: &Ours) -> Result<Option<Postmaster>> {
        let Some(owner) = owner(data)? else { return Ok(None) };
        if recorded_pid(data).is_ok() {
            return Postmaster::of(data, ours);
        }
        let data = data.canonicalize().with_context(|| data.display().to_string())?;
        let mut servers = Vec::new();
        for process in processes(|stat, process| Ok(stat.name == "postgres" && process.works_in(&data, false, owner)?))?
        {
            if is_proven(&process, &data, owner, ours)? {
                servers.push(process);
            }
        }
        let numbers: Vec<i32> = servers.iter().map(|process| process.pid.as_raw_nonzero().get()).collect();
        let is_child = |process: &Process| process.parent().is_some_and(|parent| numbers.contains(&parent));
        let postmaster = servers.into_iter().find(|process| !is_child(process));
        Ok(postmaster.map(|process| Postmaster { process, data, owner }))
    }

    /// Whether it takes connections: the eighth line of `postmaster.pid`, by which `pg_ctl --wait` tells it too. Else it
    /// is starting or stopping.
    #[must_use]
    pub fn takes_connections(&self) -> bool {
        let text = trust::read_plain(&self.data.join("postmaster.pid")).unwrap_or_default();
        text.lines().nth(7).is_some_and(|status| matches!(status.trim(), "ready" | "standby"))
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// What the system says.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.process.signal(signal)
    }

    /// Kills it and all its children at once, and returns when all are seen to be gone.
    ///
    /// Each backend is its own session and process group, so the children are listed first: with the postmaster alone
    /// gone, two more acks came through. `first_act` is called between the listing and the first signal.
    ///
    /// All are stopped before the first is killed: a process that dies takes the processor that the next signal needs.
    /// Killed one by one, the last of 300 backends on two busy cores acknowledged a write 0.6 s after the first was dead;
    /// a server that crashes is gone at once.
    ///
    /// # Errors
    /// If one of them is not gone in time.
    pub fn kill_all(&self, first_act: &mut dyn FnMut()) -> Result<()> {
        let children = self.children()?;
        first_act();
        for signal in [Signal::STOP, Signal::KILL] {
            self.process.signal(signal)?;
            for child in &children {
                child.signal(signal)?;
            }
        }
        let end = Instant::now() + GONE;
        self.process.wait_gone(end)?;
        for child in &children {
            child.wait_gone(end)?;
        }
        // A child that was forked between the listing and the kill dies with its postmaster, but not at once.
        loop {
            let left = self.left_over()?;
            if left.is_empty() {
                return Ok(());
            }
            for process in &left {
                process.signal(Signal::KILL)?;
                process.wait_gone(end)?;
            }
        }
    }

    /// Stops it and all its children, and returns when all are seen to be stopped. `first_act` is called just before.
    ///
    /// The postmaster first, and the children once it makes no more of them: with the children alone stopped, new sessions
    /// would be served, and with the postmaster alone the old ones are.
    ///
    /// # Errors
    /// If one of them is not stopped in time; then all go on.
    pub fn freeze_all(&self, first_act: &mut dyn FnMut()) -> Result<()> {
        first_act();
        let frozen = self.try_freeze();
        if frozen.is_err() {
            self.thaw_all()?;
        }
        frozen
    }

    fn try_freeze(&self) -> Result<()> {
        let end = Instant::now() + GONE;
        freeze(&self.process, end)?;
        // A child of a moment ago may be missing from a list, but not from the next one.
        let mut known = 0;
        loop {
            let children = self.children()?;
            for child in &children {
                child.signal(Signal::STOP)?;
            }
            for child in &children {
                freeze(child, end)?;
            }
            if children.len() <= known {
                return Ok(());
            }
            known = children.len();
        }
    }

    /// Whether it is stopped: it makes no child then, and answers nobody.
    ///
    /// # Errors
    /// What the system says.
    pub fn is_frozen(&self) -> Result<bool> {
        self.process.is_still()
    }

    /// Lets it and all its children go on; itself last, since it would wonder at children that do not answer.
    ///
    /// # Errors
    /// What the system says.
    pub fn thaw_all(&self) -> Result<()> {
        for process in self.children()?.iter().chain([&self.process]) {
            process.signal(Signal::CONT)?;
        }
        Ok(())
    }

    /// Asks for a fast shutdown, and waits until it is gone: to within a millisecond, where `pg_ctl` looks ten times a second.
    ///
    /// # Errors
    /// If it still runs after `limit`, or a signal comes.
    pub fn shut_down(&self, limit: Duration) -> Result<()> {
        ensure!(
            !self.is_frozen()? || !self.process.lives()?,
            "process {} is frozen: it would not shut down",
            self.process.pid
        );
        self.process.signal(Signal::INT)?;
        until_true("the server to shut down", limit, LOOK, || Ok(!self.process.lives()?))
    }

    /// The shared memory that it leaves if it is killed.
    pub(super) fn segments(&self) -> Segments {
        Segments::of(&self.process)
    }

    fn children(&self) -> Result<Vec<Process>> {
        let parent = self.process.pid.as_raw_nonzero().get();
        // It may be the parent of what it never started: its user can have it take in orphans, of others, too.
        processes(|stat, process| Ok(stat.parent == parent && process.uid() == Some(self.owner)))
    }

    fn left_over(&self) -> Result<Vec<Process>> {
        processes(|stat, process| Ok(stat.name == "postgres" && process.works_in(&self.data, false, self.owner)?))
    }
}

/// Stops a process and waits until it is.
fn freeze(process: &Process, end: Instant) -> Result<()> {
    process.signal(Signal::STOP)?;
    while !process.is_still()? {
        ensure!(Instant::now() < end, "process {} is not stopped {GONE:?} after SIGSTOP", process.pid);
        std::thread::sleep(LOOK);
    }
    Ok(())
}

/// Whether a process that works in the data directory is the lab's server; `false`: it is gone meanwhile. One that ends has no
/// program any more for a moment before it is gone, so whoever is not proven is given some time to go.
fn is_proven(process: &Process, data: &Path, owner: u32, ours: &Ours) -> Result<bool> {
    let end = Instant::now() + ENDING;
    loop {
        let proven = ours.check_server(process, data, owner);
        if !process.lives()? {
            return Ok(false);
        }
        if proven.is_ok() || Instant::now() >= end {
            return proven.map(|()| true);
        }
        std::thread::sleep(LOOK);
    }
}

/// Removes `postmaster.pid` if its postmaster is gone, and the shared memory that only this file still names. PostgreSQL
/// does that itself at a start, but not while the dead process is unreaped or its number belongs to somebody else.
///
/// # Errors
/// If it cannot be removed.
pub(crate) fn clear_stale_pid_file(data: &Path, ours: &Ours) -> Result<()> {
    if recorded_pid(data)?.is_some() && Postmaster::of(data, ours)?.is_none() {
        memory::remove_recorded(data)?;
        let file = data.join("postmaster.pid");
        fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
    }
    Ok(())
}

/// Removes the socket that a dead postmaster left in its directory `dir`, and the lock beside it: that names a pid, which may
/// be somebody else's by now, and then no server would start.
///
/// # Errors
/// What the system says.
pub fn clear_stale_socket(dir: &Path) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(".s.PGSQL.")) {
            crate::files::remove_file(&path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "postmaster_tests.rs"]
mod tests;
