//! Against a real pair: what is equal is held, what is damaged is named, what cannot be seen is unknown.

#![allow(clippy::unwrap_used, reason = "the helpers of a test may panic as well as the test")]

use std::io::{BufRead as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cluster::args::Cluster;
use cluster::file::{ClusterFile, LoginKind};
use cluster::session::Session;
use lab::conf::SyncMode;
use lab::pooler::{Options, Pooled};
use lab::scratch::Scratch;
use report::payload::payload;
use report::verdict::Verdict::{self, Broken, Held, Unknown};
use report::verify::VerifyRow;

/// A lab with one standby, and an administrator's session on each node.
struct Pair {
    lab: Scratch,
    file: ClusterFile,
    primary: Session,
    standby: Session,
}

impl Pair {
    fn new() -> Pair {
        let lab = Scratch::new(1, SyncMode::Async).unwrap();
        let file = ClusterFile::read(&lab.cluster).unwrap();
        let sessions = || file.node.iter().map(|node| session(&file, &node.name)).collect::<Vec<_>>();
        let (standby, primary) = sessions()
            .into_iter()
            .partition::<Vec<_>, _>(|session| session.value::<bool>("SELECT pg_is_in_recovery()", &[]).unwrap());
        let [primary, standby] = [primary, standby].map(|sessions| sessions.into_iter().next().unwrap());
        Pair { lab, file, primary, standby }
    }

    /// Runs the program; its exit code, rows and stderr.
    fn verify(&self, args: &[&str], stdin: &str) -> (Option<i32>, Vec<VerifyRow>, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_verify-replication"));
        command.arg("--cluster").arg(&self.lab.cluster).args(args).env_remove("UNDERSTUDY_CLUSTER");
        command.env_remove("UNDERSTUDY_RUN").env_remove("UNDERSTUDY_ORIGIN");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), report::rows::read(&output.stdout[..]).expect(&stderr), stderr)
    }

    /// Its exit code if the reader of stdout goes after the header, as `head -1` does: that is no pass.
    fn verify_for_head(&self, args: &[&str]) -> Option<i32> {
        let (reader, writer) = std::io::pipe().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_verify-replication"));
        command.arg("--cluster").arg(&self.lab.cluster).args(args).env_remove("UNDERSTUDY_CLUSTER");
        let mut child = command.stdin(Stdio::null()).stdout(writer).spawn().unwrap();
        drop(command); // it has the writing end, too
        let header = std::io::BufReader::new(reader).lines().next().unwrap().unwrap();
        assert!(header.starts_with("run,table,"), "{header}");
        child.wait().unwrap().code()
    }

    /// The file of a table on the standby.
    fn standby_file(&self, table: &str) -> PathBuf {
        let directory: String = self.standby.value("SHOW data_directory", &[]).unwrap();
        let sql = format!("SELECT pg_relation_filepath('{table}')"); // the same there, where it may not be replayed yet
        Path::new(&directory).join(self.primary.value::<String>(&sql, &[]).unwrap())
    }

    /// Changes the standby's files while it is stopped. Nothing on the primary is left to be written by a read, and
    /// nothing in the WAL to be replayed that would repair the damage.
    fn damage(&mut self, change: impl FnOnce()) {
        self.primary.script("VACUUM FREEZE").unwrap();
        self.primary.script("CHECKPOINT").unwrap();
        let mark = cluster::catch_up::mark(&self.primary).unwrap();
        cluster::catch_up::wait(&self.standby, mark, std::time::Duration::from_secs(10)).unwrap();
        self.standby.script("CHECKPOINT").unwrap();
        let name = self.standby.node().to_owned();
        let open = lab::open::open(&self.file).unwrap();
        open.backend.stop(&name).unwrap();
        change();
        open.backend.start(&name).unwrap();
        self.standby = session(&self.file, &name);
    }
}

fn session(file: &ClusterFile, name: &str) -> Session {
    let cluster = Cluster::from_file(file.clone());
    Session::open(
        name,
        &cluster.info(cluster.node(name).unwrap(), LoginKind::Admin).unwrap().with_setting("search_path", "public"),
        "test",
    )
    .unwrap()
}

fn verdicts(rows: &[VerifyRow]) -> Vec<(&str, Verdict)> {
    rows.iter().map(|row| (row.table.as_str(), row.verdict)).collect()
}

/// A ledger of `count` acked writes of worker 0, with its end.
fn ledger(run: &str, count: u64) -> String {
    let mut text = "run,at_us,worker,seq,event,scheduled_us,latency_us,sqlstate,node,timeline\n".to_owned();
    for seq in 1..=count {
        text += &format!("{run},{seq},0,{seq},sent,,,,p,1\n{run},{seq},0,{seq},acked,,1,,p,1\n");
    }
    text + &format!("{run},{count},,{count},end,,,,,\n")
}

#[test]
fn a_pooler_is_refused_and_nothing_is_left_there() {
    let pair = Pair::new();
    for options in Options::ALL {
        let pooled = Pooled::lab(&pair.file, &pair.file.roles.monitor, options).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_verify-replication")).args(&pooled.args).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), pooled.left().unwrap()), (Some(2), vec![]), "{options:?}: {stderr}");
        assert!(stderr.contains("connection pooler"), "{options:?}: {stderr}");
    }
}

