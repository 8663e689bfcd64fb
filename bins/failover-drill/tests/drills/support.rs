//! Labs, drills on them, and the proof that nothing of them is left.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::marker::PhantomData;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use cluster::args::Cluster;
use cluster::file::{ClusterFile, LoginKind};
use cluster::session::Session;
use cluster::wait::{Attempt, until, until_true};
use lab::conf::SyncMode;
use lab::scratch::Scratch;
use lab::scratch::memory::Witness;
use program::clock::Clock;
use rustix::process::{Pid, Signal, kill_process};

use crate::independent::{self, Events, Fields, Ledger, Present};
use crate::judged_again::judged_again;

/// How often something is looked at.
pub(crate) const LOOK: Duration = Duration::from_millis(5);

/// Time for what takes milliseconds on an idle machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// Time for a whole drill: some ten seconds on two idle cores, and a promotion may take a minute on a busy one.
pub(crate) const DRILL: Duration = Duration::from_secs(150);

/// Labs at the same time: times are measured here, and two cores are the least that somebody has.
const LABS: u32 = 2;

static RUNNING: Mutex<u32> = Mutex::new(0);
static ENDED: Condvar = Condvar::new();

/// A turn to have a lab, given back when dropped.
pub(crate) struct Turn;

impl Turn {
    pub(crate) fn take() -> Turn {
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        while *running >= LABS {
            running = ENDED.wait(running).unwrap_or_else(PoisonError::into_inner);
        }
        *running += 1;
        Turn
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *RUNNING.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        ENDED.notify_one();
    }
}

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
    out: tempfile::TempDir,
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

    /// Starts a drill with short times of load; `more` comes last, and its options win.
    pub(crate) fn start(&self, more: &[&str]) -> Drill<'_> {
        self.start_in(more, None)
    }

    /// The same with a variable in its environment.
    fn start_in(&self, more: &[&str], variable: Option<(&str, String)>) -> Drill<'_> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let run = format!("test-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let out = self.out.path().join(&run);
        let [stdout, stderr] = ["stdout", "stderr"].map(|name| self.out.path().join(format!("{run}.{name}")));
        let mut command = self.command(more, &run);
        command.envs(variable);
        command.stdout(File::create(&stdout).unwrap()).stderr(File::create(&stderr).unwrap());
        Drill { of: PhantomData, child: command.spawn().unwrap(), run, out, stdout, stderr }
    }

    /// A drill of this name with short times of load; `more` comes last, and its options win.
    fn command(&self, more: &[&str], run: &str) -> Command {
        let out = self.out.path().join(run);
        let mut command = Command::new(env!("CARGO_BIN_EXE_failover-drill"));
        if !more.contains(&"--cluster") {
            command.arg("--cluster").arg(&self.path);
        }
        for (option, value) in [("--before", "2s"), ("--after", "1s")] {
            if !more.contains(&option) {
                command.args([option, value]);
            }
        }
        if !more.contains(&"--out") {
            command.arg("--out").arg(&out);
        }
        command.args(more).env_remove("UNDERSTUDY_CLUSTER").env("UNDERSTUDY_RUN", run);
        command.env("UNDERSTUDY_ORIGIN", self.clock.origin_ns().to_string()).stdin(Stdio::null());
        command
    }

    /// Runs a drill into a pipe: what came out of it, and whether the pipe was closed when the drill had ended.
    pub(crate) fn drill_piped(&self, more: &[&str]) -> (String, bool) {
        let run = format!("test-{}-piped", std::process::id());
        let mut command = self.command(more, &run);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut pipe = child.stdout.take().unwrap();
        let (send, read) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut text = String::new();
            let _ = std::io::Read::read_to_string(&mut pipe, &mut text).map(|_| send.send(text));
        });
        let status = wait(&mut child);
        judged_again(&self.out.path().join(run), status.code());
        read.recv_timeout(SOON).map_or((String::new(), false), |text| (text, true))
    }

    /// The exit code of a drill whose stdout nobody reads: of one whose reader has gone, as `head -1` does, or (`shut`) that
    /// had none from the start (`>&-`).
    pub(crate) fn drill_unread(&self, more: &[&str], shut: bool) -> Option<i32> {
        let run = format!("test-{}-unread-{shut}", std::process::id());
        let drill = self.command(more, &run);
        let mut command = Command::new("sh");
        command.args(["-c", if shut { "exec \"$@\" >&-" } else { "exec \"$@\"" }, "sh"]);
        command.arg(drill.get_program()).args(drill.get_args());
        for (name, value) in drill.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut child = command.stdin(Stdio::null()).stdout(writer).stderr(Stdio::null()).spawn().unwrap();
        let status = wait(&mut child);
        judged_again(&self.out.path().join(run), status.code());
        status.code()
    }

    /// Runs a drill to its end.
    pub(crate) fn drill(&self, more: &[&str]) -> Done {
        self.start(more).end()
    }

    /// The same, called by a user through `sudo`.
    pub(crate) fn drill_by_sudo(&self, uid: u32, more: &[&str]) -> Done {
        self.start_in(more, Some(("SUDO_UID", uid.to_string()))).end()
    }
}

