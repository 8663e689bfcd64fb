//! What ends a commit's wait for its standby decides what the client may believe.

use cluster::session::Session;
use lab::conf::SyncMode;
use report::ledger::{Event, Outcome};
use rustix::process::Signal;

use crate::support::{Load, PRIMARY, Pair, STANDBY, wait_for};

/// Three clients that write as fast as they are answered: with the standby cut off, each waits in its first commit, and
/// again in the next one after each answer.
const THREE: [&str; 7] = ["--rate", "max", "--clients", "3", "--op-timeout", "60s", "--until-eof"];

/// A pair in a sync mode whose standby receives nothing.
fn cut_off() -> (Pair, Session) {
    let pair = Pair::new(SyncMode::On);
    let admin = pair.admin(PRIMARY);
    pair.open().backend.cut(STANDBY).unwrap();
    wait_for("the standby to be cut off", || {
        admin.value("SELECT NOT EXISTS (SELECT FROM pg_stat_replication)", &[]).unwrap()
    });
    (pair, admin)
}

fn all_wait(admin: &Session) -> Vec<i32> {
    wait_for("three commits to wait", || Pair::waiting(admin).len() == 3);
    Pair::waiting(admin)
}

/// Ends all three waits by a function of the server, and sees what comes of it.
fn end_waits(admin: &Session, load: &mut Load, by: &str, becomes: Event) {
    for pid in all_wait(admin) {
        assert!(admin.value::<bool>(&format!("SELECT {by}($1)"), &[&pid]).unwrap());
    }
    load.wait(becomes, 3);
    all_wait(admin); // the load has gone on
}

/// Interrupts a load whose commits still wait: they stay without an outcome.
fn interrupt(admin: &Session, load: Load) -> report::ledger::Ledger {
    load.signal(Signal::INT);
    let path = load.ledger.clone();
    assert_eq!(load.ended().code, Some(130));
    for pid in Pair::waiting(admin) {
        // The client is gone, its backend waits on.
        admin.value::<bool>("SELECT pg_terminate_backend($1)", &[&pid]).unwrap();
    }
    let ledger = report::ledger::Ledger::read(std::fs::File::open(path).unwrap()).unwrap();
    assert!(ledger.complete);
    ledger
}

#[test]
fn a_terminated_wait_is_unknown_and_never_an_ack() {
    let (pair, admin) = cut_off();
    let mut load = pair.load(&THREE);
    // The server says CommandComplete here, and then no ReadyForQuery.
    end_waits(&admin, &mut load, "pg_terminate_backend", Event::Unknown);
    let ledger = interrupt(&admin, load);
    assert_eq!((ledger.count(Outcome::Unknown), ledger.writes.len(), ledger.acks.len()), (6, 6, 0));
    // Each of them did commit here. That is exactly what the client could not know.
    assert_eq!(pair.rows(PRIMARY, &ledger.run).len(), 6);
}

#[test]
fn a_cancelled_wait_is_an_ack_of_the_local_commit_only() {
    let (pair, admin) = cut_off();
    // The session's own setting outweighs the role's: else nothing would tell this from an ack.
    admin.script("ALTER ROLE understudy_app SET client_min_messages = error").unwrap();
    let mut load = pair.load(&THREE);
    end_waits(&admin, &mut load, "pg_cancel_backend", Event::AckedLocal);
    let ledger = interrupt(&admin, load);
    assert_eq!((ledger.count(Outcome::AckedLocal), ledger.count(Outcome::Acked)), (3, 0));
    assert_eq!(ledger.count(Outcome::Unknown), 3);
}

#[test]
fn cleared_names_release_the_waits_with_a_clean_ack() {
    let (pair, admin) = cut_off();
    // It does not get through either: with it, nobody would wait.
    admin.script("ALTER ROLE understudy_app SET synchronous_commit = off").unwrap();
    let args = [&THREE[..], &["--synchronous-commit", "on"]].concat();
    let mut load = pair.load(&args);
    all_wait(&admin);
    assert_eq!(load.count(Event::Acked), 0);
    pair.open().backend.sync_names(PRIMARY, "").unwrap();
    load.wait(Event::Acked, 100);
    load.end_stdin();
    let path = load.ledger.clone();
    let ended = load.ended();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let ledger = report::ledger::Ledger::read(std::fs::File::open(path).unwrap()).unwrap();
    assert!(ledger.complete);
    assert_eq!(ledger.count(Outcome::Acked), ledger.writes.len() as u64, "clean acks, and nothing else");
    pair.judge(PRIMARY, &ledger);
    // Without the option the role's setting is what the server has: acks that nobody waited for.
    pair.open().backend.sync_names(PRIMARY, "ANY 1 (node2)").unwrap();
    let mut load = pair.load(&THREE);
    load.wait(Event::Acked, 100);
    assert_eq!(Pair::waiting(&admin), Vec::<i32>::new());
}

#[test]
fn a_commit_that_hangs_is_given_up_and_its_key_not_used_again() {
    let (pair, admin) = cut_off();
    let mut load = pair.load(&["--rate", "max", "--clients", "2", "--op-timeout", "200ms", "--until-eof"]);
    load.wait(Event::Unknown, 4);
    // No cancel was sent: what was given up still waits, and more wait than there are clients.
    wait_for("abandoned commits", || Pair::waiting(&admin).len() > 2);
    assert_eq!(load.count(Event::AckedLocal), 0);
    let open = pair.open();
    open.backend.follow(STANDBY, Some(&open.upstream(PRIMARY, STANDBY).unwrap())).unwrap();
    load.wait(Event::Acked, 50); // after a pause, for three time-outs in a row
    load.end_stdin();
    let path = load.ledger.clone();
    assert_eq!(load.ended().code, Some(0));
    // Reading it sees that no key was sent twice, and that each has one outcome.
    let ledger = report::ledger::Ledger::read(std::fs::File::open(path).unwrap()).unwrap();
    assert!(ledger.complete && ledger.count(Outcome::Unknown) >= 4);
    pair.judge(PRIMARY, &ledger);
}
