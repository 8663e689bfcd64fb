//! What is asked of a lab, the same for every backend, and what of it can be checked and settled before anything is run.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use cluster::file::LATEST;
use cluster::ident::check_node_name;
use cluster::session::Session;
use cluster::wait::until_true;
use program::trust;
use report::show::count;

use crate::binaries::Asked;
use crate::conf::{self, SyncMode};
use crate::files;
use crate::lost_marker;
use crate::marker::{self, LabId};
use crate::ports::{self, FIRST_PORT};
use crate::state::LabState;

/// Time for the quorum to show on the primary after it was set.
const SYNC_DEADLINE: Duration = Duration::from_secs(30);

/// How the names of nodes begin; a number follows. Roles change, names stay.
pub(crate) const NODE: &str = "node";

/// How often it is looked for.
const LOOK: Duration = Duration::from_millis(5);

/// What was asked for. `None`: as it is; in a new lab, the default.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The lab's name.
    pub name: String,
    /// The directory of all labs.
    pub home: PathBuf,
    /// How many standbys.
    pub standbys: Option<u32>,
    /// Which PostgreSQL.
    pub binaries: Asked,
    /// Which image (compose).
    pub image: Option<String>,
    /// The first port.
    pub first_port: Option<u16>,
    /// How commits wait.
    pub sync: Option<SyncMode>,
    /// How many standbys must confirm.
    pub quorum: Option<u32>,
    /// `--set`; the value `default` takes one back.
    pub settings: Vec<(String, String)>,
}

impl Wanted {
    /// The lab's directory.
    #[must_use]
    pub fn dir(&self) -> PathBuf {
        self.home.join(&self.name)
    }

    /// What the lab is now; `None` if there is none.
    ///
    /// # Errors
    /// If its file is somebody else's, or cannot be read.
    pub fn old_state(&self) -> Result<Option<LabState>> {
        LabState::read_if_there(&self.dir())
    }

    /// Refuses what no lab can be.
    ///
    /// # Errors
    /// That, by the name of the option.
    pub fn check(&self) -> Result<()> {
        check_node_name(&self.name).context("--name")?;
        check_home(&self.home)?;
        let standbys = self.standbys.unwrap_or(1);
        ensure!(standbys >= 1, "--standbys 0: a takeover needs at least one standby");
        // max_wal_senders is 10, and a base backup takes one or two of them.
        ensure!(standbys <= 8, "--standbys {standbys}: at most 8 on one machine");
        match self.dir().exists() {
            true => Ok(()), // its nodes have their ports, or are given some
            false => ports::check_enough(&self.home, &self.dir(), self.first_port, standbys + 1),
        }
    }

    /// What the lab is to be: what was asked, and for the rest what it was.
    ///
    /// # Errors
    /// If more standbys must confirm than there are.
    pub fn settle(&self, old: Option<LabState>) -> Result<LabState> {
        let mut state = old.unwrap_or_else(|| LabState {
            name: self.name.clone(),
            bin: None,
            former_bins: Vec::new(),
            image: None,
            image_id: None,
            first_port: FIRST_PORT,
            standbys: 1,
            sync: SyncMode::Async,
            quorum: 1,
            settings: BTreeMap::new(),
        });
        state.first_port = self.first_port.unwrap_or(state.first_port);
        state.sync = self.sync.unwrap_or(state.sync);
        state.standbys = self.standbys.unwrap_or(state.standbys);
        state.quorum = self.quorum.unwrap_or(state.quorum.min(state.standbys));
        for (name, value) in &self.settings {
            if value == "default" {
                state.settings.remove(name);
            } else {
                state.settings.insert(name.clone(), value.clone());
            }
        }
        ensure!(state.quorum >= 1, "--quorum 0: with --sync async nobody is waited for");
        ensure!(
            state.quorum <= state.standbys,
            "--quorum {}: with {}, every commit would hang",
            state.quorum,
            count(u64::from(state.standbys), "standby")
        );
        Ok(state)
    }
}

impl LabState {
    /// The standbys that are to be there beside `primary`: those of `nodes`, which are in the order of their numbers,
    /// without the newest ones that are too many; then new names.
    #[must_use]
    pub fn choose_standbys(&self, nodes: &[String], primary: &str) -> Vec<String> {
        let count = self.standbys as usize;
        let there: Vec<String> = nodes.iter().filter(|name| *name != primary).take(count).cloned().collect();
        let is_new = |name: &String| name != primary && !there.contains(name);
        let new = (1..).map(|number| format!("{NODE}{number}")).filter(is_new).take(count - there.len());
        there.iter().cloned().chain(new).collect()
    }

    /// `synchronous_standby_names` with these standbys.
    #[must_use]
    pub fn sync_names(&self, standbys: &[String]) -> String {
        let quorum = self.quorum.min(u32::try_from(standbys.len()).unwrap_or(u32::MAX));
        conf::sync_names(self.sync, quorum, standbys)
    }
}

/// In a sync mode: waits until the primary counts enough standbys as synchronous.
///
/// # Errors
/// If it does not in time.
pub fn wait_quorum(state: &LabState, primary: &Session) -> Result<()> {
    if state.sync == SyncMode::Async {
        return Ok(());
    }
    until_true("the quorum to show in pg_stat_replication", SYNC_DEADLINE, LOOK, || {
        Ok(primary.value::<i64>(cluster::sql!("quorum"), &[])? >= i64::from(state.quorum))
    })
}

