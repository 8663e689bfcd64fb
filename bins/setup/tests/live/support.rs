//! A home for labs, the program run in it, and its nodes asked what they are.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use cluster::args::Cluster;
use cluster::conninfo::Conninfo;
use cluster::file::{ClusterFile, LoginKind};
use cluster::session::Session;
use cluster::topology::{self, Topology};

/// Time for anything that a test waits for. It takes milliseconds; this leaves room for a busy machine.
const SOON: Duration = Duration::from_secs(30);

/// Time for one run of `setup`. It takes seconds.
pub(crate) const SETUP_DEADLINE: Duration = Duration::from_secs(120);

/// How often a test looks.
pub(crate) const POLL_EVERY: Duration = Duration::from_millis(5);

/// Waits until it is so.
pub(crate) fn wait_for(what: &str, mut look: impl FnMut() -> bool) {
    cluster::wait::until_true(what, SOON, POLL_EVERY, || Ok(look())).unwrap();
}

/// How a run of the program ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A directory for labs, with ports for them. When it is dropped, every lab in it is taken down, and its processes and
/// directories are seen to be gone.
pub(crate) struct Home {
    dir: tempfile::TempDir,
    port: u16,
}

impl Home {
    pub(crate) fn new() -> Home {
        Home { dir: lab::scratch::home().unwrap(), port: lab::scratch::first_port() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The directory of the lab that is made without `--name`.
    pub(crate) fn lab(&self) -> PathBuf {
        self.path().join("lab")
    }

    /// What is in it.
    pub(crate) fn names(&self) -> Vec<String> {
        names(self.path())
    }

    /// The program, on this home and its ports.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = setup();
        command.arg("--home").arg(self.path()).args(["--port", &self.port.to_string()]);
        if !args.contains(&"--backend") {
            command.args(["--backend", "local"]);
        }
        command.args(args);
        command
    }

    /// The same under a umask that lets nobody else in.
    pub(crate) fn private_command(&self, args: &[&str]) -> Command {
        self.command_with_umask("077", args)
    }

    /// The same under any umask.
    pub(crate) fn command_with_umask(&self, umask: &str, args: &[&str]) -> Command {
        let command = self.command(args);
        let mut shell = setup_by("sh");
        shell.args(["-c", "umask \"$1\"; shift; exec \"$@\"", "sh", umask]).arg(command.get_program());
        shell.args(command.get_args());
        shell
    }

    pub(crate) fn setup(&self, args: &[&str]) -> Said {
        said(self.command(args).spawn().unwrap())
    }

    /// Runs the program, which must make the lab what was asked.
    pub(crate) fn made(&self, args: &[&str]) -> Lab {
        let said = self.setup(args);
        assert_eq!(said.code, Some(0), "{said:?}");
        assert_eq!(said.stdout, format!("{}\n", self.lab().join("cluster.toml").display()), "the path, alone");
        self.lab_made()
    }

    /// The lab that is here.
    pub(crate) fn lab_made(&self) -> Lab {
        Lab { cluster: Cluster::from_file(ClusterFile::read(&self.lab().join("cluster.toml")).unwrap()) }
    }

    /// Runs the program, which must refuse with a reason that holds all of `reasons`.
    pub(crate) fn refused(&self, args: &[&str], reasons: &[&str]) -> String {
        refused(self.command(args), reasons)
    }

    /// Whether a process works in this home.
    pub(crate) fn has_processes(&self) -> bool {
        let below = format!("{}/", self.path().canonicalize().unwrap().display());
        let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        pids.into_iter().any(|pid: u32| {
            fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.to_string_lossy().starts_with(&below))
        })
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let said = said(setup().args(["--down", "--all", "--home"]).arg(self.path()).spawn().unwrap());
        if !std::thread::panicking() {
            assert_eq!(said.code, Some(0), "{said:?}");
            assert!(!self.names().iter().any(|name| self.path().join(name).join("pg-understudy.lab").exists()));
            assert!(!self.has_processes());
        }
    }
}

/// The program, without what the caller's own environment could hand on.
pub(crate) fn setup() -> Command {
    setup_by(env!("CARGO_BIN_EXE_setup"))
}

fn setup_by(program: &str) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("UNDERSTUDY_") || (name.starts_with("PG") && name != "PG_BINDIR") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Waits for the end of a run; it is killed if that takes too long.
pub(crate) fn said(mut child: Child) -> Said {
    let end = Instant::now() + SETUP_DEADLINE;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > end {
            child.kill().unwrap();
            panic!("it still ran after {SETUP_DEADLINE:?}: {:?}", child.wait_with_output().unwrap());
        }
        std::thread::sleep(POLL_EVERY);
    }
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let [stdout, stderr] = [stdout, stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    Said { code: status.code(), stdout, stderr }
}

