//! From a drill's evidence to its figures and its verdict. Whoever has the files gets the same, on any machine.

use anyhow::Result;

use crate::drill::DrillRow;
use crate::evidence::Evidence;
use crate::fate::{self, Fate, FateRow, Fates, rpo_span_us};
use crate::ledger::{Key, Outcome};
use crate::reads::Present;
use crate::reasons::{Reason, reasons};
use crate::takeovers::{Takeover, takeovers};
use crate::verdict::Verdict;

/// A drill, judged.
#[derive(Clone, Debug)]
pub struct Judged {
    /// A row of `drill.csv` for each takeover.
    pub rows: Vec<DrillRow>,
    /// Every write whose fate is worth a look.
    pub fates: Vec<FateRow>,
    /// The verdict on all of it.
    pub verdict: Verdict,
    /// Why it is not `held`.
    pub reasons: Vec<Reason>,
}

impl Judged {
    /// Something that is needed beside the evidence could not be done.
    pub fn could_not(&mut self, why: &str) {
        let all = self.rows.iter_mut().map(|row| &mut row.verdict).chain([&mut self.verdict]);
        all.for_each(|verdict| *verdict = verdict.join(Verdict::Unknown));
        self.reasons.push(Reason { step: None, verdict: Verdict::Unknown, why: why.to_owned() });
    }
}

/// Judges a drill.
///
/// # Errors
/// If the evidence cannot be that of a drill.
pub fn judge(evidence: &Evidence) -> Result<Judged> {
    let takeovers = takeovers(&evidence.ledger, &evidence.events)?;
    let present = evidence.final_read()?;
    let fates = present.as_ref().map(|present| fate::judge(&evidence.ledger, present));
    let reasons = reasons(evidence, &takeovers, fates.as_ref());
    let on = |step: Option<u32>| {
        let of = |reason: &&Reason| step.is_none() || reason.step.is_none() || reason.step == step;
        reasons.iter().filter(of).map(|reason| reason.verdict).fold(Verdict::Held, Verdict::join)
    };
    let loss = present.as_ref().zip(fates.as_ref());
    let rows = takeovers.iter().map(|takeover| row(evidence, takeover, loss, on(Some(takeover.step))));
    Ok(Judged {
        rows: rows.collect::<Result<_>>()?,
        verdict: on(None),
        reasons,
        fates: fates.map(|fates| fates.named).unwrap_or_default(),
    })
}

fn row(
    evidence: &Evidence,
    takeover: &Takeover,
    loss: Option<(&Present, &Fates)>,
    verdict: Verdict,
) -> Result<DrillRow> {
    let (plan, ledger, marks) = (&evidence.plan, &evidence.ledger, &takeover.marks);
    let count = |outcome| ledger.count_within(outcome, &takeover.moments);
    let lost = Loss { evidence, takeover, loss };
    let since_t0 = |mark: Option<u64>| mark.zip(marks.t0_us).map(|(mark, t0)| mark.saturating_sub(t0));
    let workers = marks.worker_outage_us();
    let (outage_us, outage_kind) = takeover.outage().unzip();
    Ok(DrillRow {
        run: plan.run.clone(),
        backend: plan.backend,
        pg_version: plan.pg_version.clone(),
        fault: takeover.fault,
        sync: plan.sync,
        standbys: plan.standbys,
        clients: plan.clients,
        rate_per_s: plan.rate_per_s,
        acked: count(Outcome::Acked),
        acked_local: count(Outcome::AckedLocal),
        failed: count(Outcome::Failed),
        unknown: count(Outcome::Unknown),
        skipped: count(Outcome::Skipped),
        lost: lost.count(Fate::Lost),
        lost_local: lost.count(Fate::LostLocal),
        recovered: lost.count(Fate::Recovered),
        phantom: lost.count(Fate::Phantom),
        unexpected: lost.count(Fate::Unexpected).filter(|_| ledger.complete),
        duplicate: lost.count(Fate::Duplicate),
        corrupt: lost.count(Fate::Corrupt),
        divergent: lost.divergent()?,
        outage_us,
        outage_worker_min_us: workers.map(|(min, _, _)| min),
        outage_worker_p50_us: workers.map(|(_, p50, _)| p50),
        outage_worker_max_us: workers.map(|(_, _, max)| max),
        longest_gap_us: marks.longest_gap_us,
        detection_us: since_t0(marks.t2_us),
        promotion_us: since_t0(marks.t3_us),
        reroute_us: marks.t4_us.zip(marks.t3_us).map(|(t4, t3)| t4 - t3),
        redundancy_us: since_t0(marks.t6_us),
        recover90_us: marks.recover90_us,
        split_us: marks.t4_us.map(|_| marks.split_us),
        split_acked: marks.t4_us.map(|_| marks.split_acked),
        rpo_span_us: loss.map(|(present, _)| rpo_span_us(ledger, present, |write| takeover.tests(Some(write)))),
        rpo_wal_bytes: takeover.old_end.zip(takeover.fork).map(|(end, fork)| end.bytes_since(fork)),
        rejoin: takeover.rejoin,
        rejoin_us: takeover.rejoin_us,
        verdict,
        outage_kind,
        longest_gap_before_us: marks.longest_gap_before_us,
        holes: lost.named(|row| row.hole),
        op_timeout_us: plan.op_timeout_us,
        floor_us: takeover.floor_us,
        old_primary: takeover.old_primary.clone(),
        new_primary: takeover.new_primary.clone(),
        well_us: since_t0(marks.t5_us),
        stranded: marks.t4_us.map(|_| marks.workers_stranded),
        outage_before_us: marks.outage_before_us().filter(|_| takeover.fault_proven_us.is_some()),
        connecting_us: marks.connecting_us,
        step: Some(takeover.step),
        acked_before_per_s: marks.acked_before_per_s.map(|rate| rate as u64),
    })
}

