//! A primary with one standby whose files can be changed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use cluster::args::Cluster;
use cluster::file::{ClusterFile, LoginKind};
use cluster::session::Session;
use lab::conf::SyncMode;
use lab::scratch::Scratch;
use report::verify::VerifyRow;

/// A lab with one standby, and an administrator's session on its primary.
pub(crate) struct Pair {
    lab: Scratch,
    pub(crate) file: ClusterFile,
    pub(crate) primary: Session,
    pub(crate) standby: String,
}

impl Pair {
    pub(crate) fn new() -> Pair {
        let lab = Scratch::new(1, SyncMode::Async).unwrap();
        let file = ClusterFile::read(&lab.cluster).unwrap();
        let (mut primary, mut standby) = (None, None);
        for node in &file.node {
            let session = session(&file, &node.name);
            match session.value::<bool>("SELECT pg_is_in_recovery()", &[]).unwrap() {
                true => standby = Some(node.name.clone()),
                false => primary = Some(session),
            }
        }
        Pair { lab, file, primary: primary.unwrap(), standby: standby.unwrap() }
    }

    /// The cluster file.
    pub(crate) fn cluster(&self) -> &Path {
        &self.lab.cluster
    }

    /// Runs the program; its exit code, rows and stderr.
    pub(crate) fn verify(&self, args: &[&str]) -> (Option<i32>, Vec<VerifyRow>, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_verify-replication"));
        command.arg("--cluster").arg(self.cluster()).args(args).env_remove("UNDERSTUDY_CLUSTER");
        command.env_remove("UNDERSTUDY_RUN").env_remove("UNDERSTUDY_ORIGIN").stdin(Stdio::null());
        let output = command.output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), report::rows::read(&output.stdout[..]).expect(&stderr), stderr)
    }

    /// The standby keeps the tables that are called `LIKE …` as they are now, while the primary goes on with `change`.
    pub(crate) fn leave_behind(&self, like: &str, change: &str) {
        self.settle();
        let before: Vec<_> = self.files(like).into_iter().map(|file| (fs::read(&file).unwrap(), file)).collect();
        self.primary.script(change).unwrap();
        self.settle();
        self.while_stopped(|| before.iter().for_each(|(bytes, file)| fs::write(file, bytes).unwrap()));
    }

    /// Changes the standby's files.
    pub(crate) fn while_stopped(&self, change: impl FnOnce()) {
        let open = lab::open::open(&self.file).unwrap();
        open.backend.stop(&self.standby).unwrap();
        change();
        open.backend.start(&self.standby).unwrap();
    }

    /// Has everything on disk, frozen, and nothing in the WAL that would be replayed over it.
    pub(crate) fn settle(&self) {
        self.primary.script("VACUUM FREEZE").unwrap();
        self.settle_without_vacuum();
    }

    /// The same, with dead rows left where they are.
    pub(crate) fn settle_without_vacuum(&self) {
        self.primary.script("CHECKPOINT").unwrap();
        let standby = session(&self.file, &self.standby);
        let mark = cluster::catch_up::mark(&self.primary).unwrap();
        cluster::catch_up::wait(&standby, mark, Duration::from_secs(60)).unwrap();
        standby.script("CHECKPOINT").unwrap();
    }

    /// The files of tables and indexes on the standby.
    pub(crate) fn files(&self, like: &str) -> Vec<PathBuf> {
        let standby = session(&self.file, &self.standby);
        let directory: String = standby.value("SHOW data_directory", &[]).unwrap();
        let sql = "SELECT pg_relation_filepath(oid) FROM pg_class WHERE relname LIKE $1 AND relkind IN ('r', 'i')";
        let rows = self.primary.rows(sql, &[&like]).unwrap();
        assert!(!rows.is_empty());
        rows.iter().map(|row| Path::new(&directory).join(row.get::<_, String>(0))).collect()
    }
}

/// An administrator's session on a node.
pub(crate) fn session(file: &ClusterFile, name: &str) -> Session {
    let cluster = Cluster::from_file(file.clone());
    Session::open(
        name,
        &cluster.info(cluster.node(name).unwrap(), LoginKind::Admin).unwrap().with_setting("search_path", "public"),
        "test",
    )
    .unwrap()
}
