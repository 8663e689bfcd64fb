//! Drills that are killed or interrupted: what they started ends, what they wrote can be read, and `setup` mends the lab.

use std::time::Duration;

use cluster::wait::{Attempt, until};
use lab::conf::SyncMode;
use lab::local::converge::converge;
use lab::scratch;
use lab::wanted::Wanted;
use program::progress::Progress;
use rustix::process::Signal;

use crate::faults::is_frozen;
use crate::independent::{Events, Ledger};
use crate::support::{Done, Drill, LOOK, Lab, programs_of, states_below};

/// Time for the load to end after its parent was killed: what is in flight is answered, or times out after 5 s.
const LOAD_ENDS: Duration = Duration::from_secs(12);

/// Interrupts a drill and waits for its end, and for that of what it started.
pub(crate) fn interrupt(drill: Drill<'_>, signal: Signal) -> Done {
    drill.signal(signal);
    let done = drill.end();
    let ended = until("the programs of the run to end", LOAD_ENDS, LOOK, || {
        let left = programs_of(&done.run);
        Ok(if left.is_empty() { Attempt::Done(()) } else { Attempt::NotYet(left.join(", ")) })
    });
    ended.unwrap();
    done
}

/// Every whole line that was written can be read, and the ledger keeps its rules. The ledger.
fn check_files(done: &Done) -> Ledger {
    let ledger = done.ledger();
    assert!(!ledger.acks.is_empty());
    let Events(events) = done.events();
    assert!(events.iter().all(|row| row["run"] == done.run), "{events:?}");
    assert_eq!(
        done.stdout.lines().count(),
        1,
        "the header, and no row of a drill that was not judged: {}",
        done.stdout
    );
    ledger
}

/// Runs what `setup` runs on the same lab again: a primary and a standby, all else as it is.
pub(crate) fn set_up_again(lab: &Lab) {
    let elsewhere = tempfile::tempdir().unwrap();
    let wanted = Wanted {
        name: lab.file.name.clone(),
        home: lab.home.clone(),
        first_port: None,
        sync: None,
        ..scratch::wanted(&elsewhere)
    };
    converge(&wanted, &Progress::new(true)).unwrap();
}

/// The lab is whole again, and a write goes through it.
fn check_whole(lab: &Lab, primary: &str) {
    assert_eq!(lab.primary(), primary);
    lab.check_redundant(primary);
    let insert = "INSERT INTO understudy.ledger VALUES ('after', 0, 1, 'x')";
    assert_eq!(lab.session(primary).execute(insert, &[]).unwrap(), 1, "a commit that waits for the standby");
}

#[test]
fn killed_in_mid_load_the_load_ends_by_itself_with_a_whole_ledger() {
    let lab = Lab::new(1, SyncMode::On);
    let primary = lab.primary();
    let mut drill = lab.start(&["--before", "60s"]);
    drill.wait_for("steady");
    let done = interrupt(drill, Signal::KILL);
    assert_eq!(done.signal, Some(9));
    assert!(check_files(&done).complete, "the end of its stdin told the load to finish normally");
    done.wait_no_backends(&lab);
    // Nothing had been done to the lab, and its lock is free.
    check_whole(&lab, &primary);
    set_up_again(&lab);
    assert_eq!(lab.primary(), primary);
}

#[test]
fn killed_between_fault_and_promotion_setup_brings_the_primary_back() {
    let lab = Lab::new(1, SyncMode::On);
    let primary = lab.primary();
    let mut drill = lab.start(&["--before", "1s", "--decide", "60s"]);
    drill.wait_for("fault_proven");
    let done = interrupt(drill, Signal::KILL);
    let ledger = check_files(&done);
    set_up_again(&lab);
    done.wait_no_backends(&lab);
    check_whole(&lab, &primary);
    // Nobody was promoted: everything that was acknowledged is there.
    let present = lab.present(&primary, &done.run);
    assert!(ledger.with("acked").iter().all(|key| present.contains_key(key)));
}

const FREEZE: [&str; 8] = ["--before", "1s", "--decide", "60s", "--fault", "freeze", "--op-timeout", "500ms"];

#[test]
fn interrupted_while_the_primary_is_frozen_nothing_of_it_is_left_and_setup_brings_it_back() {
    let lab = Lab::new(1, SyncMode::On);
    let primary = lab.primary();
    let mut drill = lab.start(&FREEZE);
    drill.wait_for("fault_proven");
    is_frozen(&lab.dir.join(&primary));
    let done = interrupt(drill, Signal::TERM);
    assert_eq!((done.code, done.signal), (Some(143), None), "{}", done.stderr);
    assert!(done.stderr.contains("was frozen"), "{}", done.stderr);
    check_files(&done);
    assert_eq!(states_below(&lab.dir.join(&primary)), Vec::<char>::new(), "a frozen server was left behind");
    set_up_again(&lab);
    done.wait_no_backends(&lab);
    check_whole(&lab, &primary);
}

