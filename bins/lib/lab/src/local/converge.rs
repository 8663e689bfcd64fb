//! `setup --backend local`: makes a lab what was asked, from whatever is there. Asked again, it changes nothing.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};
use cluster::args::login_info;
use cluster::file::NodeSection;
use cluster::peer::ServerUser;
use cluster::protection::Protection;
use cluster::session::Session;
use cluster::topology::is_primary;
use cluster::wait::until_true;
use program::progress::Progress;

use super::LocalLab;
use super::down::remove_node;
use super::node::NodeDir;
use super::tools;
use crate::backend::Backend as _;
use crate::binaries::Binaries;
use crate::data_dir::DataDir as _;
use crate::link::Link as _;
use crate::new_lab::NewLab;
use crate::power::{self, Power as _, State};
use crate::rejoin::{self, Rejoined};
use crate::roles::{self, DATABASE};
use crate::secrets::{self, Secrets};
use crate::standby::{Upstream, wait_streaming};
use crate::state::{LabState, NodeState};
use crate::wanted::{self, NODE, Wanted};
use crate::{cluster_file, neighbours, settings, slots};

/// Time for a standby that is there to stream again; one that does not is rewound or cloned.
const STREAM_DEADLINE: Duration = Duration::from_secs(20);

/// Time for the slot of a removed standby to be free: the walsender notices the end of its standby soon.
const SLOT_DEADLINE: Duration = Duration::from_secs(30);

