//! Against two servers of which one is a copy by value: what is equal by its types is held, wherever it lies and whatever its
//! bytes; what is not is found, and counted as the servers themselves count it.

#![allow(clippy::unwrap_used, reason = "the helpers of a test may panic as well as the test")]

mod kinds;
mod large;
mod logical;
#[path = "../common/optional.rs"]
mod optional;
mod planted;
mod refused;

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use cluster::args::Cluster;
use cluster::conninfo::Conninfo;
use cluster::file::{ClusterFile, LoginKind};
use cluster::session::Session;
use lab::conf::SyncMode;
use lab::scratch::Scratch;
use report::diff::DiffRow;
use report::verify::{Equal, VerifyRow};

/// Long enough for whatever a test waits for.
const SOON: Duration = Duration::from_secs(60);

/// The database of the tests: made on each server by itself, so that no oid of one is the other's.
const DATABASE: &str = "app";

/// `node1` and `node2`: two servers that nothing connects.
struct Copies {
    lab: Scratch,
    file: ClusterFile,
    /// On `node1`.
    primary: Session,
    /// On `node2`.
    copy: Session,
}

/// What a run of the program said.
struct Said {
    code: Option<i32>,
    rows: Vec<VerifyRow>,
    stderr: String,
}

impl Copies {
    fn new() -> Copies {
        let lab = Scratch::with(1, SyncMode::Async, &[("wal_level", "logical")]).unwrap();
        let file = ClusterFile::read(&lab.cluster).unwrap();
        let mark = cluster::catch_up::mark(&on(&file, "node1", "postgres")).unwrap();
        let standby = on(&file, "node2", "postgres");
        cluster::catch_up::wait(&standby, mark, SOON).unwrap();
        assert!(standby.value::<bool>("SELECT pg_promote()", &[]).unwrap());
        // What is made next gets other oids than on the other server.
        standby
            .script(
                "DO $$ BEGIN FOR i IN 1..50 LOOP EXECUTE 'CREATE TYPE skip_' || i || ' AS (a int)'; END LOOP; END $$",
            )
            .unwrap();
        for node in ["node1", "node2"] {
            on(&file, node, "postgres").script(&format!("CREATE DATABASE {DATABASE}")).unwrap();
        }
        let [primary, copy] = ["node1", "node2"].map(|node| on(&file, node, DATABASE));
        Copies { lab, file, primary, copy }
    }

    /// Runs a script on both.
    fn both(&self, sql: &str) {
        for session in [&self.primary, &self.copy] {
            session.script(sql).unwrap_or_else(|error| panic!("{sql}: {error:#}"));
        }
    }

    /// How to reach a node as the role that monitors, or as another one.
    fn info(&self, node: &str, role: LoginKind) -> Conninfo {
        let cluster = Cluster::from_file(self.file.clone()).in_database(DATABASE);
        cluster.info(cluster.node(node).unwrap(), role).unwrap()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_verify-replication"));
        let reach = |node: &str| {
            let info = self.info(node, LoginKind::Monitor);
            let passfile = self.file.roles.monitor.passfile.display();
            format!("host={} port={} dbname={DATABASE} user={} passfile={passfile}", info.host, info.port, info.user)
        };
        command.args(["--primary", &reach("node1"), "--standby", &reach("node2")]).args(args);
        command.env_remove("UNDERSTUDY_CLUSTER").env_remove("UNDERSTUDY_RUN").env_remove("UNDERSTUDY_ORIGIN");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Compares by value.
    fn verify(&self, args: &[&str]) -> Said {
        self.said(&[&["--at-rest", "--equal", "values"], args].concat())
    }

    fn said(&self, args: &[&str]) -> Said {
        read(self.command(args).spawn().unwrap())
    }

    /// As [`Copies::verify`], with all differences and what they hold.
    fn diff(&self, args: &[&str]) -> (Said, Vec<DiffRow>) {
        let path = self.lab.home().join("diff.csv");
        let _ = std::fs::remove_file(&path);
        let said = self.verify(&[&["--diff", &path.display().to_string(), "--show-values"], args].concat());
        let text = std::fs::read_to_string(&path).expect(&said.stderr);
        (said, report::rows::read(text.as_bytes()).unwrap())
    }

    /// Missing, extra and different rows of a table with a key, as a query of both servers shows them; of values that are
    /// printed alike only if they are equal.
    fn counted(&self, key: &str, row: &str, table: &str) -> [u64; 3] {
        let sql = format!("SELECT ({key})::text, ({row})::text FROM {table} AS t");
        let read = |session: &Session| -> BTreeMap<String, Option<String>> {
            session.rows(&sql, &[]).unwrap().iter().map(|row| (row.get(0), row.get(1))).collect()
        };
        let (here, there) = (read(&self.primary), read(&self.copy));
        let only = |these: &BTreeMap<_, _>, those: &BTreeMap<_, _>| {
            these.keys().filter(|key: &&String| !those.contains_key(*key)).count() as u64
        };
        let different = here.iter().filter(|(key, row)| there.get(*key).is_some_and(|other| other != *row)).count();
        [only(&here, &there), only(&there, &here), different as u64]
    }
}

/// An administrator's session.
fn on(file: &ClusterFile, node: &str, database: &str) -> Session {
    let cluster = Cluster::from_file(file.clone()).in_database(database);
    Session::open(
        node,
        &cluster.info(cluster.node(node).unwrap(), LoginKind::Admin).unwrap().with_setting("search_path", "public"),
        "test",
    )
    .unwrap()
}

fn read(child: Child) -> Said {
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    Said { code: output.status.code(), rows: report::rows::read(&output.stdout[..]).expect(&stderr), stderr }
}

impl Said {
    /// The row of a table.
    fn row(&self, table: &str) -> &VerifyRow {
        let found = self.rows.iter().find(|row| row.table == table);
        let row = found.unwrap_or_else(|| panic!("no {table}: {:#?} {}", self.rows, self.stderr));
        assert_eq!(row.equal, Some(Equal::Values));
        row
    }

    /// Missing, extra, different.
    fn counts(&self, table: &str) -> [u64; 3] {
        let row = self.row(table);
        [row.missing, row.extra, row.different].map(|count| count.unwrap_or_else(|| panic!("{row:?} {}", self.stderr)))
    }
}
