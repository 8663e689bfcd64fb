//! System V shared memory: 56 bytes that a server which is killed leaves until the next boot, or a start in the same directory.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use program::{tool, trust};
use rustix::process::Pid;
use xshell::{Shell, cmd};

use super::data_owner::{owner, recorded_pid};
use crate::process::Process;

/// Time for `ipcrm`.
const IPCRM_DEADLINE: Duration = Duration::from_secs(10);

/// The segments of a server, noted while it lives: nothing that its user writes afterwards hides them.
pub(super) struct Segments {
    maker: Pid,
    owner: Option<u32>,
    ids: Vec<u64>,
}

impl Segments {
    /// Those that a process has attached. Only those that it made itself are removed: a backend has its postmaster's.
    /// None are known of one that does not show its memory: they are not worth letting it live for.
    pub(super) fn of(process: &Process) -> Segments {
        let maps = process.in_memory("maps").unwrap_or_default();
        let ids = String::from_utf8_lossy(&maps).lines().filter_map(attached).collect();
        Segments { maker: process.pid, owner: process.uid(), ids }
    }

    /// Removes what is left of them, once the process and its children are gone.
    ///
    /// # Errors
    /// What the system says. That `ipcrm` fails is none: 56 bytes of shared memory are not worth failing for.
    pub(super) fn remove_left(self) -> Result<()> {
        let Some(owner) = self.owner else { return Ok(()) };
        let of = |row: &Row| row.maker == self.maker && row.owner == owner && self.ids.contains(&row.id);
        remove(of)
    }
}

/// By one line of `/proc/PID/maps`, `from-to perms offset device inode name`: a System V segment's inode is its number.
fn attached(line: &str) -> Option<u64> {
    let mut words = line.split_whitespace().skip(4);
    let (inode, name) = (words.next()?, words.next()?);
    if name.starts_with("/SYSV") { inode.parse().ok() } else { None }
}

/// Removes the segment of a dead postmaster that its `postmaster.pid` names. To be called before the directory, or that file,
/// is removed.
///
/// # Errors
/// As [`Segments::remove_left`].
pub(super) fn remove_recorded(data: &Path) -> Result<()> {
    let Ok(Some(maker)) = recorded_pid(data) else { return Ok(()) }; // what is no plain file names none
    let text = trust::read_plain(&data.join("postmaster.pid")).unwrap_or_default();
    let line = text.lines().nth(6).unwrap_or_default();
    let mut words = line.split_whitespace().map(str::parse::<i64>);
    let (Some(Ok(key)), Some(Ok(id))) = (words.next(), words.next()) else { return Ok(()) };
    let Some(owner) = owner(data)? else { return Ok(()) };
    remove(|row| row.maker == maker && row.owner == owner && row.key == key as u32 && u64::try_from(id) == Ok(row.id))
}

/// A segment that nobody is attached to, by `/proc/sysvipc/shm`.
struct Row {
    key: u32,
    id: u64,
    maker: Pid,
    owner: u32,
}

impl Row {
    /// `key shmid perms size cpid lpid nattch uid …`; the key is printed as a signed number.
    fn of(line: &str) -> Option<Row> {
        let columns: Vec<i64> = line.split_whitespace().take(8).map(str::parse).collect::<Result<_, _>>().ok()?;
        let &[key, id, _, _, maker, _, 0, owner] = columns.as_slice() else { return None };
        let maker = Pid::from_raw(i32::try_from(maker).ok()?)?;
        Some(Row { key: key as u32, id: id.try_into().ok()?, maker, owner: owner.try_into().ok()? })
    }
}

fn remove(wanted: impl Fn(&Row) -> bool) -> Result<()> {
    let table = fs::read_to_string("/proc/sysvipc/shm").unwrap_or_default();
    for row in table.lines().filter_map(Row::of).filter(wanted) {
        let (sh, id) = (Shell::new().context("a shell")?, row.id.to_string());
        let _ = tool::run(cmd!(sh, "ipcrm -m {id}").into(), IPCRM_DEADLINE);
    }
    Ok(())
}
