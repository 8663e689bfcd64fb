//! Lost sessions, restarts, crashes, a takeover: the load goes on, and what it was told stays true.

use std::collections::BTreeSet;
use std::fs::File;
use std::time::Instant;

use lab::conf::SyncMode;
use report::ledger::{Event, Ledger, Outcome};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Load, PRIMARY, Pair, STANDBY, events, wait_for};

/// Finishes a load that was told `--until-eof`.
fn finish(mut load: Load) -> (Ledger, Vec<report::ledger::LedgerRow>) {
    load.end_stdin();
    let path = load.ledger.clone();
    let ended = load.ended();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let ledger = Ledger::read(File::open(&path).unwrap()).unwrap();
    assert!(ledger.complete);
    (ledger, events(&path))
}

#[test]
fn it_goes_on_after_lost_sessions_restarts_and_crashes() {
    let pair = Pair::new(SyncMode::Async);
    let open = pair.open();
    let mut load = pair.load(&["--rate", "200", "--clients", "4", "--until-eof"]);
    load.wait(Event::Acked, 50);
    {
        let admin = pair.admin(PRIMARY);
        let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'understudy_app'";
        assert!(admin.value::<i64>(sql, &[]).unwrap() >= 4);
    }
    load.wait(Event::Connected, 8);
    load.wait_more(Event::Acked, 50);
    // One backend crashes: the server throws all sessions out, and recovers.
    let pid: i32 = {
        let sql = "SELECT pid FROM pg_stat_activity WHERE usename = 'understudy_app' AND query LIKE '%INSERT%' LIMIT 1";
        pair.admin(PRIMARY).value(sql, &[]).unwrap()
    };
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    load.wait(Event::Connected, 12);
    load.wait_more(Event::Acked, 50);
    open.backend.stop(PRIMARY).unwrap();
    open.backend.start(PRIMARY).unwrap();
    load.wait(Event::Connected, 16);
    load.wait_more(Event::Acked, 50);
    open.backend.kill(PRIMARY, &mut || {}).unwrap();
    open.backend.start(PRIMARY).unwrap();
    load.wait(Event::Connected, 20);
    load.wait_more(Event::Acked, 50);
    let (ledger, rows) = finish(load);
    pair.judge(PRIMARY, &ledger);
    for worker in 0..4 {
        let of_worker = |event| rows.iter().filter(move |row| row.worker == Some(worker) && row.event == event);
        assert!(of_worker(Event::Acked).count() > 0 && of_worker(Event::Connected).count() >= 5, "worker {worker}");
    }
    assert!(rows.iter().all(|row| row.timeline.is_none_or(|timeline| timeline == 1)));
}

#[test]
fn it_follows_a_takeover_and_says_on_which_timeline_each_ack_was_made() {
    let pair = Pair::new(SyncMode::On);
    let open = pair.open();
    let standby = pair.admin(STANDBY);
    let mut load = pair.load(&["--rate", "200", "--clients", "4", "--until-eof"]);
    load.wait(Event::Acked, 50);
    let killed_at = std::cell::Cell::new(0);
    open.backend.kill(PRIMARY, &mut || killed_at.set(load.count(Event::Acked))).unwrap();
    assert!(killed_at.get() >= 50);
    standby.script("SELECT pg_promote()").unwrap();
    wait_for("an ack on timeline 2", || load.read().acks.iter().any(|ack| ack.timeline == 2));
    load.wait_more(Event::Acked, 50);
    let (ledger, rows) = finish(load);
    // In a sync mode nothing that was acknowledged is lost; what nobody knows may be there or not.
    pair.judge(STANDBY, &ledger);
    let places: BTreeSet<_> = rows
        .iter()
        .filter(|row| row.event.outcome().is_some_and(|outcome| outcome != Outcome::Skipped))
        .map(|row| (row.node.clone().unwrap(), row.timeline.unwrap()))
        .collect();
    assert_eq!(places, BTreeSet::from([(PRIMARY.to_owned(), 1), (STANDBY.to_owned(), 2)]));
    let workers: BTreeSet<_> = ledger.acks.iter().filter(|ack| ack.timeline == 2).map(|ack| ack.worker).collect();
    assert_eq!(workers.len(), 4, "every worker has found its way");
    let first_new = ledger.acks.iter().position(|ack| ack.timeline == 2).unwrap();
    assert!(ledger.acks[first_new..].iter().all(|ack| ack.timeline == 2), "the old timeline has ended");
}

/// The pause of a client after three time-outs in a row, in microseconds.
const PAUSE_US: u64 = 1_000_000;

/// A takeover while the only client pauses, because its writes waited in vain for the standby: how long after the pause
/// began its first ack on the new primary came, in microseconds. `None`: the promotion took so long that it says nothing.
fn first_ack_after_a_pause_us() -> Option<u64> {
    let pair = Pair::new(SyncMode::On);
    let open = pair.open();
    let standby = pair.admin(STANDBY);
    let mut load = pair.load(&["--rate", "200", "--clients", "1", "--op-timeout", "50ms", "--until-eof"]);
    load.wait(Event::Acked, 50);
    open.backend.cut(STANDBY).unwrap();
    load.wait(Event::Unknown, 3);
    let begun = Instant::now();
    open.backend.kill(PRIMARY, &mut || {}).unwrap();
    standby.script("SELECT pg_promote()").unwrap();
    let promoted_us = begun.elapsed().as_micros() as u64;
    load.wait_more(Event::Acked, 10);
    let (ledger, rows) = finish(load);
    pair.judge(STANDBY, &ledger);
    let third = rows.iter().filter(|row| row.event == Event::Unknown).nth(2).unwrap().at_us;
    let ack_us = ledger.acks.iter().find(|ack| ack.timeline == 2).unwrap().at_us;
    (promoted_us < PAUSE_US / 2).then_some(ack_us - third)
}

#[test]
fn a_client_that_pauses_after_time_outs_goes_on_with_another_primary() {
    let waited_us = (0..5).find_map(|_| first_ack_after_a_pause_us()).expect("a promotion takes half a second here");
    assert!(waited_us < PAUSE_US, "the client waited for {waited_us} µs while a primary was there");
}
