//! A node that goes in mid-run is waited for once, and that is said once. And how things are called.

use std::io::{BufRead as _, BufReader, Read as _};
use std::time::{Duration, Instant};

use cluster::wait::until_true;
use report::verdict::Verdict::{Held, Unknown};

use crate::{Lab, SOON};

#[test]
fn a_standby_that_stops_replaying_in_mid_run_is_waited_for_once() {
    const LIMIT: Duration = Duration::from_secs(4);
    let lab = Lab::new(1);
    let primary = lab.on("node1");
    let tables = "CREATE TABLE a (id int PRIMARY KEY); INSERT INTO a SELECT generate_series(1, 100);
        CREATE TABLE b (id int PRIMARY KEY); CREATE TABLE c (id int PRIMARY KEY)";
    primary.script(tables).unwrap();
    primary.script("ALTER SYSTEM SET synchronous_standby_names = 'ghost'").unwrap();
    primary.script("SELECT pg_reload_conf()").unwrap();
    std::thread::scope(|scope| {
        // A commit that waits for a standby keeps the program looking at this one table.
        let session = lab.on("node1");
        scope.spawn(move || {
            drop(
                session
                    .script("SET synchronous_commit = on")
                    .and_then(|()| session.script("DELETE FROM a WHERE id < 9")),
            );
        });
        until_true("a commit to wait", SOON, Duration::from_millis(10), || {
            primary.value("SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'", &[])
        })
        .unwrap();
        let cluster = lab.lab.cluster.display().to_string();
        let tables = ["a", "b", "c"].map(|name| ["--table", name]).concat();
        let limit = ["--cluster", &cluster, "--catch-up-timeout", "4s", "--recheck-for", "1m", "--retries", "1000"];
        let child = lab.command(&[&limit, &tables[..]].concat()).spawn().unwrap();
        std::thread::sleep(Duration::from_secs(1)); // it looks at the table again by now; a little earlier is as well
        lab.on("node2").script("SELECT pg_wal_replay_pause()").unwrap();
        let begun = Instant::now();
        let said = crate::said(&child.wait_with_output().unwrap());
        let took = begun.elapsed();
        primary.script("ALTER SYSTEM RESET synchronous_standby_names").unwrap();
        primary.script("SELECT pg_reload_conf()").unwrap();
        assert_eq!((said.code, said.of("node2").0, said.rows.len()), (Some(2), Unknown, 3), "{}", said.stderr);
        assert!(took >= LIMIT && took < LIMIT * 2, "{took:?}: {}", said.stderr);
        assert_eq!(said.stderr.matches("is excluded from further checks").count(), 1, "{}", said.stderr);
    });
}

/// Found, waited for, and gone: that is no doubt about the standby.
#[test]
fn a_table_that_is_dropped_in_mid_run_is_left_out_by_name() {
    let lab = Lab::new(1);
    let primary = lab.on("node1");
    primary.script("CREATE TABLE going (id int); CREATE TABLE kept (id int)").unwrap();
    let locking = lab.on("node1");
    locking.script("BEGIN").unwrap();
    locking.script("LOCK TABLE going").unwrap();
    let cluster = lab.lab.cluster.display().to_string();
    let child = lab.command(&["--cluster", &cluster]).spawn().unwrap();
    until_true("the program to wait for the lock", SOON, Duration::from_millis(10), || {
        let sql = "SELECT count(*) > 0 FROM pg_locks WHERE relation = 'going'::regclass AND NOT granted";
        primary.value(sql, &[])
    })
    .unwrap();
    locking.script("DROP TABLE going").unwrap();
    locking.script("COMMIT").unwrap();
    let said = crate::said(&child.wait_with_output().unwrap());
    assert_eq!((said.code, said.of("node2").0), (Some(0), Held), "{}", said.stderr);
    assert!(!said.rows.iter().any(|row| row.table == "public.going"), "{:#?}", said.rows);
    assert!(said.stderr.contains("public.going (dropped meanwhile)"), "{}", said.stderr);
}

#[test]
fn a_primary_that_goes_in_mid_run_is_one_line() {
    let lab = Lab::new(2);
    let make =
        "DO $$ BEGIN FOR i IN 1..300 LOOP EXECUTE format('CREATE TABLE t%s (id int PRIMARY KEY)', i); END LOOP; END $$";
    lab.on("node1").script(make).unwrap();
    let cluster = lab.lab.cluster.display().to_string();
    let mut child = lab.command(&["--cluster", &cluster]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut text: Vec<String> = lines.by_ref().take(7).collect(); // the header, and three tables on both
    lab.open().backend.kill("node1", &mut || {}).unwrap();
    text.extend(lines);
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(2), "{stderr}");
    let unknown = text.iter().filter(|line| line.contains(",unknown")).count();
    assert!(unknown > 100, "it went too late to see: {unknown} unknown, {stderr}");
    let warnings: Vec<_> = stderr.lines().filter(|line| line.starts_with("warning")).collect();
    let told = warnings
        .iter()
        .filter(|line| line.contains("is gone, so all standbys are excluded from further checks"))
        .count();
    assert_eq!(told, 1, "{stderr}");
    assert!(warnings.len() <= 3, "one more for the table that was being read, on each standby: {stderr}");
}

#[test]
fn titles_tell_names_with_dots_apart_and_what_is_not_compared_is_said() {
    let lab = Lab::new(1);
    let script =
        "CREATE SCHEMA \"a.b\"; CREATE TABLE \"a.b\".c (id int); CREATE SCHEMA a; CREATE TABLE a.\"b.c\" (id int);
        CREATE UNLOGGED TABLE fleeting (id int)";
    lab.on("node1").script(script).unwrap();
    let said = lab.verify(&[]);
    assert_eq!(said.row("\"a.b\".c", "node2").verdict, Held);
    assert_eq!(said.row("a.\"b.c\"", "node2").verdict, Held);
    let named = lab.verify(&["--table", "\"a.b\".c"]);
    assert_eq!((named.code, named.rows.len()), (Some(0), 1), "a title is a name that can be given: {}", named.stderr);
    for words in [
        "compared on node2 (streams from the primary):",
        "7 of 7 tables",
        "3 of 3 sequences",
        "catalogs: ",
        "unlogged public.fleeting",
        "other databases (postgres, template1)",
    ] {
        assert!(said.stderr.contains(words), "{words}: {}", said.stderr);
    }
    assert!(named.stderr.contains("all but what --table names"), "{}", named.stderr);

    let other = lab.conninfo("node2").replace("dbname=understudy", "dbname=postgres");
    let output = lab.command(&["--primary", &lab.conninfo("node1"), "--standby", &other]).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && stderr.contains("the database"), "{stderr}");
}
