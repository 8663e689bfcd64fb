//! `setup --backend local`: makes a lab what was asked, from whatever is there. Asked again, it changes nothing.

use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use cluster::args::login_info;
use cluster::file::{ClusterFile, LATEST, LocalSection, Login, NodeSection, Roles};
use cluster::ident::check_node_name;
use cluster::session::Session;
use cluster::topology::is_primary;
use cluster::wait::{Look, until, until_true};
use program::progress::Progress;
use report::show::count;

use super::LocalLab;
use super::check_home;
use super::down::remove_node;
use super::make::is_free;
use super::node::NodeDir;
use super::process;
use super::state::{LabState, NodeState};
use crate::backend::{Backend as _, Power};
use crate::binaries::{Asked, Binaries};
use crate::conf::{self, SyncMode};
use crate::marker::{self, LabId};
use crate::rejoin::{self, Rejoined};
use crate::roles::{self, DATABASE};
use crate::secrets::{self, Secrets};
use crate::standby::{Upstream, wait_streaming};
use crate::{slots, standby};

/// The first port of a lab where nothing else is said.
pub const FIRST_PORT: u16 = 15432;

/// Time for a standby that is there to stream again; one that does not is rewound or cloned.
const STREAM_DEADLINE: Duration = Duration::from_secs(20);

/// Time for the quorum to show on the primary after it was set.
const SYNC_DEADLINE: Duration = Duration::from_secs(30);

/// Time for a server to read its configuration after it was told to: it takes the next turn of a loop.
const SETTINGS_DEADLINE: Duration = Duration::from_secs(2);

/// How often something is looked at.
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
    /// The first port.
    pub first_port: Option<u16>,
    /// How commits wait.
    pub sync: Option<SyncMode>,
    /// How many standbys must confirm.
    pub quorum: Option<u32>,
    /// `--set`; the value `default` takes one back.
    pub settings: Vec<(String, String)>,
}

/// Makes the lab what was asked and returns the path of its cluster file.
///
/// # Errors
/// If it cannot; what was made so far stays, can be converged again, and `down` removes it.
pub fn converge(wanted: &Wanted, progress: &Progress) -> Result<PathBuf> {
    check(wanted)?;
    let dir = wanted.home.join(&wanted.name);
    let old_state = if dir.join("lab.toml").exists() { Some(LabState::read(&dir)?) } else { None };
    let binaries = choose_binaries(wanted, old_state.as_ref())?;
    progress.say(&format!("PostgreSQL {} from {} ({})", binaries.version, binaries.dir.display(), binaries.found_by));
    if let (false, Some(port)) = (dir.exists(), wanted.first_port) {
        ensure!(is_free(port), "--port {port} is in use: name another, or leave it out");
    }
    let state = settle(wanted, old_state, &binaries)?;
    make_lab_dir(&wanted.home, &dir)?;
    let lab = LocalLab::open(&dir, binaries)?;
    let _lock = lab.lock()?;
    state.write(&dir)?;
    let secrets = Secrets::of_lab(&dir)?;
    Converging { lab: &lab, state: &state, secrets: &secrets, progress }.run()?;
    point_latest(&wanted.home, &dir)
}

fn check(wanted: &Wanted) -> Result<()> {
    check_node_name(&wanted.name).context("--name")?;
    check_home(&wanted.home)?;
    let standbys = wanted.standbys.unwrap_or(1);
    ensure!(standbys >= 1, "--standbys 0: a takeover needs at least one standby");
    // max_wal_senders is 10, and a base backup takes one or two of them.
    ensure!(standbys <= 8, "--standbys {standbys}: at most 8 on one machine");
    Ok(())
}

