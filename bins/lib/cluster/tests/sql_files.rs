//! Every file of `sql/` is built into the programs, says in its header what it is, and runs in psql as its header shows.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cluster::file::ClusterFile;
use cluster::sql::FILES;
use lab::conf::SyncMode;
use lab::scratch::Scratch;

/// What marks a header line that psql is to run.
const PSQL: &str = "-- psql: ";

/// Files whose subject is a node that was promoted: a lab just made has no history of timelines.
const AFTER_A_TAKEOVER: [&str; 1] = ["timeline_history"];

/// Makes what `verify_members` asks about: a transaction that locks a row and then changes it in a subtransaction
/// leaves a multixact, also when it is rolled back.
const MAKE_A_MULTIXACT: &str = "
INSERT INTO understudy.heartbeat (run, beat) VALUES ('multixact', 0);
BEGIN;
SELECT beat FROM understudy.heartbeat WHERE run = 'multixact' FOR KEY SHARE;
SAVEPOINT inner_transaction;
UPDATE understudy.heartbeat SET beat = 1 WHERE run = 'multixact';
ROLLBACK;
DELETE FROM understudy.heartbeat WHERE run = 'multixact';
";

fn sql_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../sql").canonicalize().unwrap()
}

/// The comment lines that a file begins with.
fn header(text: &str) -> Vec<&str> {
    text.lines().take_while(|line| line.starts_with("--")).collect()
}

/// The `PREPARE … AS` and `EXECUTE …;` of a header; `None` for a plain script.
fn prepared<'a>(name: &str, text: &'a str) -> Option<(&'a str, Vec<&'a str>)> {
    let mut lines = header(text).into_iter().filter_map(|line| line.strip_prefix(PSQL));
    let prepare = lines.next()?;
    assert!(prepare.starts_with(&format!("PREPARE {name} (")) && prepare.ends_with(") AS"), "{name}: {prepare}");
    let execute: Vec<&str> = lines.collect();
    assert!(!execute.is_empty(), "{name}: PREPARE without EXECUTE");
    for line in &execute {
        assert!(line.starts_with(&format!("EXECUTE {name} (")) && line.ends_with(';'), "{name}: {line}");
    }
    Some((prepare, execute))
}

#[test]
fn the_list_and_the_directory_agree() {
    let listed: Vec<&str> = FILES.iter().map(|(name, _)| *name).collect();
    assert!(listed.is_sorted(), "the list is in order");
    let mut files = BTreeSet::new();
    for entry in sql_dir().read_dir().unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "sql") {
            files.insert(path.file_stem().unwrap().to_str().unwrap().to_owned());
        }
    }
    assert_eq!(files, listed.iter().map(|name| (*name).to_owned()).collect());
}

#[test]
fn every_file_says_what_it_is_and_how_psql_runs_it() {
    for (name, text) in FILES {
        let header = header(text);
        assert!(header.first().is_some_and(|line| line.len() > 10), "{name}: no comment says what it is");
        let plain = header.iter().any(|line| {
            line.starts_with("-- As ") || line.contains(". As ")
        } && line.contains(&format!("-f sql/{name}.sql")));
        let prepared = prepared(name, text).is_some();
        assert!(plain != prepared, "{name}: the header shows either psql -f or PREPARE and EXECUTE");
        let takes_values = text.lines().filter(|line| !line.starts_with("--")).any(|line| line.contains("$1"));
        assert_eq!(takes_values, prepared, "{name}: what takes values is prepared, what takes none is a script");
        assert!(text.ends_with('\n') && !text.contains('\r'), "{name}: lines end in \\n");
    }
}

/// A lab with its psql.
struct Psql {
    file: ClusterFile,
    program: PathBuf,
}

impl Psql {
    fn new(lab: &Scratch) -> Psql {
        let file = ClusterFile::read(&lab.cluster).unwrap();
        let beside = file.local.as_ref().unwrap().bin.join("psql");
        let program = if beside.is_file() { beside } else { PathBuf::from("psql") };
        Psql { file, program }
    }

    /// Runs arguments (and a script) on a node as the administrator; what psql said if it failed.
    fn run(&self, node: usize, args: &[&str], script: &str) -> Result<String, String> {
        let node = &self.file.node[node];
        let mut command = Command::new(&self.program);
        command.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set", "ON_ERROR_STOP=1"]);
        command.args(["--host", &node.host, "--port", &node.port.to_string(), "--dbname", &node.dbname]);
        command.args(["--username", &self.file.roles.admin.user]).args(args);
        command.env("PGPASSFILE", &self.file.roles.admin.passfile).env("PGCONNECT_TIMEOUT", "10");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("psql is PostgreSQL's client package");
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), script.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() { Ok(said(&output.stdout)) } else { Err(said(&output.stderr)) }
    }

    /// Runs a file as its header shows, and takes back what it did.
    fn file(&self, node: usize, name: &str, text: &str) -> Result<String, String> {
        match prepared(name, text) {
            Some((prepare, execute)) => {
                let execute = execute.join("\n");
                self.run(node, &["-f", "-"], &format!("BEGIN;\n{prepare}\n{text};\n{execute}\nROLLBACK;\n"))
            }
            None => {
                let path = sql_dir().join(format!("{name}.sql"));
                // On a standby a plain look is enough: there is nothing to take back.
                self.run(node, &["-c", "BEGIN", "-f", path.to_str().unwrap(), "-c", "ROLLBACK"], "")
            }
        }
    }
}

#[test]
fn every_file_runs_in_psql_as_its_header_shows() {
    let lab = Scratch::new(1, SyncMode::Async).unwrap();
    let psql = Psql::new(&lab);
    let (primary, standby) = (0, 1);
    psql.run(primary, &["-f", "-"], MAKE_A_MULTIXACT).unwrap();

    let mut failed = Vec::new();
    let mut run = |node: usize, name: &str, text: &str| {
        if let Err(why) = psql.file(node, name, text) {
            failed.push(format!("sql/{name}.sql: {why}"));
        }
    };
    for (name, text) in FILES.iter().filter(|(name, _)| !AFTER_A_TAKEOVER.contains(name)) {
        let on_a_standby = header(text).iter().any(|line| line.contains("on a standby"));
        run(if on_a_standby { standby } else { primary }, name, text);
    }
    psql.run(standby, &["-c", "SELECT pg_promote()"], "").unwrap();
    for (name, text) in FILES.iter().filter(|(name, _)| AFTER_A_TAKEOVER.contains(name)) {
        run(standby, name, text);
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn the_scripts_that_make_a_lab_run_again_without_harm() {
    let lab = Scratch::new(1, SyncMode::Async).unwrap();
    let psql = Psql::new(&lab);
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname IN ('public', 'understudy')";
    let before = psql.run(0, &["-c", tables], "").unwrap();
    for name in ["schema", "heartbeat", "roles", "checkers", "schema", "heartbeat", "roles", "checkers"] {
        let path = sql_dir().join(format!("{name}.sql"));
        psql.run(0, &["-f", path.to_str().unwrap()], "").unwrap();
    }
    assert_eq!(psql.run(0, &["-c", tables], "").unwrap(), before);
}
