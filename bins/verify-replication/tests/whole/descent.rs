//! Who is not proven to follow the primary is not held, whatever it shows.

use std::path::Path;
use std::time::Duration;

use cluster::ident::literal;
use cluster::wait::until_true;
use lab::standby::{Upstream, upstream};
use report::verdict::Verdict::{Held, Unknown};
use report::verify::Descent;

use crate::{Lab, SOON};

/// What `standby` needs to know to follow `node`, where it finds its slot.
fn follow(lab: &Lab, standby: &str, node: &str) -> Upstream {
    let section = lab.file.node.iter().find(|section| section.name == node).unwrap();
    lab.on(node).rows("SELECT pg_create_physical_replication_slot($1)", &[&standby]).unwrap();
    let host = lab.lab.dir.join(node).join("socket").display().to_string();
    Upstream { host, ..upstream(section, standby, &lab.lab.dir.join(standby).join("passfile")) }
}

/// Waits until a standby receives from a port.
fn receives_from(lab: &Lab, standby: &str, node: &str) {
    let port = lab.file.node.iter().find(|section| section.name == node).unwrap().port;
    until_true("the receiver", SOON, Duration::from_millis(20), || {
        let sql = "SELECT EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming' AND sender_port = $1)";
        lab.on(standby).value(sql, &[&i32::from(port)])
    })
    .unwrap();
}

/// Waits until a standby has no receiver.
fn receives_nothing(lab: &Lab, standby: &str) {
    until_true("the receiver to end", SOON, Duration::from_millis(20), || {
        lab.on(standby).value("SELECT NOT EXISTS (SELECT FROM pg_stat_wal_receiver)", &[])
    })
    .unwrap();
}

/// It is in recovery and far enough in the WAL: that of its own.
#[test]
fn a_node_with_wal_of_its_own_and_nobody_to_follow_is_unknown() {
    let lab = Lab::new(1);
    let held = lab.verify(&[]);
    assert_eq!((held.code, held.of("node2")), (Some(0), (Held, Some(Descent::Streams))), "{}", held.stderr);

    let backend = lab.open().backend;
    backend.stop("node2").unwrap();
    let signal = lab.lab.dir.join("node2/data/standby.signal");
    std::fs::remove_file(&signal).unwrap();
    backend.follow("node2", None).unwrap();
    backend.start("node2").unwrap();
    for _ in 0..3 {
        // It changes nothing that can be read.
        lab.on("node2").rows("SELECT pg_logical_emit_message(true, 'own', 'own'), pg_switch_wal()", &[]).unwrap();
    }
    backend.stop("node2").unwrap();
    backend.make_standby("node2").unwrap();
    backend.start("node2").unwrap();

    let alone = lab.verify(&["--catch-up-timeout", "2s"]);
    assert_eq!((alone.code, alone.of("node2")), (Some(2), (Unknown, None)), "{}", alone.stderr);
    assert!(alone.stderr.contains("it has WAL up to"), "{}", alone.stderr);
    let at_rest = lab.verify(&["--at-rest"]);
    assert_eq!((at_rest.code, at_rest.of("node2")), (Some(0), (Held, Some(Descent::AtRest))), "{}", at_rest.stderr);
    assert!(at_rest.stderr.contains("at rest"), "{}", at_rest.stderr);
}

#[test]
fn a_standby_of_a_promoted_copy_is_unknown() {
    let lab = Lab::new(2);
    let backend = lab.open().backend;
    lab.promote("node3");
    backend.follow("node2", Some(&follow(&lab, "node2", "node3"))).unwrap();
    receives_from(&lab, "node2", "node3");
    // The primary is further on: nothing that the standby has is beyond it, and only the timeline tells.
    for _ in 0..3 {
        lab.on("node1").rows("SELECT pg_logical_emit_message(true, 'own', 'own'), pg_switch_wal()", &[]).unwrap();
    }
    let said = lab.verify_pair("node1", "node2", &["--catch-up-timeout", "2s"]);
    assert_eq!((said.code, said.of("standby1")), (Some(2), (Unknown, None)), "{}", said.stderr);
    assert!(said.stderr.contains("timeline 2, and the primary writes timeline 1"), "{}", said.stderr);
}

