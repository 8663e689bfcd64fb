//! What each thing that is not as it should be makes of the verdict.

use super::*;
use crate::event::EventRow;
use crate::evidence::tests::Files;
use crate::judge::judge;
use crate::ledger::Outcome;
use crate::reads::ReadRow;
use crate::words::{Rejoin, SyncMode};

fn after(change: impl FnOnce(&mut Evidence)) -> (Verdict, Vec<String>) {
    let mut evidence = Files::of_a_drill_that_held().read().unwrap();
    change(&mut evidence);
    let judged = judge(&evidence).unwrap();
    assert!(judged.rows.iter().all(|row| row.verdict == judged.verdict), "with one takeover they are the same");
    (judged.verdict, judged.reasons.iter().map(ToString::to_string).collect())
}

fn is(expected: Verdict, word: &str, change: impl FnOnce(&mut Evidence)) {
    let (verdict, reasons) = after(change);
    assert_eq!(verdict, expected, "{reasons:?}");
    assert!(reasons.iter().any(|reason| reason.contains(word)), "{word}: {reasons:?}");
}

fn without(mark: Mark) -> impl FnOnce(&mut Evidence) {
    move |e| e.events.retain(|event| event.mark != mark)
}

fn of(e: &mut Evidence, mark: Mark) -> &mut EventRow {
    e.events.iter_mut().find(|event| event.mark == mark).unwrap()
}

fn add(e: &mut Evidence, mark: Mark) -> &mut EventRow {
    let (node, detail) = (Some("node3".to_owned()), Some("the sync wait".to_owned()));
    e.events.push(EventRow { mark, node, detail, count: None, file: None, md5: None, ..e.events[0].clone() });
    e.events.last_mut().unwrap()
}

/// What the clients know of the write `seq`.
fn was(e: &mut Evidence, seq: u64, outcome: Outcome) {
    e.ledger.writes.get_mut(&Key { worker: 0, seq }).unwrap().outcome = outcome;
}

/// Only acks from before this moment and from after the takeover.
fn silent_from(e: &mut Evidence, from_us: u64) {
    e.ledger.acks.retain(|ack| ack.at_us < from_us || ack.timeline > 1);
}

fn final_read(e: &mut Evidence, change: impl FnOnce(&mut ReadRow)) {
    change(&mut e.reads[1]);
    let ReadRow { first_seq, last_seq, .. } = e.reads[1];
    of(e, Mark::FinalReadDone).count = Some(last_seq + 1 - first_seq);
}

fn last_of_the_final_read(e: &mut Evidence, last_seq: u64) {
    final_read(e, |row| row.last_seq = last_seq);
}

#[test]
fn all_well_is_held_without_a_reason() {
    assert_eq!(after(|_| {}), (Verdict::Held, vec![]));
}

#[test]
fn each_defect_is_broken() {
    is(Broken, "1 acknowledged writes are lost (--max-lost 0)", |e| last_of_the_final_read(e, 98));
    is(Broken, "refused are there", |e| was(e, 7, Outcome::Failed));
    is(Broken, "never sent", |e| last_of_the_final_read(e, 100));
    is(Broken, "there twice", |e| e.reads[1].times = 2);
    is(Broken, "another payload", |e| e.reads[1].intact = false);
    is(Broken, "later surviving", |e| final_read(e, |row| row.first_seq = 2));
    is(Broken, "2 nodes are out of recovery", |e| of(e, Mark::PrimariesCounted).count = Some(2));
    is(Broken, "2 nodes are out of recovery", |e| add(e, Mark::PrimariesCounted).count = Some(2)); // counted again
    is(Broken, "on the new timeline", |e| e.ledger.acks.retain(|ack| ack.timeline == 1));
    is(Broken, "could not rejoin", |e| of(e, Mark::Rejoined).rejoin = Some(Rejoin::Failed));
    is(Broken, "node3 does not stream", |e| add(e, Mark::Defect).rejoin = None);
}

#[test]
fn what_was_not_seen_is_unknown() {
    is(Unknown, "not proven", without(Mark::FaultProven));
    is(Unknown, "no final read", without(Mark::FinalReadDone));
    is(Unknown, "torn", |e| e.ledger.complete = false);
    is(Unknown, "acknowledged at all", |e| {
        e.ledger.acks.clear();
        without(Mark::PromoteAccepted)(e);
    });
    is(Unknown, "ended before", |e| {
        e.ledger.acks.retain(|ack| ack.timeline == 1);
        add(e, Mark::LoadDied);
    });
    is(Unknown, "told to promote", |e| {
        e.ledger.acks.retain(|ack| ack.timeline == 1);
        without(Mark::PromoteAccepted)(e);
    });
    is(Unknown, "the sync wait", |e| add(e, Mark::CouldNot).rejoin = None);
    is(Unknown, "the sync wait", |e| {
        of(e, Mark::Rejoined).rejoin = Some(Rejoin::Failed);
        add(e, Mark::PortTaken);
        add(e, Mark::CouldNot);
    });
    is(Unknown, "no step", |e| e.events.retain(|event| event.mark != Mark::StepBegun));
}

