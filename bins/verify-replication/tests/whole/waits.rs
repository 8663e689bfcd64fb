//! Whatever has to be waited for is waited for with a bound, once, and called by its name.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cluster::session::Session;
use cluster::wait::until_true;
use report::verdict::Verdict::{Held, Unknown};
use rustix::process::{Pid, Signal, kill_process};

use crate::{Lab, SOON, Said, Sets};

/// Sets something on a node.
fn set(session: &Session, setting: &str) {
    session.script(&format!("ALTER SYSTEM SET {setting}")).unwrap();
    session.script("SELECT pg_reload_conf()").unwrap();
}

/// Makes so many tables, each with a few rows.
pub(crate) fn make_tables(lab: &Lab, count: u32) {
    let make = format!(
        "DO $$ BEGIN FOR i IN 1..{count} LOOP
             EXECUTE format('CREATE TABLE t%s (id int PRIMARY KEY)', i);
             EXECUTE format('INSERT INTO t%s SELECT generate_series(1, 50)', i);
         END LOOP; END $$"
    );
    lab.on("node1").script(&make).unwrap();
    lab.catch_up("node2");
}

fn timed(work: impl FnOnce() -> Said) -> (Said, Duration) {
    let begun = Instant::now();
    (work(), begun.elapsed())
}

#[test]
fn a_standby_that_applies_late_is_waited_for_once_and_not_for_each_table() {
    const DELAY: Duration = Duration::from_secs(3);
    let lab = Lab::new(1);
    make_tables(&lab, 8);
    set(&lab.on("node2"), "recovery_min_apply_delay = '3s'");
    let tables: Vec<String> = (1..=8).map(|n| format!("t{n}")).collect();
    let tables: Vec<&str> = tables.iter().flat_map(|name| ["--table", name]).collect();
    let (said, took) = timed(|| lab.verify(&tables));
    assert_eq!((said.code, said.rows.len(), said.of("node2").0), (Some(0), 8, Held), "{}", said.stderr);
    assert!(took >= DELAY, "{took:?}: what was acknowledged before must be there");
    assert!(took < DELAY * 3, "{took:?}: it was waited for again and again; {}", said.stderr);

    // What has been written by now is not there before the delay is over: that is no difference.
    lab.on("node1").script("INSERT INTO t8 SELECT generate_series(51, 90); DELETE FROM t7 WHERE id < 9").unwrap();
    let (said, _) = timed(|| lab.verify(&tables));
    assert_eq!((said.code, said.of("node2").0), (Some(0), Held), "{}", said.stderr);
    assert_eq!(said.row("public.t8", "node2").rows_standby, Some(90), "{}", said.stderr);
}

#[test]
fn why_a_standby_does_not_catch_up_is_said() {
    let lab = Lab::new(1);
    make_tables(&lab, 2);
    let standby = lab.on("node2");
    let asked = ["--table", "t1", "--catch-up-timeout", "1s"];
    let unknown = |words: &[&str]| {
        let said = lab.verify(&asked);
        assert_eq!((said.code, said.of("node2").0), (Some(2), Unknown), "{}", said.stderr);
        for words in words {
            assert!(said.stderr.contains(words), "{words}: {}", said.stderr);
        }
    };
    set(&standby, "recovery_min_apply_delay = '1h'");
    unknown(&["recovery_min_apply_delay = 1h", "--catch-up-timeout"]);
    set(&standby, "recovery_min_apply_delay = 0");
    standby.script("SELECT pg_wal_replay_pause()").unwrap();
    unknown(&["replay is paused", "pg_wal_replay_resume()"]);
    standby.script("SELECT pg_wal_replay_resume()").unwrap();
    lab.catch_up("node2");

    // A transaction on the standby that still reads a table whose change is to be replayed.
    let reading = lab.on("node2");
    reading.script("BEGIN; SELECT count(*) FROM t2").unwrap();
    lab.on("node1").script("ALTER TABLE t2 ADD COLUMN v text").unwrap();
    let pid: i32 = reading.value("SELECT pg_backend_pid()", &[]).unwrap();
    unknown(&["replay waits for queries", &format!("pid {pid} (test, idle in transaction")]);
    let said = lab.verify(&["--table", "t2", "--catch-up-timeout", "1s"]);
    assert_eq!((said.code, said.of("node2").0), (Some(2), Unknown), "{}", said.stderr);
    assert!(
        said.stderr.contains(&format!("(replay) waits for it before us, and that one for pid {pid}")),
        "{}",
        said.stderr
    );
    reading.script("ROLLBACK").unwrap();
    let said = lab.verify(&["--table", "t1"]);
    assert_eq!((said.code, said.of("node2").0), (Some(0), Held), "{}", said.stderr);
}

