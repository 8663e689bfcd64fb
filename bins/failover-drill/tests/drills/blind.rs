//! Drills whose load saw nothing when it mattered, or whose measuring failed: never a pass, and the takeover goes on.

use std::time::Duration;

use cluster::wait::until_true;
use lab::conf::SyncMode;
use rustix::process::{Pid, Signal, kill_process};

use crate::independent::number;
use crate::support::{Done, LOOK, Lab, SOON, programs_of};

/// Locks the ledger's table until it is dropped, as somebody's migration would.
struct Locked<'a>(&'a Lab, cluster::session::Session);

impl<'a> Locked<'a> {
    fn new(lab: &'a Lab, node: &str) -> Locked<'a> {
        let session = lab.session(node);
        session.script("BEGIN; LOCK TABLE understudy.ledger IN ACCESS EXCLUSIVE MODE").unwrap();
        Locked(lab, session)
    }
}

fn reasons(done: &Done) -> String {
    done.events().all("verdict").iter().map(|row| row["detail"].clone()).collect::<Vec<_>>().join("; ")
}

/// An independent writer to another table would lose writes here, and the ledger shows none: nothing may be concluded.
#[test]
fn a_load_that_is_locked_out_before_the_cut_is_no_witness() {
    let lab = Lab::new(1, SyncMode::Async);
    let primary = lab.primary();
    let mut drill = lab.start(&["--before", "2s", "--cut", "800ms"]);
    drill.wait_for("steady");
    let locked = Locked::new(&lab, &primary);
    let done = drill.end();
    assert_eq!(done.code, Some(2), "{}", done.stderr);
    assert_eq!(done.row()["verdict"], "unknown");
    assert!(reasons(&done).contains("the load to flow"), "{}", reasons(&done));
    let events = done.events();
    assert!(events.all("cut_begun").is_empty() && events.all("t0").is_empty(), "nobody was hurt: {events:?}");
    assert_eq!(locked.0.primary(), primary);
    drop(locked.1);
    done.check_nothing_runs(&lab);
}

/// The same, but locked after the standbys were cut off: the fault comes, and the verdict says what it cannot know.
/// A write a second does not see what was lost in 20 ms.
#[test]
fn a_cut_that_no_write_fell_into_leaves_the_verdict_unknown() {
    let lab = Lab::new(1, SyncMode::Async);
    // Once in a while a write falls into it all the same, and is lost.
    let unseen = |_| {
        let done = lab.drill(&["--rate", "1", "--clients", "1", "--cut", "20ms", "--after", "500ms"]);
        assert_ne!(done.code, Some(0), "{}", done.stderr);
        done.code == Some(2) && reasons(&done).contains("between the cut and the fault")
    };
    assert!((0..3).any(unseen));
}

/// The ledger grows as fast as one core writes it: the drill keeps its times, and hears signals.
#[test]
fn a_fast_ledger_holds_nobody_up() {
    let lab = Lab::new(1, SyncMode::Async);
    let fast = ["--rate", "max", "--clients", "64", "--before", "2s", "--after", "500ms"];
    let begun = std::time::Instant::now();
    let mut drill = lab.start(&fast);
    drill.wait_for("t0");
    assert!(begun.elapsed() < Duration::from_secs(15), "T0 came after {:?}", begun.elapsed());
    let done = drill.end();
    assert_ne!(done.row()["verdict"], "unknown", "held, or broken by what async loses: {}", done.stderr);
    let mut drill = lab.start(&[&fast[..4], &["--before", "60s"]].concat());
    drill.wait_for("steady");
    let ledger = drill.out.join("ledger.csv");
    until_true("the ledger to grow", Duration::from_secs(50), LOOK, || {
        Ok(std::fs::metadata(&ledger)?.len() > 5_000_000)
    })
    .unwrap();
    let begun = std::time::Instant::now();
    drill.signal(Signal::INT);
    let done = drill.end();
    assert_eq!(done.code, Some(130), "{}", done.stderr);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert!(done.events().all("t0").is_empty());
}

/// What somebody does to the cluster after the check is no finding about a takeover: nobody is killed.
#[test]
fn a_standby_that_stopped_following_before_the_fault_keeps_it_from_happening() {
    let lab = Lab::new(1, SyncMode::Async);
    let mut drill = lab.start(&["--before", "3s"]);
    drill.wait_for("steady");
    lab::link::Link::follow(&crate::rejoin::local(&lab), "node2", None).unwrap();
    let done = drill.end();
    assert_eq!((done.row()["verdict"].as_str(), done.code), ("unknown", Some(2)), "{}", done.stderr);
    assert!(reasons(&done).contains("somebody changed the cluster meanwhile"), "{}", reasons(&done));
    assert!(done.events().all("t0").is_empty(), "{}", done.stderr);
    assert_eq!(lab.primary(), "node1");
}

#[test]
fn a_load_that_falls_silent_between_cut_and_fault_leaves_the_verdict_unknown() {
    let lab = Lab::new(1, SyncMode::Async);
    let primary = lab.primary();
    let mut drill = lab.start(&["--cut", "2s", "--max-lost", "1000000"]);
    drill.wait_for("cut");
    let locked = Locked::new(&lab, &primary);
    let done = drill.end();
    drop(locked);
    let judged = done.judged(&lab);
    assert_eq!((judged.row["verdict"].as_str(), done.code), ("unknown", Some(2)), "{}", done.stderr);
    assert!(
        reasons(&done).contains("was not flowing") && reasons(&done).contains("before the fault"),
        "{}",
        reasons(&done)
    );
    let (t0, last) = (judged.events.first_us("t0").unwrap(), judged.ledger.acks.iter().map(|ack| ack.at_us));
    let last = last.filter(|at| *at <= t0).max().unwrap();
    assert!(t0 - last > 1_000_000, "the lock was held for most of the cut");
    assert_eq!(judged.figure("outage_before_us"), t0 - last);
    assert!(judged.figure("longest_gap_before_us") >= t0 - last);
    assert!(done.stderr.contains("of the outage lie before the fault"), "{}", done.stderr);
}

/// After a cut in a sync mode silence is what is promised; the time of the cut is said to lie before the fault.
#[test]
fn the_silence_of_a_cut_sync_standby_is_what_was_promised() {
    let lab = Lab::new(1, SyncMode::On);
    let done = lab.drill(&["--cut", "1s"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let judged = done.judged(&lab);
    let before = judged.figure("outage_before_us");
    assert!((500_000..judged.figure("outage_us")).contains(&before), "{before}");
    assert!(done.stderr.contains("of the outage lie before the fault"), "{}", done.stderr);
}

/// What cannot be written down any more does not keep the cluster from getting its primary back, and the row comes out.
#[test]
#[ignore = "needs root, for a disk that can be filled; `cargo xtask test` runs it as root"]
fn as_root_a_full_disk_does_not_stop_the_takeover() {
    let lab = Lab::new(1, SyncMode::On);
    let disk = Disk::mount("size=400k");
    let out = disk.0.path().join("out");
    let mut drill = lab.start(&["--decide", "1s", "--out", out.to_str().unwrap()]);
    drill.out.clone_from(&out);
    drill.wait_for("t0");
    disk.fill();
    let done = drill.end();
    let row = done.row();
    assert_eq!((row["verdict"].as_str(), done.code), ("unknown", Some(2)), "{}", done.stderr);
    assert!(done.stderr.contains("No space left"), "{}", done.stderr);
    let new = lab.primary();
    assert_eq!(row.get("new_primary"), Some(&new));
    assert_eq!(row["rejoin"], "rewind", "{}", done.stderr);
    lab.check_redundant(&new);
}

/// A small disk of its own, unmounted when dropped.
struct Disk(tempfile::TempDir);

impl Disk {
    fn mount(options: &str) -> Disk {
        let dir = tempfile::tempdir().unwrap();
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "understudy"]).arg(dir.path());
        assert!(mount.status().unwrap().success());
        Disk(dir)
    }

    fn fill(&self) {
        let mut file = std::fs::File::create(self.0.path().join("full")).unwrap();
        while std::io::Write::write_all(&mut file, &[0; 4096]).is_ok() {}
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

/// In a sync mode, with nobody streaming, every commit would hang if `synchronous_standby_names` were set again.
#[test]
fn a_failed_rejoin_in_a_sync_mode_keeps_the_loss_figure() {
    let lab = Lab::new(1, SyncMode::On);
    let script = "ALTER ROLE understudy_rewind NOLOGIN; ALTER ROLE understudy_replication NOLOGIN";
    lab.session(&lab.primary()).script(script).unwrap();
    let done = lab.drill(&[]);
    let (row, ledger, events) = (done.row(), done.ledger(), done.events());
    assert_eq!((row["verdict"].as_str(), row["rejoin"].as_str()), ("broken", "failed"), "{}", done.stderr);
    assert!(reasons(&done).contains("synchronous_standby_names was not set"), "{}", reasons(&done));
    // The figure is there, and right by hand.
    let present = lab.present(&row["new_primary"], &done.run);
    assert!(ledger.with("acked").iter().all(|key| present.contains_key(key)));
    assert_eq!((number(&row, "lost"), events.all("sync_restored").len()), (Some(0), 0), "{}", done.stderr);
    // The load went on to the end.
    let ending = events.first_us("load_ending").unwrap();
    let last = ledger.acks.iter().map(|ack| ack.at_us).max().unwrap();
    assert!(last + 1_000_000 > ending, "the last ack came {} µs before the end", ending - last);
}

/// The old primary does not start any more: its own log says why, and so does the drill, soon.
#[test]
fn a_failed_rejoin_names_its_cause_from_the_servers_log() {
    let lab = Lab::new(1, SyncMode::Async);
    let conf = lab.dir.join(lab.primary()).join("conf/postgresql.conf");
    let text = std::fs::read_to_string(&conf).unwrap();
    let mut drill = lab.start(&["--decide", "1s"]);
    drill.wait_for("t0");
    std::fs::write(&conf, text + "shared_preload_libraries = 'no_such_library'\n").unwrap();
    let begun = std::time::Instant::now();
    let done = drill.end();
    assert_eq!((done.row()["rejoin"].as_str(), done.code), ("failed", Some(1)), "{}", done.stderr);
    assert!(begun.elapsed() < Duration::from_secs(40), "{:?}", begun.elapsed());
    let cause = "could not access file \"no_such_library\"";
    let events = done.events();
    let noted = events.all("rejoin_failed");
    assert!(noted.len() == 1 && noted[0]["detail"].contains(cause), "{noted:#?}");
    assert!(done.stderr.contains(cause) && done.stderr.contains("rejoin    node1 failed\n"), "{}", done.stderr);
}

/// A backend of the new primary crashes while the old one rejoins: all sessions end, and the server is back at once.
#[test]
fn a_crash_of_a_backend_during_the_rejoin_does_not_fail_it() {
    crash_a_backend_at("rejoin_begun");
}

/// The same just before: the first session that the rejoin asks for is refused by a server in recovery.
#[test]
fn a_crash_of_a_backend_before_the_rejoin_does_not_fail_it() {
    crash_a_backend_at("divergent_read");
}

fn crash_a_backend_at(mark: &str) {
    let lab = Lab::new(1, SyncMode::On);
    let new = lab.names().into_iter().find(|name| *name != lab.primary()).unwrap();
    let mut drill = lab.start(&["--after", "2s"]);
    drill.wait_for("t3");
    let session = lab.session(&new); // or the backend would be gone before it is killed
    let victim: i32 = session.value("SELECT pg_backend_pid()", &[]).unwrap();
    drill.wait_for(mark);
    kill_process(Pid::from_raw(victim).unwrap(), Signal::KILL).unwrap();
    until_true("the server to be back", SOON, LOOK, || lab.try_session(&new)?.value("SELECT true", &[])).unwrap();
    let done = drill.end();
    assert_eq!(done.code, Some(0), "{}{:#?}", done.stderr, done.events().all("rejoin_failed"));
    let judged = done.judged(&lab);
    assert_ne!(judged.row["rejoin"], "failed", "{}", done.stderr);
    lab.check_redundant(&new);
}

/// `failover-drill | cat` ends: no server that the drill started keeps a copy of its stdout.
#[test]
fn the_reader_of_a_drill_sees_its_end() {
    let lab = Lab::new(1, SyncMode::Async);
    let (row, ended) = lab.drill_piped(&["--after", "500ms"]);
    assert!(row.lines().count() == 2, "{row:?}");
    assert!(ended, "the pipe was still open after the drill had ended: a server holds it");
}

/// Nothing would be known of a second takeover, so it does not begin, and nobody is hurt for it.
#[test]
fn without_a_load_no_further_takeover_begins() {
    let lab = Lab::new(1, SyncMode::On);
    let mut drill = lab.start(&["--rounds", "2", "--after", "2s"]);
    drill.wait_for("sync_restored");
    let programs = programs_of(&drill.run);
    let load = programs.iter().find(|program| program.ends_with("(write-load)")).expect("the load");
    let pid = Pid::from_raw(load.split(' ').next().unwrap().parse().unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
    let done = drill.end();
    assert_eq!((done.code, done.row()["verdict"].as_str()), (Some(2), "unknown"), "{}", done.stderr);
    assert!(reasons(&done).contains("takeover 2 of 2 could not begin: the load has ended"), "{}", reasons(&done));
    assert_eq!((done.events().all("step_begun").len(), done.events().all("t0").len()), (1, 1));
    assert!(reasons(&done).contains("the load ended before it was told to"), "{}", reasons(&done));
    done.wait_no_backends(&lab);
    lab.check_redundant(&lab.primary());
}
