//! Nodes as containers, launched by compose.
//!
//! `compose/node.sh` runs in every container and does what needs PostgreSQL's programs; what is here gives orders to the
//! engine. `file.rs` tells what lies where.

mod client;
pub mod converge;
mod data_dir;
pub(crate) mod down;
pub mod engine;
mod file;
pub mod image;
mod labels;
mod power;
mod process;
mod site;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use cluster::args::login_info;
use cluster::file::{BackendName, NodeSection};
use cluster::ident::check_node_name;
use cluster::peer::ServerUser;
use cluster::protection::Protection;
use cluster::server_error::is_refused;
use cluster::session::Session;
use cluster::wait::{Attempt, until};

use crate::backend::Backend;
use crate::files::remove_file;
use crate::link::{Cut, Link};
use crate::lost_marker;
use crate::marker::LabId;
use crate::secrets::{ADMIN, Secrets};
use crate::standby::{self, Upstream};
use crate::state::{COMPOSE_DIR, NodeState};
use crate::{conf, lock};
use engine::{Engine, Order};
use labels::Labels;

/// Time for a server to take connections. A clean start takes 0.5 s; crash recovery replays up to `max_wal_size`.
const START_DEADLINE: Duration = Duration::from_secs(120);

/// How often something is looked at. Each look starts a program.
const LOOK: Duration = Duration::from_millis(20);

/// How many lines of a container's log an error shows.
const LOG_LINES: &str = "20";

/// The port of every server within its container.
const PORT: u16 = 5432;

/// A lab of containers.
pub struct ComposeLab {
    dir: PathBuf,
    id: LabId,
    labels: Labels,
    project: String,
    image: String,
    engine: Engine,
    secrets: Secrets,
    /// The containers' ids by node: asked once, until compose has changed something.
    ids: Mutex<BTreeMap<String, String>>,
    /// An order to kill that the engine is still at.
    killing: Mutex<Option<Order>>,
    /// Held while it is seen to that a container is on the network: standbys that are made at the same time have one upstream.
    linking: Mutex<()>,
}

/// The name of the compose project of the lab in `dir`: labs of one name in two homes must not meet, nor a lab and its copy.
pub(crate) fn project(dir: &Path, id: &LabId) -> Result<String> {
    let name = dir.file_name().and_then(std::ffi::OsStr::to_str).context("a lab has a name")?;
    Ok(format!("{name}_{}", Labels::of(dir, id)?.digest()))
}

impl ComposeLab {
    /// Opens the lab in `dir`, which must bear our marker.
    ///
    /// # Errors
    /// If there is no lab of ours, or no engine answers.
    pub fn open(dir: &Path, image: &str, engine: Engine) -> Result<ComposeLab> {
        let id = lost_marker::read(dir)?;
        file::check_names(dir)?;
        file::check_trusted(&dir.join(COMPOSE_DIR))?;
        let (labels, project) = (Labels::of(dir, &id)?, project(dir, &id)?);
        let secrets = Secrets::of_lab(dir)?;
        let (engine, image) = (engine.at(&dir.join(COMPOSE_DIR), &id), image.to_owned());
        let (ids, killing, linking) = (Mutex::default(), Mutex::default(), Mutex::default());
        Ok(ComposeLab { dir: dir.to_owned(), id, labels, project, image, engine, secrets, ids, killing, linking })
    }

    /// Takes its lock.
    ///
    /// # Errors
    /// If somebody else holds it.
    pub fn lock(&self) -> Result<lock::Lock> {
        lock::Lock::take(&self.dir)
    }

    fn compose_dir(&self) -> PathBuf {
        self.dir.join(COMPOSE_DIR)
    }

    fn node_dir(&self, node: &str) -> Result<PathBuf> {
        check_node_name(node)?;
        Ok(self.compose_dir().join("nodes").join(node))
    }

    fn network(&self) -> String {
        format!("{}_replication", self.project)
    }

