//! What became of each write: the ledger held against one final read (docs/figures.md, "The fate of one write").

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::ledger::{Key, Ledger, Outcome, Write};
use crate::reads::{Found, Present};

/// The fate of one write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// As the client was told.
    Ok,
    /// Unknown to the client, and absent.
    Dropped,
    /// Unknown to the client, and present.
    Recovered,
    /// Acknowledged, and gone.
    Lost,
    /// Acknowledged without the standby, and gone.
    LostLocal,
    /// Reported as failed, and present.
    Phantom,
    /// Never sent, and present.
    Unexpected,
    /// Present twice.
    Duplicate,
    /// Present with another payload.
    Corrupt,
}

/// `fates.csv`: a write whose fate is worth a look (anything but `ok` and `dropped`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FateRow {
    /// The run that this row belongs to.
    pub run: String,
    /// The worker that wrote it.
    pub worker: u32,
    /// Its number within the worker.
    pub seq: u64,
    /// What the client knew; empty if it never sent such a write.
    pub outcome: Option<Outcome>,
    /// When the client knew it, in microseconds since the run's origin.
    pub at_us: Option<u64>,
    /// What became of it.
    pub fate: Fate,
    /// Whether a later acknowledged write of the same worker and timeline is there: a loss that no takeover explains.
    pub hole: bool,
}

/// The fates of all writes of a run.
#[derive(Clone, Debug, Default)]
pub struct Fates {
    counts: BTreeMap<Fate, u64>,
    /// Lost writes that have a later surviving ack of the same worker and timeline.
    pub holes: u64,
    /// Everything worth a look, in the order of the keys.
    pub named: Vec<FateRow>,
}

impl Fates {
    /// How many writes met this fate.
    #[must_use]
    pub fn count(&self, fate: Fate) -> u64 {
        self.counts.get(&fate).copied().unwrap_or(0)
    }
}

/// Judges each write of `ledger` by whether `present` has it.
///
/// `unexpected` is judged only against a complete ledger: a torn one may have lost the `sent` of what is present.
#[must_use]
pub fn judge(ledger: &Ledger, present: &Present) -> Fates {
    let last_surviving = last_surviving_acks(ledger, present);
    let mut fates = Fates::default();
    let mut add = |key: Key, write: Option<&Write>, fate: Fate| {
        let hole = fate == Fate::Lost
            && write.is_some_and(|w| last_surviving.get(&(key.worker, w.timeline)).is_some_and(|seq| *seq > key.seq));
        fates.holes += u64::from(hole);
        *fates.counts.entry(fate).or_default() += 1;
        if !matches!(fate, Fate::Ok | Fate::Dropped) {
            fates.named.push(FateRow {
                run: ledger.run.clone(),
                worker: key.worker,
                seq: key.seq,
                outcome: write.map(|w| w.outcome),
                at_us: write.map(|w| w.at_us),
                fate,
                hole,
            });
        }
    };
    for (key, write) in &ledger.writes {
        add(*key, Some(write), fate(write.outcome, present.get(*key)));
    }
    if ledger.complete {
        for key in present.without(|key| ledger.writes.contains_key(&key)) {
            add(key, None, Fate::Unexpected);
        }
    }
    fates.named.sort_by_key(|row| (row.worker, row.seq));
    fates
}

/// The verdict matrix. Twice present and another payload outweigh what the client knew.
fn fate(outcome: Outcome, row: Option<Found>) -> Fate {
    match (outcome, row) {
        (Outcome::Skipped, Some(_)) => Fate::Unexpected,
        (_, Some(row)) if row.times > 1 => Fate::Duplicate,
        (_, Some(row)) if !row.intact => Fate::Corrupt,
        (Outcome::Acked | Outcome::AckedLocal, Some(_)) => Fate::Ok,
        (Outcome::Unknown, Some(_)) => Fate::Recovered,
        (Outcome::Failed, Some(_)) => Fate::Phantom,
        (Outcome::Acked, None) => Fate::Lost,
        (Outcome::AckedLocal, None) => Fate::LostLocal,
        (Outcome::Unknown, None) => Fate::Dropped,
        (Outcome::Failed | Outcome::Skipped, None) => Fate::Ok,
    }
}

