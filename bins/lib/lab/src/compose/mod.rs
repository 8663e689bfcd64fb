//! Nodes as containers, launched by compose.
//!
//! `compose/node.sh` runs in every container and does what needs PostgreSQL's programs; what is here gives orders to the
//! engine. `file.rs` tells what lies where.

pub mod converge;
pub(crate) mod down;
pub mod engine;
mod file;
pub mod image;
mod labels;
mod process;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use cluster::args::login_info;
use cluster::connect::is_refused;
use cluster::file::{BackendName, NodeSection};
use cluster::ident::check_node_name;
use cluster::peer::ServerUser;
use cluster::protection::Protection;
use cluster::session::Session;
use cluster::wait::{Look, until, until_true};
use program::tool::Output;
use report::lsn::Lsn;

use crate::backend::{Backend, Cut, Power};
use crate::files::remove_file;
use crate::lost_marker;
use crate::marker::LabId;
use crate::secrets::{ADMIN, REWIND, Secrets};
use crate::standby::{self, Upstream};
use crate::state::NodeState;
use crate::{conf, lock, ports};
use engine::{Engine, Order};
use labels::Labels;

/// The directory, in a lab's, with what compose needs.
pub const DIR: &str = "compose";

/// Time for a server to take connections. A clean start takes 0.5 s; crash recovery replays up to `max_wal_size`.
const START_DEADLINE: Duration = Duration::from_secs(120);

/// Time for a fast shutdown: it writes a checkpoint and waits until standbys have received it.
const STOP_DEADLINE: Duration = Duration::from_secs(60);

/// Time for a killed container to be gone. The kernel needs milliseconds.
const GONE_DEADLINE: Duration = Duration::from_secs(10);

/// Time for `pg_rewind` and the other tools: they read the WAL since the last checkpoint before the fork.
const TOOL_DEADLINE: Duration = Duration::from_secs(300);

/// Time for a base backup: it copies everything. An hour at 100 MB/s is 360 GB: more than a lab holds.
const CLONE_DEADLINE: Duration = Duration::from_secs(3_600);

/// How often something is looked at. Each look starts a program.
const LOOK: Duration = Duration::from_millis(20);

/// How many lines of a container's log an error shows.
const LOG_LINES: &str = "20";