/// As `pg_basebackup -R` leaves it: the primary knows it by its name alone.
#[test]
fn a_standby_without_a_slot_is_known_by_its_name() {
    let lab = Lab::new(1);
    let standby = lab.on("node2");
    let conninfo: String = standby.value("SHOW primary_conninfo", &[]).unwrap();
    for more in ["", " application_name='stand by'"] {
        standby
            .script(&format!("ALTER SYSTEM SET primary_conninfo = {}", literal(&(conninfo.clone() + more))))
            .unwrap();
        standby.script("ALTER SYSTEM SET primary_slot_name = ''").unwrap();
        standby.script("SELECT pg_reload_conf()").unwrap();
        until_true("a receiver without a slot", SOON, Duration::from_millis(20), || {
            let sql =
                "SELECT EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming' AND slot_name IS NULL)";
            standby.value(sql, &[])
        })
        .unwrap();
        let said = lab.verify(&["--table", "understudy.ledger", "--catch-up-timeout", "5s"]);
        assert_eq!((said.code, said.of("node2")), (Some(0), (Held, Some(Descent::Streams))), "{more}: {}", said.stderr);
    }
}

/// It is proven at first, and then it follows somebody else who is further on: no wait for an LSN would notice.
#[test]
fn a_standby_that_changes_sides_in_mid_run_is_unknown() {
    let lab = Lab::new(2);
    let backend = lab.open().backend;
    let primary = lab.on("node1");
    primary.script("CREATE TABLE a (id int PRIMARY KEY); INSERT INTO a VALUES (1)").unwrap();
    primary.script("CREATE TABLE b (id int PRIMARY KEY)").unwrap();
    primary.script("ALTER SYSTEM SET synchronous_standby_names = 'ghost'").unwrap();
    primary.script("SELECT pg_reload_conf()").unwrap();
    std::thread::scope(|scope| {
        // A commit that waits for a standby keeps the program looking at this one table meanwhile.
        let session = lab.on("node1");
        scope.spawn(move || drop(session.script("SET synchronous_commit = on; DELETE FROM a")));
        until_true("a commit to wait", SOON, Duration::from_millis(10), || {
            primary.value("SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'", &[])
        })
        .unwrap();
        let (first, second) = (lab.conninfo("node1"), lab.conninfo("node2"));
        let args = ["--primary", &first, "--standby", &second, "--table", "a", "--table", "b", "--retries", "1000"];
        let child = lab.command(&args).spawn().unwrap();
        std::thread::sleep(Duration::from_secs(1)); // if it has not begun by then, it says the same, only at once
        backend.follow("node2", None).unwrap();
        receives_nothing(&lab, "node2"); // else it could get beyond the point where the copy leaves
        let copy = lab.promote("node3");
        for _ in 0..3 {
            copy.rows("SELECT pg_logical_emit_message(true, 'own', 'own'), pg_switch_wal()", &[]).unwrap();
        }
        backend.follow("node2", Some(&follow(&lab, "node2", "node3"))).unwrap();
        let said = crate::said(&child.wait_with_output().unwrap());
        primary.script("ALTER SYSTEM RESET synchronous_standby_names").unwrap();
        primary.script("SELECT pg_reload_conf()").unwrap();
        assert_eq!((said.code, said.of("standby1").0), (Some(2), Unknown), "{}", said.stderr);
        assert!(said.stderr.contains("it has WAL up to"), "{}", said.stderr);
    });
}

#[test]
fn a_standby_of_a_standby_is_proven_by_one_that_is_named() {
    let lab = Lab::new(2);
    let backend = lab.open().backend;
    // In the order in which the first one needs the second one.
    backend.follow("node2", Some(&follow(&lab, "node2", "node3"))).unwrap();
    receives_from(&lab, "node2", "node3");
    let said = lab.verify(&[]);
    assert_eq!(said.of("node2"), (Held, Some(Descent::Cascades)), "{}", said.stderr);
    assert_eq!((said.code, said.of("node3")), (Some(0), (Held, Some(Descent::Streams))), "{}", said.stderr);

    let alone = lab.verify_pair("node1", "node2", &["--catch-up-timeout", "2s"]);
    assert_eq!((alone.code, alone.of("standby1")), (Some(2), (Unknown, None)), "{}", alone.stderr);
    assert!(alone.stderr.contains("neither the primary nor a standby"), "{}", alone.stderr);

    lab.on("node1").script("REVOKE pg_monitor FROM understudy_monitor").unwrap();
    lab.catch_up("node3");
    let blind = lab.verify_pair("node1", "node3", &["--catch-up-timeout", "2s"]);
    assert_eq!((blind.code, blind.of("standby1")), (Some(2), (Unknown, None)), "{}", blind.stderr);
    assert!(blind.stderr.contains("pg_monitor"), "{}", blind.stderr);
}

