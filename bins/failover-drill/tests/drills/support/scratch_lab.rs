//! A lab of a test: what it is, what its servers say, and the proof that nothing of it is left.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use cluster::args::Cluster;
use cluster::file::{ClusterFile, LoginKind};
use cluster::session::Session;
use cluster::wait::{Attempt, until};
use lab::conf::SyncMode;
use lab::scratch::Scratch;
use lab::scratch::memory::Witness;
use program::clock::Clock;

use super::{LOOK, SOON, Turn, working_below};
use crate::independent::Present;

/// A lab. Dropping it proves that none of its processes, directories, ports and shared memory is left, and that no
/// password was written.
pub(crate) struct Lab {
    pub(crate) file: ClusterFile,
    pub(crate) dir: PathBuf,
    pub(crate) home: PathBuf,
    pub(crate) path: PathBuf,
    /// All drills on it count from here, and whoever watches them.
    pub(crate) clock: Clock,
    scratch: Option<Scratch>,
    /// Of the local servers' shared memory; containers have theirs to themselves.
    memory: Option<Witness>,
    /// Where drills write to.
    pub(super) out: tempfile::TempDir,
    _turn: Turn,
}

impl Lab {
    pub(crate) fn new(standbys: u32, sync: SyncMode) -> Lab {
        let turn = Turn::take();
        Lab::of(Scratch::new(standbys, sync).unwrap(), turn)
    }

    pub(crate) fn with(standbys: u32, sync: SyncMode, settings: &[(&str, &str)]) -> Lab {
        let turn = Turn::take();
        Lab::of(Scratch::with(standbys, sync, settings).unwrap(), turn)
    }

    pub(crate) fn of_containers(standbys: u32, sync: SyncMode) -> Lab {
        let turn = Turn::take();
        Lab::of(Scratch::of_containers(standbys, sync).unwrap(), turn)
    }

    fn of(scratch: Scratch, turn: Turn) -> Lab {
        let file = ClusterFile::read(&scratch.cluster).unwrap();
        let witness = || Witness::of(scratch.home(), Duration::from_millis(250)).unwrap();
        Lab {
            memory: file.local.is_some().then(witness),
            file,
            dir: scratch.dir.canonicalize().unwrap(),
            home: scratch.home().to_owned(),
            path: scratch.cluster.clone(),
            clock: Clock::starting_now(),
            scratch: Some(scratch),
            out: tempfile::tempdir().unwrap(),
            _turn: turn,
        }
    }

    /// An administrator's session on a node.
    pub(crate) fn session(&self, node: &str) -> Session {
        self.try_session(node).unwrap()
    }

    /// The same where the node may not answer.
    pub(crate) fn try_session(&self, node: &str) -> anyhow::Result<Session> {
        let cluster = Cluster::from_file(self.file.clone());
        Session::open(
            node,
            &cluster.info(cluster.node(node)?, LoginKind::Admin)?.with_setting("search_path", "public"),
            "test",
        )
    }

    /// An administrator's session by the driver alone: what is counted there is counted by nothing of ours.
    pub(crate) fn plain(&self, node: &str) -> postgres::Client {
        let cluster = Cluster::from_file(self.file.clone());
        let info = cluster.info(cluster.node(node).unwrap(), LoginKind::Admin).unwrap();
        let mut config = postgres::Config::new();
        config.host(&info.host).port(info.port).user(&info.user).dbname(&info.dbname).connect_timeout(SOON);
        config.password(info.password.unwrap().reveal()).connect(postgres::NoTls).unwrap()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.file.node.iter().map(|node| node.name.clone()).collect()
    }

    /// The nodes out of recovery. Every node must answer.
    pub(crate) fn primaries(&self) -> Vec<String> {
        let is_primary = |name: &String| self.session(name).value("SELECT NOT pg_is_in_recovery()", &[]).unwrap();
        self.names().into_iter().filter(is_primary).collect()
    }

    /// The one node out of recovery.
    pub(crate) fn primary(&self) -> String {
        let [primary] = <[String; 1]>::try_from(self.primaries()).expect("one node is out of recovery");
        primary
    }

    /// The one of these nodes that is out of recovery; the others are not asked.
    pub(crate) fn primary_of(&self, nodes: &[&str]) -> String {
        let is_primary = |name: &&&str| self.session(name).value("SELECT NOT pg_is_in_recovery()", &[]).unwrap();
        let found: Vec<&&str> = nodes.iter().filter(is_primary).collect();
        let [primary] = found[..] else { panic!("{found:?} are out of recovery") };
        (*primary).to_owned()
    }