#[test]
fn a_load_that_did_not_flow_when_it_mattered_saw_nothing() {
    is(Unknown, "in the last 259.00 ms before the fault", |e| silent_from(e, 250_000));
    assert_eq!(after(|e| silent_from(e, 260_000)).0, Verdict::Held);
    is(Broken, "lost", |e| {
        silent_from(e, 250_000);
        last_of_the_final_read(e, 98); // what was seen counts
    });
    // After a cut: in a sync mode silence is promised; in async a write has to have fallen into it.
    let cut = |sync, begun_us: u64, cut_us: u64| {
        move |e: &mut Evidence| {
            e.plan.sync = sync;
            add(e, Mark::CutBegun).at_us = begun_us;
            add(e, Mark::Cut).at_us = cut_us;
        }
    };
    let silent_after = |sync| {
        after(|e| {
            cut(sync, 210_000, 215_000)(e);
            silent_from(e, 220_000);
        })
    };
    assert_eq!(silent_after(SyncMode::On).0, Verdict::Held);
    assert_eq!(silent_after(SyncMode::Async).0, Unknown);
    assert_eq!(after(cut(SyncMode::On, 490_500, 495_000)).0, Verdict::Held);
    is(Unknown, "between the cut and the fault", cut(SyncMode::Async, 490_500, 495_000));
    assert_eq!(after(cut(SyncMode::Async, 450_000, 460_000)).0, Verdict::Held);
}

/// Which acks are new is not known then, and whoever acknowledges now did perhaps so all the time.
#[test]
fn without_an_ack_before_the_fault_nothing_is_said_of_those_after_it() {
    let (verdict, reasons) = after(|e| e.ledger.acks.retain(|ack| ack.at_us > 500_000));
    assert_eq!((verdict, reasons.len()), (Unknown, 1), "{reasons:?}");
    assert!(reasons[0].contains("nothing was acknowledged before the fault"), "{reasons:?}");
    let mut evidence = Files::of_a_drill_that_held().read().unwrap();
    evidence.ledger.acks.retain(|ack| ack.at_us > 500_000);
    let row = judge(&evidence).unwrap().rows.remove(0);
    assert_eq!((row.outage_us, row.outage_kind, row.outage_before_us), (None, None, None));
}

#[test]
fn a_load_that_was_held_up_itself_knows_no_outage() {
    let read_at = |at_us: u64| {
        move |e: &mut Evidence| {
            let last = e.ledger.acks.iter_mut().rfind(|ack| ack.timeline == 1).unwrap();
            last.at_us = at_us;
        }
    };
    assert_eq!(after(read_at(555_000)).0, Verdict::Held);
    let went_on = |fault| {
        let (_, reasons) = after(|e| {
            read_at(555_001)(e);
            of(e, Mark::StepBegun).fault = Some(fault);
        });
        reasons[0].contains("or somebody let the old primary go on")
    };
    assert_eq!((went_on(Fault::Freeze), went_on(Fault::Kill)), (true, false));
    is(Unknown, "held up", read_at(555_001));
}

#[test]
fn allowed_losses_hold_and_broken_outweighs_unknown() {
    let lose = |e: &mut Evidence| last_of_the_final_read(e, 96);
    assert_eq!(
        after(|e| {
            lose(e);
            e.plan.max_lost = 3;
        })
        .0,
        Verdict::Held
    );
    is(Broken, "no step", |e| {
        lose(e);
        e.events.retain(|event| event.mark != Mark::StepBegun);
    });
}

#[test]
fn a_planned_shutdown_loses_nothing_whatever_is_allowed() {
    let lose = |fault| {
        after(move |e: &mut Evidence| {
            last_of_the_final_read(e, 96);
            e.plan.max_lost = 3;
            of(e, Mark::StepBegun).fault = Some(fault);
        })
    };
    for fault in [Fault::Kill, Fault::Freeze] {
        assert_eq!(lose(fault).0, Verdict::Held, "{fault}");
    }
    let (verdict, reasons) = lose(Fault::Stop);
    assert_eq!((verdict, reasons.len()), (Broken, 1), "{reasons:?}");
    assert!(reasons[0].contains("3 acknowledged writes are lost, and a planned shutdown"), "{reasons:?}");
    assert_eq!(after(|e| of(e, Mark::StepBegun).fault = Some(Fault::Stop)).0, Verdict::Held);
}

/// As the drill on paper, but the primary was frozen for a while: nobody was promoted, and all acks are of one timeline.
fn stalled(e: &mut Evidence) {
    of(e, Mark::StepBegun).fault = Some(Fault::Stall);
    e.events.retain(|event| !matches!(event.mark, Mark::PromoteAccepted | Mark::T3 | Mark::Chosen | Mark::T6));
    let until_us = e.ledger.acks.iter().find(|ack| ack.timeline > 1).unwrap().at_us;
    e.ledger.acks.iter_mut().for_each(|ack| ack.timeline = 1);
    e.ledger.writes.values_mut().for_each(|write| write.timeline = Some(1));
    add(e, Mark::Thawed).at_us = until_us - 1_000;
}