/// Killed itself, a drill cannot end what it froze: the next `setup` does, and so does `--down`, which ends this test.
#[test]
fn killed_while_the_primary_is_frozen_setup_ends_it_and_so_does_down() {
    let lab = Lab::new(1, SyncMode::On);
    let primary = lab.primary();
    let freeze = || {
        let mut drill = lab.start(&FREEZE);
        drill.wait_for("fault_proven");
        let done = interrupt(drill, Signal::KILL);
        is_frozen(&lab.dir.join(&primary));
        done
    };
    let done = freeze();
    set_up_again(&lab);
    done.wait_no_backends(&lab);
    check_whole(&lab, &primary);
    freeze();
}

#[test]
fn interrupted_while_the_standby_is_cut_off_setup_points_it_back() {
    let lab = Lab::new(1, SyncMode::Async);
    let primary = lab.primary();
    let mut drill = lab.start(&["--before", "1s", "--cut", "60s"]);
    drill.wait_for("cut");
    let done = interrupt(drill, Signal::TERM);
    assert_eq!((done.code, done.signal), (Some(143), None), "{}", done.stderr);
    assert!(check_files(&done).complete, "children are ended, rows are kept");
    done.check_nothing_runs(&lab);
    set_up_again(&lab);
    check_whole(&lab, &primary);
}

#[test]
fn interrupted_by_the_keyboard_it_leaves_the_lab_as_it_was() {
    let lab = Lab::new(1, SyncMode::RemoteApply);
    let primary = lab.primary();
    let mut drill = lab.start(&["--before", "60s"]);
    drill.wait_for("steady");
    let programs = programs_of(&drill.run);
    assert!(programs.len() >= 2, "the drill and its load are found by what this test looks for");
    // The keyboard speaks to a group of processes: only the drill, which a shell has started, hears it.
    let load = programs.iter().find(|program| program.ends_with("(write-load)")).expect("the load");
    let pid = load.split(' ').next().unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    assert_eq!(stat.rsplit_once(") ").unwrap().1.split(' ').nth(2), Some(pid), "a group of its own");
    let done = interrupt(drill, Signal::INT);
    assert_eq!((done.code, done.signal), (Some(130), None), "{}", done.stderr);
    assert!(check_files(&done).complete, "children are ended, rows are kept");
    done.check_nothing_runs(&lab);
    check_whole(&lab, &primary);
}

#[test]
fn interrupted_before_a_later_fault_it_says_what_was_done_and_that_all_is_well() {
    let lab = Lab::new(1, SyncMode::On);
    let second = lab.names().into_iter().find(|name| *name != lab.primary()).unwrap();
    let mut drill = lab.start(&["--before", "2s", "--rounds", "2"]);
    drill.wait_for("sync_restored");
    let begun = until("the second step", LOAD_ENDS, LOOK, || {
        let begun = Events::read(&drill.out.join("events.csv")).all("step_begun").len();
        Ok(if begun == 2 { Attempt::Done(()) } else { Attempt::NotYet(format!("{begun} have begun")) })
    });
    begun.unwrap();
    let done = interrupt(drill, Signal::INT);
    assert_eq!(done.code, Some(130), "{}", done.stderr);
    let said = format!("since takeover 1 was over: {second} is the primary");
    assert!(done.stderr.contains(&said), "{}", done.stderr);
    check_whole(&lab, &second);
}

/// The floor is a second takeover: what is left of it is said as it is of the drill itself.
#[test]
fn interrupted_while_the_raw_floor_is_measured_it_says_who_is_down() {
    let lab = Lab::new(1, SyncMode::On);
    let (first, second) = (lab.primary(), lab.names().into_iter().find(|name| *name != lab.primary()).unwrap());
    let mut drill = lab.start(&["--before", "1s", "--floor"]);
    drill.wait_for("floor_killed");
    let done = interrupt(drill, Signal::INT);
    assert_eq!(done.code, Some(130), "{}", done.stderr);
    let said = format!("{second} was killed for the raw floor, and {first} was to take over");
    assert!(done.stderr.contains(&said) && done.stderr.contains("mends it"), "{}", done.stderr);
    set_up_again(&lab);
    done.wait_no_backends(&lab);
    assert_eq!(lab.primaries().len(), 1);
}

/// It ends at once then, and whoever was impatient is told what that leaves.
#[test]
fn interrupted_twice_it_still_says_what_it_leaves() {
    let lab = Lab::new(1, SyncMode::On);
    let primary = lab.primary();
    let mut drill = lab.start(&["--before", "1s", "--decide", "60s"]);
    drill.wait_for("fault_proven");
    // Both are there when it looks: else it might have ended of the first one.
    for signal in [Signal::STOP, Signal::INT, Signal::TERM] {
        drill.signal(signal);
    }
    let done = interrupt(drill, Signal::CONT);
    assert!(matches!(done.code, Some(130 | 143)), "{:?}", done.code);
    let said = format!("{primary} was killed and nobody was promoted");
    assert!(done.stderr.contains(&said) && done.stderr.contains("mends it"), "{}", done.stderr);
    set_up_again(&lab);
    done.wait_no_backends(&lab);
    check_whole(&lab, &primary);
}
