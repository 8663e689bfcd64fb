//! Ended at any moment, a set-up leaves nothing that `--down` does not find, nor that another set-up cannot mend.

use std::fs;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use lab::account::Account;
use lab::scratch::memory::Witness;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Home, Lab, said, wait_for};

/// Moments after the start, in milliseconds: before the first file, in `initdb`, at the first start, in the base backup,
/// at the start of the standby. Where exactly they fall is up to the machine.
const MOMENTS: [u64; 9] = [20, 50, 150, 300, 500, 800, 1_200, 1_600, 2_000];

/// Starts a set-up and ends it by `signal` after some time.
fn ended_after(home: &Home, ms: u64, signal: Signal) {
    let begun = Instant::now();
    let child = home.command(&[]).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(ms).saturating_sub(begun.elapsed()));
    // Not reaped yet: the pid is still its own.
    kill_process(Pid::from_child(&child), signal).unwrap();
    let said = said(child);
    let expected = match signal {
        Signal::INT => Some(130),
        Signal::TERM => Some(143),
        _ => None,
    };
    // It may have been done already, or not have come to listen for signals.
    assert!([expected, Some(0), None].contains(&said.code), "after {ms} ms: {said:?}");
}

/// The servers of `initdb` live for some tenths of a second.
fn witness(home: &Home) -> Witness {
    Witness::of(home.path(), Duration::from_millis(10)).unwrap()
}

fn is_gone(home: &Home, ms: u64) {
    assert!(home.names().is_empty(), "after {ms} ms: {:?}", home.names());
    // A shell of `initdb` ends when it sees that its child was ended.
    wait_for("every process to be gone", || !home.has_processes());
}

#[test]
fn down_removes_what_a_killed_set_up_left() {
    let home = Home::new();
    let witness = witness(&home);
    for ms in MOMENTS {
        ended_after(&home, ms, Signal::KILL);
        let said = home.setup(&["--down"]);
        assert_eq!(said.code, Some(0), "after {ms} ms: {said:?}");
        is_gone(&home, ms);
    }
    assert_eq!(witness.left().unwrap(), []);
}

#[test]
fn an_interrupted_set_up_ends_its_tools_and_down_removes_the_rest() {
    let home = Home::new();
    let witness = witness(&home);
    for (ms, signal) in [(100, Signal::INT), (400, Signal::TERM), (900, Signal::INT), (1_400, Signal::TERM)] {
        ended_after(&home, ms, signal);
        let said = home.setup(&["--down"]);
        assert_eq!(said.code, Some(0), "after {ms} ms: {said:?}");
        is_gone(&home, ms);
    }
    assert_eq!(witness.left().unwrap(), []);
}

#[test]
fn another_set_up_mends_what_a_killed_one_left() {
    for ms in MOMENTS {
        let home = Home::new();
        let witness = witness(&home);
        ended_after(&home, ms, Signal::KILL);
        let said = home.setup(&[]);
        assert_eq!(said.code, Some(0), "after {ms} ms: {said:?}");
        home.made(&[]).is_whole("node1");
        assert_eq!(home.setup(&["--down"]).code, Some(0));
        assert_eq!(witness.left().unwrap(), [], "after {ms} ms");
    }
}

#[test]
fn a_statement_that_a_killed_set_up_left_at_work_is_ended() {
    let home = Home::new();
    let lab = home.made(&[]);
    let info = lab.admin_info("node1");
    let left = cluster::session::Session::open("node1", &info, "understudy setup").unwrap();
    left.script("BEGIN; ALTER ROLE understudy_app CONNECTION LIMIT 50").unwrap();
    home.made(&[]).is_whole("node1");
    assert!(left.script("COMMIT").is_err());
}

/// Kills a primary and starts it again, as far as its recovery from the crash: there its startup process is frozen, and
/// the postmaster answers that it is starting up.
fn freeze_at_start(lab: &Lab, node: &str) -> (Child, Vec<Pid>) {
    let data = lab.dir().join(node).join("data");
    let kill = || lab::open::open(lab.file()).unwrap().backend.kill(node, &mut || {}).unwrap();
    kill();
    loop {
        fs::remove_file(data.join("postmaster.pid")).unwrap(); // it tells of the killed one, as does its socket's lock
        lab::local::postmaster::clear_stale_socket(&lab.dir().join(node).join("socket")).unwrap();
        let command = Command::new(lab.file().local.as_ref().unwrap().bin.join("postgres"));
        let mut command = Account::for_servers().unwrap().apply(command);
        let log = fs::File::options().append(true).open(lab.dir().join(node).join("log/postgresql.log")).unwrap();
        let mut postmaster = command.arg("-D").arg(&data).stderr(log).spawn().unwrap();
        let pid = Pid::from_child(&postmaster);
        // The eighth line of its file says how it stands.
        let stands = || fs::read_to_string(data.join("postmaster.pid")).ok()?.lines().nth(7).map(str::to_owned);
        wait_for("it to be at work", || stands().is_some());
        kill_process(pid, Signal::STOP).unwrap();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        let children: Vec<Pid> =
            children.split_whitespace().filter_map(|child| Pid::from_raw(child.parse().unwrap())).collect();
        let frozen = stands().unwrap().trim() == "starting" && !children.is_empty();
        for child in children.iter().filter(|_| frozen) {
            kill_process(*child, Signal::STOP).unwrap();
        }
        kill_process(pid, Signal::CONT).unwrap();
        if frozen {
            return (postmaster, children);
        }
        // It was too fast, or not far enough: once more.
        kill();
        postmaster.wait().unwrap();
    }
}

#[test]
fn a_primary_that_is_starting_is_waited_for() {
    let home = Home::new();
    let lab = home.made(&[]);
    let (mut postmaster, frozen) = freeze_at_start(&lab, "node1");
    let setup = home.command(&[]).spawn().unwrap();
    // Long enough for a set-up that does not wait to have failed; too short only makes this test pass.
    std::thread::sleep(Duration::from_millis(500));
    for child in frozen {
        kill_process(child, Signal::CONT).unwrap();
    }
    let said = said(setup);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(postmaster.try_wait().unwrap().is_none(), "the server that was starting is the primary now");
    lab.is_whole("node1");
    assert_eq!(home.setup(&["--down"]).code, Some(0));
    postmaster.wait().unwrap();
}