/// Makes the lab what was asked and returns the path of its cluster file.
///
/// # Errors
/// If it cannot. Of a new lab nothing is left then; one that was there has the settings that it had, and what was made
/// so far.
pub fn converge(wanted: &Wanted, progress: &Progress) -> Result<PathBuf> {
    wanted.check()?;
    let (dir, old_state) = (wanted.dir(), wanted.old_state()?);
    check_sockets_fit(&dir)?;
    let binaries = choose_binaries(wanted, old_state.as_ref())?;
    progress.say(&format!("PostgreSQL {} from {} ({})", binaries.version, binaries.dir.display(), binaries.found_by));
    let state = wanted.settle(old_state.clone())?.with_bin(&binaries.dir);
    let before = state.with_settings_of(old_state.as_ref());
    wanted::make_lab_dir(&wanted.home, &dir)?;
    let lab = LocalLab::open(&dir, binaries)?;
    let _lock = lab.lock()?;
    let new = NewLab::is(&dir, &lab.id)?;
    if new.is_new()
        && let Some(warning) = neighbours::warning(lab.account)?
    {
        progress.warn(&warning);
    }
    make(&lab, &state, &before, progress).map_err(|error| new.undone(error, progress))?;
    wanted::point_latest(&wanted.home, &dir)
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

fn make(lab: &LocalLab, state: &LabState, before: &LabState, progress: &Progress) -> Result<()> {
    lab.account.check_reaches(lab.dir())?;
    before.write(lab.dir())?;
    let secrets = Secrets::of_lab(lab.dir())?;
    let converging = |state| Converging { lab, state, secrets: &secrets, progress };
    converging(state).run().inspect_err(|_| converging(before).take_settings_back())?;
    state.write(lab.dir())
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

/// A lab on its way to what was asked. `primary.rs` finds its primary, `make.rs` makes its nodes.
pub(super) struct Converging<'a> {
    pub(super) lab: &'a LocalLab,
    pub(super) state: &'a LabState,
    pub(super) secrets: &'a Secrets,
    pub(super) progress: &'a Progress,
}

impl Converging<'_> {
    fn run(&self) -> Result<()> {
        // The lock is ours: whatever tool still works here was left by a set-up that was killed.
        tools::end_gently_below(self.lab.dir(), &self.lab.ours)?;
        tools::kill_orphans_below(self.lab.dir(), &self.lab.ours)?;
        let nodes = self.nodes()?;
        for node in &nodes {
            power::end_frozen(self.lab, &node.name, self.progress)?;
        }
        let primary = match self.find_primary(&nodes)? {
            Some(primary) => primary,
            None => self.make_first()?,
        };
        self.make_node(&primary)?;
        if self.lab.power(&primary)? == State::Off {
            self.progress.step(format!("starting {primary} as primary"));
            self.lab.start(&primary)?;
        }
        let to_make = self.session(&primary, "postgres")?;
        // Before anything else is changed. Why a value is refused stands only in the log.
        let waiting = settings::taken(&to_make, &primary).map_err(|error| self.lab.with_log(&primary, error))?;
        self.check_has_socket(&primary, &waiting)?;
        to_make.rows(cluster::sql!("orphaned_setups"), &[])?;
        roles::ensure_database(&to_make)?;
        let on_primary = self.session(&primary, DATABASE)?;
        ensure!(is_primary(&on_primary)?, "{primary} was to be primary, and is in recovery");
        roles::ensure(&on_primary, self.secrets)?;

        let nodes: Vec<String> = self.nodes()?.into_iter().map(|node| node.name).collect();
        let kept = self.state.choose_standbys(&nodes, &primary);
        // Before anything is added or removed: a commit waits for those that are there and stay, and for nobody else.
        let there: Vec<String> = kept.iter().filter(|name| self.has_data(name)).cloned().collect();
        self.lab.sync_names(&primary, &self.state.sync_names(&there))?;
        for standby in &kept {
            self.ensure_standby(&primary, &on_primary, standby)?;
        }
        self.remove_others(&primary, &on_primary, &kept)?;
        self.lab.sync_names(&primary, &self.state.sync_names(&kept))?;
        wanted::wait_quorum(self.state, &on_primary)?;
        // What was made just now, the database above all, is there for whoever connects to a standby next.
        let mark = cluster::catch_up::mark(&on_primary)?;
        for standby in &kept {
            cluster::catch_up::wait(&self.session(standby, "postgres")?, mark, STREAM_DEADLINE)?;
        }
        self.write_passfiles()?; // without the nodes that are gone
        let mut all = kept;
        all.push(primary);
        wanted::sort_nodes(&mut all)?;
        self.check_settings(&all)?;
        cluster_file::write(&self.lab.dir, &self.lab.id, self.state, &all)
    }

    /// Gives every node the lab's settings again, after a set-up with others has failed.
    fn take_settings_back(&self) {
        let configure = |nodes: Vec<NodeDir>| nodes.iter().try_for_each(|node| self.configure(&node.name));
        if let Err(error) = self.nodes().and_then(configure) {
            self.progress.warn(&format!("the settings of before could not be put back: {error:#}"));
        }
    }

    /// The nodes that are there, in the order of their numbers.
    pub(super) fn nodes(&self) -> Result<Vec<NodeDir>> {
        let mut names = cluster_file::nodes(self.lab.dir(), self.state)?;
        wanted::sort_nodes(&mut names)?;
        names.iter().map(|name| self.lab.node(name)).collect()
    }

    fn ensure_standby(&self, primary: &str, on_primary: &Session, name: &str) -> Result<()> {
        let node = self.make_node(name)?;
        let upstream = self.upstream(primary, name)?;
        let open = || self.session(name, DATABASE);
        if slots::ensure(on_primary, name)? && node.has_data() {
            self.progress.say(&format!("made the slot of {name} on {primary}"));
        }
        self.lab.sync_names(name, "")?;
        self.lab.follow(name, Some(&upstream))?;
        if !node.has_data() {
            self.progress.step(format!("cloning {primary} to {name}"));
            return rejoin::clone(self.lab, name, &upstream, on_primary, &open);
        }
        if self.lab.power(name)? == State::Off && node.data().join("standby.signal").exists() {
            self.progress.step(format!("starting {name}"));
            self.lab.start(name)?;
        }
        // One that runs and does not answer is not one that streams: rejoining stops it.
        if self.lab.power(name)? == State::On
            && open().and_then(|session| is_primary(&session)).is_ok_and(|it_is| !it_is)
        {
            if wait_streaming(on_primary, open, &upstream, STREAM_DEADLINE).is_ok() {
                self.lab.discard_old(name)?;
                return rejoin::drop_slots(&open()?);
            }
            program::stop::check()?;
        }
        self.progress.step(format!("making {name} follow {primary} again"));
        if let Rejoined::Clone { because } = rejoin::rejoin(self.lab, name, &upstream, on_primary, &open)? {
            self.progress.say(&format!("{name} was cloned anew, because: {because}"));
        }
        Ok(())
    }

    /// Standbys fetch their WAL at the primary's socket. A server that was started before labs had one has none.
    fn check_has_socket(&self, primary: &str, waiting: &[String]) -> Result<()> {
        ensure!(
            !waiting.iter().any(|name| name == "unix_socket_directories"),
            "{primary} was started by an older version of this program, and its standbys cannot reach it: {} restart -D {}, \
             then run setup again",
            self.lab.binaries().path("pg_ctl").display(),
            self.lab.node(primary)?.data().display()
        );
        Ok(())
    }

    fn has_data(&self, name: &str) -> bool {
        self.lab.node(name).is_ok_and(|node| node.has_data())
    }

    fn upstream(&self, primary: &str, name: &str) -> Result<Upstream> {
        let section = self.section(primary)?;
        Ok(self.lab.upstream(&section, name))
    }

    /// Removes the standbys that are too many, their slots and their data.
    fn remove_others(&self, primary: &str, on_primary: &Session, kept: &[String]) -> Result<()> {
        for node in self.nodes()? {
            if node.name == primary || kept.contains(&node.name) {
                continue;
            }
            self.progress.step(format!("removing {}", node.name));
            self.lab.stop(&node.name)?;
            // The slot first: a set-up that is killed in between finds the node again, and a slot without one never.
            // The walsender notices the end of its standby by itself, soon.
            until_true(
                &format!("the slot of {} to be free", node.name),
                SLOT_DEADLINE,
                Duration::from_millis(5),
                || {
                    slots::drop(on_primary, &node.name)?;
                    Ok(!slots::names(on_primary)?.contains(&node.name))
                },
            )?;
            remove_node(&node.dir, &self.lab.id, &self.lab.ours)?;
        }
        Ok(())
    }

    /// Says which settings wait for a restart, and fails for one that a server refuses.
    fn check_settings(&self, names: &[String]) -> Result<()> {
        for name in names {
            let pending = settings::taken(&self.session(name, DATABASE)?, name)?;
            if !pending.is_empty() {
                self.progress.warn(&format!(
                    "{name}: {} will change with its next restart: {} restart -D {}",
                    pending.join(", "),
                    self.lab.binaries().path("pg_ctl").display(),
                    self.lab.node(name)?.data().display()
                ));
            }
        }
        Ok(())
    }

    fn section(&self, name: &str) -> Result<NodeSection> {
        Ok(NodeState::read(&self.lab.node(name)?.dir)?.section(name, DATABASE))
    }

    /// A session of the administrator.
    pub(super) fn session(&self, name: &str, dbname: &str) -> Result<Session> {
        let section = NodeSection { dbname: dbname.to_owned(), ..self.section(name)? };
        let protection = Protection::of_lab(ServerUser::Lab(self.lab.account.uid()));
        let info = login_info(&section, &self.secrets.login(secrets::ADMIN), protection)?;
        Session::open(name, &info, "understudy setup")
    }
}
