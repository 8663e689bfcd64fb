//! The shared memory of every server that works in a home, noted while it works: what is left of it is known afterwards,
//! whatever other tests make at the same time.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Result, ensure};

/// Looks at the processes below a directory until it is asked what they left.
pub struct Witness {
    noted: Arc<Mutex<BTreeSet<Noted>>>,
    done: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// What a server has attached.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Noted {
    /// A System V segment, by its number.
    Segment(String),
    /// A POSIX one, by its file.
    File(PathBuf),
}

impl Witness {
    /// Looks once in `every`; an error if there is no such directory.
    ///
    /// # Errors
    /// What the system says.
    pub fn of(home: &Path, every: Duration) -> Result<Witness> {
        let below = home.canonicalize()?;
        let (noted, done) = (Arc::new(Mutex::new(BTreeSet::new())), Arc::new(AtomicBool::new(false)));
        let thread = std::thread::spawn({
            let (noted, done) = (Arc::clone(&noted), Arc::clone(&done));
            move || {
                while !done.load(Ordering::Relaxed) {
                    noted.lock().unwrap_or_else(PoisonError::into_inner).extend(attached_below(&below));
                    std::thread::park_timeout(every);
                }
            }
        });
        Ok(Witness { noted, done, thread })
    }

    /// What was attached once and is still there, now that every server is gone.
    ///
    /// # Errors
    /// If no server was ever seen, or it cannot be told.
    pub fn left(self) -> Result<Vec<Noted>> {
        self.done.store(true, Ordering::Relaxed);
        self.thread.thread().unpark();
        ensure!(self.thread.join().is_ok(), "the witness of shared memory failed");
        let noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        ensure!(noted.iter().any(|one| matches!(one, Noted::Segment(_))), "no server was seen: {noted:?}");
        let table = fs::read_to_string("/proc/sysvipc/shm")?;
        let is_there = |one: &&Noted| match one {
            Noted::Segment(id) => table.lines().any(|row| row.split_whitespace().nth(1) == Some(id)),
            Noted::File(file) => file.exists(),
        };
        Ok(noted.iter().filter(is_there).cloned().collect())
    }
}

/// By the memory maps of the processes that work below `dir`: for a System V segment, the inode is its number.
fn attached_below(dir: &Path) -> Vec<Noted> {
    let pids = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let maps = pids
        .filter(|pid| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(dir)))
        .filter_map(|pid| fs::read_to_string(format!("/proc/{pid}/maps")).ok());
    maps.flat_map(|maps| maps.lines().filter_map(attached).collect::<Vec<_>>()).collect()
}

/// One line of a memory map: `from-to perms offset device inode name`.
fn attached(line: &str) -> Option<Noted> {
    let mut words = line.split_whitespace().skip(4);
    let (inode, name) = (words.next()?, words.next()?);
    if name.starts_with("/SYSV") {
        return Some(Noted::Segment(inode.to_owned()));
    }
    name.starts_with("/dev/shm/PostgreSQL.").then(|| Noted::File(PathBuf::from(name)))
}
