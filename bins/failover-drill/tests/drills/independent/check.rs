//! Whether a drill's row is what its files and the servers say.

use super::{Events, Fates, Fields, Ledger, Marks, Present, gaps_us, lower_median, lsn, number};

/// Holds a drill with a takeover against its files and what is there: every figure that can be recomputed must be the
/// one in `drill.csv`, and what docs/figures.md guarantees of the marks must hold.
pub(crate) fn check(drill: &Fields, ledger: &Ledger, events: &Events, present: &Present) {
    assert!(ledger.complete, "a drill that was not disturbed leaves a whole ledger");
    let (marks, fates) = (Marks::of(ledger, events), Fates::judge(ledger, present));
    marks.check_order();
    let outages = marks.worker_outages_us(ledger);
    let split = marks.split(ledger);
    let since_t0 = |mark: Option<u64>| mark.map(|at| at - marks.t0);
    let last_before_t0 = ledger.acks.iter().map(|ack| ack.at_us).filter(|at| *at <= marks.t0).max();
    let expected: [(&str, Option<u64>); 33] = [
        ("acked", Some(ledger.with("acked").len() as u64)),
        ("acked_local", Some(ledger.with("acked_local").len() as u64)),
        ("failed", Some(ledger.with("failed").len() as u64)),
        ("unknown", Some(ledger.with("unknown").len() as u64)),
        ("skipped", Some(ledger.with("skipped").len() as u64)),
        ("lost", Some(fates.lost.len() as u64)),
        ("lost_local", Some(fates.lost_local.len() as u64)),
        ("recovered", Some(fates.recovered.len() as u64)),
        ("phantom", Some(fates.phantom.len() as u64)),
        ("unexpected", Some(fates.unexpected.len() as u64)),
        ("duplicate", Some(fates.duplicate.len() as u64)),
        ("corrupt", Some(fates.corrupt.len() as u64)),
        ("holes", Some(fates.holes(ledger) as u64)),
        ("outage_us", marks.t4.zip(marks.t1).map(|(t4, t1)| t4 - t1)),
        ("outage_worker_min_us", outages.first().copied()),
        ("outage_worker_p50_us", Some(lower_median(outages.clone()))),
        ("outage_worker_max_us", outages.last().copied()),
        ("longest_gap_us", gaps_us(ledger, |_| true).into_iter().max()),
        (
            "longest_gap_before_us",
            gaps_us(ledger, |ack| ack.at_us < marks.t0)
                .into_iter()
                .max()
                .max(last_before_t0.map(|last| marks.t0 - last)),
        ),
        ("outage_before_us", marks.t1.map(|t1| marks.t0.saturating_sub(t1))),
        ("detection_us", since_t0(marks.t2)),
        ("promotion_us", since_t0(marks.t3)),
        ("reroute_us", marks.t4.zip(marks.t3).map(|(t4, t3)| t4 - t3)),
        ("redundancy_us", since_t0(marks.t6)),
        ("split_us", split.map(|(us, _)| us)),
        ("split_acked", split.map(|(_, acked)| acked)),
        ("rpo_span_us", Some(fates.span_us(ledger))),
        ("rpo_wal_bytes", Some(wal_bytes(events))),
        ("well_us", since_t0(marks.t5)),
        ("stranded", marks.stranded(ledger)),
        ("connecting_us", marks.connecting_us(ledger)),
        ("recover90_us", marks.recover90_us(ledger)),
        ("rejoin_us", events.first_us("rejoined").zip(events.first_us("rejoin_begun")).map(|(end, begin)| end - begin)),
    ];
    let differing: Vec<String> = expected
        .iter()
        .filter(|(column, figure)| number(drill, column) != *figure)
        .map(|(column, figure)| format!("{column}: {figure:?}, in drill.csv {:?}", number(drill, column)))
        .collect();
    assert!(differing.is_empty(), "the judges do not agree: {differing:#?}\n{marks:?}");
    if let Some(divergent) = number(drill, "divergent") {
        // Only the old primary has them: every lost write, and no more than those and what nobody can know.
        let lost = (fates.lost.len() + fates.lost_local.len()) as u64;
        assert!((lost..=lost + fates.dropped.len() as u64).contains(&divergent), "divergent {divergent}: {fates:?}");
    }
    check_verdict(drill, &fates);
}

/// A takeover that did its work is broken by what docs/figures.md names ("Verdict"), and by nothing else.
fn check_verdict(drill: &Fields, fates: &Fates) {
    let never = [&fates.phantom, &fates.unexpected, &fates.duplicate, &fates.corrupt];
    if never.iter().any(|keys| !keys.is_empty()) || drill["rejoin"] == "failed" {
        assert_eq!(drill["verdict"], "broken");
    }
    if drill["verdict"] == "held" {
        assert!(never.iter().all(|keys| keys.is_empty()), "held, with {fates:?}");
    }
}

/// WAL of the old timeline beyond the fork, from the LSNs that the events name.
fn wal_bytes(events: &Events) -> u64 {
    let lsn = |mark: &str| -> u64 {
        let Some(event) = events.all(mark).into_iter().next() else { panic!("no {mark}: {:?}", events.all("note")) };
        lsn(event["detail"].rsplit(' ').next().unwrap())
    };
    lsn("old_end_read") - lsn("fork_read")
}