#[test]
fn a_standby_that_is_fed_from_an_archive_is_proven_by_a_checkpoint() {
    let lab = Lab::new(1);
    let (primary, standby) = (lab.on("node1"), lab.on("node2"));
    primary.script("CHECKPOINT").unwrap();
    lab.catch_up("node2");
    standby.script("CHECKPOINT").unwrap();
    lab.open().backend.follow("node2", None).unwrap();
    let wal = Path::new(&primary.value::<String>("SHOW data_directory", &[]).unwrap()).join("pg_wal");
    let restore = format!("ALTER SYSTEM SET restore_command = 'cp \"{}/%f\" \"%p\"'", wal.display());
    standby.script(&restore).unwrap();
    standby.script("SELECT pg_reload_conf()").unwrap();
    receives_nothing(&lab, "node2");
    // The same checkpoint as the primary's: so it is also on a copy that has gone its own way since.
    let table = ["--table", "understudy.orders"];
    let said = lab.verify(&[&table[..], &["--catch-up-timeout", "2s"]].concat());
    assert_eq!((said.code, said.of("node2")), (Some(2), (Unknown, None)), "{}", said.stderr);
    assert!(
        said.stderr.contains("it has no receiver") && said.stderr.contains("CHECKPOINT on the standby"),
        "{}",
        said.stderr
    );

    let cluster = lab.lab.cluster.display().to_string();
    let args = [&["--cluster", &cluster, "--catch-up-timeout", "30s"], &table[..]].concat();
    let child = lab.command(&args).spawn().unwrap();
    until_true("the question for the checkpoint", SOON, Duration::from_millis(5), || {
        let sql = "SELECT EXISTS (SELECT FROM pg_stat_activity
                    WHERE application_name = 'verify-replication' AND query LIKE '%pg_control_checkpoint%')";
        standby.value(sql, &[])
    })
    .unwrap();
    primary.script("CHECKPOINT").unwrap();
    lab.catch_up("node2");
    standby.script("CHECKPOINT").unwrap();
    let said = crate::said(&child.wait_with_output().unwrap());
    assert_eq!((said.code, said.of("node2")), (Some(0), (Held, Some(Descent::Restartpoint))), "{}", said.stderr);
}

/// Its proof takes a while, and somebody ends the session that asks for it.
#[test]
fn a_standby_whose_session_is_ended_before_it_is_proven_is_asked_again() {
    let lab = Lab::new(1);
    let (backend, standby) = (lab.open().backend, lab.on("node2"));
    backend.follow("node2", None).unwrap();
    receives_nothing(&lab, "node2");
    lab.on("node1").script("CHECKPOINT").unwrap(); // which it does not get: so nothing is proven for now
    let cluster = lab.lab.cluster.display().to_string();
    let child = lab.command(&["--cluster", &cluster, "--table", "understudy.ledger"]).spawn().unwrap();
    until_true("its session to be ended", SOON, Duration::from_millis(5), || {
        // The question for the receiver: what comes first.
        let sql = "SELECT count(pg_terminate_backend(pid)) > 0 FROM pg_stat_activity
                    WHERE application_name = 'verify-replication' AND query LIKE '%pg_control_checkpoint%'";
        standby.value(sql, &[])
    })
    .unwrap();
    let section = lab.file.node.iter().find(|section| section.name == "node1").unwrap();
    backend.follow("node2", Some(&backend.upstream(section, "node2"))).unwrap();
    let said = crate::said(&child.wait_with_output().unwrap());
    assert_eq!((said.code, said.of("node2")), (Some(0), (Held, Some(Descent::Streams))), "{}", said.stderr);
}