/// Visible on the standby, and on the primary not before a standby that is not there has it.
#[test]
fn a_table_that_is_altered_by_a_commit_that_waits_for_a_standby_is_given_up_soon() {
    let lab = Lab::new(1);
    make_tables(&lab, 3);
    let primary = lab.on("node1");
    set(&primary, "synchronous_standby_names = 'ghost'");
    std::thread::scope(|scope| {
        let altering = lab.on("node1");
        scope.spawn(move || {
            let alter = "ALTER TABLE t2 ADD COLUMN v text";
            drop(altering.script("SET synchronous_commit = on").and_then(|()| altering.script(alter)));
        });
        until_true("the commit to wait", SOON, Duration::from_millis(10), || {
            primary.value("SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'", &[])
        })
        .unwrap();
        let (said, took) = timed(|| lab.verify(&[]));
        primary.script("ALTER SYSTEM RESET synchronous_standby_names").unwrap();
        primary.script("SELECT pg_reload_conf()").unwrap();
        assert_eq!(said.code, Some(2), "{}", said.stderr);
        assert_eq!(said.row("public.t2", "node2").verdict, Unknown, "{}", said.stderr);
        assert_eq!(said.row("public.t3", "node2").verdict, Held, "{}", said.stderr);
        assert_eq!(said.row("catalogs", "node2").verdict, Unknown, "{}", said.stderr);
        assert!(said.stderr.contains("whose commit waits for a synchronous standby"), "{}", said.stderr);
        assert!(said.stderr.contains("1 commit on the primary waits for a synchronous standby"), "{}", said.stderr);
        assert!(took < Duration::from_secs(40), "{took:?}: {}", said.stderr);
    });
}

#[test]
fn a_hundred_locked_tables_are_waited_for_together_and_their_holder_is_named_once() {
    let lab = Lab::new(1);
    make_tables(&lab, 60);
    let locking = lab.on("node1");
    let lock = "DO $$ BEGIN FOR i IN 11..60 LOOP EXECUTE format('LOCK TABLE t%s', i); END LOOP; END $$";
    locking.script("BEGIN").unwrap();
    locking.script(lock).unwrap();
    let pid: i32 = locking.value("SELECT pg_backend_pid()", &[]).unwrap();
    lab.catch_up("node2"); // replay has them locked, too
    let (said, took) = timed(|| lab.verify(&[]));
    assert_eq!(said.code, Some(2), "{}", said.stderr);
    let unknown = said.rows.iter().filter(|row| row.verdict == Unknown).count();
    assert_eq!((unknown, said.row("public.t10", "node2").verdict), (50, Held), "{}", said.stderr);
    let warnings: Vec<_> = said.stderr.lines().filter(|line| line.starts_with("warning")).collect();
    assert_eq!(warnings.len(), 1, "{}", said.stderr);
    for words in ["public.t11, ", " and 45 more on node2", "locked on node1", &format!("by pid {pid} (test, idle in t")]
    {
        assert!(warnings[0].contains(words), "{words}: {}", said.stderr);
    }
    assert!(took < Duration::from_secs(30), "{took:?}");

    // Who lets go in time costs nobody anything.
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_secs(2));
            locking.script("COMMIT").unwrap();
        });
        let said = lab.verify(&[]);
        assert_eq!((said.code, said.of("node2").0), (Some(0), Held), "{}", said.stderr);
    });
}

