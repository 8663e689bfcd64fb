//! Marks and figures of takeovers on paper.

use super::*;
use crate::ledger::{Connect, Failure};

/// Two workers, an ack each per 10 ms, a kill at 1 s, acks of timeline 2 from 1.2 s on.
fn drill() -> (Stretch, Seen) {
    let mut load = Stretch { last_us: 4_000_000, ..Stretch::default() };
    for at_ms in (0..1_000_u64).step_by(10).chain((1_200..4_000).step_by(10)) {
        let timeline = if at_ms < 1_000 { 1 } else { 2 };
        load.acks.push(Ack { at_us: at_ms * 1_000, worker: 0, timeline, latency_us: None });
        load.acks.push(Ack { at_us: at_ms * 1_000 + 3_000, worker: 1, timeline, latency_us: None });
    }
    load.failures.push(Failure { at_us: 1_001_000, worker: 0 });
    let seen = Seen {
        t0_us: Some(1_000_000),
        out_of_recovery_us: Some(1_150_000),
        redundant_us: Some(2_500_000),
        thawed_us: None,
    };
    (load, seen)
}

/// Puts an ack where it belongs: they come in the order of time.
fn insert(load: &mut Stretch, ack: Ack) {
    load.acks.push(ack);
    load.acks.sort_by_key(|ack| ack.at_us);
}

#[test]
fn a_takeover() {
    let (load, seen) = drill();
    let marks = marks(&load, seen);
    assert_eq!((marks.old_timeline, marks.t1_us), (Some(1), Some(993_000)));
    assert_eq!(marks.t2_us, Some(1_001_000));
    assert_eq!(marks.t3_us, Some(1_150_000));
    assert_eq!(marks.t4_us, Some(1_200_000));
    assert_eq!(marks.t5_us, Some(1_243_000));
    assert_eq!(marks.t6_us, Some(2_500_000));
    assert_eq!(marks.outage_us(), Some(207_000));
    assert_eq!(marks.worker_outage_us(), Some((210_000, 210_000, 210_000)));
    assert_eq!(marks.longest_gap_us, Some(207_000));
    // Acks come 3 and 7 ms apart; the last one before the kill is 7 ms old when it comes.
    assert_eq!((marks.longest_gap_before_us, marks.outage_before_us()), (Some(7_000), Some(7_000)));
    assert_eq!(marks.recover90_us, Some(200_000));
    assert_eq!((marks.split_us, marks.split_acked, marks.workers_stranded), (0, 0, 0));
}

#[test]
fn an_ack_just_after_the_kill_belongs_to_the_old_timeline() {
    let (mut load, seen) = drill();
    insert(&mut load, Ack { at_us: 1_001_500, worker: 1, timeline: 1, latency_us: None });
    let marks = marks(&load, seen);
    assert_eq!((marks.t1_us, marks.outage_us()), (Some(1_001_500), Some(198_500)));
}

#[test]
fn acks_of_the_old_timeline_after_t4_are_split_and_never_outage() {
    let (mut load, seen) = drill();
    insert(&mut load, Ack { at_us: 1_300_000, worker: 1, timeline: 1, latency_us: None });
    let marks = marks(&load, seen);
    assert_eq!((marks.split_us, marks.split_acked), (100_000, 1));
    assert_eq!(marks.outage_us(), Some(207_000));
}

#[test]
fn promoted_is_no_later_than_the_first_ack() {
    let (load, mut seen) = drill();
    seen.out_of_recovery_us = Some(1_200_400);
    assert_eq!(marks(&load, seen).t3_us, Some(1_200_000));
}

#[test]
fn where_nobody_takes_over_acks_are_new_from_when_the_primary_goes_on() {
    let (mut load, mut seen) = drill();
    load.acks.iter_mut().for_each(|ack| ack.timeline = 1);
    seen.out_of_recovery_us = None;
    let frozen = marks(&load, seen);
    assert_eq!((frozen.t4_us, frozen.outage_us(), frozen.split_acked), (None, None, 0), "it never went on");
    seen.thawed_us = Some(1_190_000);
    let stalled = marks(&load, seen);
    assert_eq!((stalled.t1_us, stalled.t3_us, stalled.t4_us), (Some(993_000), None, Some(1_200_000)));
    assert_eq!((stalled.outage_us(), stalled.worker_outage_us().map(|of| of.1)), (Some(207_000), Some(210_000)));
    assert_eq!((stalled.t5_us, stalled.workers_stranded, stalled.split_acked), (Some(1_243_000), 0, 0));
    // Read late, before it was thawed: an old one, and the outage begins there.
    insert(&mut load, Ack { at_us: 1_100_000, worker: 1, timeline: 1, latency_us: None });
    assert_eq!(marks(&load, seen).outage_us(), Some(100_000));
}

#[test]
fn a_worker_that_never_comes_back_is_stranded_and_there_is_no_t5() {
    let (mut load, seen) = drill();
    load.acks.retain(|ack| ack.worker == 0 || ack.timeline == 1);
    let marks = marks(&load, seen);
    assert_eq!((marks.workers_stranded, marks.t5_us), (1, None));
}

#[test]
fn a_failure_breaks_the_row_of_five() {
    let (mut load, seen) = drill();
    load.failures.push(Failure { at_us: 1_235_000, worker: 0 });
    assert_eq!(marks(&load, seen).t5_us, Some(1_280_000));
}

