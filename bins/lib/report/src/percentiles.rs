//! Percentiles of microseconds, from a histogram that keeps three significant digits.

use hdrhistogram::Histogram;

/// Longest value kept apart, in microseconds: an hour. Anything longer counts as an hour.
const LONGEST_US: u64 = 3_600_000_000;

/// Times in microseconds, of which percentiles can be asked.
#[derive(Clone, Debug)]
pub struct Percentiles {
    histogram: Histogram<u64>,
    /// The longest, as it was: a bucket has but its edges.
    longest: Option<u64>,
}

impl Default for Percentiles {
    fn default() -> Self {
        let histogram = Histogram::new_with_max(LONGEST_US, 3).expect("1 hour at 3 digits is a valid histogram");
        Percentiles { histogram, longest: None }
    }
}

impl Percentiles {
    /// Counts one time.
    pub fn record(&mut self, us: u64) {
        self.histogram.saturating_record(us);
        self.longest = self.longest.max(Some(us));
    }

    /// How many times were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// The time that `percent` of those counted do not exceed, within 0.1 %; `None` if there are none.
    #[must_use]
    pub fn at(&self, percent: f64) -> Option<u64> {
        // A bucket answers with its upper edge, which may lie above anything that was seen.
        Some(self.histogram.value_at_percentile(percent).min(self.longest?))
    }

    /// The time that `percent` of those counted and of `more` longer ones do not exceed, within 0.1 %; `None` if that is one of the
    /// longer ones.
    #[must_use]
    pub fn at_among(&self, percent: f64, more: u64) -> Option<u64> {
        let rank = (percent / 100.0 * (self.count() + more) as f64).ceil();
        if rank > self.count() as f64 {
            return None;
        }
        self.at(100.0 * (rank - 0.5) / self.count() as f64) // half a rank below, so that no rounding takes the next one
    }

    /// The longest, to the microsecond; `None` if there are none.
    #[must_use]
    pub fn max(&self) -> Option<u64> {
        self.longest
    }

    /// Forgets all, keeps the memory.
    pub fn clear(&mut self) {
        self.histogram.reset();
        self.longest = None;
    }
}

/// The middle of some figures (the lower of two middles); `None` if there are none.
#[must_use]
pub fn median<T: Copy + PartialOrd>(figures: &[T]) -> Option<T> {
    let mut sorted = figures.to_vec();
    sorted.sort_by(|a, b| a.partial_cmp(b).expect("figures can be ordered"));
    sorted.get(sorted.len().checked_sub(1)? / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::{Percentiles, median};

    #[test]
    fn nothing_counted_has_no_percentile() {
        assert_eq!(Percentiles::default().at(50.0), None);
        assert_eq!(Percentiles::default().max(), None);
    }

    #[test]
    fn agrees_with_sorting_within_a_thousandth() {
        let mut percentiles = Percentiles::default();
        (1..=10_000).for_each(|us| percentiles.record(us));
        for (percent, want) in [(50.0, 5_000.0), (99.0, 9_900.0), (100.0, 10_000.0)] {
            let got = percentiles.at(percent).unwrap() as f64;
            assert!((got - want).abs() <= want / 1000.0, "p{percent}: {got} instead of {want}");
        }
    }

    #[test]
    fn what_is_longer_than_all_that_was_counted_moves_the_rank() {
        let mut percentiles = Percentiles::default();
        (1..=10).for_each(|number| percentiles.record(number * 10));
        for (percent, more, want) in [
            (50.0, 0, Some(50)),
            (50.0, 2, Some(60)),
            (50.0, 10, Some(100)),
            (50.0, 11, None),
            (100.0, 0, Some(100)),
            (100.0, 1, None),
        ] {
            assert_eq!(percentiles.at_among(percent, more), want, "{percent} {more}");
        }
        assert_eq!(Percentiles::default().at_among(50.0, 0), None);
        assert_eq!(Percentiles::default().at_among(50.0, 3), None);
    }

    #[test]
    fn forgets_the_maximum_too() {
        let mut percentiles = Percentiles::default();
        percentiles.record(5_000);
        percentiles.clear();
        percentiles.record(10);
        assert_eq!(percentiles.max(), Some(10));
    }

    #[test]
    fn the_longest_is_what_was_counted_and_no_percentile_is_longer() {
        let mut percentiles = Percentiles::default();
        [23_632, 100, 2 * super::LONGEST_US].iter().for_each(|us| percentiles.record(*us));
        assert_eq!(percentiles.max(), Some(2 * super::LONGEST_US));
        percentiles.clear();
        [100, 23_632].iter().for_each(|us| percentiles.record(*us));
        assert_eq!((percentiles.max(), percentiles.at(100.0)), (Some(23_632), Some(23_632)));
    }

    #[test]
    fn median_of_odd_even_and_none() {
        assert_eq!(median(&[3, 1, 2]), Some(2));
        assert_eq!(median(&[4, 1, 2, 3]), Some(2));
        assert_eq!(median::<u64>(&[]), None);
    }
}
