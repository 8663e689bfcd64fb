//! Two samples compared by their ranks: is the second one larger, and by how much?
//!
//! Times of takeovers are few, skewed and often tied, so nothing is assumed of their distribution. The test is that of Mann and
//! Whitney with its exact distribution, given the ties that there are; the shift is that of Hodges and Lehmann with the interval
//! that belongs to the test (Hollander and Wolfe, *Nonparametric Statistical Methods*, chapter 4).

/// How much larger the second sample is, in the samples' unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shift {
    /// The median of all differences, each of the second less each of the first.
    pub middle: f64,
    /// The lower end of the 95 % interval.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// The chance, if both samples are of one distribution, that the ranks of the second are as large as seen, or larger.
#[must_use]
pub fn p_larger(first: &[f64], second: &[f64]) -> f64 {
    let ranks = doubled_ranks(&[first, second].concat());
    let seen: usize = ranks[first.len()..].iter().sum();
    let ways = ways(&ranks, second.len());
    ways[seen..].iter().sum::<f64>() / ways.iter().sum::<f64>()
}

/// The shift from the first sample to the second; `None` if one of them is empty.
#[must_use]
pub fn shift(first: &[f64], second: &[f64]) -> Option<Shift> {
    let mut differences: Vec<f64> = second.iter().flat_map(|b| first.iter().map(move |a| b - a)).collect();
    differences.sort_by(f64::total_cmp);
    let cut = critical(first.len(), second.len()).map_or(0, |critical| critical + 1).max(1) - 1;
    let (low, high) = (*differences.get(cut)?, differences[differences.len() - 1 - cut]);
    Some(Shift { middle: middle(&differences)?, low, high })
}

/// The median, between the two in the middle where there are two; `None` of nothing.
fn middle(figures: &[f64]) -> Option<f64> {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (half, last) = (sorted.len() / 2, sorted.len().checked_sub(1)?);
    Some(f64::midpoint(sorted[last - half], sorted[half]))
}

/// The chances of several tests, corrected as Holm (1979) does: each is compared with the level of all of them together.
#[must_use]
pub fn holm(chances: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..chances.len()).collect();
    order.sort_by(|a, b| chances[*a].total_cmp(&chances[*b]));
    let (mut corrected, mut least) = (vec![1.0; chances.len()], 0.0_f64);
    for (place, index) in order.into_iter().enumerate() {
        least = least.max(chances[index] * (chances.len() - place) as f64).min(1.0);
        corrected[index] = least;
    }
    corrected
}

/// The largest U that is significant at 0.05 on both sides, as the tables have it; `None` if even 0 is not.
fn critical(first: usize, second: usize) -> Option<usize> {
    let ranks: Vec<usize> = (1..=first + second).collect();
    let (ways, least) = (ways(&ranks, second), second * (second + 1) / 2);
    let level = 0.025 * ways.iter().sum::<f64>();
    let mut sum = 0.0;
    let significant = ways.iter().skip(least).take_while(|count| {
        sum += **count;
        sum <= level
    });
    significant.count().checked_sub(1)
}

/// Twice each rank, so that those of ties, which lie between, are whole.
fn doubled_ranks(values: &[f64]) -> Vec<usize> {
    let rank = |value: &f64| {
        let below = values.iter().filter(|other| *other < value).count();
        let equal = values.iter().filter(|other| *other == value).count();
        2 * below + equal + 1
    };
    values.iter().map(rank).collect()
}

/// In how many ways `size` of the ranks have each sum.
fn ways(ranks: &[usize], size: usize) -> Vec<f64> {
    let most: usize = ranks.iter().sum();
    let mut ways = vec![vec![0.0; most + 1]; size + 1];
    ways[0][0] = 1.0;
    for rank in ranks {
        // From above: each rank is taken once.
        for taken in (1..=size).rev() {
            let (less, more) = ways.split_at_mut(taken);
            more[0].iter_mut().skip(*rank).zip(&less[taken - 1]).for_each(|(with, without)| *with += without);
        }
    }
    ways.pop().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Shift, critical, holm, middle, p_larger, shift};

    #[test]
    fn critical_values_are_those_of_the_tables() {
        // Two-sided, 0.05: any printed table of Mann and Whitney's U.
        for (first, second, expected) in [
            (3, 3, None),
            (4, 4, Some(0)),
            (5, 5, Some(2)),
            (5, 8, Some(6)),
            (8, 8, Some(13)),
            (10, 10, Some(23)),
            (20, 20, Some(127)),
        ] {
            assert_eq!(critical(first, second), expected, "{first} and {second}");
        }
    }

    #[test]
    fn the_chance_is_the_published_one() {
        // The example in the manual of scipy.stats.mannwhitneyu: U 17, exact, 0.1111 on both sides.
        let (females, males) = ([20.0, 11.0, 17.0, 12.0], [19.0, 22.0, 16.0, 29.0, 24.0]);
        assert!((p_larger(&females, &males) - 1.0 / 18.0).abs() < 1e-12);
        // By hand: one of the C(6,3) = 20 ways is as extreme.
        assert!((p_larger(&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0]) - 0.05).abs() < 1e-12);
    }

    #[test]
    fn ties_are_counted_and_all_equal_says_nothing() {
        assert!((p_larger(&[0.0; 9], &[0.0; 9]) - 1.0).abs() < 1e-12);
        // By hand: of {0, 0, 0, 1} the second two hold the 1 in 3 of 6 ways.
        assert!((p_larger(&[0.0, 0.0], &[0.0, 1.0]) - 0.5).abs() < 1e-12);
    }

    #[test]
    fn the_shift_has_the_interval_of_the_test() {
        let first: Vec<f64> = (0..5).map(f64::from).collect();
        let second: Vec<f64> = first.iter().map(|value| value + 10.0).collect();
        // The third of the 25 differences from each end: 6, 7, 7, … 13, 13, 14.
        assert_eq!(shift(&first, &second), Some(Shift { middle: 10.0, low: 7.0, high: 13.0 }));
        assert_eq!(shift(&first, &[]), None);
        assert_eq!((middle(&[4.0, 1.0, 2.0, 3.0]), middle(&[])), (Some(2.5), None));
    }

    #[test]
    fn holm_keeps_the_order_and_stops_at_one() {
        let corrected = holm(&[0.01, 0.04, 0.03, 0.9]);
        for (found, expected) in corrected.iter().zip([0.04, 0.09, 0.09, 0.9]) {
            assert!((found - expected).abs() < 1e-12, "{corrected:?}");
        }
    }
}
