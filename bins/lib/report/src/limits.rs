//! What a takeover may cost, if its plan says so: `--max-outage` and `--min-rate`. (`--max-lost` is with the other reasons: it
//! counts over the whole run.)

use crate::plan::PlanRow;
use crate::show::{apart, us};
use crate::takeovers::Takeover;
use crate::verdict::Verdict::{self, Broken, Unknown};
use crate::words::OutageKind;

/// Each limit that a takeover does not keep, or of which that was not seen.
#[must_use]
pub fn not_kept(plan: &PlanRow, takeover: &Takeover) -> Vec<(Verdict, String)> {
    [outage(plan, takeover), rate(plan, takeover)].into_iter().flatten().collect()
}

/// A lower bound can prove that an outage is too long, never that it is short enough.
fn outage(plan: &PlanRow, takeover: &Takeover) -> Option<(Verdict, String)> {
    let max_us = plan.max_outage_us?;
    let option = format!("--max-outage {}", us(max_us));
    match takeover.outage() {
        Some((outage_us, kind)) if outage_us > max_us => {
            let at_least = if kind == OutageKind::AtLeast { "at least " } else { "" };
            let (outage, max) = apart(outage_us, max_us);
            Some((Broken, format!("the outage was {at_least}{outage} (--max-outage {max})")))
        }
        Some((_, OutageKind::Exact)) => None,
        Some((outage_us, OutageKind::AtLeast)) => Some((
            Unknown,
            format!("the outage has no end that was seen: it was at least {} ({option})", us(outage_us)),
        )),
        None => Some((Unknown, format!("there is no outage to hold against {option}"))),
    }
}

fn rate(plan: &PlanRow, takeover: &Takeover) -> Option<(Verdict, String)> {
    let min = plan.min_rate_per_s?;
    match takeover.marks.acked_before_per_s {
        Some(rate) if rate < min as f64 => {
            // As `drill.csv` has it: rounded down it is below a whole limit if it is so exactly.
            let rate = rate as u64;
            Some((Broken, format!("{rate} writes per second were acknowledged before the fault (--min-rate {min})")))
        }
        Some(_) => None,
        None => Some((Unknown, format!("there is no rate before the fault to hold against --min-rate {min}"))),
    }
}

#[cfg(test)]
mod tests {
    use crate::evidence::Evidence;
    use crate::evidence::tests::Files;
    use crate::judge::judge;
    use crate::verdict::Verdict::{self, Broken, Held, Unknown};

    /// The drill on paper, an outage of 129 ms under 100 writes per second, under these limits and with this change.
    fn verdict(
        max_outage_us: Option<u64>,
        min_rate_per_s: Option<u64>,
        change: fn(&mut Evidence),
    ) -> (Verdict, String) {
        let mut evidence = Files::of_a_drill_that_held().read().unwrap();
        (evidence.plan.max_outage_us, evidence.plan.min_rate_per_s) = (max_outage_us, min_rate_per_s);
        change(&mut evidence);
        let judged = judge(&evidence).unwrap();
        assert_eq!(judged.verdict, judged.rows[0].verdict, "a limit is one of the takeover");
        (judged.verdict, judged.reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    }

    #[test]
    fn an_outage_may_be_as_long_as_the_limit_and_no_longer() {
        assert_eq!(verdict(Some(129_000), None, |_| ()).0, Held);
        let (found, why) = verdict(Some(128_999), None, |_| ());
        assert!(found == Broken && why == "broken: the outage was 129000 µs (--max-outage 128999 µs)", "{why}");
        let (found, why) = verdict(Some(128_000), None, |_| ());
        assert!(found == Broken && why == "broken: the outage was 129.00 ms (--max-outage 128.00 ms)", "{why}");
    }

    #[test]
    fn a_lower_bound_breaks_a_limit_and_keeps_none() {
        let no_end: fn(&mut Evidence) = |evidence| {
            evidence.ledger.acks.retain(|ack| ack.timeline == 1);
            // So that nothing but the limit says anything about it.
            evidence
                .events
                .push(crate::event::EventRow { mark: crate::event::Mark::LoadDied, ..evidence.events[0].clone() });
        };
        let (found, why) = verdict(Some(100_000), None, no_end);
        assert!(found == Broken && why.contains("the outage was at least 709.00 ms (--max-outage 100.00 ms)"), "{why}");
        let (found, why) = verdict(Some(60_000_000), None, no_end);
        assert!(found == Unknown && why.contains("no end that was seen"), "{why}");
    }

    #[test]
    fn what_was_not_measured_keeps_no_limit() {
        let unproven: fn(&mut Evidence) =
            |evidence| evidence.events.retain(|event| event.mark != crate::event::Mark::FaultProven);
        let (found, why) = verdict(Some(60_000_000), None, unproven);
        assert!(found == Unknown && why.contains("there is no outage to hold against --max-outage 60.00 s"), "{why}");
        let nobody_acked: fn(&mut Evidence) = |evidence| evidence.ledger.acks.retain(|ack| ack.timeline == 2);
        let (found, why) = verdict(None, Some(1), nobody_acked);
        assert!(
            found == Unknown && why.contains("there is no rate before the fault to hold against --min-rate 1"),
            "{why}"
        );
    }

    #[test]
    fn the_rate_is_that_before_the_fault() {
        // 49 acks from 11 ms to 500 ms.
        assert_eq!(verdict(None, Some(100), |_| ()).0, Held);
        let (found, why) = verdict(None, Some(101), |_| ());
        let said = "broken: 100 writes per second were acknowledged before the fault (--min-rate 101)";
        assert!(found == Broken && why == said, "{why}");
    }
}
