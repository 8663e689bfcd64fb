//! Several takeovers in one run.

use super::*;
use crate::event::tests::events;
use crate::ledger::tests::ledger;

/// Three takeovers back and forth, each with an outage of its own; one client, an ack every 10 ms.
pub(crate) fn three() -> (Ledger, Vec<EventRow>) {
    let mut rows = Vec::new();
    let (mut seq, mut at_us) = (0, 0);
    for (timeline, outage_us) in [(1_u32, 0_u64), (2, 100_000), (3, 200_000), (4, 300_000)] {
        at_us += outage_us;
        for _ in 0..50 {
            seq += 1;
            rows.push(format!("{at_us},0,{seq},sent,,,,n,{timeline}"));
            rows.push(format!("{},0,{seq},acked,,,,n,{timeline}", at_us + 1_000));
            at_us += 10_000;
        }
    }
    rows.push(format!("{at_us},,{seq},end,,,,,"));
    let mut marks = Vec::new();
    for (step, t0_us, old, new) in [(1, 495_000, "a", "b"), (2, 1_095_000, "b", "a"), (3, 1_795_000, "a", "b")] {
        for (at, mark, node, more) in [
            (t0_us - 50_000, "step_begun", old, "kill,,,,,"),
            (t0_us, "t0", old, ",,,,,"),
            (t0_us + 1_000, "fault_proven", old, ",,,,,"),
            (t0_us + 2_000, "chosen", new, ",0/100,,,,"),
            (t0_us + 3_000, "promote_accepted", new, ",,,,,"),
            (t0_us + 50_000, "t3", new, ",,,,,"),
            (t0_us + 350_000, "t6", old, ",,,,,"),
        ] {
            marks.push(format!("{at},{mark},{node},,{step},{more}"));
        }
    }
    (ledger(&rows), events(&marks))
}

#[test]
fn three_takeovers_back_and_forth_each_have_their_own_figures() {
    let (ledger, events) = three();
    let takeovers = takeovers(&ledger, &events).unwrap();
    let outages: Vec<_> = takeovers.iter().map(|t| t.marks.outage_us().unwrap()).collect();
    assert_eq!(outages, [110_000, 210_000, 310_000]);
    let nodes: Vec<_> = takeovers.iter().map(|t| (&*t.old_primary, t.new_primary.as_deref().unwrap())).collect();
    assert_eq!(nodes, [("a", "b"), ("b", "a"), ("a", "b")]);
    for takeover in &takeovers {
        assert_eq!(takeover.marks.old_timeline, Some(takeover.step));
        assert_eq!(takeover.marks.longest_gap_before_us, Some(10_000), "the outage before is none of this step's");
        assert_eq!(takeover.marks.t6_us, Some(takeover.marks.t0_us.unwrap() + 350_000));
        assert!(takeover.promote_accepted && takeover.fault_proven_us.is_some());
    }
}

#[test]
fn each_write_is_counted_in_one_step_and_put_to_the_test_by_one_takeover() {
    let (ledger, events) = three();
    let takeovers = takeovers(&ledger, &events).unwrap();
    let acked = |t: &Takeover| ledger.count_within(crate::ledger::Outcome::Acked, &t.moments);
    assert_eq!(takeovers.iter().map(acked).sum::<u64>(), 200);
    for write in ledger.writes.values() {
        let of: Vec<u32> = takeovers.iter().filter(|t| t.tests(Some(write))).map(|t| t.step).collect();
        assert_eq!(of, [write.timeline.unwrap().min(3)]);
    }
    let unsent: Vec<u32> = takeovers.iter().filter(|t| t.tests(None)).map(|t| t.step).collect();
    assert_eq!(unsent, [3]);
}

/// Nobody took over, so all writes are of one timeline: each counts where it became known, as its outcome does.
#[test]
fn after_stalls_each_write_counts_in_the_step_in_which_it_became_known() {
    let (mut ledger, mut events) = three();
    ledger.writes.values_mut().for_each(|write| write.timeline = Some(1));
    events.iter_mut().for_each(|event| event.fault = event.fault.and(Some(Fault::Stall)));
    let takeovers = takeovers(&ledger, &events).unwrap();
    for write in ledger.writes.values() {
        let of: Vec<u32> = takeovers.iter().filter(|t| t.tests(Some(write))).map(|t| t.step).collect();
        let within = takeovers.iter().find(|t| t.moments.contains(&write.at_us)).unwrap();
        assert_eq!(of, [within.step]);
    }
    assert!(takeovers[2].tests(None) && !takeovers[0].tests(None));
}