/// As [`refused`], within the time of what opens nothing that blocks.
pub(crate) fn refused_soon(mut command: Command, reasons: &[&str]) -> String {
    let mut child = command.spawn().unwrap();
    let end = Instant::now() + SOON;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > end {
            child.kill().unwrap();
            panic!("{command:?} still ran after {SOON:?}: {:?}", child.wait_with_output().unwrap());
        }
        std::thread::sleep(POLL_EVERY);
    }
    let said = said(child);
    assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""), "{command:?}: {}", said.stderr);
    for reason in reasons {
        assert!(said.stderr.contains(reason), "{command:?} does not say {reason:?}: {}", said.stderr);
    }
    said.stderr
}

/// Exit code 2, a reason that holds all of `reasons`, and not a word on stdout.
pub(crate) fn refused(mut command: Command, reasons: &[&str]) -> String {
    let said = said(command.spawn().unwrap());
    assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""), "{command:?}: {}", said.stderr);
    for reason in reasons {
        assert!(said.stderr.contains(reason), "{command:?} does not say {reason:?}: {}", said.stderr);
    }
    said.stderr
}

/// The names in a directory, sorted.
pub(crate) fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A lab that was made.
pub(crate) struct Lab {
    cluster: Cluster,
}

impl Lab {
    pub(crate) fn file(&self) -> &ClusterFile {
        self.cluster.file.as_ref().unwrap()
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.file().local.as_ref().unwrap().dir.clone()
    }

    pub(crate) fn nodes(&self) -> Vec<&str> {
        self.cluster.nodes.iter().map(|node| node.name.as_str()).collect()
    }

    pub(crate) fn admin_info(&self, node: &str) -> Conninfo {
        self.cluster.info(self.cluster.node(node).unwrap(), LoginKind::Admin).unwrap()
    }

    pub(crate) fn admin(&self, node: &str) -> Session {
        Session::open(node, &self.admin_info(node).with_setting("search_path", "public"), "test").unwrap()
    }

    /// One value from one node, as text.
    pub(crate) fn ask(&self, node: &str, sql: &str) -> String {
        self.admin(node).value(sql, &[]).unwrap()
    }

    /// Every node's answer.
    pub(crate) fn ask_all(&self, sql: &str) -> Vec<String> {
        self.nodes().into_iter().map(|node| self.ask(node, sql)).collect()
    }

    /// The nodes told apart: exactly one out of recovery, and all of them there.
    pub(crate) fn topology(&self) -> Topology {
        let topology = topology::ask(&self.cluster, LoginKind::Admin, "test").unwrap();
        assert!(topology.unreachable.is_empty(), "{:?}", topology.unreachable);
        topology
    }

    /// Sees that `primary` is the primary, the only one, that every other node streams from it, and that it keeps WAL
    /// for those and for nobody else.
    pub(crate) fn is_whole(&self, primary: &str) {
        let topology = self.topology();
        let (node, session) = topology.primary;
        assert_eq!(node.name, primary);
        let standbys: Vec<&str> = self.nodes().into_iter().filter(|name| *name != primary).collect();
        let list = |sql: &str| session.value::<Vec<String>>(sql, &[]).unwrap();
        let streaming = "SELECT coalesce(array_agg(application_name ORDER BY application_name), '{}')
            FROM pg_stat_replication WHERE state = 'streaming'";
        assert_eq!(list(streaming), standbys);
        let slots = "SELECT coalesce(array_agg(slot_name::text ORDER BY slot_name), '{}')
            FROM pg_replication_slots WHERE active";
        assert_eq!(list(slots), standbys);
        assert_eq!(
            session.value::<i64>("SELECT count(*) FROM pg_replication_slots", &[]).unwrap(),
            standbys.len() as i64
        );
        let mut section = self.file().node.iter().find(|node| node.name == primary).unwrap().clone();
        // Local servers reach each other at their sockets, containers by name, on a network of their own.
        if self.file().compose.is_some() {
            (section.host, section.port) = (format!("{primary}.replication"), 5432);
        } else {
            section.host = self.dir().join(primary).join("socket").display().to_string();
        }
        for (standby, on_standby) in &topology.standbys {
            let upstream = lab::standby::upstream(&section, &standby.name, Path::new("no matter"));
            assert!(lab::standby::streams_from(&session, on_standby, &upstream, None).unwrap(), "{}", standby.name);
        }
    }

    /// The postmaster's pid of each node.
    pub(crate) fn pids(&self) -> BTreeMap<String, String> {
        let pid = |node: &str| {
            let text = fs::read_to_string(self.dir().join(node).join("data/postmaster.pid")).unwrap();
            text.lines().next().unwrap().to_owned()
        };
        self.nodes().into_iter().map(|node| (node.to_owned(), pid(node))).collect()
    }
}
