//! A lab to write to, a load that runs, and its ledger held against the table.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use cluster::args::Cluster;
use cluster::file::{ClusterFile, LoginKind};
use cluster::session::Session;
use cluster::wait::{Attempt, until};
use lab::conf::SyncMode;
use lab::open::OpenLab;
use lab::scratch::Scratch;
use report::ledger::{Event, Key, Ledger, LedgerRow, Outcome};
use report::ledger_file::each_row;
use report::load::LoadRow;
use report::payload::payload;
use rustix::process::{Pid, Signal, kill_process};

/// Time for anything that a test waits for. It takes milliseconds; this leaves room for a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// How often a test looks.
const POLL_EVERY: Duration = Duration::from_millis(5);

/// The primary of a new lab, and its standby.
pub(crate) const PRIMARY: &str = "node1";
pub(crate) const STANDBY: &str = "node2";

/// Waits until it is so.
pub(crate) fn wait_for(what: &str, mut look: impl FnMut() -> bool) {
    cluster::wait::until_true(what, SOON, POLL_EVERY, || Ok(look())).unwrap();
}

/// A lab with one standby. When it is dropped, its processes and its directory are seen to be gone.
pub(crate) struct Pair {
    lab: Option<Scratch>,
    pub(crate) file: ClusterFile,
    /// For ledgers; goes with the pair.
    out: tempfile::TempDir,
}

impl Pair {
    pub(crate) fn new(sync: SyncMode) -> Pair {
        Pair::with(sync, &[])
    }

    /// The same with settings, as `setup --set` takes them.
    pub(crate) fn with(sync: SyncMode, settings: &[(&str, &str)]) -> Pair {
        let lab = Scratch::with(1, sync, settings).unwrap();
        let file = ClusterFile::read(&lab.cluster).unwrap();
        Pair { lab: Some(lab), file, out: tempfile::tempdir().unwrap() }
    }

    /// What can be done to its nodes.
    pub(crate) fn open(&self) -> OpenLab {
        lab::open::open(&self.file).unwrap()
    }

    /// The administrator's session, whose own commits wait for nobody.
    pub(crate) fn admin(&self, node: &str) -> Session {
        let cluster = Cluster::from_file(self.file.clone());
        let info = cluster.info(cluster.node(node).unwrap(), LoginKind::Admin).unwrap();
        let session = Session::open(node, &info.with_setting("search_path", "public"), "test").unwrap();
        session.script("SET synchronous_commit = local").unwrap();
        session
    }

    /// Runs `write-load` with a ledger in a new file.
    pub(crate) fn load(&self, args: &[&str]) -> Load {
        let number = fs::read_dir(self.out.path()).unwrap().count();
        let ledger = self.out.path().join(format!("ledger{number}.csv"));
        let mut command = self.command();
        command.arg("--ledger").arg(&ledger).args(args).stdin(Stdio::piped());
        Load::start(command, ledger)
    }

    /// A `write-load` on this lab, not started yet.
    pub(crate) fn command(&self) -> Command {
        let mut command = write_load();
        command.arg("--cluster").arg(&self.lab.as_ref().unwrap().cluster).arg("--quiet");
        command
    }

    /// A path that nothing is at.
    pub(crate) fn new_file(&self) -> PathBuf {
        self.out.path().join("new.csv")
    }

    /// The rows of a run on a node: a sequential scan, once no session of the run is left that could still add one.
    pub(crate) fn rows(&self, node: &str, run: &str) -> BTreeMap<Key, String> {
        let session = self.admin(node);
        let name = format!("understudy {run}");
        wait_for("the sessions of the run to be gone", || {
            let sql = "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = $1)";
            session.value(sql, &[&name]).unwrap()
        });
        session.script("SET enable_indexscan = off; SET enable_bitmapscan = off").unwrap();
        let sql = "SELECT worker, seq, payload FROM understudy.ledger WHERE run = $1";
        let rows = session.rows(sql, &[&run]).unwrap();
        let found: BTreeMap<Key, String> = rows
            .iter()
            .map(|row| {
                let (worker, seq): (i32, i64) = (row.get(0), row.get(1));
                (Key { worker: worker.try_into().unwrap(), seq: seq.try_into().unwrap() }, row.get(2))
            })
            .collect();
        assert_eq!(found.len(), rows.len(), "a key is there twice");
        found
    }