#[test]
fn where_nobody_is_to_take_over_the_primary_has_to_go_on() {
    assert_eq!(after(stalled), (Verdict::Held, vec![]));
    is(Broken, "node3 does not stream from the primary", |e| {
        stalled(e);
        add(e, Mark::Defect).rejoin = None;
    });
    is(Unknown, "was not let go on", |e| {
        stalled(e);
        without(Mark::Thawed)(e);
    });
    is(Broken, "after the primary went on", |e| {
        stalled(e);
        let thawed_us = of(e, Mark::Thawed).at_us;
        e.ledger.acks.retain(|ack| ack.at_us < thawed_us);
    });
    is(Broken, "a primary that goes on loses none", |e| {
        stalled(e);
        e.plan.max_lost = 3;
        last_of_the_final_read(e, 98);
    });
    is(Unknown, "held up", |e| {
        stalled(e);
        let last = e.ledger.acks.iter().rposition(|ack| ack.at_us < 500_000).unwrap();
        e.ledger.acks[last].at_us = of(e, Mark::FaultProven).at_us + 50_001;
        of(e, Mark::Thawed).at_us = e.ledger.acks[last].at_us + 1;
    });
}

/// Acks come until the server is down, which may take long after T0: they are in time until then.
#[test]
fn who_was_held_up_is_told_from_the_moment_of_the_proof() {
    let down_at = |fault, proven_us: u64, ack_us: u64| {
        after(move |e: &mut Evidence| {
            of(e, Mark::StepBegun).fault = Some(fault);
            of(e, Mark::FaultProven).at_us = proven_us;
            e.ledger.acks.iter_mut().rfind(|ack| ack.timeline == 1).unwrap().at_us = ack_us;
        })
    };
    assert_eq!(down_at(Fault::Stop, 600_000, 605_000).0, Verdict::Held);
    for (fault, left_it) in [(Fault::Stop, "shut down"), (Fault::Freeze, "frozen"), (Fault::Kill, "gone")] {
        let (verdict, reasons) = down_at(fault, 505_000, 555_001);
        assert!(verdict == Unknown && reasons[0].contains(left_it), "{reasons:?}");
    }
}

#[test]
fn of_several_takeovers_each_has_its_own_verdict_and_is_named() {
    let mut evidence = Files::of_a_drill_that_held().read().unwrap();
    let mut second: Vec<EventRow> = evidence.events.iter().filter(|e| e.mark == Mark::StepBegun).cloned().collect();
    second[0].step = Some(2);
    second[0].at_us = 1_000_000;
    evidence.events.extend(second);
    let judged = judge(&evidence).unwrap();
    let verdicts: Vec<_> = judged.rows.iter().map(|row| row.verdict).collect();
    assert_eq!((verdicts, judged.verdict), (vec![Verdict::Held, Unknown], Unknown));
    assert!(judged.reasons[0].to_string().starts_with("unknown: takeover 2: no standby"), "{:?}", judged.reasons);
}

#[test]
fn an_old_primary_that_failed_to_rejoin_is_told_by_the_event_of_it() {
    is(Broken, "could not rejoin", |e| {
        let event = of(e, Mark::Rejoined);
        (event.mark, event.rejoin) = (Mark::RejoinFailed, Some(Rejoin::Failed));
    });
}

#[test]
fn without_a_proven_fault_nothing_is_said_of_load_and_cluster() {
    let (verdict, reasons) = after(|e| {
        silent_from(e, 250_000);
        e.ledger.acks.retain(|ack| ack.timeline == 1);
        without(Mark::FaultProven)(e);
    });
    assert_eq!((verdict, reasons.len()), (Unknown, 1), "{reasons:?}");
    assert!(reasons[0].contains("not proven"), "{reasons:?}");
}

#[test]
fn after_a_stall_a_promotion_is_not_what_was_to_follow() {
    is(Unknown, "was not let go on", |e| {
        stalled(e);
        without(Mark::Thawed)(e);
        add(e, Mark::PromoteAccepted);
    });
}

#[test]
fn a_load_may_be_silent_for_as_long_as_is_allowed_and_no_longer() {
    let silent_for = |us: u64| {
        after(move |e| {
            silent_from(e, 250_000);
            of(e, Mark::T0).at_us = 241_000 + us;
        })
    };
    assert_eq!(silent_for(250_000).0, Verdict::Held);
    assert_eq!(silent_for(250_001).0, Unknown);
}

/// Acks of the takeover before are none of its own: which of them are old is not known.
#[test]
fn a_load_that_flowed_only_before_the_step_began_did_not_flow() {
    let mut evidence = Files::of_a_drill_that_held().read().unwrap();
    (evidence.ledger, evidence.events) = crate::takeovers::tests::three();
    evidence.ledger.acks.retain(|ack| !(1_045_000..1_095_000).contains(&ack.at_us));
    let reasons = judge(&evidence).unwrap().reasons;
    let why = "takeover 2: the load was not flowing: nothing was acknowledged before the fault";
    assert!(reasons.iter().any(|reason| reason.to_string().contains(why)), "{reasons:?}");
}