/// What a takeover ended, it puts to the test, whoever stalled before.
#[test]
fn a_stall_before_a_takeover_puts_nothing_to_the_test() {
    let (ledger, mut events) = three();
    events[0].fault = Some(Fault::Stall);
    let of_first = ledger.writes.values().next().unwrap();
    let takeovers = takeovers(&ledger, &events).unwrap();
    let of: Vec<u32> = takeovers.iter().filter(|t| t.tests(Some(of_first))).map(|t| t.step).collect();
    assert_eq!(of, [2]);
}

#[test]
fn a_step_without_a_fault_is_a_takeover_without_marks() {
    let (ledger, mut events) = three();
    events.truncate(1);
    let takeovers = takeovers(&ledger, &events).unwrap();
    assert_eq!((takeovers.len(), takeovers[0].marks.t0_us, takeovers[0].marks.outage_us()), (1, None, None));
    assert!(super::takeovers(&ledger, &[]).unwrap().is_empty());
}

#[test]
fn steps_are_numbered_and_name_what_comes_upon_whom() {
    let (ledger, events) = three();
    let broken = |change: fn(&mut EventRow)| {
        let mut events = events.clone();
        change(&mut events[0]);
        takeovers(&ledger, &events).unwrap_err().to_string()
    };
    assert!(broken(|event| event.step = Some(2)).contains("number 1"));
    assert!(broken(|event| event.fault = None).contains("no fault"));
    assert!(broken(|event| event.node = None).contains("no node"));
}

/// Events of step 1 of [`three`] beside those that it has.
fn with(more: &[&str]) -> Takeover {
    let (ledger, mut all) = three();
    all.extend(events(&more.iter().map(|row| (*row).to_owned()).collect::<Vec<_>>()));
    takeovers(&ledger, &all).unwrap().remove(0)
}

#[test]
fn of_several_cuts_the_first_begins_the_silence_and_the_last_ends_the_stream() {
    let cut = with(&[
        "460000,cut_begun,b,,1,,,,,,",
        "461000,cut,b,,1,,,,,,",
        "462000,cut_begun,c,,1,,,,,,",
        "463000,cut,c,,1,,,,,,",
    ]);
    assert_eq!((cut.cut_begun_us, cut.cut_us), (Some(460_000), Some(463_000)));
}

#[test]
fn a_floor_is_known_once_it_is_done_and_begins_with_the_kill() {
    let floor = ["900000,floor_begun,,,1,,,,,,", "910000,floor_killed,b,,1,,,,,,", "950000,floor_acked,a,,1,,,,,,"];
    assert_eq!(with(&floor).floor_us, None, "the nodes are not what they were");
    let done = [&floor[..], &["960000,floor_done,,,1,,,,,,"]].concat();
    assert_eq!(with(&done).floor_us, Some(40_000));
}

#[test]
fn how_the_old_primary_came_back_is_what_the_event_of_it_says() {
    let begun = "700000,rejoin_begun,a,,1,,,,,,";
    let cloned = with(&[begun, "900000,rejoined,a,,1,,,,clone,,"]);
    assert_eq!((cloned.rejoin, cloned.rejoin_us), (Some(Rejoin::Clone), Some(200_000)));
    let failed = with(&[begun, "900000,rejoin_failed,a,,1,,,,failed,,"]);
    assert_eq!((failed.rejoin, failed.rejoin_us), (Some(Rejoin::Failed), None));
}

/// The first of the stalls has what was written since the takeover before them.
#[test]
fn stalls_after_a_takeover_share_what_it_left() {
    let (mut ledger, mut events) = three();
    ledger.writes.values_mut().for_each(|write| write.timeline = write.timeline.map(|timeline| timeline.min(2)));
    let begun = events.iter_mut().filter(|event| event.fault.is_some());
    begun.skip(1).for_each(|event| event.fault = Some(Fault::Stall));
    let takeovers = takeovers(&ledger, &events).unwrap();
    for write in ledger.writes.values() {
        let of: Vec<u32> = takeovers.iter().filter(|t| t.tests(Some(write))).map(|t| t.step).collect();
        let third = write.at_us >= takeovers[2].moments.start;
        assert_eq!(of, [if write.timeline == Some(1) { 1 } else { 2 + u32::from(third) }], "{write:?}");
    }
}