    /// Holds a ledger against the table: what was acknowledged is there, what failed or was never sent is not, and
    /// nothing else is.
    pub(crate) fn judge(&self, node: &str, ledger: &Ledger) {
        let rows = self.rows(node, &ledger.run);
        for (key, write) in &ledger.writes {
            match write.outcome {
                Outcome::Acked => assert!(rows.contains_key(key), "{key:?} was acknowledged and is lost"),
                Outcome::Failed | Outcome::Skipped => {
                    assert!(!rows.contains_key(key), "{key:?} is {:?} and yet there", write.outcome);
                }
                Outcome::AckedLocal | Outcome::Unknown => {}
            }
        }
        for (key, text) in &rows {
            assert!(ledger.writes.contains_key(key), "{key:?} is in the table and not in the ledger");
            assert_eq!(*text, payload(&ledger.run, key.worker, key.seq), "{key:?}");
        }
    }

    /// The backends of the load that wait for the standby.
    pub(crate) fn waiting(admin: &Session) -> Vec<i32> {
        let sql = "SELECT pid FROM pg_stat_activity WHERE usename = 'understudy_app' AND wait_event = 'SyncRep'";
        admin.rows(sql, &[]).unwrap().iter().map(|row| row.get(0)).collect()
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        let Some(lab) = self.lab.take() else { return };
        let dir = lab.dir.clone();
        drop(lab);
        if !std::thread::panicking() {
            assert!(!dir.exists(), "{} is still there", dir.display());
            assert_eq!(processes_below(&dir), Vec::<u32>::new(), "{}", dir.display());
        }
    }
}

/// The processes that work below a directory, also when it has been removed.
fn processes_below(dir: &Path) -> Vec<u32> {
    let below = format!("{}/", dir.display());
    let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &u32| {
        fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.to_string_lossy().starts_with(&below))
    })
    .collect()
}

/// The program, without what the caller's own run could hand on.
pub(crate) fn write_load() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_write-load"));
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("UNDERSTUDY_") || name.starts_with("PG") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A `write-load` that runs. Dropped, it is killed.
pub(crate) struct Load {
    child: Option<Child>,
    pub(crate) ledger: PathBuf,
}

/// How a load ended.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) seconds: Vec<LoadRow>,
    pub(crate) stderr: String,
}

impl Load {
    pub(crate) fn start(mut command: Command, ledger: PathBuf) -> Load {
        Load { child: Some(command.spawn().unwrap()), ledger }
    }

    /// All whole rows of the ledger so far.
    pub(crate) fn events(&self) -> Vec<LedgerRow> {
        events(&self.ledger)
    }

    /// The ledger as it is now.
    pub(crate) fn read(&self) -> Ledger {
        Ledger::read(File::open(&self.ledger).unwrap()).unwrap()
    }

    /// How often an event is in the ledger so far.
    pub(crate) fn count(&self, event: Event) -> usize {
        self.events().iter().filter(|row| row.event == event).count()
    }

    /// Waits until the ledger holds at least this many of an event, and returns how many it does.
    pub(crate) fn wait(&mut self, event: Event, count: usize) -> usize {
        until(&format!("{count} {event:?} in the ledger"), SOON, POLL_EVERY, || {
            assert!(self.child.as_mut().unwrap().try_wait()?.is_none(), "the load has ended");
            if fs::metadata(&self.ledger).map_or(0, |metadata| metadata.len()) == 0 {
                return Ok(Attempt::NotYet("no ledger yet, not even its header".to_owned()));
            }
            let found = self.count(event);
            Ok(if found >= count { Attempt::Done(found) } else { Attempt::NotYet(format!("{found}")) })
        })
        .unwrap()
    }

    /// Waits for `count` more of an event than there are now.
    pub(crate) fn wait_more(&mut self, event: Event, count: usize) {
        let now = self.count(event);
        self.wait(event, now + count);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(self.child.as_ref().unwrap()), signal).unwrap();
    }

    /// Ends stdin, which with `--until-eof` means: finish.
    pub(crate) fn end_stdin(&mut self) {
        drop(self.child.as_mut().unwrap().stdin.take());
    }

    /// Waits for the end.
    pub(crate) fn ended(mut self) -> Ended {
        let output = output_of(self.child.take().unwrap());
        let stderr = String::from_utf8(output.stderr).unwrap();
        let seconds = report::rows::read(&output.stdout[..]).expect(&stderr);
        Ended { code: output.status.code(), seconds, stderr }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

/// What a program printed, once it has ended; it is killed if that takes too long.
pub(crate) fn output_of(mut child: Child) -> Output {
    let end = Instant::now() + 2 * SOON;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > end {
            child.kill().unwrap();
            panic!("it still ran after {:?}: {:?}", 2 * SOON, child.wait_with_output().unwrap());
        }
        std::thread::sleep(POLL_EVERY);
    }
    child.wait_with_output().unwrap()
}

/// All whole rows of a ledger.
pub(crate) fn events(path: &Path) -> Vec<LedgerRow> {
    let mut rows = Vec::new();
    each_row(File::open(path).unwrap(), |row| {
        rows.push(row);
        Ok(())
    })
    .unwrap();
    rows
}
