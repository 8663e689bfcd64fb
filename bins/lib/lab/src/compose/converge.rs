//! `setup --backend compose`: makes a lab of containers what was asked, from whatever is there. Asked again, it changes
//! nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use cluster::file::NodeSection;
use cluster::session::Session;
use cluster::topology::is_primary;
use cluster::wait::{Look, until, until_true};
use program::progress::Progress;
use program::trust;

use super::engine::Engine;
use super::file;
use super::image::{self, Image};
use super::process;
use super::{CLONE_DEADLINE, ComposeLab, DIR, LOOK, PORT, host};
use crate::account::Account;
use crate::backend::Backend as _;
use crate::data_dir::DataDir as _;
use crate::link::Link as _;
use crate::marker;
use crate::new_lab::NewLab;
use crate::ports;
use crate::power::{self, Power as _};
use crate::primary::{self, Found};
use crate::rejoin::{self, Rejoined};
use crate::roles::{self, DATABASE};
use crate::standby::{Upstream, wait_streaming};
use crate::state::LabState;
use crate::wanted::{self, NODE, Wanted, wait_quorum};
use crate::{cluster_file, conf, files, settings, slots};

/// Time for compose to make networks, volumes and containers and to start them.
const UP_DEADLINE: Duration = Duration::from_secs(300);

/// Time for a standby that is there to stream again; one that does not is rewound or cloned.
const STREAM_DEADLINE: Duration = Duration::from_secs(20);

/// Time for the slot of a removed standby to be free: the walsender notices the end of its standby soon.
const SLOT_DEADLINE: Duration = Duration::from_secs(30);

/// Makes the lab what was asked and returns the path of its cluster file.
///
/// # Errors
/// If it cannot. Of a new lab nothing is left then; one that was there has the settings that it had, and what was made
/// so far.
pub fn converge(wanted: &Wanted, engine: Engine, progress: &Progress) -> Result<PathBuf> {
    wanted.check()?;
    let dir = wanted.dir();
    let old = wanted.old_state()?;
    let Image { name, id } = image::choose(wanted, old.as_ref(), &engine, progress)?;
    progress.say(&format!("image {name}; Docker {}, {}", engine.version, engine.compose_command()));
    let state = LabState { image: Some(name), image_id: id, ..wanted.settle(old.clone())? };
    let before = state.with_settings_of(old.as_ref());
    wanted::make_lab_dir(&wanted.home, &dir)?;
    let _lock = crate::lock::Lock::take(&dir)?;
    let new = NewLab::is(&dir, &marker::read(&dir)?.context("the lab's marker")?)?;
    make(&dir, engine, &state, &before, progress).map_err(|error| new.undone(error, progress))?;
    wanted::point_latest(&wanted.home, &dir)
}

fn make(dir: &Path, engine: Engine, state: &LabState, before: &LabState, progress: &Progress) -> Result<()> {
    before.write(dir)?;
    files::make_dir(&dir.join(DIR))?;
    files::make_dir(&dir.join(DIR).join("nodes"))?;
    let lab = ComposeLab::open(dir, state.what_runs()?, engine)?;
    let converging = |state| Converging { lab: &lab, state, progress };
    converging(state).run().inspect_err(|_| converging(before).take_settings_back())?;
    state.write(dir)
}

/// A node's data, as its volume shows them.
struct Data {
    is_standby: bool,
    timeline: u32,
}

struct Converging<'a> {
    lab: &'a ComposeLab,
    state: &'a LabState,
    progress: &'a Progress,
}