/// What was lost by one takeover, and what else is not as it should be of the writes that it put to the test.
struct Loss<'a> {
    evidence: &'a Evidence,
    takeover: &'a Takeover,
    loss: Option<(&'a Present, &'a Fates)>,
}

impl Loss<'_> {
    /// How many of the writes that are worth a look; `None` without a final read.
    fn named(&self, wanted: impl Fn(&FateRow) -> bool) -> Option<u64> {
        let (_, fates) = self.loss?;
        let ours = |row: &&FateRow| {
            let write = self.evidence.ledger.writes.get(&Key { worker: row.worker, seq: row.seq });
            wanted(row) && self.takeover.tests(write)
        };
        Some(fates.named.iter().filter(ours).count() as u64)
    }

    fn count(&self, fate: Fate) -> Option<u64> {
        self.named(|row| row.fate == fate)
    }

    /// Writes that only the old primary has; `None` if that, or what the new one has, was not read.
    fn divergent(&self) -> Result<Option<u64>> {
        let old = self.evidence.old_primary(self.takeover.step)?;
        Ok(old.zip(self.loss).map(|(old, (present, _))| old.without(|key| present.has(key)).len() as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventRow, Mark};
    use crate::evidence::tests::Files;
    use crate::reads::{ReadKind, ReadRow};
    use crate::words::{Fault, OutageKind, Rejoin};

    #[test]
    fn the_figures_of_a_drill_on_paper() {
        let judged = judge(&Files::of_a_drill_that_held().read().unwrap()).unwrap();
        let [row] = &judged.rows[..] else { panic!("{judged:?}") };
        assert_eq!((row.acked, row.lost, row.divergent, row.rpo_wal_bytes), (99, Some(0), Some(0), Some(128)));
        assert_eq!((row.outage_us, row.outage_kind), (Some(129_000), Some(OutageKind::Exact)));
        assert_eq!((row.promotion_us, row.reroute_us, row.redundancy_us), (Some(60_000), Some(60_000), Some(400_000)));
        assert_eq!((row.rejoin, row.rejoin_us, row.floor_us), (Some(Rejoin::Rewind), Some(171_000), None));
        assert_eq!((&*row.old_primary, row.new_primary.as_deref()), ("a", Some("b")));
    }

    /// Three takeovers: the last write of the second timeline is lost, and that of the third.
    #[test]
    fn each_takeover_has_its_own_loss_and_the_run_has_them_all() {
        let mut evidence = Files::of_a_drill_that_held().read().unwrap();
        (evidence.ledger, evidence.events) = crate::takeovers::tests::three();
        let stretch = |read, step, first_seq, last_seq| ReadRow {
            read,
            step: Some(step),
            first_seq,
            last_seq,
            ..evidence.reads[0].clone()
        };
        let (last, old) = (ReadKind::Final, ReadKind::OldPrimary);
        evidence.reads =
            [(last, 3, 1, 99), (last, 3, 101, 149), (last, 3, 151, 200), (old, 1, 1, 50), (old, 2, 1, 100)]
                .map(|(read, step, first, last)| stretch(read, step, first, last))
                .to_vec();
        for (mark, step, count) in
            [(Mark::DivergentRead, 1, 50), (Mark::DivergentRead, 2, 100), (Mark::FinalReadDone, 3, 198)]
        {
            let like = evidence.events[0].clone();
            evidence.events.push(EventRow { mark, step: Some(step), count: Some(count), fault: None, ..like });
        }
        let judged = judge(&evidence).unwrap();
        assert_eq!(judged.rows.iter().map(|row| row.step).collect::<Vec<_>>(), [1, 2, 3].map(Some));
        let of = |figure: fn(&DrillRow) -> Option<u64>| judged.rows.iter().map(figure).collect::<Vec<_>>();
        assert_eq!(of(|row| row.lost), [Some(0), Some(1), Some(1)]);
        assert_eq!(of(|row| row.divergent), [Some(0), Some(1), None]);
        assert_eq!(of(|row| row.rpo_span_us.map(|span| span.min(1))), [Some(0), Some(1), Some(1)]);
        for (max_lost, broken) in [(0, true), (1, true), (2, false)] {
            evidence.plan.max_lost = max_lost;
            let reasons = judge(&evidence).unwrap().reasons;
            let said = reasons.iter().any(|reason| reason.why.contains("2 acknowledged writes are lost"));
            assert_eq!(said, broken, "{max_lost}: {reasons:?}");
        }
        // Nothing may be lost by a planned shutdown; what another takeover lost is not held against it.
        for (step, loses) in [(1, false), (2, true)] {
            let mut evidence = evidence.clone();
            let begun = |event: &&mut EventRow| event.mark == Mark::StepBegun && event.step == Some(step);
            evidence.events.iter_mut().find(begun).unwrap().fault = Some(Fault::Stop);
            let said = judge(&evidence)
                .unwrap()
                .reasons
                .iter()
                .any(|reason| reason.why.contains("a planned shutdown loses none"));
            assert_eq!(said, loses, "takeover {step}");
        }
    }

    fn row_after(change: impl FnOnce(&mut Evidence)) -> DrillRow {
        let mut evidence = Files::of_a_drill_that_held().read().unwrap();
        change(&mut evidence);
        judge(&evidence).unwrap().rows.remove(0)
    }

    #[test]
    fn without_a_new_ack_the_outage_is_at_least_what_was_seen_of_it() {
        let row = row_after(|e| e.ledger.acks.retain(|ack| ack.timeline == 1));
        assert_eq!((row.outage_us, row.outage_kind), (Some(1_200_000 - 491_000), Some(OutageKind::AtLeast)));
        assert_eq!((row.split_us, row.split_acked, row.stranded), (None, None, None));
        // And in a run of several no longer than to the next one.
        let row = row_after(|e| {
            (e.ledger, e.events) = crate::takeovers::tests::three();
            e.ledger.acks.retain(|ack| ack.timeline != 2);
        });
        assert_eq!((row.outage_us, row.outage_kind), (Some(1_045_000 - 491_000), Some(OutageKind::AtLeast)));
    }

    #[test]
    fn without_a_proven_fault_there_is_no_outage() {
        let row = row_after(|e| e.events.retain(|event| event.mark != Mark::FaultProven));
        assert_eq!((row.outage_us, row.outage_kind, row.outage_before_us), (None, None, None));
    }

    #[test]
    fn a_torn_ledger_does_not_tell_what_is_unexpected() {
        let row = row_after(|e| e.ledger.complete = false);
        assert_eq!((row.unexpected, row.duplicate), (None, Some(0)));
    }

    #[test]
    fn what_could_not_be_done_beside_makes_a_pass_unknown_and_nothing_worse_better() {
        let mut judged = judge(&Files::of_a_drill_that_held().read().unwrap()).unwrap();
        judged.could_not("the disk is full");
        assert_eq!((judged.verdict, judged.rows[0].verdict), (Verdict::Unknown, Verdict::Unknown));
        assert_eq!(judged.reasons.iter().map(ToString::to_string).collect::<Vec<_>>(), ["unknown: the disk is full"]);
        judged.verdict = Verdict::Broken;
        judged.could_not("the disk is full");
        assert_eq!(judged.verdict, Verdict::Broken);
    }
}