#[test]
fn what_is_equal_is_held_and_what_cannot_be_seen_is_unknown() {
    let pair = Pair::new();
    let script = "CREATE TABLE odd (p point, j json, n numeric); INSERT INTO odd VALUES ('(1,2)', '{}', 1.0);
        CREATE TABLE \"a\"\"b\" (\"select\" int PRIMARY KEY); INSERT INTO \"a\"\"b\" SELECT generate_series(1, 1000);
        CREATE UNLOGGED TABLE fleeting (id int);";
    pair.primary.script(script).unwrap();
    let (code, rows, stderr) = pair.verify(&[], "");
    assert_eq!((code, rows.iter().all(|row| row.verdict == Held)), (Some(0), true), "{rows:#?} {stderr}");
    assert!(rows.iter().any(|row| row.table == "public.\"a\"\"b\"" && row.rows_standby == Some(1000)));
    assert!(stderr.contains("fleeting") && rows.iter().all(|row| row.table != "public.fleeting"));
    let (code, rows, _) = pair.verify(&["--table", "a\"b"], "");
    assert_eq!((code, verdicts(&rows)), (Some(0), vec![("public.\"a\"\"b\"", Held)]));
    for name in ["nosuch", "x; drop table y", "fleeting", ""] {
        let (code, rows, stderr) = pair.verify(&["--table", name], "");
        assert_eq!((code, rows.len()), (Some(2), 0), "{name}");
        assert!(stderr.contains(name), "{stderr}");
    }
    pair.standby.script("SELECT pg_wal_replay_pause()").unwrap();
    let (code, rows, _) = pair.verify(&["--table", "odd", "--catch-up-timeout", "300ms"], "");
    assert_eq!((code, verdicts(&rows), rows[0].rows_standby), (Some(2), vec![("public.odd", Unknown)], None));
    let counts = [rows[0].missing, rows[0].extra, rows[0].different, rows[0].corrupt];
    assert_eq!(pair.verify_for_head(&["--table", "odd", "--catch-up-timeout", "300ms"]), Some(2));
    assert_eq!(counts, [None; 4], "nothing was compared: not even that nothing is missing is known");
}

#[test]
fn a_sequence_that_is_behind_is_broken_and_one_that_may_not_be_read_is_unknown() {
    let mut pair = Pair::new();
    pair.primary.script("CREATE SEQUENCE ahead; CREATE SEQUENCE behind; SELECT setval('behind', 100)").unwrap();
    pair.primary.script("SELECT lo_from_bytea(0, 'large')").unwrap();
    let (code, rows, stderr) = pair.verify(&["--table", "ahead", "--table", "behind"], "");
    let both = |ahead, behind| vec![("sequence public.ahead", ahead), ("sequence public.behind", behind)];
    assert_eq!((code, verdicts(&rows)), (Some(0), both(Held, Held)), "{stderr}");

    // As it was when it stood at 100: a whole page, with an LSN of its own and the right checksum.
    pair.damage(|| {});
    let file = pair.standby_file("behind");
    let before = std::fs::read(&file).unwrap();
    pair.primary.script("SELECT nextval('ahead'); SELECT setval('behind', 1000)").unwrap();
    pair.damage(|| std::fs::write(&file, before).unwrap());
    let (code, rows, stderr) = pair.verify(&["--table", "ahead", "--table", "behind"], "");
    assert_eq!((code, verdicts(&rows)), (Some(1), both(Held, Broken)), "{stderr}");
    assert_eq!((rows[0].missing, rows[1].missing), (Some(0), Some(1)));

    // Tables may be read, sequences not: their state is not known, and not "has not begun".
    let script = "REVOKE pg_read_all_data FROM understudy_monitor;
        GRANT SELECT ON ALL TABLES IN SCHEMA public, understudy TO understudy_monitor";
    pair.primary.script(script).unwrap();
    let (code, rows, stderr) = pair.verify(&[], "");
    let of = |name: &str| rows.iter().find(|row| row.table == name).unwrap();
    assert_eq!((code, of("sequence public.ahead").verdict), (Some(2), Unknown), "{stderr}");
    assert_eq!((of("sequence public.behind").verdict, of("sequence public.behind").missing), (Unknown, None));
    assert_eq!(of("understudy.ledger").verdict, Held);
    assert!(stderr.contains("large objects"), "what is not compared is named: {stderr}");
}

