//! The marks of a takeover and the outage between them (docs/figures.md, "Outage"), from the acks of the ledger and the few
//! events that only the drill itself can see.

use std::collections::BTreeMap;

use crate::ledger::{Ack, Stretch};
use crate::percentiles::median;

/// How many acks in a row make a worker well again (T5).
const ACKS_IN_A_ROW: u32 = 5;

/// Length of the window in which throughput counts as back, in microseconds.
const RECOVERY_WINDOW_US: u64 = 1_000_000;

/// What the drill saw by itself. All times in microseconds since the run's origin.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// T0: just before the first act of the fault; `None`: there was none.
    pub t0_us: Option<u64>,
    /// The first `false` of `pg_is_in_recovery()`; `None` without a promotion.
    pub out_of_recovery_us: Option<u64>,
    /// T6: a standby streams from the new primary.
    pub redundant_us: Option<u64>,
    /// Where nobody is to take over: when the primary went on.
    pub thawed_us: Option<u64>,
}

/// Which acks are new: those of a timeline newer than all acks before T0; without a takeover those that came after the primary
/// went on.
#[derive(Clone, Copy)]
struct New {
    old: Option<u32>,
    thawed_us: Option<u64>,
}

impl New {
    fn is(&self, ack: &Ack) -> bool {
        let newer = self.old.is_some_and(|old| ack.timeline > old);
        newer || (self.old.is_some() && self.thawed_us.is_some_and(|thawed| ack.at_us >= thawed))
    }
}

/// All marks of a takeover, in microseconds since the run's origin. `None`: it did not happen, or was not seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Marks {
    /// Just before the first act of the fault.
    pub t0_us: Option<u64>,
    /// The old timeline: the newest one that was acknowledged on before T0.
    pub old_timeline: Option<u32>,
    /// Last old ack before T4.
    pub t1_us: Option<u64>,
    /// First failure that a client saw after T0.
    pub t2_us: Option<u64>,
    /// Promoted: out of recovery, or T4 if that is earlier.
    pub t3_us: Option<u64>,
    /// First new ack: on the new timeline, or where nobody takes over, after the primary went on.
    pub t4_us: Option<u64>,
    /// Every worker had five new acks in a row.
    pub t5_us: Option<u64>,
    /// A standby streams from the new primary.
    pub t6_us: Option<u64>,
    /// The outage of each worker that has both its own T1 and its own T4, by worker.
    pub worker_outages_us: BTreeMap<u32, u64>,
    /// Workers that acked before T0 and have no new ack.
    pub workers_stranded: u64,
    /// The longest gap between acks.
    pub longest_gap_us: Option<u64>,
    /// The longest time without an ack before T0, the one that was still open at T0 counted up to T0.
    pub longest_gap_before_us: Option<u64>,
    /// Acks per second before T0, from the first of them on.
    pub acked_before_per_s: Option<f64>,
    /// From T0 until acks came again at 90 % of that.
    pub recover90_us: Option<u64>,
    /// How much of T3 → T4 the client with the first new ack spent connecting: the load's own share.
    pub connecting_us: Option<u64>,
    /// From T4 to the last ack of the old timeline after it; 0 if there is none.
    pub split_us: u64,
    /// Acks of the old timeline after T4.
    pub split_acked: u64,
}

impl Marks {
    /// The outage of the whole load: T4 − T1.
    #[must_use]
    pub fn outage_us(&self) -> Option<u64> {
        Some(self.t4_us? - self.t1_us?)
    }

    /// The part of the outage that lies before T0, when nothing had been done to the cluster yet.
    #[must_use]
    pub fn outage_before_us(&self) -> Option<u64> {
        Some(self.t0_us?.saturating_sub(self.t1_us?))
    }

    /// Shortest, median and longest outage of a worker.
    #[must_use]
    pub fn worker_outage_us(&self) -> Option<(u64, u64, u64)> {
        let all: Vec<u64> = self.worker_outages_us.values().copied().collect();
        Some((*all.iter().min()?, median(&all)?, *all.iter().max()?))
    }
}

