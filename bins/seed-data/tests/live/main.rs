//! Against real servers: the same seed is the same content, and nothing is filled in beside it.

#![allow(clippy::unwrap_used, reason = "the helpers of a test may panic as well as the test")]

mod replace;
mod strangers;

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use cluster::args::Cluster;
use cluster::file::{ClusterFile, LoginKind};
use cluster::session::Session;
use cluster::topology;
use lab::conf::SyncMode;
use lab::scratch::Scratch;
use report::seed::SeedRow;

/// Time for anything that a test waits for.
const SOON: Duration = Duration::from_secs(60);

/// The program, without what the caller's own environment could hand on.
fn seed_data() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_seed-data"));
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("UNDERSTUDY_") || name.starts_with("PG") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A lab with one standby. When it is dropped, its directory is seen to be gone.
struct Pair(Option<Scratch>);

impl Pair {
    fn new() -> Pair {
        Pair(Some(Scratch::new(1, SyncMode::Async).unwrap()))
    }

    fn cluster(&self) -> Cluster {
        Cluster::from_file(ClusterFile::read(&self.0.as_ref().unwrap().cluster).unwrap())
    }

    /// Runs the program; exit code, rows, stderr.
    fn seed(&self, args: &[&str]) -> (Option<i32>, Vec<SeedRow>, String) {
        let mut command = seed_data();
        command.arg("--cluster").arg(&self.0.as_ref().unwrap().cluster).args(args);
        let Output { status, stdout, stderr } = command.output().unwrap();
        let stderr = String::from_utf8(stderr).unwrap();
        assert!(stdout.starts_with(b"run,table,rows,"), "the header is always there: {stderr}");
        (status.code(), report::rows::read(&stdout[..]).expect(&stderr), stderr)
    }

    /// The administrator's session on the primary.
    fn admin(&self) -> Session {
        topology::ask(&self.cluster(), LoginKind::Admin, "test").unwrap().primary.1
    }

    /// What the three tables hold, on the primary and then, once it has caught up, on the standby: row counts and checksums.
    fn content(&self) -> Vec<String> {
        let found = topology::ask(&self.cluster(), LoginKind::Admin, "test").unwrap();
        let (primary, standby) = (&found.primary.1, &found.standbys[0].1);
        cluster::catch_up::wait(standby, cluster::catch_up::mark(primary).unwrap(), SOON).unwrap();
        let contents = [primary, standby].map(content);
        assert_eq!(contents[0], contents[1]);
        contents.into_iter().next().unwrap()
    }
}

fn content(session: &Session) -> Vec<String> {
    let sum = |table: &str| {
        let sql = format!(
            "SELECT count(*) || ' ' || coalesce(md5(string_agg(t::text, '|' ORDER BY id)), '') FROM understudy.{table} t"
        );
        session.value::<String>(&sql, &[]).unwrap()
    };
    ["customers", "users", "orders"].map(sum).to_vec()
}

impl Drop for Pair {
    fn drop(&mut self) {
        let lab = self.0.take().unwrap();
        let dir = lab.dir.clone();
        drop(lab);
        assert!(std::thread::panicking() || !dir.exists(), "{} is still there", dir.display());
    }
}

#[test]
fn the_same_seed_is_the_same_content_and_another_is_refused() {
    let (one, other) = (Pair::new(), Pair::new());
    let (code, rows, stderr) = one.seed(&["--rows", "3000", "--seed", "7", "--jobs", "1"]);
    assert_eq!(code, Some(0), "{stderr}");
    let loaded: Vec<(&str, u64)> = rows.iter().map(|row| (row.table.as_str(), row.rows)).collect();
    assert_eq!(loaded.iter().map(|(_, rows)| *rows).collect::<Vec<_>>(), [300, 600, 3000], "{loaded:?}");
    assert_eq!(other.seed(&["--rows", "3000", "--seed", "7", "--jobs", "4"]).0, Some(0));
    let content = one.content();
    assert_eq!(content, other.content());

    // Again: there is nothing to do.
    let (code, rows, _) = one.seed(&["--rows", "3000", "--seed", "7"]);
    assert_eq!((code, rows.len()), (Some(0), 0));
    for args in
        [["--rows", "3000", "--seed", "8"], ["--rows", "2999", "--seed", "7"], ["--rows", "3001", "--seed", "7"]]
    {
        let (code, rows, stderr) = one.seed(&args);
        assert_eq!((code, rows.len()), (Some(2), 0), "{args:?}: {stderr}");
        assert!(stderr.contains("--replace"), "{stderr}");
    }
    assert_eq!(one.content(), content, "nothing was touched");
    assert_eq!(one.seed(&["--rows", "3000", "--seed", "8", "--replace"]).0, Some(0));
    assert_ne!(one.content()[2], content[2]);
    assert_eq!(one.seed(&["--rows", "3000", "--seed", "7", "--replace"]).0, Some(0));
    assert_eq!(one.content(), content);

    // The rows of `--stdout` are those very rows, and COPY takes them as they are.
    one.seed(&["--rows", "1", "--replace"]);
    let admin = topology::ask(&one.cluster(), LoginKind::Admin, "test").unwrap().primary;
    admin.1.script("TRUNCATE understudy.customers, understudy.users, understudy.orders").unwrap();
    let info = one.cluster().info(&admin.0, LoginKind::Application).unwrap();
    let session = cluster::blocking::Blocking::open(&info, "test").unwrap();
    for (table, rows) in [("customers", "300"), ("users", "600"), ("orders", "3000")] {
        let output = seed_data().args(["--stdout", table, "--rows", rows, "--seed", "7"]).output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        let (copy, mut text) =
            (format!("COPY understudy.{table} FROM STDIN (FORMAT csv, HEADER)"), Some(output.stdout));
        let next = |piece: &mut Vec<u8>| Ok(text.take().map(|text| piece.extend(text)).is_some());
        assert_eq!(session.copy_in(&copy, next).unwrap().to_string(), rows);
    }
    assert_eq!(one.content(), content);
}

#[test]
fn the_first_row_is_enough_for_a_reader_who_goes() {
    let mut child = seed_data().args(["--stdout", "customers", "--rows", "100000000"]).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "id,name,email,phone,street,city,country,created_at\n");
    let end = Instant::now() + SOON;
    while child.try_wait().unwrap().is_none() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap(); // nothing happens to one that has ended
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0), "{output:?}");
}

#[test]
fn bad_arguments_are_refused_by_name() {
    for (option, values) in [
        ("--rows", &["0", "-1", "1.5", "many", ""][..]),
        ("--seed", &["-1", "x", ""]),
        ("--jobs", &["0", "-1", "65", "x"]),
        ("--stdout", &["ledger", "x; drop table y", ""]),
        ("--cluster", &["/no/such/cluster.toml"]),
    ] {
        for value in values {
            let output = seed_data().arg(format!("{option}={value}")).output().unwrap();
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{option}={value}: {stderr}");
            let named = if option == "--cluster" { value } else { option };
            assert!(stderr.contains(named), "{option}={value}: {stderr}");
        }
    }
}