#[test]
fn acked_writes_are_looked_for_and_a_torn_or_foreign_ledger_is_never_held() {
    let pair = Pair::new();
    for seq in 1..=50_u64 {
        let sql = "INSERT INTO understudy.ledger VALUES ('r', 0, $1, $2)";
        pair.primary.execute(sql, &[&(seq as i64), &payload("r", 0, seq)]).unwrap();
    }
    let whole = ledger("r", 50);
    let torn = &whole[..whole.len() - 5];
    for (text, code, verdict, missing) in [
        (whole.as_str(), 0, Held, 0),
        (torn, 2, Unknown, 0),
        (&ledger("elsewhere", 5), 2, Unknown, 5),
        (&ledger("r", 53), 1, Broken, 3),
    ] {
        let (exit, rows, stderr) = pair.verify(&["--table", "understudy.orders", "--ledger", "-"], text);
        let row = rows.last().unwrap();
        assert_eq!((exit, row.verdict, row.missing), (Some(code), verdict, Some(missing)), "{stderr}");
    }
    pair.primary.script("UPDATE understudy.ledger SET payload = 'x' WHERE seq = 7").unwrap();
    let (code, rows, stderr) = pair.verify(&["--table", "understudy.orders", "--ledger", "-"], &whole);
    assert_eq!((code, rows.last().unwrap().different), (Some(1), Some(1)), "{stderr}");
    assert!(stderr.contains("worker 0 seq 7"), "{stderr}");
}

#[test]
fn commits_that_wait_for_a_standby_are_never_a_difference() {
    let pair = Pair::new();
    let script =
        "CREATE TABLE waits (id int PRIMARY KEY, v text); INSERT INTO waits SELECT generate_series(1, 100), 'v'";
    pair.primary.script(script).unwrap();
    pair.primary.script("ALTER SYSTEM SET synchronous_standby_names = 'ghost'").unwrap();
    pair.primary.script("SELECT pg_reload_conf()").unwrap();
    // Each of them is visible on the standby and waits on the primary; the last two in a subtransaction.
    let waiting = [
        "INSERT INTO waits VALUES (201, 'new')",
        "UPDATE waits SET v = 'changed' WHERE id = 7",
        "DELETE FROM waits WHERE id = 9",
        "BEGIN; SAVEPOINT a; INSERT INTO waits VALUES (202, 'new'); RELEASE a; COMMIT",
        "BEGIN; SAVEPOINT a; DELETE FROM waits WHERE id = 10; RELEASE a; COMMIT",
    ];
    let primary = pair.primary.node().to_owned();
    std::thread::scope(|scope| {
        for sql in waiting {
            let session = session(&pair.file, &primary);
            scope.spawn(move || {
                let set = "SET synchronous_commit = on";
                let _ = session.script(set).and_then(|()| session.script(sql)); // ended by the release below
            });
        }
        let wait = std::time::Duration::from_secs(10);
        cluster::wait::until_true("five commits to wait", wait, std::time::Duration::from_millis(10), || {
            let sql = "SELECT count(*) = 5 FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
            pair.primary.value::<bool>(sql, &[])
        })
        .unwrap();
        let (code, rows, stderr) = pair.verify(&["--table", "waits", "--recheck-for", "500ms"], "");
        assert_eq!((code, verdicts(&rows)), (Some(2), vec![("public.waits", Unknown)]), "{stderr}");
        assert_eq!((rows[0].missing, rows[0].extra, rows[0].different), (Some(0), Some(0), Some(0)), "{stderr}");
        pair.primary.script("ALTER SYSTEM RESET synchronous_standby_names").unwrap();
        pair.primary.script("SELECT pg_reload_conf()").unwrap();
    });
    let (code, rows, stderr) = pair.verify(&["--table", "waits"], "");
    assert_eq!((code, rows[0].rows_standby), (Some(0), Some(100)), "{stderr}");
}

#[test]
fn damage_on_the_standby_is_found_and_named() {
    let mut pair = Pair::new();
    let script = "CREATE TABLE torn (id int PRIMARY KEY, v text); CREATE TABLE empty (id int PRIMARY KEY, v text);
        INSERT INTO torn SELECT i, 'value' || i FROM generate_series(1, 20000) AS i;
        INSERT INTO empty SELECT i, 'value' || i FROM generate_series(1, 20000) AS i;";
    pair.primary.script(script).unwrap();
    let (torn, empty) = (pair.standby_file("torn"), pair.standby_file("empty"));
    let block = |file: &Path, number: u64, bytes: &[u8]| {
        std::fs::OpenOptions::new().write(true).open(file).unwrap().write_all_at(bytes, number).unwrap();
    };
    pair.damage(|| {
        block(&torn, 8192 * 20 + 6000, &[0xFF; 64]); // data checksums see it
        block(&empty, 8192 * 4, &[0; 8192]); // a page of zeros is a valid page without rows
    });
    let (code, rows, stderr) = pair.verify(&["--table", "torn", "--table", "empty", "--chunk-blocks", "16"], "");
    assert_eq!((code, verdicts(&rows)), (Some(1), vec![("public.empty", Broken), ("public.torn", Broken)]), "{stderr}");
    let counts = [rows[0].missing, rows[0].extra, rows[0].different, rows[0].corrupt];
    assert_eq!(counts, [185, 0, 0, 0].map(Some), "{stderr}");
    assert_eq!((rows[1].corrupt, rows[1].rows_standby), (Some(1), None), "{stderr}");
    assert!(stderr.contains("missing: 741, 742") && stderr.contains("invalid page in block 20"), "{stderr}");

    assert_eq!(pair.verify_for_head(&["--table", "torn", "--table", "empty"]), Some(1));
}