    /// What differs if somebody restarted, promoted or reconfigured a node.
    pub(crate) fn state(&self) -> BTreeMap<String, Vec<Option<String>>> {
        let sql = "SELECT pg_postmaster_start_time(), pg_conf_load_time(), pg_is_in_recovery(),
                          (SELECT pid FROM pg_stat_wal_receiver), (SELECT count(*) FROM understudy.ledger)";
        self.names().into_iter().map(|name| (name.clone(), self.session(&name).texts(sql).unwrap().remove(0))).collect()
    }

    /// Every node but `primary` streams from it, over a slot of its own, on its timeline.
    pub(crate) fn check_redundant(&self, primary: &str) {
        let on_primary = self.session(primary);
        let file: String = on_primary.value("SELECT pg_walfile_name(pg_current_wal_lsn())", &[]).unwrap();
        let timeline = i32::from_str_radix(&file[..8], 16).unwrap();
        let of_primary = self.file.node.iter().find(|node| node.name == primary).unwrap();
        // Local servers reach each other at their sockets, containers by name, on a network of their own.
        let (host, port) = match self.file.compose {
            None => (self.dir.join(primary).join("socket").display().to_string(), i32::from(of_primary.port)),
            Some(_) => (format!("{primary}.replication"), 5432),
        };
        for name in self.names().into_iter().filter(|name| name != primary) {
            let sql = "SELECT status = 'streaming' AND sender_port = $1 AND received_tli = $2 AND slot_name = $3
                              AND sender_host = $4
                         FROM pg_stat_wal_receiver";
            let streams: bool = self.session(&name).value(sql, &[&port, &timeline, &name, &host]).unwrap();
            assert!(streams, "{name} streams from {primary} on timeline {timeline}");
            let sql = "SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1 AND active";
            assert_eq!(on_primary.value::<i64>(sql, &[&name]).unwrap(), 1, "the slot of {name} on {primary}");
        }
    }

    /// The rows of a run on a node, each with whether it is what its key says; read from the table, not by its index.
    pub(crate) fn present(&self, node: &str, run: &str) -> Present {
        let mut client = self.plain(node);
        client
            .batch_execute("SET enable_indexscan = off; SET enable_indexonlyscan = off; SET enable_bitmapscan = off")
            .unwrap();
        let sql = "SELECT worker, seq, payload = md5(run || '/' || worker || '/' || seq)
                     FROM understudy.ledger WHERE run = $1";
        let mut present = Present::new();
        for row in client.query(sql, &[&run]).unwrap() {
            let (worker, seq): (i32, i64) = (row.get(0), row.get(1));
            present.entry((worker as u64, seq as u64)).or_default().push(row.get(2));
        }
        present
    }

    /// Nothing that its drills wrote, on the screen or in files, holds a password.
    fn check_no_password_was_written(&self) {
        let passfile = std::fs::read_to_string(self.dir.join("passfile")).unwrap();
        let entries = cluster::passfile::parse(&passfile);
        let passwords: BTreeSet<&str> = entries.iter().map(|entry| entry.password.reveal()).collect();
        assert_eq!(passwords.len(), 5);
        let mut dirs = vec![self.out.path().to_owned()];
        while let Some(dir) = dirs.pop() {
            for path in std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
                if path.is_dir() {
                    dirs.push(path);
                    continue;
                }
                let text = std::fs::read(&path).unwrap();
                for password in passwords.iter().map(|password| password.as_bytes()) {
                    assert!(!text.windows(password.len()).any(|part| part == password), "{}", path.display());
                }
            }
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let written = (!std::thread::panicking()).then(|| self.check_no_password_was_written());
        drop(self.scratch.take());
        if written.is_none() {
            return;
        }
        // Killed processes are gone when `down` returns; tools of theirs may need a moment.
        let gone = until("the lab's processes to be gone", SOON, LOOK, || {
            let left = working_below(&self.dir);
            Ok(if left.is_empty() { Attempt::Done(()) } else { Attempt::NotYet(left.join(", ")) })
        });
        gone.unwrap();
        assert!(!self.home.exists(), "{} is still there", self.home.display());
        if let Some(memory) = self.memory.take() {
            assert_eq!(memory.left().unwrap(), [], "shared memory");
        }
        for node in &self.file.node {
            let bound = std::net::TcpListener::bind((node.host.as_str(), node.port));
            assert!(bound.is_ok(), "port {} of {}: {bound:?}", node.port, node.name);
        }
    }
}