/// All processes of a server, stopped, and continued when this goes.
struct Frozen(Vec<Pid>);

impl Frozen {
    fn new(lab: &Lab, node: &str) -> Frozen {
        let pid = fs::read_to_string(lab.lab.dir.join(node).join("data/postmaster.pid")).unwrap();
        let postmaster: i32 = pid.lines().next().unwrap().trim().parse().unwrap();
        let mut frozen = Frozen(Vec::new());
        frozen.stop(postmaster); // first: it starts nobody any more
        for entry in fs::read_dir("/proc").unwrap() {
            let pid = entry.unwrap().file_name().to_str().and_then(|name| name.parse::<i32>().ok());
            let stat = pid.and_then(|pid| fs::read_to_string(format!("/proc/{pid}/stat")).ok()).unwrap_or_default();
            let parent =
                stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse::<i32>().ok());
            if let Some(pid) = pid.filter(|_| parent == Some(postmaster)) {
                frozen.stop(pid);
            }
        }
        assert!(frozen.0.len() > 3, "{:?}", frozen.0);
        frozen
    }

    fn stop(&mut self, pid: i32) {
        let pid = Pid::from_raw(pid).unwrap();
        self.0.push(pid);
        kill_process(pid, Signal::STOP).unwrap();
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        for pid in &self.0 {
            let _ = kill_process(*pid, Signal::CONT);
        }
    }
}

/// Nothing is closed: only silence tells.
#[test]
fn a_standby_that_stands_still_in_mid_read_is_given_up() {
    let lab = Lab::new(1);
    lab.on("node1").script("CREATE TABLE t AS SELECT i, repeat('x', 500) FROM generate_series(1, 40000) AS i").unwrap();
    lab.catch_up("node2");
    let cluster = lab.lab.cluster.display().to_string();
    let args = ["--cluster", &cluster, "--catch-up-timeout", "3s", "--max-rows-per-s", "2000", "--table", "t"];
    let child = lab.command(&args).spawn().unwrap();
    until_true("the table to be read", SOON, Duration::from_millis(10), || {
        lab.on("node2").value("SELECT seq_tup_read > 0 FROM pg_stat_user_tables WHERE relname = 't'", &[])
    })
    .unwrap();
    let frozen = Frozen::new(&lab, "node2");
    let (said, took) = timed(|| crate::said(&child.wait_with_output().unwrap()));
    drop(frozen);
    assert_eq!((said.code, said.of("node2").0), (Some(2), Unknown), "{}", said.stderr);
    assert!(said.stderr.contains("it has answered nothing for"), "{}", said.stderr);
    assert!(took < Duration::from_secs(3 + 20), "{took:?}: {}", said.stderr);
}

/// Somebody ends the sessions that ask how far a standby has come, one after the other: that is no reason to give it up.
#[test]
fn a_session_that_is_ended_is_opened_again_and_the_standby_compared_to_the_end() {
    let lab = Lab::new(1);
    make_tables(&lab, 40);
    let (standby, done) = (lab.on("node2"), AtomicBool::new(false));
    let ended = std::thread::scope(|scope| {
        let ending = scope.spawn(|| {
            let mut ended = 0;
            while !done.load(Ordering::Relaxed) && ended < 3 {
                // Not the first of them, which ask who the node is.
                let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                            WHERE application_name = 'verify-replication' AND state = 'idle'
                              AND query LIKE 'SELECT pg_last_wal_replay_lsn%' AND backend_start < now() - interval '400ms'";
                ended += standby.value::<i64>(sql, &[]).unwrap();
                std::thread::sleep(Duration::from_millis(5));
            }
            ended
        });
        let _done = Sets(&done);
        // Slow enough to be met in the middle of it.
        // As long as the sessions are ended one after the other, a wait for an answer from one of them would never end in time.
        let (said, took) = timed(|| lab.verify(&["--max-rows-per-s", "500", "--catch-up-timeout", "10m"]));
        assert_eq!((said.code, said.of("node2").0), (Some(0), Held), "{}", said.stderr);
        let of_table = |row: &&report::verify::VerifyRow| row.table.starts_with("public.");
        assert!(said.rows.iter().filter(of_table).all(|row| row.indexes == Some(1)), "{:#?}", said.rows);
        assert!(took < Duration::from_secs(300), "{took:?}: it was asked where nobody answers");
        done.store(true, Ordering::Relaxed);
        ending.join().unwrap()
    });
    assert!(ended > 0, "no session was ended");
}