/// Waits for a drill that nobody watches.
fn wait(child: &mut Child) -> ExitStatus {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(begun.elapsed() < DRILL, "the drill does not end");
        std::thread::sleep(LOOK);
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

/// The processes that work in a directory or below it, as people would name them.
pub(crate) fn working_below(dir: &Path) -> Vec<String> {
    processes(|process| std::fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd.starts_with(dir)))
}

/// Our programs that run as part of a run. (The servers that a drill started keep its environment, and outlive it.)
pub(crate) fn programs_of(run: &str) -> Vec<String> {
    let variable = format!("UNDERSTUDY_RUN={run}");
    let ours = |process: &Path| -> std::io::Result<bool> {
        let environment = std::fs::read(process.join("environ"))?;
        let name = std::fs::read_to_string(process.join("comm"))?;
        let part = environment.split(|byte| *byte == 0).any(|entry| entry == variable.as_bytes());
        Ok(part && !name.starts_with("postgres"))
    };
    processes(|process| ours(process).unwrap_or(false))
}

/// The states (proc(5)) of the processes that work in a directory or below it.
pub(crate) fn states_below(dir: &Path) -> Vec<char> {
    let below = |process: &Path| std::fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd.starts_with(dir));
    let stats = stats(below).into_iter();
    stats.filter_map(|stat| stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next())).collect()
}

fn processes(wanted: impl Fn(&Path) -> bool) -> Vec<String> {
    stats(wanted).iter().map(|stat| short(stat)).collect()
}

fn stats(wanted: impl Fn(&Path) -> bool) -> Vec<String> {
    let entries = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok).map(|entry| entry.path());
    let wanted = entries.filter(|path| path.join("stat").exists() && wanted(path));
    wanted.map(|path| std::fs::read_to_string(path.join("stat")).unwrap_or_default()).collect()
}

/// Pid and name of a process, from its `stat`.
fn short(stat: &str) -> String {
    stat.split_inclusive(')').next().unwrap_or_default().to_owned()
}

/// A drill that runs; killed when dropped, before its lab can be.
pub(crate) struct Drill<'a> {
    of: PhantomData<&'a Lab>,
    child: Child,
    pub(crate) run: String,
    pub(crate) out: PathBuf,
    stdout: PathBuf,
    stderr: PathBuf,
}

