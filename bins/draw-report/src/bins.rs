//! A stretch of time cut into equal intervals, and what became of the writes in each.

use report::ledger::{Ledger, Outcome};

/// Lengths of an interval that people can read, in microseconds: 1, 2 and 5 of each power of ten from 1 ms to 100 s.
fn lengths() -> impl Iterator<Item = u64> {
    (3..9).flat_map(|power| [1, 2, 5].map(|digit| digit * 10_u64.pow(power)))
}

/// What became of the writes in one interval, by when it became known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bin {
    pub(crate) acked: u64,
    pub(crate) acked_local: u64,
    pub(crate) failed: u64,
    pub(crate) unknown: u64,
}

impl Bin {
    /// All of them, in the order in which they are stacked.
    pub(crate) fn counts(&self) -> [u64; 4] {
        [self.acked, self.acked_local, self.failed, self.unknown]
    }

    fn add(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Acked => self.acked += 1,
            Outcome::AckedLocal => self.acked_local += 1,
            Outcome::Failed => self.failed += 1,
            Outcome::Unknown => self.unknown += 1,
            Outcome::Skipped => {}
        }
    }
}

/// Intervals of the same length, one after the other.
#[derive(Debug)]
pub(crate) struct Bins {
    /// Where the first one begins, in microseconds since the run's origin.
    pub(crate) from_us: u64,
    /// How long each of them is.
    pub(crate) length_us: u64,
    pub(crate) bins: Vec<Bin>,
}

impl Bins {
    /// Counts the writes from one moment to another, in no more than `most` intervals of a length that people can read.
    /// `anchor_us` is where one of them begins, so that no interval mixes what lies before it with what lies after.
    pub(crate) fn count(ledger: &Ledger, (from_us, to_us): (u64, u64), anchor_us: u64, most: u64) -> Bins {
        let fits = |length: &u64| (to_us - from_us).div_ceil(*length) < most;
        let length_us = lengths().find(fits).unwrap_or_else(|| (to_us - from_us).div_ceil(most.max(2) - 1));
        // Before the anchor lie whole intervals only: one more than is asked for, unless the run had not begun then.
        let before = anchor_us.saturating_sub(from_us).div_ceil(length_us).min(anchor_us / length_us);
        let from_us = anchor_us - before * length_us;
        let mut bins = vec![Bin::default(); to_us.saturating_sub(from_us).div_ceil(length_us) as usize];
        for write in ledger.writes.values().filter(|write| write.at_us >= from_us) {
            if let Some(bin) = bins.get_mut(((write.at_us - from_us) / length_us) as usize) {
                bin.add(write.outcome);
            }
        }
        Bins { from_us, length_us, bins }
    }

    /// Where an interval begins, in microseconds since the run's origin.
    pub(crate) fn begin_us(&self, index: usize) -> u64 {
        self.from_us + index as u64 * self.length_us
    }

    /// The largest count of any interval.
    pub(crate) fn most(&self) -> u64 {
        self.bins.iter().map(|bin| bin.counts().iter().sum()).max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use report::ledger::Ledger;

    use super::{Bin, Bins};

    fn ledger() -> Ledger {
        let text = "run,at_us,worker,seq,event,scheduled_us,latency_us,sqlstate,node,timeline\n\
            r,100000,0,1,sent,,,,n,1\nr,104000,0,1,acked,,,,n,1\nr,110000,0,2,sent,,,,n,1\nr,115000,0,2,failed,,,,n,1\n\
            r,120000,0,3,sent,,,,n,1\nr,125000,0,3,acked_local,,,,n,1\nr,300000,0,4,skipped,,,,n,\nr,301000,,4,end,,,,,\n";
        Ledger::read(text.as_bytes()).unwrap()
    }

    #[test]
    fn each_write_counts_in_the_interval_in_which_its_outcome_became_known() {
        let bins = Bins::count(&ledger(), (100_000, 140_000), 115_000, 11);
        assert_eq!((bins.length_us, bins.begin_us(0)), (5_000, 100_000));
        let found: Vec<(u64, [u64; 4])> =
            bins.bins.iter().enumerate().map(|(index, bin)| (bins.begin_us(index), bin.counts())).collect();
        let some: Vec<_> = found.into_iter().filter(|(_, counts)| *counts != [0; 4]).collect();
        assert_eq!(some, [(100_000, [1, 0, 0, 0]), (115_000, [0, 0, 1, 0]), (125_000, [0, 1, 0, 0])]);
        assert_eq!(bins.most(), 1);
    }

    #[test]
    fn no_interval_reaches_across_the_anchor_and_there_are_never_too_many() {
        for (from, to, anchor, most) in [(0, 7_000_000_000, 13, 100), (5, 10, 7, 2), (0, 1_000_000, 333_333, 64)] {
            let bins = Bins::count(&Ledger::default(), (from, to), anchor, most);
            assert!(bins.bins.len() as u64 <= most, "{} of {most}", bins.bins.len());
            let begins = (0..=bins.bins.len()).map(|index| bins.begin_us(index));
            assert!(
                begins.into_iter().any(|begin| begin == anchor),
                "{anchor} in {} of {}",
                bins.bins.len(),
                bins.length_us
            );
            assert!(bins.bins.iter().all(|bin| *bin == Bin::default()));
        }
    }
}