/// What a container of ours may do, as `compose.yaml` says it for the others.
const CONFINED: [(&str, &str); 7] = [
    ("--cap-drop", "ALL"),
    ("--cap-add", "CHOWN"),
    ("--cap-add", "DAC_OVERRIDE"),
    ("--cap-add", "KILL"),
    ("--cap-add", "SETGID"),
    ("--cap-add", "SETUID"),
    ("--security-opt", "no-new-privileges:true"),
];

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
        file::check_trusted(&dir.join(DIR))?;
        let (labels, project) = (Labels::of(dir, &id)?, project(dir, &id)?);
        let secrets = Secrets::of_lab(dir)?;
        let (engine, image) = (engine.at(&dir.join(DIR), &id), image.to_owned());
        let (ids, killing) = (Mutex::default(), Mutex::default());
        Ok(ComposeLab { dir: dir.to_owned(), id, labels, project, image, engine, secrets, ids, killing })
    }

    /// Takes its lock.
    ///
    /// # Errors
    /// If somebody else holds it.
    pub fn lock(&self) -> Result<lock::Lock> {
        lock::Lock::take(&self.dir)
    }

    fn compose_dir(&self) -> PathBuf {
        self.dir.join(DIR)
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
            let all = self.engine.containers(&self.labels)?;
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

    /// Runs one word of `node.sh` in a container of its own, over the node's volumes.
    fn step(&self, node: &str, words: &[&str], deadline: Duration) -> Result<Output> {
        self.finish_kill()?;
        let (id, network) = (self.container(node)?, self.network());
        let ([lab, dir], name) = (self.labels.both(), format!("UNDERSTUDY_NODE={node}"));
        let own = format!("{}_step_{node}_{}", self.project, std::process::id());
        let mut args = vec!["run", "--rm", "--init", "--name", &own, "--volumes-from", &id];
        args.extend(["--label", &lab, "--label", &dir]);
        args.extend(["--network", &network]);
        args.extend(CONFINED.iter().flat_map(|option| [option.0, option.1]));
        args.extend(["--env", &name, "--entrypoint", "sh", &self.image, "/understudy/node.sh"]);
        args.extend(words);
        let said = self.engine.output(&args, deadline);
        if said.is_err() {
            // Too long, or a signal: what was ended is the client. The container would go on, and keep the node's lock.
            self.engine.remove_now(&own);
        }
        said.with_context(|| format!("node {node}: {}", words[0]))
    }

    fn step_done(&self, node: &str, words: &[&str], deadline: Duration) -> Result<String> {
        let said = self.step(node, words, deadline)?;
        ensure!(said.status.success(), "node {node}: {} failed: {}", words[0], said.why());
        Ok(said.stdout)
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
                Ok(session) => Ok(Look::Done(session)),
                Err(error) => self.not_yet_or_never(node, error),
            }
        })
        .map_err(|error| self.with_log(node, error))
    }

    /// What a look at a node has shown that did not answer: it never will if its container has ended, or if its server
    /// refuses the lab's administrator.
    fn not_yet_or_never<T>(&self, node: &str, error: anyhow::Error) -> Result<Look<T>> {
        if is_refused(&error) {
            return Ok(Look::Never(error));
        }
        Ok(if self.runs(node)? {
            Look::NotYet(format!("{error:#}"))
        } else {
            Look::Never(anyhow!("its container ended"))
        })
    }

    /// Sees that a node's container is on the network that WAL travels on.
    fn link(&self, node: &str) -> Result<()> {
        let (id, network) = (self.container(node)?, self.network());
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

impl Backend for ComposeLab {
    fn name(&self) -> BackendName {
        BackendName::Compose
    }

    fn power(&self, node: &str) -> Result<Power> {
        Ok(if self.runs(node)? { Power::On } else { Power::Off })
    }

    fn start(&self, node: &str) -> Result<()> {
        self.finish_kill()?;
        let port = NodeState::read(&self.node_dir(node)?)?.port;
        if !self.runs(node)? {
            ports::check_free(node, port)?;
        }
        if let Err(error) = self.engine.order(&["start", &self.container(node)?]) {
            ports::check_free(node, port)?; // taken in between
            return Err(error);
        }
        self.wait_accepts(node).map(drop)
    }

    fn stop(&self, node: &str) -> Result<()> {
        if !self.runs(node)? {
            return Ok(());
        }
        let (id, seconds) = (self.container(node)?, STOP_DEADLINE.as_secs().to_string());
        let said = self.engine.output(&["stop", "--time", &seconds, &id], STOP_DEADLINE + Duration::from_secs(10))?;
        ensure!(said.status.success(), "node {node} does not stop: {}", said.why());
        Ok(())
    }

    fn kill(&self, node: &str, first_act: &mut dyn FnMut()) -> Result<()> {
        let id = self.container(node)?;
        let said = self.engine.order(&["inspect", "--format", "{{.State.Running}} {{.State.Pid}}", &id])?;
        let pid = said.strip_prefix("true ");
        let pid = pid.with_context(|| format!("node {node} does not run: there is nothing to kill"))?;
        let first = process::first_of_container(pid, &id)?;
        first_act();
        // Not `stop`, which is a clean shutdown. With its first process, all of a container's processes end.
        let killing = self.engine.begin(&["kill", "--signal", "KILL", &id])?;
        let Some(first) = first else {
            killing.finish().with_context(|| format!("node {node}"))?;
            return until_true(&format!("node {node} to be gone"), GONE_DEADLINE, LOOK, || Ok(!self.runs(node)?));
        };
        // The engine puts a container away before it says that it is dead, some 0.3 s late; the kernel says it at once.
        first.wait_gone(Instant::now() + GONE_DEADLINE).with_context(|| format!("node {node}"))?;
        *self.lock_killing() = Some(killing);
        Ok(())
    }

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

    fn sync_names(&self, node: &str, names: &str) -> Result<()> {
        self.write_conf(node, "sync.conf", &conf::sync_conf(names))
    }

    fn make_standby(&self, node: &str) -> Result<()> {
        ensure!(!self.runs(node)?, "node {node} runs");
        self.step_done(node, &["make-standby"], TOOL_DEADLINE).map(drop)
    }

    fn clone_from(&self, node: &str, upstream: &Upstream) -> Result<()> {
        ensure!(!self.runs(node)?, "node {node} runs");
        self.follow(node, Some(upstream))?;
        self.step_done(node, &["clone"], CLONE_DEADLINE).map(drop)
    }

    fn discard_old(&self, node: &str) -> Result<()> {
        let id = self.container(node)?;
        self.engine.order(&["exec", &id, "sh", "/understudy/node.sh", "discard-old"]).map(drop)
    }

    fn rewind(&self, node: &str, upstream: &Upstream) -> Result<()> {
        ensure!(!self.runs(node)?, "node {node} runs");
        self.link(&upstream.node)?;
        self.step_done(node, &["rewind", &upstream.conninfo_as(REWIND)], TOOL_DEADLINE).map(drop)
    }

    fn waldump(&self, node: &str, timeline: u32, start: Lsn) -> Result<(String, String)> {
        // It ends with an error where the WAL ends: that is what it is run for.
        let said = self.step(node, &["waldump", &timeline.to_string(), &start.to_string()], TOOL_DEADLINE)?;
        Ok((said.stdout, said.stderr))
    }

    fn query_alone(&self, node: &str, dbname: &str, query: &str) -> Result<String> {
        ensure!(!self.runs(node)?, "node {node} runs");
        ensure!(!query.contains('\n'), "a query in single-user mode is one line");
        self.step_done(node, &["single", dbname, query], TOOL_DEADLINE)
    }

    fn pg_ctl_promote(&self, node: &str, limit: Duration) -> Result<()> {
        let (id, seconds) = (self.container(node)?, limit.as_secs().to_string());
        let said = self.engine.output(&["exec", &id, "sh", "/understudy/node.sh", "promote", &seconds], limit)?;
        if !said.status.success() {
            bail!("node {node}: pg_ctl promote failed: {}", said.why());
        }
        Ok(())
    }

    fn upstream(&self, primary: &NodeSection, standby: &str) -> Upstream {
        let within = NodeSection { host: host(&primary.name), port: PORT, ..primary.clone() };
        standby::upstream(&within, standby, &Path::new("/var/lib/postgresql").join(standby).join("passfile"))
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
