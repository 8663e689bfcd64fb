//! The ledger's keeping: in order, whole, never overwritten, whatever ends the program.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use lab::conf::SyncMode;
use report::ledger::{Event, Ledger, Outcome};
use rustix::process::Signal;

use crate::support::{PRIMARY, Pair, events, output_of};

const BUSY: [&str; 4] = ["--rate", "400", "--clients", "4"];

#[test]
fn however_the_load_ends_the_ledger_can_be_judged_by() {
    let pair = Pair::new(SyncMode::Async);

    // The end of stdin: finish normally.
    let mut load = pair.load(&[&BUSY[..], &["--until-eof"]].concat());
    load.wait(Event::Acked, 50);
    load.end_stdin();
    let path = load.ledger.clone();
    assert_eq!(load.ended().code, Some(0));
    let ledger = Ledger::read(File::open(&path).unwrap()).unwrap();
    assert!(ledger.complete);
    assert_eq!(ledger.count(Outcome::Acked), ledger.writes.len() as u64);
    pair.judge(PRIMARY, &ledger);
    let mut last = BTreeMap::new();
    for row in events(&path) {
        let last_us = last.insert(row.worker, row.at_us).unwrap_or(0);
        assert!(last_us <= row.at_us, "worker {:?} goes back from {last_us} to {}", row.worker, row.at_us);
    }

    // A signal: end now, with the ledger complete.
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let mut load = pair.load(&BUSY);
        load.wait(Event::Acked, 50);
        load.signal(signal);
        let path = load.ledger.clone();
        assert_eq!(load.ended().code, Some(code));
        let ledger = Ledger::read(File::open(&path).unwrap()).unwrap();
        assert!(ledger.complete);
        pair.judge(PRIMARY, &ledger);
    }

    // Killed: what is there is good, and it does not claim to be whole.
    let mut load = pair.load(&["--rate", "max", "--clients", "4"]);
    load.wait(Event::Acked, 200);
    load.signal(Signal::KILL);
    let path = load.ledger.clone();
    assert_eq!(load.ended().code, None);
    let ledger = Ledger::read(File::open(&path).unwrap()).unwrap();
    assert!(!ledger.complete);
    // Each row was in the file before its write left: there is no key in the table that the ledger does not know.
    pair.judge(PRIMARY, &ledger);
}

#[test]
fn what_cannot_be_kept_is_not_begun_and_a_closed_pipe_is_a_quiet_end() {
    let pair = Pair::new(SyncMode::Async);
    let path = pair.new_file();
    fs::write(&path, "mine\n").unwrap();
    let mut command = pair.command();
    let output = command.arg("--ledger").arg(&path).args(["--duration", "1s"]).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{stderr}");
    assert!(stderr.contains("--ledger") && stderr.contains("exists"), "{stderr}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "mine\n");

    // `--ledger - | head -1`, and the same for the rows of the seconds.
    for (ledger, first) in [(&["--ledger", "-"][..], "run,at_us,worker,"), (&[][..], "run,at_us,scheduled,")] {
        let mut child = pair.command().args(BUSY).args(ledger).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with(first), "{line}");
        let output = output_of(child);
        assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
    }

    // A full disk: the ledger cannot be kept, and nothing is claimed.
    for ledger in [&["--ledger", "-"][..], &[]] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let child = pair.command().args(BUSY).args(ledger).stdout(Stdio::from(full)).spawn().unwrap();
        let output = output_of(child);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains("cannot write to stdout"), "{stderr}");
    }
    let rows: i64 = pair.admin(PRIMARY).value("SELECT count(*) FROM understudy.ledger", &[]).unwrap();
    assert!(rows < 5_000, "{rows}");
}

#[test]
fn on_a_pipe_the_ledger_comes_as_it_is_made() {
    let pair = Pair::new(SyncMode::Async);
    let mut command = pair.command();
    command.args(["--rate", "1", "--clients", "1", "--ledger", "-", "--until-eof"]).stdin(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let events: Vec<Event> = lines
        .by_ref()
        .skip(1)
        .take(3)
        .map(|line| report::glance::glance(&line).unwrap().map_or(Event::Sent, |row| row.event))
        .collect();
    // The first ack is here although the next write, a second later, has not been sent yet.
    assert_eq!(events, [Event::Connected, Event::Sent, Event::Acked]);
    drop(child.stdin.take());
    assert!(lines.last().unwrap().contains(",end,"));
    assert_eq!(output_of(child).status.code(), Some(0));
}
