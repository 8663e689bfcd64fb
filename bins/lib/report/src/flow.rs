//! Whether the load was flowing when it mattered: what a ledger does not see, it cannot judge.

use crate::ledger::{Ledger, Outcome, Write};
use crate::marks::{silence_allowed_us, silence_us};
use crate::plan::PlanRow;
use crate::show::us;
use crate::takeovers::Takeover;

/// For how long nothing had been acknowledged when it mattered: at T0, and after a cut in a sync mode, which promises
/// silence, at the cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// The silence in microseconds; `None`: nothing was acknowledged before.
    pub silent_us: Option<u64>,
    /// The longest silence of a load that counts as flowing, in microseconds.
    pub allowed_us: u64,
    /// Whether that moment was the cut and not T0.
    pub at_cut: bool,
    /// After a cut in async, where commits go on that nobody else has: how many writes were sent and acknowledged between
    /// the cut and T0.
    pub after_cut: Option<u64>,
}

impl Flow {
    /// How the load flowed before a takeover.
    #[must_use]
    pub fn of(plan: &PlanRow, ledger: &Ledger, takeover: &Takeover) -> Flow {
        let t0_us = takeover.marks.t0_us;
        let cut_us = takeover.cut_begun_us.filter(|_| plan.is_sync());
        let after_cut = takeover.cut_us.zip(t0_us).filter(|_| !plan.is_sync()).map(|(cut, t0)| {
            let lost_if_any = |write: &&Write| {
                write.outcome == Outcome::Acked && write.sent_us.is_some_and(|sent| sent >= cut) && write.at_us <= t0
            };
            ledger.writes.values().filter(lost_if_any).count() as u64
        });
        let acks = ledger.acks.iter().filter(|ack| takeover.moments.contains(&ack.at_us));
        Flow {
            silent_us: cut_us.or(t0_us).and_then(|moment| silence_us(acks, moment)),
            allowed_us: silence_allowed_us(plan.rate_per_s),
            at_cut: cut_us.is_some(),
            after_cut,
        }
    }

    /// Why the load was not flowing; `None`: it was.
    #[must_use]
    pub fn why_not(&self) -> Option<String> {
        let what = if self.at_cut { "cut" } else { "fault" };
        match self.silent_us {
            Some(silent) if silent <= self.allowed_us && self.after_cut == Some(0) => Some(
                "the load was not flowing: no write was sent and acknowledged between the cut and the fault, and a ledger \
                 cannot see what others lost then (a longer --cut, or a higher --rate)"
                    .to_owned(),
            ),
            Some(silent) if silent <= self.allowed_us => None,
            Some(silent) => Some(format!(
                "the load was not flowing: nothing was acknowledged in the last {} before the {what} (allowed: {}), and a \
                 ledger cannot see what was lost then",
                us(silent),
                us(self.allowed_us)
            )),
            None => Some(format!("the load was not flowing: nothing was acknowledged before the {what}")),
        }
    }
}
