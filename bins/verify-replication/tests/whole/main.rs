//! Against real servers: who follows whom, what the catalogs say, where sequences stand, and what is said of it all.

#![allow(clippy::unwrap_used, reason = "the helpers of a test may panic as well as the test")]

mod back;
mod catalogs;
mod descent;
mod elsewhere;
mod encodings;
mod going;
mod kinds;
mod many;
mod options;
mod renamed;
mod sequences;
mod waits;

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use cluster::args::Cluster;
use cluster::file::{ClusterFile, LoginKind};
use cluster::session::Session;
use lab::conf::SyncMode;
use lab::open::OpenLab;
use lab::scratch::Scratch;
use report::verdict::Verdict;
use report::verify::{Descent, VerifyRow};

/// Long enough for whatever a test waits for.
const SOON: Duration = Duration::from_secs(30);

/// Sets a flag when it is dropped, also by a panic: else the thread that waits for it would let the test hang.
struct Sets<'a>(&'a std::sync::atomic::AtomicBool);

impl Drop for Sets<'_> {
    fn drop(&mut self) {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}

/// A lab: `node1` is the primary, `node2` and so on its standbys.
struct Lab {
    lab: Scratch,
    file: ClusterFile,
}

/// What a run of the program said.
struct Said {
    code: Option<i32>,
    rows: Vec<VerifyRow>,
    stderr: String,
}

impl Lab {
    fn new(standbys: u32) -> Lab {
        let lab = Scratch::new(standbys, SyncMode::Async).unwrap();
        let file = ClusterFile::read(&lab.cluster).unwrap();
        Lab { lab, file }
    }

    /// An administrator's session.
    fn on(&self, node: &str) -> Session {
        let cluster = Cluster::from_file(self.file.clone());
        Session::open(
            node,
            &cluster.info(cluster.node(node).unwrap(), LoginKind::Admin).unwrap().with_setting("search_path", "public"),
            "test",
        )
        .unwrap()
    }

    fn open(&self) -> OpenLab {
        lab::open::open(&self.file).unwrap()
    }

    /// How to reach a node as the role that monitors.
    fn conninfo(&self, node: &str) -> String {
        let node = self.file.node.iter().find(|section| section.name == node).unwrap();
        let login = &self.file.roles.monitor;
        format!(
            "host={} port={} dbname={} user={} passfile={}",
            node.host,
            node.port,
            node.dbname,
            login.user,
            login.passfile.display()
        )
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_verify-replication"));
        command
            .args(args)
            .env_remove("UNDERSTUDY_CLUSTER")
            .env_remove("UNDERSTUDY_RUN")
            .env_remove("UNDERSTUDY_ORIGIN");
        command.env("UNDERSTUDY_HOME", self.lab.home());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Compares the whole cluster.
    fn verify(&self, args: &[&str]) -> Said {
        let cluster = self.lab.cluster.display().to_string();
        said(&self.command(&[&["--cluster", &cluster], args].concat()).output().unwrap())
    }

    /// Compares two nodes, and knows of no others.
    fn verify_pair(&self, primary: &str, standby: &str, args: &[&str]) -> Said {
        let (primary, standby) = (self.conninfo(primary), self.conninfo(standby));
        said(&self.command(&[&["--primary", &primary, "--standby", &standby], args].concat()).output().unwrap())
    }

    /// Waits until a standby has all that `node1` has.
    fn catch_up(&self, standby: &str) {
        let mark = cluster::catch_up::mark(&self.on("node1")).unwrap();
        cluster::catch_up::wait(&self.on(standby), mark, SOON).unwrap();
    }

    /// Makes a copy of `node1` of a standby: a server of its own that holds the same.
    fn promote(&self, standby: &str) -> Session {
        self.catch_up(standby);
        let session = self.on(standby);
        assert!(session.value::<bool>("SELECT pg_promote()", &[]).unwrap());
        session
    }
}

fn said(output: &Output) -> Said {
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    Said { code: output.status.code(), rows: report::rows::read(&output.stdout[..]).expect(&stderr), stderr }
}

impl Said {
    /// The row of that title on that standby.
    fn row(&self, table: &str, standby: &str) -> &VerifyRow {
        let found = self.rows.iter().find(|row| row.table == table && row.standby == standby);
        found.unwrap_or_else(|| panic!("no {table} on {standby}: {:#?} {}", self.rows, self.stderr))
    }

    /// Verdict and descent of all rows of a standby, which have to be the same.
    fn of(&self, standby: &str) -> (Verdict, Option<Descent>) {
        let all: Vec<_> = self.rows.iter().filter(|row| row.standby == standby).collect();
        let first = (all[0].verdict, all[0].descent);
        assert!(all.iter().all(|row| (row.verdict, row.descent) == first), "{all:#?} {}", self.stderr);
        first
    }
}