#[test]
fn a_silence_that_is_open_at_t0_counts_before_it() {
    let (mut load, seen) = drill();
    load.acks.retain(|ack| ack.at_us < 600_000 || ack.at_us > 1_000_000);
    let marks = marks(&load, seen);
    assert_eq!((marks.t1_us, marks.outage_us()), (Some(593_000), Some(607_000)));
    assert_eq!((marks.outage_before_us(), marks.longest_gap_before_us), (Some(407_000), Some(407_000)));
    assert_eq!(silence_us(&load.acks, 1_000_000), Some(407_000));
    assert_eq!(silence_us(&[], 1_000_000), None, "nothing ever was acknowledged");
}

#[test]
fn a_load_may_stumble_by_ten_writes_or_a_quarter_of_a_second() {
    assert_eq!(silence_allowed_us(Some(500)), 250_000);
    assert_eq!(silence_allowed_us(Some(5)), 2_000_000);
    assert_eq!(silence_allowed_us(None), 250_000);
}

#[test]
fn the_share_of_connecting_lies_between_promotion_and_first_ack() {
    let (mut load, seen) = drill();
    let connect = |at_us, worker, took_us| Connect { at_us, worker, took_us };
    assert_eq!(marks(&load, seen).connecting_us, None, "nobody connected: nothing is known");
    load.connects =
        vec![connect(1_000, 0, Some(900)), connect(1_190_000, 0, Some(30_000)), connect(1_195_000, 1, Some(1))];
    assert_eq!(marks(&load, seen).connecting_us, Some(30_000));
    load.connects[1].took_us = Some(100_000); // begun before the promotion
    load.connects.push(connect(1_300_000, 0, Some(7))); // after its first ack
    assert_eq!(marks(&load, seen).connecting_us, Some(40_000));
}

#[test]
fn no_acks_no_marks() {
    let marks = marks(&Stretch::default(), Seen { t0_us: Some(5), ..Seen::default() });
    assert_eq!((marks.t1_us, marks.t4_us, marks.outage_us()), (None, None, None));
}

#[test]
fn the_old_timeline_is_the_newest_one_before_the_fault() {
    let (mut load, seen) = drill();
    for ack in &mut load.acks {
        ack.timeline = if ack.at_us < 500_000 { 1 } else { ack.timeline + 1 };
    }
    let marks = marks(&load, seen);
    assert_eq!((marks.old_timeline, marks.t1_us, marks.t4_us), (Some(2), Some(993_000), Some(1_200_000)));
}

#[test]
fn a_failure_before_the_fault_is_not_how_clients_noticed_it() {
    let (mut load, seen) = drill();
    load.failures.insert(0, Failure { at_us: 999_999, worker: 1 });
    assert_eq!(marks(&load, seen).t2_us, Some(1_001_000));
    load.failures.push(Failure { at_us: 1_000_000, worker: 1 });
    assert_eq!(marks(&load, seen).t2_us, Some(1_000_000));
}

#[test]
fn split_begins_with_the_first_new_ack_and_ends_with_the_last_old_one_and_is_no_clients_outage() {
    let (mut load, seen) = drill();
    for (at_us, worker) in [(1_200_000, 0), (1_250_000, 1), (1_300_000, 1)] {
        insert(&mut load, Ack { at_us, worker, timeline: 1, latency_us: None });
    }
    let marks = marks(&load, seen);
    assert_eq!((marks.split_us, marks.split_acked, marks.t1_us), (100_000, 3, Some(993_000)));
    assert_eq!(marks.worker_outage_us(), Some((210_000, 210_000, 210_000)));
}

#[test]
fn the_median_client_has_as_many_before_it_as_after_it() {
    let (mut load, seen) = drill();
    for (at_us, worker, timeline) in [(900_000, 2, 1), (1_300_000, 2, 2), (1_150_000, 3, 1), (1_250_000, 3, 2)] {
        insert(&mut load, Ack { at_us, worker, timeline, latency_us: None });
    }
    assert_eq!(marks(&load, seen).worker_outage_us(), Some((100_000, 210_000, 400_000)));
}

#[test]
fn who_had_no_ack_before_the_fault_is_not_stranded() {
    let (mut load, seen) = drill();
    insert(&mut load, Ack { at_us: 1_001_000, worker: 2, timeline: 1, latency_us: None });
    let marks = marks(&load, seen);
    assert_eq!((marks.workers_stranded, marks.t5_us), (0, None));
}

/// 200 acks a second before the fault, 100 for 0.8 s after it, then 200 again: at 1.8 s begins the first second with 180.
#[test]
fn throughput_is_back_where_a_whole_second_holds_nine_tenths_of_it() {
    let (mut load, seen) = drill();
    load.acks.retain(|ack| ack.worker == 0 || !(1_200_000..2_000_000).contains(&ack.at_us));
    for (last_us, back) in [(4_000_000, Some(800_000)), (2_800_000, Some(800_000)), (2_799_999, None)] {
        load.last_us = last_us;
        assert_eq!(marks(&load, seen).recover90_us, back, "a ledger that ends at {last_us}");
    }
}

#[test]
fn an_ack_at_the_very_moment_counts() {
    let (load, mut seen) = drill();
    assert_eq!(silence_us(&[Ack { at_us: 5, worker: 0, timeline: 1, latency_us: None }], 5), Some(0));
    seen.thawed_us = Some(1_200_000);
    let one_timeline = load.acks.iter().map(|ack| Ack { timeline: 1, ..*ack }).collect();
    assert_eq!(marks(&Stretch { acks: one_timeline, ..load }, seen).t4_us, Some(1_200_000));
}
