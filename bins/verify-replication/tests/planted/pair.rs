//! A primary and a standby whose files a test changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use cluster::args::Cluster;
use cluster::file::{ClusterFile, LoginKind};
use cluster::session::Session;
use lab::conf::SyncMode;
use lab::scratch::Scratch;
use report::diff::DiffRow;
use report::verify::VerifyRow;

/// Long enough for whatever a test waits for.
const SOON: Duration = Duration::from_secs(60);

/// `node1` is the primary, `node2` its standby.
pub(crate) struct Pair {
    pub(crate) lab: Scratch,
    file: ClusterFile,
}

/// What a run of the program said.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) rows: Vec<VerifyRow>,
    pub(crate) stderr: String,
}

impl Pair {
    pub(crate) fn new() -> Pair {
        let lab = Scratch::new(1, SyncMode::Async).unwrap();
        let file = ClusterFile::read(&lab.cluster).unwrap();
        let pair = Pair { lab, file };
        // Else what a standby might still see is pruned later, by whoever reads, and replayed over what is planted.
        let standby = pair.on("node2");
        standby.script("ALTER SYSTEM SET hot_standby_feedback = off").unwrap();
        standby.script("SELECT pg_reload_conf()").unwrap();
        cluster::wait::until_true("the standby to hold nothing back", SOON, Duration::from_millis(20), || {
            let sql = "SELECT bool_and(xmin IS NULL) FROM pg_replication_slots";
            pair.on("node1").value::<bool>(sql, &[])
        })
        .unwrap();
        pair
    }

    /// An administrator's session.
    pub(crate) fn on(&self, node: &str) -> Session {
        let cluster = Cluster::from_file(self.file.clone());
        Session::open(
            node,
            &cluster.info(cluster.node(node).unwrap(), LoginKind::Admin).unwrap().with_setting("search_path", "public"),
            "test",
        )
        .unwrap()
    }

    /// Runs a script on the primary.
    pub(crate) fn script(&self, sql: &str) {
        self.on("node1").script(sql).unwrap();
    }

    /// A number that the primary is asked for.
    pub(crate) fn number(&self, sql: &str) -> u64 {
        self.on("node1").value::<i64>(sql, &[]).unwrap() as u64
    }

    pub(crate) fn verify(&self, args: &[&str]) -> Said {
        self.said(&mut Command::new(env!("CARGO_BIN_EXE_verify-replication")), args)
    }

    fn said(&self, command: &mut Command, args: &[&str]) -> Said {
        command.arg("--cluster").arg(&self.lab.cluster).args(args).env_remove("UNDERSTUDY_CLUSTER");
        command.env_remove("UNDERSTUDY_RUN").env_remove("UNDERSTUDY_ORIGIN").stdin(Stdio::null());
        let output = command.output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        Said { code: output.status.code(), rows: report::rows::read(&output.stdout[..]).expect(&stderr), stderr }
    }

    /// As [`Pair::verify`], where no file can grow beyond so many bytes.
    pub(crate) fn verify_with_files_of(&self, bytes: u32, args: &[&str]) -> Said {
        let mut command = Command::new("sh");
        let limited = format!("trap '' XFSZ; ulimit -f {}; exec \"$@\"", bytes / 512);
        command.args(["-c", &limited, "sh", env!("CARGO_BIN_EXE_verify-replication")]);
        self.said(&mut command, args)
    }

    /// As [`Pair::verify`], with all differences: their rows, and the file's text.
    pub(crate) fn diff(&self, args: &[&str]) -> (Said, Vec<DiffRow>, String) {
        let path = self.lab.home().join("diff.csv");
        let _ = fs::remove_file(&path);
        let said = self.verify(&[&["--diff", &path.display().to_string()], args].concat());
        let text = fs::read_to_string(&path).expect(&said.stderr);
        (said, report::rows::read(text.as_bytes()).unwrap(), text)
    }

    /// Waits until the standby has all that the primary has.
    pub(crate) fn catch_up(&self) {
        let mark = cluster::catch_up::mark(&self.on("node1")).unwrap();
        cluster::catch_up::wait(&self.on("node2"), mark, SOON).unwrap();
    }

    /// Has everything on disk, frozen, and nothing in the WAL that would be replayed over it.
    pub(crate) fn settle(&self) {
        self.script("VACUUM FREEZE");
        self.script("CHECKPOINT");
        self.catch_up();
        self.on("node2").script("CHECKPOINT").unwrap();
    }

    /// Changes a node's files while it is stopped.
    pub(crate) fn while_stopped(&self, node: &str, change: impl FnOnce()) {
        let open = lab::open::open(&self.file).unwrap();
        open.backend.stop(node).unwrap();
        change();
        open.backend.start(node).unwrap();
    }

    /// The standby keeps these tables as they are now, while the primary goes on with `change`.
    pub(crate) fn leave_behind(&self, tables: &[&str], change: &str) {
        self.settle();
        let files = tables.iter().map(|table| self.path("node2", table));
        let before: Vec<_> = files.map(|file| (fs::read(&file).unwrap(), file)).collect();
        self.script(change);
        self.settle();
        self.while_stopped("node2", || before.iter().for_each(|(bytes, file)| fs::write(file, bytes).unwrap()));
    }

    /// The file of a table on a node.
    pub(crate) fn path(&self, node: &str, table: &str) -> PathBuf {
        let directory: String = self.on(node).value("SHOW data_directory", &[]).unwrap();
        let sql = format!("SELECT pg_relation_filepath({table}::regclass)");
        let sql = if table.contains('(') { sql } else { sql.replace(table, &format!("'{table}'")) };
        Path::new(&directory).join(self.on("node1").value::<String>(&sql, &[]).unwrap())
    }
}

impl Said {
    /// The row of a table.
    pub(crate) fn row(&self, table: &str) -> &VerifyRow {
        let found = self.rows.iter().find(|row| row.table == table);
        found.unwrap_or_else(|| panic!("no {table}: {:#?} {}", self.rows, self.stderr))
    }

    /// Missing, extra, different, corrupt.
    pub(crate) fn counts(&self, table: &str) -> [Option<u64>; 4] {
        let row = self.row(table);
        [row.missing, row.extra, row.different, row.corrupt]
    }
}
