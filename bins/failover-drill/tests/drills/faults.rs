//! The faults `stop` and `freeze`, each judged by an independent count of what is there.

use std::path::Path;
use std::thread;

use lab::conf::SyncMode;
use rustix::process::{Pid, Signal, kill_process};

use crate::held::check_held;
use crate::independent::number;
use crate::lossy::check_loss;
use crate::support::{Lab, states_below};

/// By hand, straight from the server: acked keys that the new primary does not have.
pub(crate) fn lost_by_hand(lab: &Lab, judged: &crate::support::Judged, run: &str) -> u64 {
    let mut client = lab.plain(&lab.primary());
    let rows = client.query("SELECT worker, seq FROM understudy.ledger WHERE run = $1", &[&run]).unwrap();
    let there: Vec<(u64, u64)> =
        rows.iter().map(|row| (row.get::<_, i32>(0) as u64, row.get::<_, i64>(1) as u64)).collect();
    let there: std::collections::BTreeSet<_> = there.into_iter().collect();
    judged.ledger.with("acked").difference(&there).count() as u64
}

#[test]
fn a_planned_shutdown_loses_nothing_in_either_mode() {
    for sync in [SyncMode::On, SyncMode::Async] {
        let lab = Lab::new(1, sync);
        let done = lab.drill(&["--fault", "stop"]);
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        let judged = done.judged(&lab);
        assert_eq!((lost_by_hand(&lab, &judged, &done.run), judged.figure("lost")), (0, 0));
        assert_eq!((judged.row["verdict"].as_str(), judged.row["fault"].as_str()), ("held", "stop"));
        // The standby had all of it, to the last record, so there was nothing to rewind.
        assert_eq!((judged.figure("rpo_wal_bytes"), judged.figure("divergent")), (0, 0));
        assert_eq!(judged.row["rejoin"], "rewind");
        lab.check_redundant(&judged.row["new_primary"]);
        if sync == SyncMode::On {
            check_held(&judged, &lab);
        }
    }
}

/// A standby that is cut off cannot be waited for: what it has not is lost, and no allowance makes that a switchover.
#[test]
fn a_planned_shutdown_that_loses_something_is_broken_whatever_is_allowed() {
    let lab = Lab::new(1, SyncMode::Async);
    let done = lab.drill(&["--fault", "stop", "--cut", "1s", "--max-lost", "1000000"]);
    assert_eq!(done.code, Some(1), "{}", done.stderr);
    let judged = done.judged(&lab);
    check_loss(&judged, &lab, &done.run);
    assert_eq!(
        (judged.row["verdict"].as_str(), judged.figure("lost")),
        ("broken", lost_by_hand(&lab, &judged, &done.run))
    );
    let [why] = judged.events.all("verdict")[..] else { panic!("{}", done.stderr) };
    assert!(why["detail"].contains("a planned shutdown loses none"), "{why:?}");
}

/// Nothing that talks to the frozen primary is answered, then or later: not by it, and not by what becomes of it.
#[test]
fn who_kept_a_session_to_a_frozen_primary_writes_nothing_through_it() {
    for sync in [SyncMode::On, SyncMode::Async] {
        let lab = Lab::new(1, sync);
        let old = lab.primary();
        let mut kept_open = lab.plain(&old);
        kept_open.batch_execute("CREATE TABLE kept_open (i int)").unwrap();
        kept_open.execute("INSERT INTO kept_open VALUES (1)", &[]).unwrap();
        let mut drill =
            lab.start(&["--fault", "freeze", "--op-timeout", "500ms", "--decide", "1s", "--max-lost", "1000000"]);
        drill.wait_for("fault_proven");
        is_frozen(&lab.dir.join(&old));
        let writing = thread::spawn(move || kept_open.execute("INSERT INTO kept_open VALUES (2)", &[]).is_err());
        let done = drill.end();
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        assert!(writing.join().unwrap(), "a write through the session of before was acknowledged");
        let judged = done.judged(&lab);
        let there: i64 = lab.plain(&lab.primary()).query_one("SELECT sum(i) FROM kept_open", &[]).unwrap().get(0);
        assert_eq!(there, 1);
        assert_eq!(judged.figure("lost"), lost_by_hand(&lab, &judged, &done.run));
        assert_eq!((judged.row["verdict"].as_str(), judged.row["fault"].as_str()), ("held", "freeze"));
        let at = |mark: &str| judged.events.first_us(mark).unwrap();
        assert!(at("t3") < at("fenced") && at("fenced") < at("rejoin_begun"), "{:?}", judged.events);
        let late = at("fault_proven") + 50_000;
        assert_eq!(judged.ledger.acks.iter().filter(|ack| ack.timeline == 1 && ack.at_us > late).count(), 0);
        // Silent: a client's time-out is how it was noticed, and no sooner.
        assert!((400_000..5_000_000).contains(&judged.figure("detection_us")), "{:?}", judged.row);
        assert!(number(&judged.row, "outage_us").unwrap() >= 1_000_000, "{:?}", judged.row);
        lab.check_redundant(&judged.row["new_primary"]);
        if sync == SyncMode::On {
            check_held(&judged, &lab);
        }
    }
}