/// A drill that has ended.
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
    pub(crate) run: String,
    pub(crate) out: PathBuf,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Drill<'_> {
    /// The events so far.
    pub(crate) fn events(&self) -> Vec<Fields> {
        if self.out.join("events.csv").exists() { independent::rows(&self.out.join("events.csv")) } else { vec![] }
    }

    /// Waits until a mark is set.
    pub(crate) fn wait_for(&mut self, mark: &str) {
        let waited = until(&format!("the mark {mark}"), DRILL, LOOK, || {
            let events = self.events();
            if events.iter().any(|row| row["mark"] == mark) {
                return Ok(Attempt::Done(Ok(())));
            }
            if let Some(status) = self.child.try_wait()? {
                return Ok(Attempt::Done(Err(status)));
            }
            Ok(Attempt::NotYet(format!("{:?}", events.last())))
        });
        if let Err(status) = waited.unwrap() {
            panic!("it ended ({status}) before {mark}: {}", std::fs::read_to_string(&self.stderr).unwrap());
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap(); // not reaped: the pid is its own
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Done {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(begun.elapsed() < DRILL, "it still runs; its events: {:#?}", self.events());
            std::thread::sleep(LOOK);
        };
        self.done(status)
    }

    /// All drills end here: none is left out of being judged again.
    fn done(&self, status: ExitStatus) -> Done {
        judged_again(&self.out, status.code());
        Done {
            code: status.code(),
            signal: status.signal(),
            run: self.run.clone(),
            out: self.out.clone(),
            stdout: std::fs::read_to_string(&self.stdout).unwrap(),
            stderr: std::fs::read_to_string(&self.stderr).unwrap(),
        }
    }
}

impl Drop for Drill<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Done {
    /// The row of `drill.csv`.
    pub(crate) fn row(&self) -> Fields {
        let mut rows = independent::rows_of(&self.stdout);
        assert_eq!(rows.len(), 1, "exit {:?}, stdout {:?}, stderr {}", self.code, self.stdout, self.stderr);
        rows.remove(0)
    }

    pub(crate) fn ledger(&self) -> Ledger {
        Ledger::read(&self.out.join("ledger.csv"))
    }

    pub(crate) fn events(&self) -> Events {
        Events::read(&self.out.join("events.csv"))
    }

    /// Has the independent judge look at a drill with a takeover, and at the lab after it.
    pub(crate) fn judged(&self, lab: &Lab) -> Judged {
        let (row, ledger, events) = (self.row(), self.ledger(), self.events());
        let primary = lab.primary();
        assert_eq!(row.get("new_primary"), Some(&primary), "{}", self.stderr);
        assert!(row.values().chain(events.0.iter().flat_map(Fields::values)).all(|value| !value.contains('\n')));
        let present = lab.present(&primary, &self.run);
        assert_eq!(independent::final_read(&self.out.join("reads.csv")), present, "what was read, and what is there");
        independent::check(&row, &ledger, &events, &present);
        let code = match row["verdict"].as_str() {
            "held" => 0,
            "broken" => 1,
            _ => 2,
        };
        assert_eq!(self.code, Some(code), "the exit code is the verdict: {}", self.stderr);
        self.check_nothing_runs(lab);
        Judged { row, ledger, events, present }
    }

    /// No program of the run is left, and no backend of its load.
    pub(crate) fn check_nothing_runs(&self, lab: &Lab) {
        assert_eq!(programs_of(&self.run), Vec::<String>::new());
        self.wait_no_backends(lab);
    }

    /// Waits until no server has a backend of the load left.
    pub(crate) fn wait_no_backends(&self, lab: &Lab) {
        let name = format!("understudy {}", self.run);
        for node in lab.names() {
            let sql = "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = $1";
            let session = lab.session(&node);
            until_true("the load's backends to be gone", SOON, LOOK, || session.value(sql, &[&name])).unwrap();
        }
    }
}

/// A drill, its files, and what is there.
pub(crate) struct Judged {
    pub(crate) row: Fields,
    pub(crate) ledger: Ledger,
    pub(crate) events: Events,
    pub(crate) present: Present,
}

impl Judged {
    /// A figure of the row that must be there.
    pub(crate) fn figure(&self, column: &str) -> u64 {
        independent::number(&self.row, column).unwrap_or_else(|| panic!("{column} is empty"))
    }
}