    fn forget_containers(&self) {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The container of a node; `None` if it has none.
    fn find_container(&self, node: &str) -> Result<Option<String>> {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        if !ids.contains_key(node) {
            let all = self.engine.containers(&self.labels.filters())?;
            *ids = all.into_iter().filter(|c| !c.service.is_empty()).map(|c| (c.service, c.id)).collect();
        }
        Ok(ids.get(node).cloned())
    }

    fn container(&self, node: &str) -> Result<String> {
        self.find_container(node)?.with_context(|| format!("node {node} has no container: `setup` makes one"))
    }

    fn lock_killing(&self) -> MutexGuard<'_, Option<Order>> {
        self.killing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the engine has put away what was killed: before that it says that it runs.
    fn finish_kill(&self) -> Result<()> {
        let killing = self.lock_killing().take();
        killing.map_or(Ok(()), Order::finish)
    }

    fn runs(&self, node: &str) -> Result<bool> {
        self.finish_kill()?;
        let Some(id) = self.find_container(node)? else { return Ok(false) };
        Ok(self.engine.order(&["inspect", "--format", "{{.State.Running}}", &id])? == "true")
    }

    fn is_paused(&self, id: &str) -> Result<bool> {
        Ok(self.engine.order(&["inspect", "--format", "{{.State.Paused}}", id])? == "true")
    }

    /// Writes one of a node's settings files; a running server reads it.
    fn write_conf(&self, node: &str, name: &str, text: &str) -> Result<()> {
        let dir = self.node_dir(node)?;
        let (path, unread) = (dir.join(name), dir.join(file::UNREAD));
        if !file::holds(&path, text) {
            // First, so that whoever is killed before the server was told leaves it to the next one.
            file::write(&unread, "")?;
            file::write(&path, text)?;
        }
        if !unread.exists() {
            return Ok(());
        }
        if let Some(id) = self.find_container(node)? {
            // node.sh passes it on to the server.
            match self.engine.order(&["kill", "--signal", "HUP", &id]) {
                Err(error) if format!("{error:#}").contains("is not running") => {} // it will read it when it starts
                other => drop(other?),
            }
        }
        remove_file(&unread)
    }

    fn section(&self, node: &str, dbname: &str) -> Result<NodeSection> {
        Ok(NodeState::read(&self.node_dir(node)?)?.section(node, dbname))
    }

    /// A session of the administrator.
    fn session(&self, node: &str, dbname: &str) -> Result<Session> {
        // Who listens on this machine for a container is its engine: root, or ourselves.
        let protection = Protection::of_lab(ServerUser::Engine);
        let info = login_info(&self.section(node, dbname)?, &self.secrets.login(ADMIN), protection)?;
        Session::open(node, &info, "understudy setup")
    }

    /// Waits until a node's server takes connections; gives up at once if waiting cannot help.
    fn wait_accepts(&self, node: &str) -> Result<Session> {
        until(&format!("node {node} to take connections"), START_DEADLINE, LOOK, || {
            match self.session(node, "postgres") {
                Ok(session) => Ok(Attempt::Done(session)),
                Err(error) => self.not_yet_or_never(node, error),
            }
        })
        .map_err(|error| self.with_log(node, error))
    }

    /// What a look at a node has shown that did not answer: it never will if its container has ended, or if its server
    /// refuses the lab's administrator.
    fn not_yet_or_never<T>(&self, node: &str, error: anyhow::Error) -> Result<Attempt<T>> {
        if is_refused(&error) {
            return Ok(Attempt::Never(error));
        }
        Ok(if self.runs(node)? {
            Attempt::NotYet(format!("{error:#}"))
        } else {
            Attempt::Never(anyhow!("its container ended"))
        })
    }

    /// Sees that a node's container is on the network that WAL travels on.
    fn link(&self, node: &str) -> Result<()> {
        let (id, network) = (self.container(node)?, self.network());
        let _linking = self.linking.lock().unwrap_or_else(PoisonError::into_inner);
        let names = "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}";
        let on = self.engine.order(&["inspect", "--format", names, &id])?;
        if !on.split_whitespace().any(|name| name == network) {
            self.engine.order(&["network", "connect", "--alias", &host(node), &network, &id])?;
        }
        Ok(())
    }
}

/// The name of a node on the network that WAL travels on.
fn host(node: &str) -> String {
    format!("{node}.replication")
}

impl Link for ComposeLab {
    fn cut(&self, standby: &str) -> Result<Cut> {
        self.engine.order(&["network", "disconnect", &self.network(), &self.container(standby)?])?;
        Ok(Cut::Network)
    }

    fn follow(&self, node: &str, upstream: Option<&Upstream>) -> Result<()> {
        if let Some(upstream) = upstream {
            self.link(node)?;
            self.link(&upstream.node)?;
        }
        self.write_conf(node, "follow.conf", &conf::follow_conf(upstream))
    }
}

impl Backend for ComposeLab {
    fn name(&self) -> BackendName {
        BackendName::Compose
    }

    fn sync_names(&self, node: &str, names: &str) -> Result<()> {
        self.write_conf(node, "sync.conf", &conf::sync_conf(names))
    }

    fn upstream(&self, primary: &NodeSection, standby: &str) -> Upstream {
        let within = NodeSection { host: host(&primary.name), port: PORT, ..primary.clone() };
        standby::upstream(&within, standby, &Path::new(data_dir::VOLUME).join(standby).join("passfile"))
    }

    fn log_tail(&self, node: &str) -> String {
        let read = || -> Result<String> {
            let said =
                self.engine.output(&["logs", "--tail", LOG_LINES, &self.container(node)?], engine::ORDER_DEADLINE)?;
            Ok(format!("{}{}", said.stdout, said.stderr).trim_end().to_owned())
        };
        read().unwrap_or_else(|error| format!("({error:#})"))
    }
}