/// There are processes of a node, and all are stopped.
pub(crate) fn is_frozen(node: &Path) {
    let states = states_below(node);
    assert!(states.len() >= 5 && states.iter().all(|state| *state == 'T'), "{states:?}");
}

/// Frozen for two seconds, and nobody promoted: the outage is those two seconds, and nothing is lost in either mode.
#[test]
fn a_primary_that_stalls_is_out_for_as_long_as_it_was_frozen_and_loses_nothing() {
    for sync in [SyncMode::On, SyncMode::Async] {
        let lab = Lab::new(1, sync);
        let old = lab.primary();
        let done = lab.drill(&["--fault", "stall", "--stall", "2s"]);
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        let (row, ledger, events) = (done.row(), done.ledger(), done.events());
        assert_eq!((row["verdict"].as_str(), row["fault"].as_str(), &row["old_primary"]), ("held", "stall", &old));
        assert_eq!((row.get("new_primary"), row.get("promotion_us"), row.get("rejoin")), (None, None, None));
        // By hand: from the last ack before it went on to the first one after.
        let at = |mark: &str| events.first_us(mark).unwrap();
        let (frozen, thawed) = (at("fault_proven"), at("thawed"));
        assert!((2_000_000..2_500_000).contains(&(thawed - at("t0"))), "{events:?}");
        let acks = || ledger.acks.iter().map(|ack| ack.at_us);
        let (last, first) = (acks().filter(|at| *at < thawed).max().unwrap(), acks().find(|at| *at >= thawed).unwrap());
        assert!(last <= frozen + 50_000, "a frozen server acknowledges nothing: {last}, {frozen}");
        assert_eq!((number(&row, "outage_us"), row["outage_kind"].as_str()), (Some(first - last), "exact"));
        assert_eq!((number(&row, "split_acked"), number(&row, "stranded")), (Some(0), Some(0)));
        // The same primary has all that was acknowledged, and its standby follows.
        assert_eq!(lab.primary(), old);
        let present = lab.present(&old, &done.run);
        assert!(ledger.with("acked").iter().all(|key| present.contains_key(key)));
        assert!(ledger.acks.iter().all(|ack| ack.timeline == 1));
        lab.check_redundant(&old);
        done.check_nothing_runs(&lab);
    }
}

/// Somebody else has frozen the postmaster, while its sessions go on: it cannot be shut down, and nobody says that it was.
#[test]
fn a_fault_that_did_not_come_about_is_not_said_to_have() {
    let lab = Lab::new(1, SyncMode::Async);
    let old = lab.primary();
    let mut drill = lab.start(&["--fault", "stop"]);
    drill.wait_for("steady");
    let pid = std::fs::read_to_string(lab.dir.join(&old).join("data/postmaster.pid")).unwrap();
    let postmaster = Pid::from_raw(pid.lines().next().unwrap().parse().unwrap()).unwrap();
    kill_process(postmaster, Signal::STOP).unwrap();
    let done = drill.end();
    kill_process(postmaster, Signal::CONT).unwrap();
    assert_eq!((done.code, done.row()["verdict"].as_str()), (Some(2), "unknown"), "{}", done.stderr);
    assert!(done.stderr.contains("is frozen: it would not shut down"), "{}", done.stderr);
    let said = format!("shutting down {old} had begun, and it was not seen to be done");
    assert!(done.stderr.contains(&said) && !done.stderr.contains("was shut down"), "{}", done.stderr);
    assert_eq!(lab.primary(), old);
}

#[test]
fn what_does_not_go_together_is_refused_by_its_option() {
    let lab = Lab::new(1, SyncMode::Async);
    for (args, word) in [
        (["--fault", "kill", "--stall", "1s"], "--stall"),
        (["--fault", "stall", "--decide", "1s"], "--decide"),
        (["--fault", "stall", "--cut", "1s"], "--cut"),
    ] {
        let done = lab.drill(&args);
        assert!(done.code == Some(2) && done.stderr.contains(word), "{args:?}: {}", done.stderr);
    }
    assert_eq!(lab.primary(), "node1", "nothing was done");
}
