//! `setup --backend local`: what only a lab of local servers has to settle before anything is made.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use program::progress::Progress;

use super::LocalLab;
use crate::binaries::Binaries;
use crate::secrets::Secrets;
use crate::state::LabState;
use crate::wanted::{NODE, Wanted};
use crate::{converge, neighbours};

/// Makes the lab what was asked and returns the path of its cluster file.
///
/// # Errors
/// If it cannot. Of a new lab nothing is left then; one that was there has the settings that it had, and what was made
/// so far.
pub fn converge(wanted: &Wanted, progress: &Progress) -> Result<PathBuf> {
    wanted.check()?;
    let old = wanted.old_state()?;
    check_sockets_fit(&wanted.dir())?;
    let binaries = choose_binaries(wanted, old.as_ref())?;
    progress.say(&format!("PostgreSQL {} from {} ({})", binaries.version, binaries.dir.display(), binaries.found_by));
    let state = wanted.settle(old.clone())?.with_bin(&binaries.dir);
    let open = |dir: &Path, is_new| {
        let lab = LocalLab::open(dir, binaries)?;
        if is_new && let Some(warning) = neighbours::warning(lab.account)? {
            progress.warn(&warning);
        }
        lab.account.check_reaches(dir)?;
        Ok((lab, Secrets::of_lab(dir)?))
    };
    converge::converge(wanted, (old.as_ref(), &state), open, progress)
}

/// The longest path of a Unix socket, in bytes (unix(7)).
const SOCKET_PATH: usize = 107;

/// Refuses a lab in whose directory sockets would have too long a path.
fn check_sockets_fit(dir: &Path) -> Result<()> {
    let longest = dir.join(format!("{NODE}100/socket/.s.PGSQL.65535"));
    let over = longest.as_os_str().len().saturating_sub(SOCKET_PATH);
    ensure!(
        over == 0,
        "{}: the path of a Unix socket in there would be {over} bytes too long: choose a shorter --home or --name",
        dir.display()
    );
    Ok(())
}

fn choose_binaries(wanted: &Wanted, old: Option<&LabState>) -> Result<Binaries> {
    let Some(old) = old else { return Binaries::find(&wanted.binaries) };
    let same = Binaries::at(old.bin()?, "the lab's own")?;
    if wanted.binaries.dir.is_none() && wanted.binaries.major.is_none_or(|major| major == same.major) {
        return Ok(same);
    }
    let asked = Binaries::find(&wanted.binaries)?;
    ensure!(
        asked.major == same.major,
        "lab {} holds data of PostgreSQL {}, not {}: take it down first (`setup --down --name {}`)",
        wanted.name,
        same.major,
        asked.major,
        wanted.name
    );
    Ok(asked)
}