/// One session has nothing to say while another one reads.
#[test]
fn sessions_that_are_silent_for_long_are_not_ended_for_that() {
    let lab = Lab::new(1);
    let primary = lab.on("node1");
    primary
        .script("CREATE TABLE t AS SELECT generate_series(1, 12000) AS i; CREATE TABLE u (id int PRIMARY KEY)")
        .unwrap();
    primary.script("ALTER ROLE understudy_monitor SET idle_session_timeout = '2s'").unwrap();
    lab.catch_up("node2");
    let said = lab.verify(&["--table", "t", "--table", "u", "--max-rows-per-s", "2000"]);
    assert_eq!((said.code, said.of("node2").0, said.rows.len()), (Some(0), Held, 2), "{}", said.stderr);
}

#[test]
fn a_standby_that_is_promoted_meanwhile_is_called_so() {
    let lab = Lab::new(1);
    lab.on("node1").script("CREATE TABLE t AS SELECT generate_series(1, 9000) AS i; CREATE TABLE u (id int)").unwrap();
    lab.catch_up("node2");
    let cluster = lab.lab.cluster.display().to_string();
    let args = ["--table", "t", "--table", "u", "--max-rows-per-s", "3000", "--catch-up-timeout", "2s"];
    let child = lab.command(&[&["--cluster", &cluster], &args[..]].concat()).spawn().unwrap();
    until_true("the table to be read", SOON, Duration::from_millis(10), || {
        lab.on("node2").value("SELECT seq_tup_read > 0 FROM pg_stat_user_tables WHERE relname = 't'", &[])
    })
    .unwrap();
    assert!(lab.on("node2").value::<bool>("SELECT pg_promote()", &[]).unwrap());
    let said = crate::said(&child.wait_with_output().unwrap());
    assert_eq!((said.code, said.row("public.u", "node2").verdict), (Some(2), Unknown), "{}", said.stderr);
    assert!(said.stderr.contains("it was promoted meanwhile"), "{}", said.stderr);
}

/// The same of all sessions, whatever they are doing.
#[test]
fn sessions_that_are_ended_in_mid_read_are_opened_again() {
    let lab = Lab::new(1);
    lab.on("node1").script("CREATE TABLE t AS SELECT i, repeat('x', 500) FROM generate_series(1, 8000) AS i").unwrap();
    make_tables(&lab, 2);
    let (standby, done) = (lab.on("node2"), AtomicBool::new(false));
    let ended = std::thread::scope(|scope| {
        let ending = scope.spawn(|| {
            let (mut ended, mut rounds) = (0, 0);
            while !done.load(Ordering::Relaxed) && rounds < 5 {
                // Not before it is known whom the standby follows.
                let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                            WHERE application_name = 'verify-replication' AND backend_start < now() - interval '700ms'
                              AND EXISTS (SELECT FROM pg_stat_user_tables WHERE relname = 't' AND seq_tup_read > 0)";
                let now: i64 = standby.value(sql, &[]).unwrap();
                (ended, rounds) = (ended + now, rounds + i64::from(now > 0));
                std::thread::sleep(Duration::from_millis(100));
            }
            ended
        });
        let _done = Sets(&done);
        let said = lab.verify(&["--max-rows-per-s", "1000", "--table", "t", "--table", "t1", "--table", "t2"]);
        assert_eq!((said.code, said.of("node2").0, said.rows.len()), (Some(0), Held, 3), "{}", said.stderr);
        done.store(true, Ordering::Relaxed);
        ending.join().unwrap()
    });
    assert!(ended > 0, "no session was ended");
}
