//! Why the verdict on a drill is not `held`: each thing that keeps it from that, with what it makes of it.

use std::fmt;

use crate::event::Mark;
use crate::evidence::Evidence;
use crate::fate::{Fate, FateRow, Fates};
use crate::flow::Flow;
use crate::ledger::{Key, Ledger};
use crate::show::us;
use crate::takeovers::Takeover;
use crate::verdict::Verdict::{self, Broken, Unknown};
use crate::words::Fault;

/// A client reads an ack within this time, in microseconds, or it was held up itself.
const READ_LATE_US: u64 = 50_000;

/// One reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The takeover that it is about; `None`: the run as a whole.
    pub step: Option<u32>,
    /// What the verdict is for this reason alone.
    pub verdict: Verdict,
    /// In words.
    pub why: String,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let step = self.step.map_or(String::new(), |step| format!("takeover {step}: "));
        write!(f, "{}: {step}{}", self.verdict, self.why)
    }
}

/// The reasons; none: held. `fates` are those of the final read, if there was one.
#[must_use]
pub fn reasons(evidence: &Evidence, takeovers: &[Takeover], fates: Option<&Fates>) -> Vec<Reason> {
    let several = takeovers.len() > 1;
    let mut reasons = Vec::new();
    let mut say = |step: Option<u32>, verdict: Verdict, why: Option<String>| {
        let step = step.filter(|_| several);
        reasons.extend(why.map(|why| Reason { step, verdict, why }));
    };
    for why in lost_or_wrong(evidence, fates) {
        say(None, Broken, Some(why));
    }
    let load_died = evidence.has(Mark::LoadDied);
    for takeover in takeovers {
        say(Some(takeover.step), Broken, never_acked_again(takeover).filter(|_| !load_died));
        let failed = takeover.rejoin == Some(crate::words::Rejoin::Failed) && !takeover.port_taken;
        say(Some(takeover.step), Broken, failed.then(|| "the old primary could not rejoin".to_owned()));
        say(Some(takeover.step), Broken, lost_when_nothing_may_be(evidence, takeover, fates));
        for standby in &takeover.not_streaming {
            let which = if takeover.fault.has_takeover() { "the new primary on its timeline" } else { "the primary" };
            let why = format!("{standby} does not stream from {which}");
            say(Some(takeover.step), Broken, Some(why));
        }
    }
    say(None, Unknown, takeovers.is_empty().then(|| "no step of the drill had begun".to_owned()));
    say(None, Unknown, load_died.then(|| "the load ended before it was told to".to_owned()));
    for takeover in takeovers {
        let (step, proven) = (Some(takeover.step), takeover.fault_proven_us.is_some());
        let missing = match takeover.fault.has_takeover() {
            true => "no standby was told to promote",
            false => "the primary was not let go on",
        };
        say(step, Unknown, (!takeover.answered()).then(|| missing.to_owned()));
        say(step, Unknown, (!proven).then(|| "the fault was not proven to have fired".to_owned()));
    }
    let ledger = &evidence.ledger;
    say(None, Unknown, fates.is_none().then(|| "there was no final read".to_owned()));
    say(None, Unknown, (!ledger.complete).then(|| "the ledger is torn: it does not end with `end`".to_owned()));
    say(None, Unknown, ledger.acks.is_empty().then(|| "no write was acknowledged at all".to_owned()));
    for takeover in takeovers.iter().filter(|takeover| takeover.fault_proven_us.is_some()) {
        say(Some(takeover.step), Unknown, Flow::of(&evidence.plan, ledger, takeover).why_not());
        say(Some(takeover.step), Unknown, read_late(ledger, takeover));
    }
    for event in evidence.events.iter().filter(|event| event.mark == Mark::CouldNot) {
        say(event.step, Unknown, event.detail.clone());
    }
    reasons
}

/// What is not there as the clients were told, and a second primary.
fn lost_or_wrong(evidence: &Evidence, fates: Option<&Fates>) -> Vec<String> {
    let (mut found, max_lost) = (Vec::new(), evidence.plan.max_lost);
    let mut say = |count: u64, allowed: u64, what: &str| {
        if count > allowed {
            found.push(format!("{count} {what}"));
        }
    };
    if let Some(fates) = fates {
        let lost = format!("acknowledged writes are lost (--max-lost {max_lost})");
        say(fates.count(Fate::Lost), max_lost, &lost);
        say(fates.count(Fate::Phantom), 0, "writes that the server refused are there");
        say(fates.count(Fate::Unexpected), 0, "rows are there that were never sent");
        say(fates.count(Fate::Duplicate), 0, "writes are there twice");
        say(fates.count(Fate::Corrupt), 0, "writes are there with another payload");
        say(fates.holes, 0, "lost writes have a later surviving one of the same worker");
    }
    let primaries = evidence.events.iter().filter(|event| event.mark == Mark::PrimariesCounted);
    say(primaries.filter_map(|event| event.count).max().unwrap_or(0), 1, "nodes are out of recovery");
    found
}

/// What `--max-lost` does not allow.
fn lost_when_nothing_may_be(evidence: &Evidence, takeover: &Takeover, fates: Option<&Fates>) -> Option<String> {
    let write = |row: &FateRow| evidence.ledger.writes.get(&Key { worker: row.worker, seq: row.seq });
    let lost = |row: &&FateRow| row.fate == Fate::Lost && takeover.tests(write(row));
    let count = fates?.named.iter().filter(lost).count();
    let who = takeover.fault.loses_nothing().filter(|_| count > 0)?;
    Some(format!("{count} acknowledged writes are lost, and {who} loses none, whatever --max-lost says"))
}

/// Without a fault, a promotion, an ack before it or a load that lived, a missing ack says nothing about the cluster.
fn never_acked_again(takeover: &Takeover) -> Option<String> {
    let known = takeover.fault_proven_us.is_some() && takeover.marks.old_timeline.is_some();
    let should = takeover.answered() && known;
    let where_to = match takeover.fault.has_takeover() {
        true => "on the new timeline by the deadline",
        false => "after the primary went on",
    };
    (should && takeover.marks.t4_us.is_none()).then(|| format!("no write was acknowledged {where_to}"))
}

/// How late the load read the last ack of the old primary: none was made once all of its processes were ended or frozen, until
/// they went on.
fn read_late(ledger: &Ledger, takeover: &Takeover) -> Option<String> {
    let (old, proven_us) = (takeover.marks.old_timeline?, takeover.fault_proven_us?);
    let moments = takeover.moments.start..takeover.thawed_us.unwrap_or(takeover.moments.end);
    let acks = ledger.acks.iter().filter(|ack| ack.timeline <= old && moments.contains(&ack.at_us));
    let late_us = acks.map(|ack| ack.at_us).max()?.saturating_sub(proven_us);
    // Who is only frozen may be let go on by anybody.
    let or = if takeover.fault == Fault::Freeze { ", or somebody let the old primary go on" } else { "" };
    let why = format!("the load itself was held up{or}: it read an acknowledgement of the old primary");
    let (late, left_it) = (us(late_us), takeover.fault.left_it());
    (late_us > READ_LATE_US)
        .then(|| format!("{why} {late} after that one was {left_it}, and the outage is longer than it says"))
}

#[cfg(test)]
mod tests {
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
        (judged.verdict, judged.reasons)
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
        assert!(judged.reasons[0].starts_with("unknown: takeover 2: no standby"), "{:?}", judged.reasons);
    }
}
