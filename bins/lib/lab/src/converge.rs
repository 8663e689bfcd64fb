//! Making a lab what was asked, from whatever is there, whatever runs its nodes. Asked again, it changes nothing.
//!
//! The order is here; what only a backend knows is behind [`Site`].

mod standbys;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use cluster::args::login_info;
use cluster::file::NodeSection;
use cluster::peer::ServerUser;
use cluster::protection::Protection;
use cluster::session::Session;
use cluster::topology::is_primary;
use cluster::wait::until_true;
use program::progress::Progress;

use crate::backend::Backend;
use crate::lock::Lock;
use crate::marker::{self, LabId};
use crate::new_lab::NewLab;
use crate::ports;
use crate::power::{self, State};
use crate::primary::{self, Found};
use crate::roles::{self, DATABASE};
use crate::secrets::{ADMIN, Secrets};
use crate::standby::Upstream;
use crate::state::{LabState, NodeState};
use crate::wanted::{self, NODE, Wanted};
use crate::{cluster_file, settings, slots};

/// Time for a standby that is there to stream again; one that does not is rewound or cloned.
const STREAM_DEADLINE: Duration = Duration::from_secs(20);

/// Time for the slot of a removed standby to be free: the walsender notices the end of its standby soon.
const SLOT_DEADLINE: Duration = Duration::from_secs(30);

/// How often that is looked at.
const POLL_EVERY: Duration = Duration::from_millis(5);

/// A node's data directory, as it is found.
pub(crate) struct Data {
    /// It is a standby's: started, it would go into recovery and stay there.
    pub(crate) is_standby: bool,
    /// The newest timeline that it knows of.
    pub(crate) timeline: u32,
}

/// What a set-up needs of a backend beside its seams.
pub(crate) trait Site: Backend {
    /// Ends what a killed set-up left at work, and makes what is needed to look at the data of `nodes`.
    fn begin(&self, nodes: &[String]) -> Result<()>;

    /// What the data directories of those of `nodes` are that have one.
    fn data(&self, nodes: &[String]) -> Result<BTreeMap<String, Data>>;

    /// Makes all of `nodes` that is not there yet but their data, and has each know what it needs of the others: directory,
    /// port, passwords, configuration. Starts none.
    fn make(&self, nodes: &[String], job: &Job<'_>) -> Result<()>;

    /// Writes a node's configuration, and has a running server read it.
    fn configure(&self, node: &str, state: &LabState) -> Result<()>;

    /// Removes a stopped node with its data.
    fn remove(&self, node: &str) -> Result<()>;

    /// Who listens at the nodes' addresses.
    fn server_user(&self) -> ServerUser;

    /// Whether a node may run and have no server: then one that does not answer says nothing.
    fn runs_without_server(&self) -> bool;

    /// How a node is promoted and restarted by hand.
    fn promote_by_hand(&self) -> &'static str;
    fn restart_by_hand(&self, node: &str) -> Result<String>;

    /// Refuses a primary, whose settings in `waiting` wait for a restart, that standbys cannot reach.
    fn check_reached(&self, _primary: &str, _waiting: &[String]) -> Result<()> {
        Ok(())
    }
}

/// Makes the lab `state`, which was `old`, and returns the path of its cluster file. `open` opens it, with all of its
/// passwords; it is told whether the lab is new.
///
/// # Errors
/// If it cannot. Of a new lab nothing is left then; one that was there has the settings that it had, and what was made
/// so far.
pub(crate) fn converge<S: Site>(
    wanted: &Wanted,
    (old, state): (Option<&LabState>, &LabState),
    open: impl FnOnce(&Path, bool) -> Result<(S, Secrets)>,
    progress: &Progress,
) -> Result<PathBuf> {
    let (dir, before) = (wanted.dir(), state.with_settings_of(old));
    wanted::make_lab_dir(&wanted.home, &dir)?;
    let _lock = Lock::take(&dir)?;
    let id = marker::read(&dir)?.context("the lab's marker")?;
    let new = NewLab::is(&dir, &id)?;
    let make = || {
        let (site, secrets) = open(&dir, new.is_new())?;
        before.write(&dir)?;
        let job = |state| Job { site: &site, dir: &dir, id: &id, state, secrets: &secrets, progress };
        job(state).run().inspect_err(|_| job(&before).take_settings_back())?;
        state.write(&dir)
    };
    make().map_err(|error| new.undone(error, progress))?;
    wanted::point_latest(&wanted.home, &dir)
}

/// A lab on its way to what was asked.
pub(crate) struct Job<'a> {
    site: &'a dyn Site,
    dir: &'a Path,
    id: &'a LabId,
    pub(crate) state: &'a LabState,
    pub(crate) secrets: &'a Secrets,
    progress: &'a Progress,
}