/// Per worker and timeline, the highest seq that was acked and is present.
fn last_surviving_acks(ledger: &Ledger, present: &Present) -> HashMap<(u32, Option<u32>), u64> {
    let mut last = HashMap::new();
    for (key, write) in &ledger.writes {
        if write.outcome == Outcome::Acked && present.has(*key) {
            last.insert((key.worker, write.timeline), key.seq); // keys come in order: the last one stays
        }
    }
    last
}

/// Time from the last surviving ack before the first lost one to the last lost one, in microseconds; 0 if none is lost. Of
/// the writes that `of` takes.
#[must_use]
pub fn rpo_span_us(ledger: &Ledger, present: &Present, of: impl Fn(&Write) -> bool) -> u64 {
    let acked = || ledger.writes.iter().filter(|(_, write)| write.outcome == Outcome::Acked && of(write));
    let lost = || acked().filter(|(key, _)| !present.has(**key)).map(|(_, write)| write.at_us);
    let (Some(first), Some(last)) = (lost().min(), lost().max()) else { return 0 };
    let surviving = acked().filter(|(key, write)| present.has(**key) && write.at_us <= first);
    last - surviving.map(|(_, write)| write.at_us).max().unwrap_or(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::payload;

    const RUN: &str = "r";

    fn ledger(writes: &[(u32, u64, Outcome, u64)], complete: bool) -> Ledger {
        let mut ledger = Ledger { run: RUN.into(), complete, ..Ledger::default() };
        for &(worker, seq, outcome, at_us) in writes {
            let write = Write { sent_us: Some(at_us), outcome, at_us, timeline: Some(1) };
            ledger.writes.insert(Key { worker, seq }, write);
        }
        ledger
    }

    fn present(keys: &[(u32, u64)]) -> Present {
        let mut present = Present::default();
        for &(worker, seq) in keys {
            present.add(RUN, Key { worker, seq }, &payload(RUN, worker, seq));
        }
        present
    }

    /// Each row of the verdict matrix, present and absent.
    #[test]
    fn the_verdict_matrix() {
        for (outcome, if_present, if_absent) in [
            (Outcome::Acked, Fate::Ok, Fate::Lost),
            (Outcome::AckedLocal, Fate::Ok, Fate::LostLocal),
            (Outcome::Unknown, Fate::Recovered, Fate::Dropped),
            (Outcome::Failed, Fate::Phantom, Fate::Ok),
            (Outcome::Skipped, Fate::Unexpected, Fate::Ok),
        ] {
            let ledger = ledger(&[(0, 1, outcome, 10)], true);
            for (keys, want) in [(&[(0, 1)][..], if_present), (&[][..], if_absent)] {
                let fates = judge(&ledger, &present(keys));
                assert_eq!(fates.count(want), 1, "{outcome:?} with {keys:?}");
                assert_eq!(fates.counts.values().sum::<u64>(), 1);
            }
        }
    }

    #[test]
    fn never_sent_and_present_is_unexpected_but_only_against_a_complete_ledger() {
        assert_eq!(judge(&ledger(&[], true), &present(&[(0, 1)])).count(Fate::Unexpected), 1);
        assert_eq!(judge(&ledger(&[], false), &present(&[(0, 1)])).count(Fate::Unexpected), 0);
    }

    #[test]
    fn twice_present_is_a_duplicate_and_another_payload_is_corrupt() {
        let ledger = ledger(&[(0, 1, Outcome::Acked, 10), (0, 2, Outcome::Acked, 11)], true);
        let mut present = present(&[(0, 1), (0, 1)]);
        present.add(RUN, Key { worker: 0, seq: 2 }, "something else");
        let fates = judge(&ledger, &present);
        assert_eq!((fates.count(Fate::Duplicate), fates.count(Fate::Corrupt)), (1, 1));
    }

    #[test]
    fn a_lost_ack_before_a_surviving_one_is_a_hole() {
        let writes: Vec<_> = (1..=4).map(|seq| (0, seq, Outcome::Acked, seq * 10)).collect();
        let fates = judge(&ledger(&writes, true), &present(&[(0, 1), (0, 3)]));
        assert_eq!((fates.count(Fate::Lost), fates.holes), (2, 1));
        assert!(fates.named[0].hole && !fates.named[1].hole);
        // another worker's later ack makes no hole
        let two = ledger(&[(0, 1, Outcome::Acked, 10), (1, 9, Outcome::Acked, 20)], true);
        assert_eq!(judge(&two, &present(&[(1, 9)])).holes, 0);
    }

    #[test]
    fn the_span_of_a_loss_begins_at_the_last_surviving_ack_before_it() {
        let writes: Vec<_> = (1..=4).map(|seq| (0, seq, Outcome::Acked, seq * 10)).collect();
        let ledger = ledger(&writes, true);
        assert_eq!(rpo_span_us(&ledger, &present(&[(0, 1), (0, 2)]), |_| true), 20);
        assert_eq!(rpo_span_us(&ledger, &present(&[]), |_| true), 30);
        assert_eq!(rpo_span_us(&ledger, &present(&[(0, 1), (0, 2), (0, 3), (0, 4)]), |_| true), 0);
    }

    #[test]
    fn named_rows_leave_out_ok_and_dropped() {
        let ledger = ledger(&[(0, 1, Outcome::Acked, 1), (0, 2, Outcome::Unknown, 2), (0, 3, Outcome::Acked, 3)], true);
        let fates = judge(&ledger, &present(&[(0, 1)]));
        assert_eq!(fates.named.len(), 1);
        assert_eq!((fates.named[0].seq, fates.named[0].fate), (3, Fate::Lost));
    }

    #[test]
    fn only_a_surviving_ack_of_the_same_timeline_makes_a_hole() {
        let mut ledger = ledger(&[(0, 1, Outcome::Acked, 10), (0, 2, Outcome::Acked, 20)], true);
        let holes = |ledger: &Ledger| judge(ledger, &present(&[(0, 2)])).holes;
        assert_eq!(holes(&ledger), 1);
        let later = Key { worker: 0, seq: 2 };
        ledger.writes.get_mut(&later).unwrap().timeline = Some(2);
        assert_eq!(holes(&ledger), 0, "a takeover lies between them");
        let write = ledger.writes.get_mut(&later).unwrap();
        (write.timeline, write.outcome) = (Some(1), Outcome::Unknown);
        assert_eq!(holes(&ledger), 0, "nobody was told that it is there");
    }

    #[test]
    fn the_span_of_a_loss_goes_by_when_writes_were_known_and_a_surviving_one_of_the_same_moment_begins_it() {
        let writes = [(0, 1, 10), (0, 2, 40), (1, 1, 20), (1, 2, 20), (2, 1, 30)];
        let writes = writes.map(|(worker, seq, at_us)| (worker, seq, Outcome::Acked, at_us));
        // Lost: at 40 and at 20. At 20 there is a surviving one, too.
        assert_eq!(rpo_span_us(&ledger(&writes, true), &present(&[(0, 1), (1, 1), (2, 1)]), |_| true), 20);
    }

    #[test]
    fn what_nobody_knew_of_and_is_there_is_named() {
        let fates = judge(&ledger(&[(0, 1, Outcome::Unknown, 1)], true), &present(&[(0, 1)]));
        assert_eq!(fates.named.iter().map(|row| row.fate).collect::<Vec<_>>(), [Fate::Recovered]);
    }
}