/// Computes the marks of the takeover in a stretch of the run.
#[must_use]
pub fn marks(load: &Stretch, seen: Seen) -> Marks {
    let acks = &load.acks;
    // Without a fault all of it lies before it.
    let t0_us = seen.t0_us.unwrap_or(u64::MAX);
    let old = acks.iter().filter(|ack| ack.at_us < t0_us).map(|ack| ack.timeline).max();
    let new = New { old, thawed_us: seen.thawed_us };
    let is_new = |ack: &&Ack| new.is(ack);
    let t4_us = acks.iter().find(is_new).map(|ack| ack.at_us);
    let before_t4 = |ack: &&Ack| !is_new(ack) && t4_us.is_none_or(|t4| ack.at_us < t4);
    let split: Vec<u64> = match t4_us {
        Some(t4) => acks.iter().filter(|ack| !is_new(ack) && ack.at_us >= t4).map(|ack| ack.at_us).collect(),
        None => Vec::new(),
    };
    let t3_us = seen.out_of_recovery_us.map(|t3| t4_us.map_or(t3, |t4| t4.min(t3)));
    let (worker_outages_us, workers_stranded) = worker_outages(acks, new, t0_us);
    let gaps: Vec<(u64, u64)> = acks.windows(2).map(|pair| (pair[1].at_us, pair[1].at_us - pair[0].at_us)).collect();
    let acked_before_per_s = acked_before_per_s(acks, t0_us);
    let longest_before = gaps.iter().filter(|(end, _)| *end < t0_us).map(|(_, gap)| *gap).max();
    Marks {
        t0_us: seen.t0_us,
        old_timeline: old,
        // Without an ack before the fault nobody knows which are old.
        t1_us: old.and_then(|_| acks.iter().filter(before_t4).map(|ack| ack.at_us).max()),
        t2_us: load.failures.iter().map(|failure| failure.at_us).filter(|at| *at >= t0_us).min(),
        t3_us,
        t4_us,
        t5_us: t4_us.and_then(|_| all_well(load, new)),
        t6_us: seen.redundant_us,
        worker_outages_us,
        workers_stranded,
        longest_gap_us: gaps.iter().map(|(_, gap)| *gap).max(),
        longest_gap_before_us: seen.t0_us.and_then(|t0| longest_before.max(silence_us(acks, t0))),
        connecting_us: connecting_us(load, t3_us, new),
        acked_before_per_s,
        recover90_us: recover90_us(acks, acked_before_per_s, t0_us, t4_us, load.last_us),
        split_us: split.last().zip(t4_us).map_or(0, |(last, t4)| last - t4),
        split_acked: split.len() as u64,
    }
}

/// For how long nothing had been acknowledged at the moment `at_us`, in microseconds; `None`: nothing ever was.
#[must_use]
pub fn silence_us<'a>(acks: impl IntoIterator<Item = &'a Ack>, at_us: u64) -> Option<u64> {
    let last = acks.into_iter().map(|ack| ack.at_us).filter(|ack| *ack <= at_us).max()?;
    Some(at_us - last)
}

/// How long the load may be silent and still count as flowing, in microseconds: ten writes in a row that were due and
/// not acknowledged, and no less than what a busy machine makes a load stumble.
#[must_use]
pub fn silence_allowed_us(rate_per_s: Option<u64>) -> u64 {
    const STUMBLE_US: u64 = 250_000;
    rate_per_s.map_or(STUMBLE_US, |rate| (10 * 1_000_000 / rate.max(1)).max(STUMBLE_US))
}

