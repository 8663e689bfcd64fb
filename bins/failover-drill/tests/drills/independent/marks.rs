//! The marks of a takeover and what lies between them.

use std::collections::BTreeSet;

use super::{Ack, Events, Ledger};

/// The marks of a takeover (docs/figures.md, "Outage").
#[derive(Debug)]
pub(crate) struct Marks {
    pub(crate) t0: u64,
    pub(crate) t1: Option<u64>,
    pub(crate) t2: Option<u64>,
    pub(crate) t3: Option<u64>,
    pub(crate) t4: Option<u64>,
    pub(crate) t5: Option<u64>,
    pub(crate) t6: Option<u64>,
    /// The timeline of the acks before T0.
    pub(super) old_timeline: u64,
}

impl Marks {
    /// Computes them.
    pub(crate) fn of(ledger: &Ledger, events: &Events) -> Marks {
        let t0 = events.first_us("t0").expect("there was a fault");
        let old_timeline = ledger.acks.iter().filter(|ack| ack.at_us < t0).map(|ack| ack.timeline).max().unwrap();
        let t4 = ledger.acks.iter().find(|ack| ack.timeline > old_timeline).map(|ack| ack.at_us);
        let old = ledger.acks.iter().filter(|ack| ack.timeline <= old_timeline);
        let out_of_recovery = events.first_us("t3");
        Marks {
            t0,
            t1: old.map(|ack| ack.at_us).filter(|at| t4.is_none_or(|t4| *at < t4)).max(),
            t2: ledger.failures_us().filter(|at| *at >= t0).min(),
            t3: out_of_recovery.map(|t3| t4.map_or(t3, |t4| t3.min(t4))),
            t4,
            t5: all_well(ledger, old_timeline),
            t6: events.first_us("t6"),
            old_timeline,
        }
    }

    /// Each worker's own T4 − T1, shortest first.
    pub(super) fn worker_outages_us(&self, ledger: &Ledger) -> Vec<u64> {
        let workers: BTreeSet<u64> = ledger.acks.iter().map(|ack| ack.worker).collect();
        let outage = |worker: u64| {
            let of = |new: bool| {
                let own = ledger.acks.iter().filter(move |ack| ack.worker == worker);
                own.filter(move |ack| (ack.timeline > self.old_timeline) == new).map(|ack| ack.at_us)
            };
            let t4 = of(true).min()?;
            Some(t4 - of(false).filter(|at| *at < t4).max()?)
        };
        let mut outages: Vec<u64> = workers.into_iter().filter_map(outage).collect();
        outages.sort_unstable();
        outages
    }

    /// Acks of the old timeline after T4: the time from T4 to the last of them, and how many.
    pub(super) fn split(&self, ledger: &Ledger) -> Option<(u64, u64)> {
        let t4 = self.t4?;
        let after = ledger.acks.iter().filter(|ack| ack.timeline <= self.old_timeline && ack.at_us >= t4);
        let after: Vec<u64> = after.map(|ack| ack.at_us - t4).collect();
        Some((after.iter().copied().max().unwrap_or(0), after.len() as u64))
    }

    /// Clients that had an ack before T0 and have no new one.
    pub(super) fn stranded(&self, ledger: &Ledger) -> Option<u64> {
        let of = |wanted: &dyn Fn(&Ack) -> bool| -> BTreeSet<u64> {
            ledger.acks.iter().filter(|ack| wanted(ack)).map(|ack| ack.worker).collect()
        };
        let before = of(&|ack| ack.at_us < self.t0);
        self.t4.map(|_| before.difference(&of(&|ack| ack.timeline > self.old_timeline)).count() as u64)
    }

    /// What the client with the first new ack needed for its session, as far as that lies after T3.
    pub(super) fn connecting_us(&self, ledger: &Ledger) -> Option<u64> {
        let (t3, first) = (self.t3?, ledger.acks.iter().find(|ack| ack.timeline > self.old_timeline)?);
        let own = ledger.connects.iter().filter(|c| c.worker == first.worker && c.at_us <= first.at_us);
        let last = own.max_by_key(|connect| connect.at_us)?;
        Some(last.at_us.saturating_sub(t3.max(last.at_us - last.took_us)))
    }

    /// From T0 to the first ack from T4 on that begins a second with 90 % of the acks of a second before T0.
    pub(super) fn recover90_us(&self, ledger: &Ledger) -> Option<u64> {
        const SECOND: u64 = 1_000_000;
        let at: Vec<u64> = ledger.acks.iter().map(|ack| ack.at_us).collect();
        let count = |from: u64, to: u64| at.iter().filter(|at| (from..to).contains(at)).count() as u64;
        let before = self.t0 - at.first()?;
        let is_back = |from: &u64| {
            // 0.9 of the acks before it, in parts of ten, and both sides times the time of the other.
            *from + SECOND <= ledger.last_us
                && 10 * before * count(*from, *from + SECOND) >= 9 * SECOND * count(0, self.t0)
        };
        at.iter().copied().filter(|at| *at >= self.t4.unwrap_or(self.t0)).find(is_back).map(|at| at - self.t0)
    }

    /// What docs/figures.md guarantees of the marks of a takeover, and nothing else.
    pub(super) fn check_order(&self) {
        let [t1, t2, t3, t4, t5, t6] = [self.t1, self.t2, self.t3, self.t4, self.t5, self.t6].map(Option::unwrap);
        assert!(self.t0 <= t3 && t3 <= t4 && t4 <= t5, "T0 ≤ T3 ≤ T4 ≤ T5: {self:?}");
        assert!(t1 < t4 && self.t0 <= t2 && t3 < t6, "T1 < T4, T0 ≤ T2, T3 < T6: {self:?}");
    }
}

/// When the last of the clients that ever had an ack had five new ones in a row; `None` if one of them never had.
fn all_well(ledger: &Ledger, old_timeline: u64) -> Option<u64> {
    let workers: BTreeSet<u64> = ledger.acks.iter().map(|ack| ack.worker).collect();
    let fifth = |worker: u64| {
        let mine = |of: u64| of == worker;
        let acks = ledger.acks.iter().filter(|ack| mine(ack.worker) && ack.timeline > old_timeline);
        let acks: Vec<u64> = acks.map(|ack| ack.at_us).collect();
        let failed =
            |from: u64, to: u64| ledger.failures.iter().any(|(at, of)| mine(*of) && (from + 1..=to).contains(at));
        acks.windows(5).find(|five| !failed(five[0], five[4])).map(|five| five[4])
    };
    workers.into_iter().map(fifth).collect::<Option<Vec<u64>>>()?.into_iter().max()
}

/// The gaps between one ack and the next, of the acks that `wanted` takes.
pub(crate) fn gaps_us(ledger: &Ledger, wanted: impl Fn(&Ack) -> bool) -> Vec<u64> {
    let acks: Vec<u64> = ledger.acks.iter().filter(|ack| wanted(ack)).map(|ack| ack.at_us).collect();
    acks.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

/// The middle of some figures, the lower of two.
pub(crate) fn lower_median(mut figures: Vec<u64>) -> u64 {
    figures.sort_unstable();
    figures[(figures.len() - 1) / 2]
}
