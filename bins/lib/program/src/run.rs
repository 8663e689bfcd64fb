//! One run: its name, its clock, its folder.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::clock::{Clock, ORIGIN_VARIABLE};

/// Where the starter of a run hands its name to its children.
pub const RUN_VARIABLE: &str = "UNDERSTUDY_RUN";

/// How long a run's name may be: with a word before it, it is an `application_name`, which PostgreSQL cuts at 63 bytes.
const LONGEST_NAME: usize = 50;

/// One execution, of one program or of several together.
#[derive(Clone, Debug)]
pub struct Run {
    /// Its name: the first column of every row.
    pub name: String,
    /// Its clock.
    pub clock: Clock,
}

impl Run {
    /// The run that this program is part of; alone, a run of its own, named after `what` it does.
    ///
    /// # Errors
    /// If the environment hands on a name or an origin that cannot be.
    pub fn current(what: &str) -> Result<Run> {
        let clock = Clock::of_this_run()?;
        let name = match std::env::var(RUN_VARIABLE) {
            Ok(name) => name,
            // The process id keeps two programs apart that begin in the same second.
            Err(_) => format!("{}-{what}-{}", utc_now(), std::process::id()),
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
        ensure!(
            !name.is_empty() && name.len() <= LONGEST_NAME && name.chars().all(plain),
            "{RUN_VARIABLE}={name:?}: a run's name has 1 to {LONGEST_NAME} letters, digits, `-`, `_`, `.`, `:`"
        );
        Ok(Run { name, clock })
    }

    /// Makes a command part of this run.
    pub fn hand_on(&self, command: &mut Command) {
        command.env(RUN_VARIABLE, &self.name).env(ORIGIN_VARIABLE, self.clock.origin_ns().to_string());
    }

    /// Starts a new run with a folder of its own below `runs`, and points `latest` beside it there.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn with_folder(runs: &Path, what: &str) -> Result<(Run, PathBuf)> {
        fs::create_dir_all(runs).with_context(|| format!("cannot make {}", runs.display()))?;
        let stem = format!("{}-{what}", utc_now());
        for number in 1..100 {
            let name = if number == 1 { stem.clone() } else { format!("{stem}-{number}") };
            let folder = runs.join(&name);
            match fs::create_dir(&folder) {
                Ok(()) => {
                    fs::create_dir(folder.join("log"))
                        .with_context(|| format!("cannot make {}/log", folder.display()))?;
                    point_latest(runs, &name)?;
                    return Ok((Run { name, clock: Clock::starting_now() }, folder));
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error).with_context(|| format!("cannot make {}", folder.display())),
            }
        }
        bail!("{} has a hundred runs of this very second", runs.display())
    }
}

/// The date and time in UTC as a file name can hold them: `20261121T024400Z`.
#[must_use]
pub fn utc_now() -> String {
    jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// The seconds since 1970 now, as monitoring systems count.
#[must_use]
pub fn unix_now_s() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// The date and time in UTC of a clock's origin, to the microsecond: `2026-11-21T02:44:00.123456Z`.
#[must_use]
pub fn utc_of_origin(clock: Clock) -> String {
    let since = std::time::Duration::from_micros(clock.now_us());
    let now = jiff::Timestamp::now();
    now.checked_sub(since).unwrap_or(now).strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// Points `latest`, beside the folder of all runs, at the run `name`.
fn point_latest(runs: &Path, name: &str) -> Result<()> {
    let (Some(reports), Some(runs_name)) = (runs.parent(), runs.file_name()) else { return Ok(()) };
    let (latest, new) = (reports.join("latest"), reports.join(format!(".latest-{}", std::process::id())));
    let _ = fs::remove_file(&new);
    std::os::unix::fs::symlink(Path::new(runs_name).join(name), &new)
        .and_then(|()| fs::rename(&new, &latest))
        .with_context(|| format!("cannot point {} at the run", latest.display()))
}