impl Job<'_> {
    fn run(&self) -> Result<()> {
        let nodes = self.nodes()?;
        self.site.begin(&nodes)?;
        for node in &nodes {
            power::end_frozen(self.site, node, self.progress)?;
        }
        let data = self.site.data(&nodes)?;
        let (primary, writes) = self.find_primary(&data)?.unwrap_or_else(|| (format!("{NODE}1"), false));
        let standbys = self.state.choose_standbys(&nodes, &primary);
        let mut all: Vec<String> = standbys.iter().cloned().chain([primary.clone()]).collect();
        wanted::sort_nodes(&mut all)?;
        self.site.make(&all, self)?;
        self.start_primary(&primary, data.contains_key(&primary), writes)?;
        let on_primary = self.ensure_contents(&primary, |name| standbys.contains(name) && data.contains_key(name))?;
        self.ensure_standbys(&primary, &on_primary, &standbys, &data)?;
        // Last, and only now: until here, one of them may have been the only one with all the data.
        for node in nodes.iter().filter(|node| !all.contains(node)) {
            self.remove(&on_primary, node)?;
        }
        self.site.sync_names(&primary, &self.state.sync_names(&standbys))?;
        wanted::wait_quorum(self.state, &on_primary)?;
        // What was made just now, the database above all, is there for whoever connects to a standby next.
        let mark = cluster::catch_up::mark(&on_primary)?;
        for standby in &standbys {
            cluster::catch_up::wait(&self.session(standby, "postgres")?, mark, STREAM_DEADLINE)?;
        }
        self.check_settings(&all)?;
        cluster_file::write(self.dir, self.id, self.state, &all)
    }

    /// The nodes that are there, in the order of their numbers.
    fn nodes(&self) -> Result<Vec<String>> {
        let mut names = cluster_file::nodes(self.dir, self.state)?;
        wanted::sort_nodes(&mut names)?;
        Ok(names)
    }

    /// The node that is primary, or that is to be started as primary, and whether it is out of recovery now.
    fn find_primary(&self, data: &BTreeMap<String, Data>) -> Result<Option<(String, bool)>> {
        let (mut found, mut mute) = (Vec::new(), None);
        for (name, data) in data {
            let mut writes = false;
            if self.site.power(name)? == State::On {
                match self.session(name, "postgres").and_then(|session| is_primary(&session)) {
                    Ok(answer) => writes = answer,
                    Err(error) => mute = Some(error),
                }
            }
            found.push(Found { name: name.clone(), timeline: data.timeline, is_standby: data.is_standby, writes });
        }
        match mute {
            Some(error) if !found.iter().any(|node| node.writes) && !self.site.runs_without_server() => {
                return Err(error.context("no node is known to be primary, and one that runs does not answer"));
            }
            _ => {}
        }
        let chosen = primary::choose(&found, self.site.promote_by_hand())?;
        Ok(chosen.map(|name| {
            let writes = found.iter().any(|node| node.name == name && node.writes);
            (name, writes)
        }))
    }

    fn start_primary(&self, primary: &str, has_data: bool, writes: bool) -> Result<()> {
        if !has_data {
            self.progress.step(format!("initdb for {primary}"));
            self.site.follow(primary, None)?;
            self.site.sync_names(primary, "")?;
            self.site.init(primary, &self.secrets.verifier(ADMIN)?)?;
        }
        if !writes || self.site.power(primary)? == State::Off {
            self.progress.step(format!("starting {primary} as primary"));
            self.site.start(primary)?;
        }
        Ok(())
    }

    /// Sees that the primary has its settings, database and roles, and lets commits wait for the nodes `there`, and for nobody
    /// else; a session on it, in that database.
    fn ensure_contents(&self, primary: &str, there: impl Fn(&String) -> bool) -> Result<Session> {
        let to_make = self.session(primary, "postgres")?;
        ensure!(is_primary(&to_make)?, "{primary} was to be primary, and is in recovery");
        // Before anything else is changed. Why a value is refused stands only in the log.
        let waiting = settings::taken(&to_make, primary).map_err(|error| self.site.with_log(primary, error))?;
        self.site.check_reached(primary, &waiting)?;
        to_make.rows(cluster::sql!("orphaned_setups"), &[])?;
        // Before anything is added or removed, and before anything can wait for a standby that is not there.
        let there: Vec<String> = self.nodes()?.into_iter().filter(there).collect();
        self.site.sync_names(primary, &self.state.sync_names(&there))?;
        roles::ensure_database(&to_make)?;
        let on_primary = self.session(primary, DATABASE)?;
        roles::ensure(&on_primary, self.secrets)?;
        Ok(on_primary)
    }

    fn upstream(&self, primary: &str, standby: &str) -> Result<Upstream> {
        Ok(self.site.upstream(&self.section(primary)?, standby))
    }

    /// Removes a node that is too many, its slot and its data. The slot first: a set-up that is killed in between finds the
    /// node again, and a slot without one never.
    fn remove(&self, on_primary: &Session, node: &str) -> Result<()> {
        self.progress.step(format!("removing {node}"));
        self.site.stop(node)?;
        until_true(&format!("the slot of {node} to be free"), SLOT_DEADLINE, POLL_EVERY, || {
            slots::drop(on_primary, node)?;
            Ok(!slots::names(on_primary)?.iter().any(|slot| slot == node))
        })?;
        self.site.remove(node)
    }

    /// Says which settings wait for a restart, and fails for one that a server refuses.
    fn check_settings(&self, names: &[String]) -> Result<()> {
        for name in names {
            let pending = settings::taken(&self.session(name, DATABASE)?, name)?;
            if !pending.is_empty() {
                self.progress.warn(&format!(
                    "{name}: {} will change with its next restart: {}",
                    pending.join(", "),
                    self.site.restart_by_hand(name)?
                ));
            }
        }
        Ok(())
    }

    /// Gives every node the lab's settings again, after a set-up with others has failed.
    fn take_settings_back(&self) {
        let configure = |nodes: Vec<String>| nodes.iter().try_for_each(|node| self.site.configure(node, self.state));
        if let Err(error) = self.nodes().and_then(configure) {
            self.progress.warn(&format!("the settings of before could not be put back: {error:#}"));
        }
    }

    /// The port of the node `name`, whose state is in `dir`; another one than it had if somebody took that.
    pub(crate) fn settle_port(&self, dir: &Path, name: &str) -> Result<u16> {
        let home = self.dir.parent().context("a lab has a parent")?;
        let runs = self.site.power(name)? != State::Off;
        let settled = ports::settle(home, dir, name, self.state.first_port, runs)?;
        if let Some(moved) = settled.moved {
            self.progress.warn(&moved);
        }
        Ok(settled.port)
    }

    fn section(&self, name: &str) -> Result<NodeSection> {
        Ok(NodeState::read(&cluster_file::nodes_dir(self.dir, self.state).join(name))?.section(name, DATABASE))
    }

    /// A session of the administrator.
    fn session(&self, name: &str, dbname: &str) -> Result<Session> {
        let section = NodeSection { dbname: dbname.to_owned(), ..self.section(name)? };
        let protection = Protection::of_lab(self.site.server_user());
        let info = login_info(&section, &self.secrets.login(ADMIN), protection)?;
        Session::open(name, &info, "understudy setup")
    }
}
