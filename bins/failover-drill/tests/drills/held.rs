//! Takeovers that must lose nothing.

use lab::conf::SyncMode;

use crate::independent::{Marks, gaps_us, lower_median, lsn};
use crate::support::{Judged, Lab};

/// Nothing that was acknowledged is gone, and the lab is what it was but for the roles.
pub(crate) fn check_held(judged: &Judged, lab: &Lab) {
    assert_eq!((judged.row["verdict"].as_str(), judged.figure("lost")), ("held", 0));
    assert!(judged.events.all("verdict").is_empty(), "held needs no reason");
    assert_eq!(judged.figure("acked_local"), 0, "nobody released the waiting writes");
    assert_eq!(judged.row["outage_kind"], "exact");
    // T0 was before the first act: no client had noticed anything by then.
    let t0 = judged.events.first_us("t0").unwrap();
    assert_eq!(judged.ledger.failures_us().filter(|at| *at < t0).count(), 0, "{:?}", judged.events);
    let new = &judged.row["new_primary"];
    assert_ne!(new, &judged.row["old_primary"]);
    lab.check_redundant(new);
    let session = lab.session(new);
    let follows: String = session.value("SHOW primary_conninfo", &[]).unwrap();
    assert_eq!(follows, "", "{new} is a primary, and its settings say so");
    let names: String = session.value("SHOW synchronous_standby_names", &[]).unwrap();
    assert!(names.contains(&judged.row["old_primary"]), "the old primary counts again: {names:?}");
}

#[test]
fn with_remote_apply_nothing_is_lost_and_the_outage_is_known_to_milliseconds() {
    let lab = Lab::new(1, SyncMode::RemoteApply);
    let done = lab.drill(&[]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let judged = done.judged(&lab);
    check_held(&judged, &lab);
    assert_eq!((judged.row["sync"].as_str(), judged.row["standbys"].as_str()), ("remote_apply", "1"));
    let marks = Marks::of(&judged.ledger, &judged.events);
    let median = lower_median(gaps_us(&judged.ledger, |ack| ack.at_us < marks.t0));
    assert!(median < 5_000, "500 writes a second show an outage to within 2 ms; the median gap was {median} µs");
}

#[test]
fn with_sync_on_nothing_is_lost_and_the_old_primary_is_rewound() {
    let lab = Lab::new(1, SyncMode::On);
    let done = lab.drill(&["--after", "2s"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let judged = done.judged(&lab);
    check_held(&judged, &lab);
    assert_eq!(judged.row["rejoin"], "rewind");
    assert!(judged.figure("outage_us") < 30_000_000, "a takeover takes a second, not half a minute");
    let back = judged.figure("promotion_us") + judged.figure("reroute_us");
    assert!(judged.figure("recover90_us") >= back, "throughput was back before the first ack was");
    // The fork that the loss in bytes is counted from is the one that the new primary's own history names.
    let history: String =
        lab.session(&judged.row["new_primary"]).value("SELECT pg_read_file('pg_wal/00000002.history')", &[]).unwrap();
    let fork = history.split_whitespace().nth(1).unwrap();
    assert!(judged.events.all("fork_read")[0]["detail"].ends_with(fork), "{history}");
}

/// One standby stops receiving in mid-load without the drill's knowledge: it is the first in the list, and must not be
/// chosen.
#[test]
fn of_three_standbys_the_one_with_the_most_wal_takes_over() {
    let lab = Lab::new(3, SyncMode::On);
    let old = lab.primary();
    let behind = lab.names().into_iter().find(|name| *name != old).unwrap();
    // The drill holds the lab's lock; the files of a node can be changed all the same.
    let local = crate::rejoin::local(&lab);
    let mut drill = lab.start(&["--decide", "1s"]);
    drill.wait_for("steady");
    lab::link::Link::cut(&local, &behind).unwrap();
    drill.wait_for("fault_proven");
    let standbys: Vec<String> = lab.names().into_iter().filter(|name| *name != old).collect();
    let received = |name: &String| -> u64 {
        let sql = "SELECT greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())::text";
        lsn(&lab.session(name).value::<String>(sql, &[]).unwrap())
    };
    let had: Vec<(u64, String)> = standbys.iter().map(|name| (received(name), name.clone())).collect();
    let chosen_yet = drill.events().iter().any(|row| row["mark"] == "chosen");
    let done = drill.end();
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let judged = done.judged(&lab);
    check_held(&judged, &lab);
    let chosen = judged.events.all("chosen")[0].clone();
    let has = lsn(chosen["detail"].rsplit(' ').next().unwrap());
    let of_behind = had.iter().find(|(_, name)| *name == behind).unwrap().0;
    assert!(chosen["node"] != behind && of_behind < has, "{behind} had {of_behind}: {chosen:?}");
    assert!(!chosen_yet, "the standbys were asked before the choice: a slower machine needs a longer --decide");
    assert_eq!(has, had.iter().map(|(lsn, _)| *lsn).max().unwrap(), "{had:?}, and {chosen:?}");
    assert_eq!((judged.row["rejoin"].as_str(), judged.row["standbys"].as_str()), ("rewind", "3"));
    for mark in ["slot_created", "repointed"] {
        assert_eq!(judged.events.all(mark).len(), 2, "{mark}: for each standby that was not promoted");
    }
    let of = |mark: &str, node: &str| {
        let events = judged.events.all(mark);
        events.iter().position(|row| row["node"] == *node).map(|index| events[index]["at_us"].parse::<u64>().unwrap())
    };
    for node in standbys.iter().filter(|name| **name != chosen["node"]) {
        assert!(of("slot_created", node) <= of("repointed", node), "the slot of {node} was made before it was used");
    }
}

/// The cut makes every commit hang until the takeover: a long outage is no loss, and `held` is about loss.
#[test]
fn with_sync_on_and_the_standby_cut_off_commits_hang_and_nothing_is_lost() {
    let lab = Lab::new(1, SyncMode::On);
    let done = lab.drill(&["--cut", "1s"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let judged = done.judged(&lab);
    check_held(&judged, &lab);
    let marks = Marks::of(&judged.ledger, &judged.events);
    let cut = judged.events.first_us("cut").unwrap();
    let late = |at: u64| at > cut + 200_000 && at < marks.t0; // what was confirmed before the cut may be on its way
    assert_eq!(judged.ledger.acks.iter().filter(|ack| late(ack.at_us)).count(), 0, "acks without a standby");
    let sent_after_cut = judged.ledger.writes.values().filter(|write| {
        write.outcome == "acked" && write.timeline == Some(1) && write.sent_us.is_some_and(|sent| sent > cut)
    });
    assert_eq!(sent_after_cut.count(), 0, "acks of writes that no standby can have");
    assert!(judged.figure("outage_us") >= marks.t0 - cut - 200_000, "the time of the cut is outage");
    assert!(judged.figure("unknown") > 0, "writes that hung at the fault have no outcome");
    assert!(judged.figure("divergent") > 0, "what hung is on the old primary's disk only");
    assert!(judged.figure("rpo_wal_bytes") > 0, "and in its WAL");
    assert_eq!(judged.figure("rpo_span_us"), 0);
}