/// The part of T3 → T4 that the client with the first ack spent on getting its session.
fn connecting_us(load: &Stretch, t3_us: Option<u64>, new: New) -> Option<u64> {
    let (t3_us, first) = (t3_us?, load.acks.iter().find(|ack| new.is(ack))?);
    let mut own = load.connects.iter().filter(|c| c.worker == first.worker && c.at_us <= first.at_us);
    let connect = own.next_back()?;
    let begun_us = connect.at_us.saturating_sub(connect.took_us?);
    Some(connect.at_us.saturating_sub(begun_us.max(t3_us)))
}

/// The outage of each worker (its own T4 − its own T1), and how many never came back.
fn worker_outages(acks: &[Ack], new: New, t0_us: u64) -> (BTreeMap<u32, u64>, u64) {
    let mut own_t4 = BTreeMap::new();
    for ack in acks.iter().filter(|ack| new.is(ack)) {
        own_t4.entry(ack.worker).or_insert(ack.at_us);
    }
    let mut own_t1 = BTreeMap::new();
    for ack in acks.iter().filter(|ack| !new.is(ack)) {
        if own_t4.get(&ack.worker).is_none_or(|t4| ack.at_us < *t4) {
            own_t1.insert(ack.worker, ack.at_us);
        }
    }
    let outages = own_t1.iter().filter_map(|(worker, t1)| Some((*worker, own_t4.get(worker)? - t1))).collect();
    let before: std::collections::BTreeSet<u32> =
        acks.iter().filter(|ack| ack.at_us < t0_us).map(|ack| ack.worker).collect();
    let stranded = before.iter().filter(|worker| !own_t4.contains_key(worker)).count() as u64;
    (outages, stranded)
}

/// When the last of the workers had five new acks in a row; `None` if one of them never had.
fn all_well(load: &Stretch, new: New) -> Option<u64> {
    let acks = &load.acks;
    let mut steps: Vec<(u64, u32, bool)> = load.failures.iter().map(|f| (f.at_us, f.worker, false)).collect();
    steps.extend(acks.iter().filter(|ack| new.is(ack)).map(|ack| (ack.at_us, ack.worker, true)));
    steps.sort_unstable();
    let mut in_a_row: BTreeMap<u32, u32> = BTreeMap::new();
    let mut well: BTreeMap<u32, u64> = acks.iter().map(|ack| (ack.worker, u64::MAX)).collect();
    for (at_us, worker, acked) in steps {
        let row = in_a_row.entry(worker).or_default();
        *row = if acked { *row + 1 } else { 0 };
        if *row >= ACKS_IN_A_ROW {
            let since = well.entry(worker).or_insert(u64::MAX);
            *since = at_us.min(*since);
        }
    }
    well.values().copied().max().filter(|at| *at != u64::MAX)
}

/// Acks before T0 per second, from the first of them to T0. `None` if there was none, or no fault.
fn acked_before_per_s(acks: &[Ack], t0_us: u64) -> Option<f64> {
    let before = acks.partition_point(|ack| ack.at_us < t0_us);
    let span_us = t0_us.checked_sub(acks.first()?.at_us).filter(|span| *span > 0 && t0_us != u64::MAX)?;
    Some(before as f64 * 1e6 / span_us as f64)
}

/// From T0 to the first moment at or after T4 from which one second held at least 90 % of the acks per second that
/// came before T0. `None` if the load ended before such a second was over.
fn recover90_us(acks: &[Ack], before_per_s: Option<f64>, t0_us: u64, t4_us: Option<u64>, last_us: u64) -> Option<u64> {
    let at: Vec<u64> = acks.iter().map(|ack| ack.at_us).collect();
    let wanted = 0.9 * before_per_s? * RECOVERY_WINDOW_US as f64 / 1e6;
    let from = at.partition_point(|at| *at < t4_us.unwrap_or(t0_us));
    (from..at.len()).find_map(|index| {
        let end = at[index] + RECOVERY_WINDOW_US;
        let within = at.partition_point(|at| *at < end) - index;
        (end <= last_us && within as f64 >= wanted).then(|| at[index] - t0_us)
    })
}

#[cfg(test)]
#[path = "marks_tests.rs"]
mod tests;
