//! Takeovers that lose writes, or may.

use std::collections::BTreeSet;

use lab::conf::SyncMode;

use crate::independent::{Fates, Key, rows};
use crate::support::{Judged, Lab};

/// Asynchronous replication takes this long at most, in microseconds, for what was acknowledged before the cut began.
const LAG_US: u64 = 50_000;

/// What the drill must have found, from the ledger and the table alone.
pub(crate) fn check_loss(judged: &Judged, lab: &Lab, run: &str) {
    // By hand: the acked keys of the ledger, minus the keys that the new primary has.
    let acked = judged.ledger.with("acked");
    let session = lab.session(&judged.row["new_primary"]);
    let keys = session.rows("SELECT worker, seq FROM understudy.ledger WHERE run = $1", &[&run]).unwrap();
    let there: BTreeSet<Key> =
        keys.iter().map(|row| (row.get::<_, i32>(0) as u64, row.get::<_, i64>(1) as u64)).collect();
    let lost: BTreeSet<Key> = acked.difference(&there).copied().collect();
    assert!(!lost.is_empty(), "a cut standby must lose what was acknowledged after the cut");
    assert_eq!(judged.figure("lost"), lost.len() as u64);
    let at = |mark: &str| judged.events.first_us(mark).unwrap();
    let (cut_begun, cut, t0) = (at("cut_begun"), at("cut"), at("t0"));
    for key in &acked {
        let write = &judged.ledger.writes[key];
        let (sent, known) = (write.sent_us.unwrap(), write.known_us.unwrap());
        if write.timeline == Some(1) && sent > cut {
            assert!(lost.contains(key), "{key:?} was sent {} µs after the cut and is there", sent - cut);
        }
        if known + LAG_US < cut_begun {
            assert!(!lost.contains(key), "{key:?} was acked {} µs before the cut and is lost", cut_begun - known);
        }
    }
    let span = judged.figure("rpo_span_us");
    let (shortest, longest) = ((t0 - cut).saturating_sub(300_000), t0 - cut_begun + 300_000);
    assert!((shortest..=longest).contains(&span), "the span of the loss was {span}, the cut {} µs", t0 - cut);
    assert!(judged.figure("divergent") >= judged.figure("lost"));
    assert!(judged.figure("rpo_wal_bytes") > judged.figure("lost") * 100, "each row has a record of its own");
    assert_eq!(judged.figure("holes"), 0, "what is lost is the end of what each worker wrote");
}

#[test]
fn a_cut_standby_loses_what_was_acknowledged_after_the_cut() {
    let lab = Lab::new(1, SyncMode::Async);
    let done = lab.drill(&["--cut", "1s"]);
    assert_eq!(done.code, Some(1), "{}", done.stderr);
    let judged = done.judged(&lab);
    check_loss(&judged, &lab, &done.run);
    assert_eq!(judged.row["verdict"], "broken");
    assert!(judged.events.all("verdict").iter().any(|row| row["detail"].contains("lost")));
    lab.check_redundant(&judged.row["new_primary"]);
    let plan = &rows(&done.out.join("plan.csv"))[0];
    assert_eq!((&plan["cut_us"][..], &plan["rounds"][..], plan.get("stall_us")), ("1000000", "1", None));
    // The same writes are named.
    let named = rows(&done.out.join("fates.csv"));
    let named: BTreeSet<Key> = named
        .iter()
        .filter(|row| row["fate"] == "lost")
        .map(|row| (row["worker"].parse().unwrap(), row["seq"].parse().unwrap()))
        .collect();
    assert_eq!(named, Fates::judge(&judged.ledger, &judged.present).lost);
}

#[test]
fn a_loss_that_nobody_reads_of_is_no_pass() {
    let lab = Lab::new(1, SyncMode::Async);
    for shut in [false, true] {
        assert_eq!(lab.drill_unread(&["--cut", "1s"], shut), Some(1), "stdout closed: {shut}");
    }
}

#[test]
fn allowed_losses_hold_and_are_counted_all_the_same() {
    let lab = Lab::new(1, SyncMode::Async);
    let done = lab.drill(&["--cut", "1s", "--max-lost", "1000000"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let judged = done.judged(&lab);
    assert_eq!(judged.row["verdict"], "held");
    check_loss(&judged, &lab, &done.run);
}

#[test]
fn asynchronous_commits_may_get_lost_and_the_exit_code_says_whether() {
    let lab = Lab::new(1, SyncMode::Async);
    let done = lab.drill(&[]);
    let judged = done.judged(&lab);
    let (lost, verdict) = (judged.figure("lost"), judged.row["verdict"].as_str());
    assert_eq!(
        (done.code, verdict),
        if lost == 0 { (Some(0), "held") } else { (Some(1), "broken") },
        "{}",
        done.stderr
    );
    let names: String = lab.session(&judged.row["new_primary"]).value("SHOW synchronous_standby_names", &[]).unwrap();
    assert_eq!((names.as_str(), judged.row["rejoin"].as_str()), ("", "rewind"));
    lab.check_redundant(&judged.row["new_primary"]);
}
