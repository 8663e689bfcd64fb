//! Acknowledged writes over time, as a line of bars in which a gap is seen.

/// How finely acks are counted, in microseconds.
const FINE_US: u64 = 10_000;

/// What one bar stands for, in microseconds: less than a takeover takes. In a longer one what was held up meanwhile, and is
/// acknowledged at once afterwards, would fill the gap.
pub(super) const BAR_US: u64 = 50_000;

/// The most that is remembered: hours of load.
const MOST: usize = 2_000_000;

const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Counts of acks.
#[derive(Debug, Default)]
pub(super) struct Acks {
    first: Option<u64>,
    counts: Vec<u32>,
}

impl Acks {
    pub(super) fn add(&mut self, at_us: u64) {
        let slot = at_us / FINE_US;
        let index = slot.saturating_sub(*self.first.get_or_insert(slot)) as usize;
        if index < MOST {
            self.counts.resize(self.counts.len().max(index + 1), 0);
            self.counts[index] += 1;
        }
    }

    /// How many there were from one moment to another.
    pub(super) fn between(&self, from_us: u64, to_us: u64) -> u64 {
        let Some(first) = self.first else { return 0 };
        let index = |us: u64| ((us / FINE_US).saturating_sub(first) as usize).min(self.counts.len());
        let (from, to) = (index(from_us), index(to_us));
        self.counts.get(from..to).unwrap_or_default().iter().map(|count| u64::from(*count)).sum()
    }

    /// The moment at which the leftmost of `bars` bars begins, if the last one ends at or before `now_us`. Bars begin where
    /// `aligned_us` does: a fault is at the left edge of one, so that an outage is not split between two.
    pub(super) fn left_us(bars: usize, aligned_us: u64, now_us: u64) -> u64 {
        let right = now_us - (now_us + BAR_US - aligned_us % BAR_US) % BAR_US;
        right.saturating_sub(bars as u64 * BAR_US)
    }

    /// The bars from `left_us` on. A full one holds what three quarters of those that hold anything do not exceed: what was
    /// held up by an outage comes in one burst after it, and by the height of that all others would look like a gap.
    pub(super) fn bars(&self, bars: usize, left_us: u64) -> String {
        let count = |bar: u64| self.between(left_us + bar * BAR_US, left_us + (bar + 1) * BAR_US);
        let counts: Vec<u64> = (0..bars as u64).map(count).collect();
        let mut busy: Vec<u64> = counts.iter().copied().filter(|count| *count > 0).collect();
        busy.sort_unstable();
        let full = busy.get(busy.len() * 3 / 4).copied().unwrap_or(1);
        counts.iter().map(|count| BARS[(count * 8).div_ceil(full).min(8) as usize]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_burst_after_an_outage_hides_no_gap() {
        let (mut acks, t0_us) = (Acks::default(), 2_000_000);
        (1_000_000..2_500_000)
            .step_by(2_000)
            .map(|at| if (t0_us..t0_us + 310_000).contains(&at) { t0_us + 310_000 } else { at })
            .for_each(|at| acks.add(at));
        assert_eq!(acks.bars(20, 1_500_000), "██████████      ████");
    }

    #[test]
    fn a_gap_is_seen_where_the_fault_is() {
        let (mut acks, t0_us) = (Acks::default(), 2_040_000);
        (1_000_000..4_000_000)
            .step_by(2_000)
            .filter(|at| !(t0_us..t0_us + 60_000).contains(at))
            .for_each(|at| acks.add(at));
        let left_us = Acks::left_us(20, t0_us, 2_560_000);
        assert_eq!(left_us, 1_540_000);
        let bars = acks.bars(20, left_us);
        assert_eq!(bars, "██████████ ▇████████", "{bars}");
        assert_eq!(acks.between(1_000_000, 2_000_000), 500);
        assert_eq!(Acks::default().bars(3, 0), "   ");
    }
}
