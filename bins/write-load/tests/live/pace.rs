//! The open loop: what is due is fixed from the start, and is sent or skipped, never forgotten.

use std::fs::File;
use std::io::{BufRead as _, BufReader};

use lab::conf::SyncMode;
use report::ledger::{Event, Ledger, Outcome};
use report::load::LoadRow;

use crate::support::{PRIMARY, Pair, events, output_of, wait_for};

/// The sums over all rows of load: scheduled, sent, acked, acked_local, failed, unknown, skipped.
fn sums(rows: &[LoadRow]) -> [u64; 7] {
    rows.iter().fold([0; 7], |sum, row| {
        let row = [row.scheduled, row.sent, row.acked, row.acked_local, row.failed, row.unknown, row.skipped];
        std::array::from_fn(|column| sum[column] + row[column])
    })
}

/// Writes wait for as long as somebody holds the advisory lock 1. (A lock on the table would stop a new session's
/// `PREPARE` too, and so be an outage of connecting.)
const GATE: &str = "
    CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN NEW; END $$;
    CREATE TRIGGER gate BEFORE INSERT ON understudy.ledger FOR EACH ROW EXECUTE FUNCTION gate();";

#[test]
fn a_reader_that_has_gone_does_not_turn_a_load_without_an_ack_into_a_pass() {
    let pair = Pair::new(SyncMode::Async);
    let admin = pair.admin(PRIMARY);
    let code = || {
        let (reader, writer) = std::io::pipe().unwrap();
        let child = pair.command().args(["--rate", "50", "--duration", "20s"]).stdout(writer).spawn().unwrap();
        assert!(BufReader::new(reader).lines().next().unwrap().unwrap().starts_with("run,at_us,"));
        output_of(child).status.code()
    };
    assert_eq!(code(), Some(0), "a quiet end where writes are acknowledged");
    admin.script(GATE).unwrap();
    admin.script("SELECT pg_advisory_lock(1)").unwrap();
    assert_eq!(code(), Some(2));
}

#[test]
fn the_schedule_ticks_on_while_the_server_does_not_answer() {
    let pair = Pair::new(SyncMode::Async);
    let admin = pair.admin(PRIMARY);
    admin.script(GATE).unwrap();
    let args = ["--rate", "400", "--clients", "2", "--duration", "4s", "--op-timeout", "300ms"];
    let mut load = pair.load(&[&args[..], &["--max-behind", "500ms"]].concat());
    load.wait(Event::Acked, 20);
    admin.script("SELECT pg_advisory_lock(1)").unwrap();
    load.wait(Event::Unknown, 6); // each worker gave up three times, and now pauses
    admin.script("SELECT pg_advisory_unlock(1)").unwrap();
    load.wait(Event::Skipped, 20);
    load.wait_more(Event::Acked, 20);
    let path = load.ledger.clone();
    let ended = load.ended();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let ledger = Ledger::read(File::open(&path).unwrap()).unwrap();
    assert!(ledger.complete);
    pair.judge(PRIMARY, &ledger);

    let rows = events(&path);
    let keys = ledger.writes.len() as u64;
    assert_eq!(rows.last().map(|row| (row.event, row.seq)), Some((Event::End, Some(keys))));
    // 400 a second for 4 s, and what was sent before each worker had heard of the end.
    assert!((1_600..1_700).contains(&keys), "{keys}");
    let sent = rows.iter().filter(|row| row.event == Event::Sent).count() as u64;
    let count = |outcome| ledger.count(outcome);
    assert_eq!(sent + count(Outcome::Skipped), keys);
    let outcomes = [Outcome::Acked, Outcome::AckedLocal, Outcome::Failed, Outcome::Unknown, Outcome::Skipped];
    let [scheduled, by_second @ ..] = sums(&ended.seconds);
    let [acked, acked_local, failed, unknown, skipped] = outcomes.map(count);
    assert_eq!(by_second, [sent, acked, acked_local, failed, unknown, skipped]);
    assert!((1_600..=keys).contains(&scheduled), "{scheduled} were due, of {keys} keys");
    assert!(unknown >= 6 && skipped >= 20, "{unknown} {skipped}");

    for row in &rows {
        let Some(outcome) = row.event.outcome() else { continue };
        let waited_us = row.at_us - row.scheduled_us.unwrap();
        // Latency counts from when a write was due: an outage cannot hide in it.
        assert_eq!(row.latency_us, (outcome != Outcome::Skipped).then_some(waited_us));
        if outcome == Outcome::Skipped {
            assert!(waited_us > 500_000, "skipped after {waited_us} us");
        }
    }
    for row in rows.iter().filter(|row| row.event == Event::Sent) {
        // Looked at just before it was sent; the rest is room for a busy machine.
        let behind_us = row.at_us - row.scheduled_us.unwrap();
        assert!(behind_us < 1_500_000, "sent {behind_us} us late, with --max-behind 500ms");
    }
    let worst = ended.seconds.iter().filter_map(|second| second.behind_us).max().unwrap();
    assert!(worst > 300_000, "the seconds show how far behind it was: {worst} us");
}

#[test]
fn what_is_sent_after_the_end_was_due_before_it() {
    let pair = Pair::new(SyncMode::Async);
    let admin = pair.admin(PRIMARY);
    admin.script(GATE).unwrap();
    let mut load = pair.load(&["--rate", "400", "--clients", "2", "--until-eof"]);
    load.wait(Event::Acked, 20);
    admin.script("SELECT pg_advisory_lock(1)").unwrap();
    let begun = std::time::Instant::now();
    wait_for("a second without answers", || begun.elapsed() > std::time::Duration::from_secs(1));
    load.end_stdin();
    // Two writes hang in the server; hundreds wait for them, and are sent once they are answered. What becomes due
    // meanwhile comes after the end.
    let ended = std::time::Instant::now();
    wait_for("a second after the end", || ended.elapsed() > std::time::Duration::from_secs(1));
    admin.script("SELECT pg_advisory_unlock(1)").unwrap();
    let path = load.ledger.clone();
    let ended = load.ended();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let ledger = Ledger::read(File::open(&path).unwrap()).unwrap();
    let [scheduled, sent, ..] = sums(&ended.seconds);
    assert_eq!(sent, ledger.writes.len() as u64);
    // A write may have been sent between the end and the worker's hearing of it.
    assert!((scheduled..scheduled + 20).contains(&sent), "{scheduled} were due, and {sent} sent");
}

#[test]
fn a_load_that_is_slower_than_its_limit_is_1() {
    let pair = Pair::new(SyncMode::Async);
    for (limit, code) in [("100", 0), ("1000", 1)] {
        let load = pair.load(&["--rate", "200", "--duration", "2s", "--min-rate", limit]);
        let ended = load.ended();
        assert_eq!(ended.code, Some(code), "{}", ended.stderr);
        assert_eq!(ended.stderr.contains("(--min-rate 1000)"), code == 1, "{}", ended.stderr);
    }
}