impl Converging<'_> {
    fn run(&self) -> Result<()> {
        self.lab.labels.check_not_moved(&self.lab.engine)?;
        self.end_steps()?;
        let nodes = self.nodes()?;
        self.replace_lost_containers(&nodes)?;
        for node in &nodes {
            power::end_frozen(self.lab, node, self.progress)?;
        }
        let data = self.data(&nodes)?;
        let primary = self.find_primary(&nodes, &data)?.unwrap_or_else(|| format!("{NODE}1"));
        let standbys = self.state.choose_standbys(&nodes, &primary);
        self.write_files(&primary, &standbys)?;
        self.up(&primary, &standbys, &data)?;
        let to_make = self.lab.wait_accepts(&primary)?;
        ensure!(is_primary(&to_make)?, "{primary} was to be primary, and is in recovery");
        // Before anything else is changed. Why a value is refused stands only in the log.
        settings::taken(&to_make, &primary).map_err(|error| self.lab.with_log(&primary, error))?;
        to_make.rows(cluster::sql!("orphaned_setups"), &[])?;
        // Before anything can wait for a standby that is not there.
        let there: Vec<String> = standbys.iter().filter(|name| data.contains_key(*name)).cloned().collect();
        self.lab.sync_names(&primary, &self.state.sync_names(&there))?;
        roles::ensure_database(&to_make)?;
        let on_primary = self.lab.session(&primary, DATABASE)?;
        roles::ensure(&on_primary, &self.lab.secrets)?;
        for standby in &standbys {
            self.ensure_standby(&primary, &on_primary, standby, data.contains_key(standby))?;
        }
        // Last, and only now: until here, one of them may have been the only one with all the data.
        let removed = self.remove_others(&primary, &nodes, &standbys)?;
        self.forget(&on_primary, &removed)?;
        self.lab.sync_names(&primary, &self.state.sync_names(&standbys))?;
        wait_quorum(self.state, &on_primary)?;
        // What was made just now, the database above all, is there for whoever connects to a standby next.
        let mark = cluster::catch_up::mark(&on_primary)?;
        for standby in &standbys {
            cluster::catch_up::wait(&self.lab.session(standby, "postgres")?, mark, STREAM_DEADLINE)?;
        }
        let mut all = standbys;
        all.push(primary);
        wanted::sort_nodes(&mut all)?;
        self.check_settings(&all)?;
        cluster_file::write(&self.lab.dir, &self.lab.id, self.state, &all)
    }

    /// Ends what a killed set-up left at work. The lock is ours.
    fn end_steps(&self) -> Result<()> {
        process::kill_clients_below(&self.lab.compose_dir(), &self.lab.id)?;
        for step in self.lab.engine.containers(&self.lab.labels)?.iter().filter(|c| c.service.is_empty()) {
            self.lab.engine.order(&["rm", "--force", "--volumes", &step.id])?;
        }
        Ok(())
    }

    /// Makes containers, without starting them, for nodes that have lost theirs (`docker system prune`, say): their data
    /// are still there, and have to be seen before anything is decided.
    fn replace_lost_containers(&self, nodes: &[String]) -> Result<()> {
        let mut lost = false;
        for node in nodes {
            lost |= self.lab.find_container(node)?.is_none();
        }
        if lost && self.lab.compose_dir().join("compose.yaml").exists() {
            self.compose(&["up", "--no-start", "--no-recreate"])?;
        }
        Ok(())
    }

    /// The nodes that are there, in the order of their numbers.
    fn nodes(&self) -> Result<Vec<String>> {
        let mut names = cluster_file::nodes(&self.lab.dir, self.state)?;
        wanted::sort_nodes(&mut names)?;
        Ok(names)
    }

    /// What the lab's volume holds, by node. Asked in a container of its own: a node may be stopped.
    fn data(&self, nodes: &[String]) -> Result<BTreeMap<String, Data>> {
        let mut data = BTreeMap::new();
        for node in nodes {
            if self.lab.find_container(node)?.is_none() {
                continue;
            }
            for line in self.lab.step_done(node, &["state"])?.lines() {
                let words: Vec<&str> = line.split(' ').collect();
                let [name, is, timeline] = words[..] else { bail!("node {node}: its volume holds {line:?}") };
                data.insert(name.to_owned(), Data { is_standby: is == "standby", timeline: timeline.parse()? });
            }
            break; // it sees the volume of all of them
        }
        Ok(data)
    }

    /// The node that is primary, or that is to be started as primary. One that does not answer may be fenced, or wait
    /// for its primary: it is none that writes.
    fn find_primary(&self, nodes: &[String], data: &BTreeMap<String, Data>) -> Result<Option<String>> {
        let mut found = Vec::new();
        for (name, Data { is_standby, timeline }) in nodes.iter().filter_map(|name| data.get_key_value(name)) {
            let says_so = || self.lab.session(name, "postgres").and_then(|session| is_primary(&session));
            let writes = self.lab.runs(name)? && says_so().unwrap_or(false);
            found.push(Found { name: name.clone(), timeline: *timeline, is_standby: *is_standby, writes });
        }
        primary::choose(&found, "`docker exec CONTAINER sh /understudy/node.sh promote`")
    }

    /// Removes the standbys that are too many, container and data, and says which. Their directories go last, so that an
    /// interrupted removal is gone on with.
    fn remove_others(&self, primary: &str, nodes: &[String], kept: &[String]) -> Result<Vec<String>> {
        let others: Vec<String> = nodes.iter().filter(|n| *n != primary && !kept.contains(n)).cloned().collect();
        for node in &others {
            self.progress.step(format!("removing {node}"));
            if self.lab.find_container(node)?.is_some() {
                self.lab.stop(node)?;
                self.lab.step_done(node, &["remove"])?;
                self.lab.engine.order(&["rm", "--force", "--volumes", &self.lab.container(node)?])?;
            }
        }
        self.lab.forget_containers();
        Ok(others)
    }

    /// Removes what is left of removed standbys: slot and directory.
    fn forget(&self, on_primary: &Session, removed: &[String]) -> Result<()> {
        for slot in removed {
            until_true(&format!("the slot of {slot} to be free"), SLOT_DEADLINE, LOOK, || {
                slots::drop(on_primary, slot)?;
                Ok(!slots::names(on_primary)?.contains(slot))
            })?;
            file::remove_node(&self.lab.node_dir(slot)?)?;
        }
        Ok(())
    }

    /// `compose.yaml`, `node.sh`, and for each node its port and what it is to follow.
    fn write_files(&self, primary: &str, standbys: &[String]) -> Result<()> {
        let dir = self.lab.compose_dir();
        let mut nodes = Vec::new();
        let mut ordered: Vec<String> = standbys.iter().cloned().chain([primary.to_owned()]).collect();
        wanted::sort_nodes(&mut ordered)?;
        // First: who is told below to follow somebody needs the password for that node.
        let hosts: Vec<String> = ordered.iter().flat_map(|name| [name.clone(), host(name)]).collect();
        self.lab.secrets.write_for_containers(&dir.join(file::PASSFILE), &hosts, PORT)?;
        for name in &ordered {
            let node_dir = self.lab.node_dir(name)?;
            files::make_dir(&node_dir)?;
            nodes.push((name.clone(), self.settle_port(name)?));
            self.write_settings(name)?;
            let upstream = (name != primary).then(|| self.upstream(primary, name)).transpose()?;
            file::write(&node_dir.join("sync.conf"), &conf::sync_conf(&self.sync_names_of(name)))?;
            match self.lab.find_container(name)? {
                Some(_) => self.lab.follow(name, upstream.as_ref())?,
                None => file::write(&node_dir.join("follow.conf"), &conf::follow_conf(upstream.as_ref()))?,
            }
        }
        self.lab.secrets.write(&nodes.iter().map(|(_, port)| *port).collect::<Vec<_>>(), &[])?;
        self.lab.secrets.write_verifiers(&dir.join(file::VERIFIERS))?;
        for (name, text) in file::RUN_THERE {
            file::write(&dir.join(name), text)?;
        }
        file::write(&dir.join("compose.yaml"), &file::render(&nodes)?)?;
        let env: Vec<String> = self.environment().iter().map(|(name, value)| file::variable(name, value)).collect();
        Account::Own.write_private(&dir.join(".env"), &env.concat()) // the lab's id is in it
    }

    fn write_settings(&self, name: &str) -> Result<()> {
        let mut chosen = format!("synchronous_commit = '{}'\n", self.state.sync.synchronous_commit());
        for (setting, value) in &self.state.settings {
            chosen += &(conf::setting(setting, value) + "\n");
        }
        self.lab.write_conf(name, "settings.conf", &chosen)
    }

    /// Gives every node the lab's settings again, after a set-up with others has failed.
    fn take_settings_back(&self) {
        let write = |nodes: Vec<String>| nodes.iter().try_for_each(|name| self.write_settings(name));
        if let Err(error) = self.nodes().and_then(write) {
            self.progress.warn(&format!("the settings of before could not be put back: {error:#}"));
        }
    }

    /// As it is now; a new node has none.
    fn sync_names_of(&self, name: &str) -> String {
        let text = self.lab.node_dir(name).and_then(|dir| trust::read(&dir.join("sync.conf")));
        text.ok().and_then(|text| conf::sync_names_in(&text)).unwrap_or_default()
    }

    /// What the compose file leaves open.
    fn environment(&self) -> [(&'static str, &str); 4] {
        [
            ("UNDERSTUDY_IMAGE", &self.lab.image),
            ("UNDERSTUDY_LAB", self.lab.id.as_str()),
            ("UNDERSTUDY_DIR", self.lab.labels.dir()),
            // Nobody waits for it here, and each check starts a process in a container.
            ("UNDERSTUDY_HEALTH_INTERVAL", "30s"),
        ]
    }

    /// Starts the containers; but not of a node that was primary and is to be a standby: it would be a second primary,
    /// until it is made one.
    fn up(&self, primary: &str, standbys: &[String], data: &BTreeMap<String, Data>) -> Result<()> {
        self.progress.step("starting the containers");
        let was_primary = |name: &String| data.get(name).is_some_and(|data| !data.is_standby);
        if !standbys.iter().any(was_primary) {
            return self.compose(&["up", "--detach"]);
        }
        self.compose(&["up", "--no-start"])?;
        let others = standbys.iter().filter(|name| !was_primary(name)).map(String::as_str);
        self.compose(&["up", "--detach", primary].into_iter().chain(others).collect::<Vec<_>>())
    }

    fn compose(&self, words: &[&str]) -> Result<()> {
        let done = self.lab.engine.compose(&self.lab.project, &self.environment(), words, UP_DEADLINE);
        self.lab.forget_containers();
        done
    }

    /// A container that runs holds its port; one that does not is made anew with another one where its own was taken.
    fn settle_port(&self, name: &str) -> Result<u16> {
        let home = self.lab.dir.parent().context("a lab has a parent")?;
        let runs = self.lab.runs(name)?;
        let settled = ports::settle(home, &self.lab.node_dir(name)?, name, self.state.first_port, runs)?;
        if let Some(moved) = settled.moved {
            self.progress.warn(&moved);
        }
        Ok(settled.port)
    }

    fn upstream(&self, primary: &str, standby: &str) -> Result<Upstream> {
        let section =
            NodeSection { name: primary.to_owned(), host: String::new(), port: 0, dbname: DATABASE.to_owned() };
        Ok(self.lab.upstream(&section, standby))
    }

    fn ensure_standby(&self, primary: &str, on_primary: &Session, name: &str, had_data: bool) -> Result<()> {
        let upstream = self.upstream(primary, name)?;
        let open = || self.lab.session(name, "postgres");
        slots::ensure(on_primary, name)?;
        self.lab.sync_names(name, "")?;
        if !had_data {
            self.progress.step(format!("cloning {primary} to {name}"));
            return self.wait_cloned(on_primary, name, &upstream);
        }
        let in_recovery = || open().and_then(|session| Ok(!is_primary(&session)?)).unwrap_or(true);
        if self.has_standby_data(name)?
            && in_recovery()
            && wait_streaming(on_primary, open, &upstream, STREAM_DEADLINE).is_ok()
        {
            self.lab.discard_old(name)?;
            return rejoin::drop_slots(&open()?);
        }
        program::stop::check()?;
        self.progress.step(format!("making {name} follow {primary} again"));
        if let Rejoined::Clone { because } = rejoin::rejoin(self.lab, name, &upstream, on_primary, &open)? {
            self.progress.say(&format!("{name} was cloned anew, because: {because}"));
        }
        Ok(())
    }

    fn has_standby_data(&self, name: &str) -> Result<bool> {
        let data = self.data(&[name.to_owned()])?;
        Ok(data.get(name).is_some_and(|data| data.is_standby))
    }

    /// Waits for a new node to clone the primary, and then to stream; gives up at once if waiting cannot help.
    fn wait_cloned(&self, on_primary: &Session, name: &str, upstream: &Upstream) -> Result<()> {
        let open = || self.lab.session(name, "postgres");
        until(&format!("{name} to clone {}", upstream.node), CLONE_DEADLINE, LOOK, || match open() {
            Ok(_) => Ok(Look::Done(())),
            Err(error) => match is_primary(on_primary) {
                Ok(_) => self.lab.not_yet_or_never(name, error),
                Err(lost) => Ok(Look::Never(self.lab.with_log(&upstream.node, lost))),
            },
        })
        .and_then(|()| wait_streaming(on_primary, open, upstream, rejoin::STREAM_DEADLINE))
        .map_err(|error| self.lab.with_log(name, error))
    }

    /// Says which settings wait for a restart, and fails for one that a server refuses.
    fn check_settings(&self, names: &[String]) -> Result<()> {
        for name in names {
            let pending = settings::taken(&self.lab.session(name, DATABASE)?, name)?;
            if !pending.is_empty() {
                let id = self.lab.container(name)?;
                self.progress.warn(&format!(
                    "{name}: {} will change with its next restart: docker restart {}",
                    pending.join(", "),
                    &id[..12.min(id.len())]
                ));
            }
        }
        Ok(())
    }
}
