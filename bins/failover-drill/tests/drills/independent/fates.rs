//! What became of each write.

use std::collections::BTreeSet;

use super::{Key, Ledger, Present};

/// The fates of all writes (docs/figures.md, "The fate of one write").
#[derive(Debug, Default)]
pub(crate) struct Fates {
    pub(crate) lost: BTreeSet<Key>,
    pub(super) lost_local: BTreeSet<Key>,
    pub(super) recovered: BTreeSet<Key>,
    pub(crate) dropped: BTreeSet<Key>,
    pub(super) phantom: BTreeSet<Key>,
    pub(super) unexpected: BTreeSet<Key>,
    pub(super) duplicate: BTreeSet<Key>,
    pub(super) corrupt: BTreeSet<Key>,
}

impl Fates {
    /// Holds the ledger against what is there.
    pub(crate) fn judge(ledger: &Ledger, present: &Present) -> Fates {
        let there = |outcome: &str| -> (BTreeSet<Key>, BTreeSet<Key>) {
            ledger.with(outcome).into_iter().partition(|key| present.contains_key(key))
        };
        let (recovered, dropped) = there("unknown");
        let mut unexpected = there("skipped").0;
        unexpected.extend(present.keys().filter(|key| !ledger.writes.contains_key(key)));
        Fates {
            lost: there("acked").1,
            lost_local: there("acked_local").1,
            recovered,
            dropped,
            phantom: there("failed").0,
            unexpected,
            duplicate: present.iter().filter(|(_, rows)| rows.len() > 1).map(|(key, _)| *key).collect(),
            corrupt: present.iter().filter(|(_, rows)| rows.contains(&false)).map(|(key, _)| *key).collect(),
        }
    }

    /// Lost writes with a later surviving ack of the same worker and timeline.
    pub(super) fn holes(&self, ledger: &Ledger) -> usize {
        let survives = |worker: u64, seq: u64, timeline| {
            let later = ledger.writes.range((worker, seq + 1)..=(worker, u64::MAX));
            let acked = later.filter(|(_, write)| write.outcome == "acked" && write.timeline == timeline);
            acked.map(|(key, _)| key).any(|key| !self.lost.contains(key))
        };
        self.lost
            .iter()
            .filter(|(worker, seq)| survives(*worker, *seq, ledger.writes[&(*worker, *seq)].timeline))
            .count()
    }

    /// The span of the loss (docs/figures.md, "Loss").
    pub(super) fn span_us(&self, ledger: &Ledger) -> u64 {
        let known = |key: &Key| ledger.writes[key].known_us.unwrap();
        let (Some(first), Some(last)) = (self.lost.iter().map(known).min(), self.lost.iter().map(known).max()) else {
            return 0;
        };
        let surviving = ledger.with("acked").into_iter().filter(|key| !self.lost.contains(key));
        // A loss of everything has no surviving ack before it: it begins with itself.
        last - surviving.map(|key| known(&key)).filter(|at| *at <= first).max().unwrap_or(first)
    }
}