fn choose_binaries(wanted: &Wanted, old: Option<&LabState>) -> Result<Binaries> {
    let Some(old) = old else { return Binaries::find(&wanted.binaries) };
    let same = Binaries::at(&old.bin, "the lab's own")?;
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

/// What the lab is to be: what was asked, and for the rest what it was.
fn settle(wanted: &Wanted, old: Option<LabState>, binaries: &Binaries) -> Result<LabState> {
    let mut state = old.unwrap_or_else(|| LabState {
        name: wanted.name.clone(),
        bin: binaries.dir.clone(),
        first_port: FIRST_PORT,
        standbys: 1,
        sync: SyncMode::Async,
        quorum: 1,
        settings: BTreeMap::new(),
    });
    state.bin.clone_from(&binaries.dir);
    state.first_port = wanted.first_port.unwrap_or(state.first_port);
    state.sync = wanted.sync.unwrap_or(state.sync);
    state.standbys = wanted.standbys.unwrap_or(state.standbys);
    state.quorum = wanted.quorum.unwrap_or(state.quorum.min(state.standbys));
    for (name, value) in &wanted.settings {
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

fn make_lab_dir(home: &Path, dir: &Path) -> Result<()> {
    // Others may pass through: as root, the servers' user must reach its nodes. The secrets are in files of their own.
    let builder = |recursive| {
        let mut builder = fs::DirBuilder::new();
        builder.mode(0o755).recursive(recursive);
        builder
    };
    builder(true).create(home).with_context(|| format!("cannot make {}", home.display()))?;
    match fs::symlink_metadata(dir) {
        Err(_) => builder(false).create(dir).with_context(|| format!("cannot make {}", dir.display()))?,
        Ok(metadata) => ensure!(metadata.is_dir(), "{} is not a directory: it is left alone", dir.display()),
    }
    if marker::read(dir)?.is_none() {
        let empty = fs::read_dir(dir)?.next().is_none();
        ensure!(empty, "{} is not empty and no lab of ours: it is left alone", dir.display());
        marker::put(dir, &LabId::new())?;
    }
    Ok(())
}

fn point_latest(home: &Path, dir: &Path) -> Result<PathBuf> {
    let file = dir.join("cluster.toml");
    let (latest, new) = (home.join(LATEST), home.join(format!(".{LATEST}-{}", std::process::id())));
    let _ = fs::remove_file(&new);
    std::os::unix::fs::symlink(&file, &new)
        .and_then(|()| fs::rename(&new, &latest))
        .with_context(|| format!("cannot point {} at the lab", latest.display()))?;
    Ok(file)
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
        process::kill_orphans_below(self.lab.dir(), &self.state.bin)?;
        let nodes = self.nodes()?;
        let primary = match self.find_primary(&nodes)? {
            Some(primary) => primary,
            None => self.make_first()?,
        };
        self.configure(&primary)?;
        if self.lab.power(&primary)? == Power::Off {
            self.progress.step(format!("starting {primary} as primary"));
            self.lab.start(&primary)?;
        }
        let to_make = self.session(&primary, "postgres")?;
        to_make.rows(cluster::sql!("orphaned_setups"), &[])?;
        roles::ensure_database(&to_make)?;
        let on_primary = self.session(&primary, DATABASE)?;
        ensure!(is_primary(&on_primary)?, "{primary} was to be primary, and is in recovery");
        roles::ensure(&on_primary, self.secrets)?;

        let kept = self.adjust_count(&primary)?;
        // Before anything is added or removed: a commit waits for those that are there and stay, and for nobody else.
        let there: Vec<String> = kept.iter().filter(|name| self.has_data(name)).cloned().collect();
        self.lab.sync_names(&primary, &self.sync_names(&there))?;
        for standby in &kept {
            self.ensure_standby(&primary, &on_primary, standby)?;
        }
        self.remove_others(&primary, &on_primary, &kept)?;
        self.lab.sync_names(&primary, &self.sync_names(&kept))?;
        self.wait_quorum(&on_primary)?;
        let mut all = kept;
        all.push(primary);
        all.sort_by_key(|name| number(name));
        self.check_settings(&all)?;
        self.write_cluster_file(&all)
    }

    /// The nodes that are there, in the order of their numbers.
    pub(super) fn nodes(&self) -> Result<Vec<NodeDir>> {
        let mut nodes = Vec::new();
        for entry in fs::read_dir(self.lab.dir())? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.file_type()?.is_dir() && marker::read(&entry.path())?.is_some() {
                nodes.push(self.lab.node(&name)?);
            }
        }
        nodes.sort_by_key(|node| number(&node.name));
        Ok(nodes)
    }

    /// The standbys that are to be there: those that are, without the newest ones that are too many, and new names.
    fn adjust_count(&self, primary: &str) -> Result<Vec<String>> {
        let standbys = self.state.standbys;
        let mut names: Vec<String> =
            self.nodes()?.into_iter().map(|node| node.name).filter(|name| name != primary).collect();
        names.truncate(standbys as usize);
        let mut next = 1;
        while names.len() < standbys as usize {
            let name = format!("node{next}");
            if name != primary && !names.contains(&name) {
                names.push(name);
            }
            next += 1;
        }
        Ok(names)
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
            return rejoin::clone(self.lab, name, &upstream, &open);
        }
        if self.lab.power(name)? == Power::Off && node.data().join("standby.signal").exists() {
            self.progress.step(format!("starting {name}"));
            self.lab.start(name)?;
        }
        // One that runs and does not answer is not one that streams: rejoining stops it.
        if self.lab.power(name)? == Power::On
            && open().and_then(|session| is_primary(&session)).is_ok_and(|it_is| !it_is)
        {
            if wait_streaming(open, name, upstream.port, STREAM_DEADLINE).is_ok() {
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

    fn has_data(&self, name: &str) -> bool {
        self.lab.node(name).is_ok_and(|node| node.has_data())
    }

    fn upstream(&self, primary: &str, name: &str) -> Result<Upstream> {
        let section = self.section(primary)?;
        Ok(standby::upstream(&section, name, &self.lab.node(name)?.passfile()))
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
                SYNC_DEADLINE,
                Duration::from_millis(5),
                || {
                    slots::drop(on_primary, &node.name)?;
                    Ok(!slots::names(on_primary)?.contains(&node.name))
                },
            )?;
            remove_node(&node.dir, &self.lab.id)?;
        }
        Ok(())
    }

    fn sync_names(&self, standbys: &[String]) -> String {
        let quorum = self.state.quorum.min(u32::try_from(standbys.len()).unwrap_or(u32::MAX));
        conf::sync_names(self.state.sync, quorum, standbys)
    }

    /// In a sync mode: waits until the primary counts enough standbys as synchronous.
    fn wait_quorum(&self, on_primary: &Session) -> Result<()> {
        if self.state.sync == SyncMode::Async {
            return Ok(());
        }
        until_true("the quorum to show in pg_stat_replication", SYNC_DEADLINE, LOOK, || {
            let count: i64 = on_primary.value(cluster::sql!("quorum"), &[])?;
            Ok(count >= i64::from(self.state.quorum))
        })
    }

    /// Says which settings wait for a restart, and fails for one that a server refuses.
    fn check_settings(&self, names: &[String]) -> Result<()> {
        for name in names {
            let session = self.session(name, DATABASE)?;
            let mut pending = Vec::new();
            // A server reads its configuration a moment after it is told to, and only then says what has to wait.
            let refused = until(&format!("{name} to read its settings"), SETTINGS_DEADLINE, LOOK, || {
                pending = column(&session, "SELECT name FROM pg_settings WHERE pending_restart ORDER BY name")?;
                let mut refused = session.texts("SELECT name, error FROM pg_file_settings WHERE error IS NOT NULL")?;
                refused.retain(|row| !pending.iter().any(|name| row[0].as_ref() == Some(name)));
                Ok(match refused.pop() {
                    None => Look::Done(()),
                    Some(row) => Look::NotYet(row.into_iter().flatten().collect::<Vec<_>>().join(": ")),
                })
            });
            refused
                .with_context(|| format!("node {name}: a setting is refused (`--set NAME=default` takes one back)"))?;
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
        Ok(NodeSection {
            name: name.to_owned(),
            host: Ipv4Addr::LOCALHOST.to_string(),
            port: NodeState::read(&self.lab.node(name)?.dir)?.port,
            dbname: DATABASE.to_owned(),
        })
    }

    fn login(&self, role: &str) -> Login {
        Login { user: role.to_owned(), passfile: self.secrets.file.clone() }
    }

    /// A session of the administrator.
    pub(super) fn session(&self, name: &str, dbname: &str) -> Result<Session> {
        let section = NodeSection { dbname: dbname.to_owned(), ..self.section(name)? };
        Session::open(name, &login_info(&section, &self.login(secrets::ADMIN))?, "understudy setup")
    }

    fn write_cluster_file(&self, names: &[String]) -> Result<()> {
        let file = ClusterFile {
            name: self.state.name.clone(),
            backend: self.lab.name().to_owned(),
            local: Some(LocalSection { dir: self.lab.dir().to_owned(), bin: self.state.bin.clone() }),
            roles: Roles {
                admin: self.login(secrets::ADMIN),
                application: self.login(secrets::APPLICATION),
                monitor: self.login(secrets::MONITOR),
                replication: self.login(secrets::REPLICATION),
                rewind: self.login(secrets::REWIND),
            },
            node: names.iter().map(|name| self.section(name)).collect::<Result<_>>()?,
        };
        let path = self.lab.dir().join("cluster.toml");
        secrets::write_private(&path, &file.render()?, crate::account::Account::Own)
    }
}

/// The number at the end of a node's name, for sorting.
fn number(name: &str) -> (u64, String) {
    let digits = name.trim_start_matches(|c: char| !c.is_ascii_digit());
    (digits.parse().unwrap_or(u64::MAX), name.to_owned())
}

/// The first column of a query's rows.
fn column(session: &Session, sql: &str) -> Result<Vec<String>> {
    Ok(session.texts(sql)?.into_iter().filter_map(|mut row| row.swap_remove(0)).collect())
}