/// Refuses a place for labs that could be somebody's data, since it is only ever filled with directories of ours; and one
/// in which somebody else could lay something for us to find.
///
/// # Errors
/// If it is `/`, the home directory, or a link; if it is not ours or root's, or others can write to it or above it.
pub fn check_home(home: &Path) -> Result<()> {
    let home: PathBuf = home.components().collect(); // a slash at the end would lead through a link
    let shown = home.display();
    ensure!(home.is_absolute(), "--home {shown}: it must be an absolute path");
    let odd = home.components().any(|part| matches!(part, std::path::Component::ParentDir));
    ensure!(!odd, "--home {shown}: write it without `..`");
    ensure!(home != Path::new("/"), "--home /: name a directory of its own");
    ensure!(Some(&home) != std::env::home_dir().as_ref(), "--home {shown}: that is your home directory");
    match fs::symlink_metadata(&home) {
        Ok(metadata) if metadata.is_symlink() => {
            bail!("--home {shown}: it is a symbolic link; name the directory itself")
        }
        Ok(metadata) if !metadata.is_dir() => bail!("--home {shown}: it is not a directory"),
        _ => trust::check_dir(&home).map(drop).with_context(|| format!("--home {shown}")),
    }
}

/// Makes the lab's directory and marks it as ours; one that is there must be ours or empty.
///
/// # Errors
/// If it holds anything else, or cannot be made.
pub fn make_lab_dir(home: &Path, dir: &Path) -> Result<()> {
    files::make_missing_dirs(home)?;
    trust::check_dir(home)?; // somebody may have been faster
    match fs::symlink_metadata(dir) {
        Err(_) => files::make_missing_dirs(dir)?,
        Ok(metadata) => ensure!(metadata.is_dir(), "{} is not a directory: it is left alone", dir.display()),
    }
    trust::check_dir(dir)?;
    if marker::read(dir)?.is_none() {
        let way_out = lost_marker::way_out(dir).map_or(String::new(), |way_out| format!("; {way_out}"));
        let blank = marker::is_blank(dir)?;
        ensure!(blank, "{} is not empty and no lab of ours: it is left alone{way_out}", dir.display());
        marker::put(dir, &LabId::new())?;
    }
    marker::keep_private(dir)?;
    files::make_dir(dir)
}

/// Points the link to the newest lab at this one, and returns the path of its cluster file.
///
/// # Errors
/// If the link cannot be made.
pub fn point_latest(home: &Path, dir: &Path) -> Result<PathBuf> {
    let file = dir.join("cluster.toml");
    let (latest, new) = (home.join(LATEST), home.join(format!(".{LATEST}-{}", std::process::id())));
    let _ = fs::remove_file(&new);
    std::os::unix::fs::symlink(&file, &new)
        .and_then(|()| fs::rename(&new, &latest))
        .with_context(|| format!("cannot point {} at the lab", latest.display()))?;
    Ok(file)
}

/// Sorts the names of nodes by their numbers.
///
/// # Errors
/// If one is no node's name: somebody's copy, say. It must not be taken for a node, nor push one out.
pub fn sort_nodes(names: &mut [String]) -> Result<()> {
    let number = |name: &str| match name.strip_prefix(NODE) {
        Some(digits) if digits.starts_with(|c: char| c.is_ascii_digit() && c != '0') => digits.parse::<u32>().ok(),
        _ => None,
    };
    if let Some(stranger) = names.iter().find(|name| number(name).is_none()) {
        bail!("{stranger} is among the nodes of the lab, and is none: move it elsewhere");
    }
    names.sort_by_key(|name| number(name));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_in_the_order_of_their_numbers_and_a_copy_of_one_is_none() {
        let sorted = |names: &[&str]| {
            let mut names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            sort_nodes(&mut names).map(|()| names)
        };
        assert_eq!(sorted(&["node10", "node2", "node1"]).unwrap(), ["node1", "node2", "node10"]);
        for stranger in ["node2_old", "node", "node-2", "node02", "node+2", "old", "primary"] {
            let said = sorted(&["node1", stranger]).unwrap_err().to_string();
            assert!(said.contains(stranger), "{said}");
        }
    }

    #[test]
    fn standbys_that_are_there_stay_the_newest_go_and_gaps_are_filled() {
        let chosen = |standbys: u32, nodes: &[&str], primary: &str| {
            let wanted = Wanted {
                name: "lab".to_owned(),
                home: PathBuf::from("/labs"),
                standbys: Some(standbys),
                binaries: Asked::default(),
                image: None,
                first_port: None,
                sync: None,
                quorum: None,
                settings: Vec::new(),
            };
            let nodes: Vec<String> = nodes.iter().map(|&name| name.to_owned()).collect();
            wanted.settle(None).unwrap().choose_standbys(&nodes, primary)
        };
        assert_eq!(chosen(2, &[], "node1"), ["node2", "node3"]);
        assert_eq!(chosen(2, &["node1", "node2", "node3", "node4"], "node1"), ["node2", "node3"]);
        // After a takeover, and with one that was lost.
        assert_eq!(chosen(3, &["node1", "node3", "node4"], "node3"), ["node1", "node4", "node2"]);
        assert_eq!(chosen(1, &["node1", "node2"], "node2"), ["node1"]);
    }
}
