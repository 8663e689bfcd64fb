//! Random choices that can be made again: of what is planted, and of the order in which cells of a matrix are held.

/// SplitMix64: small, and good enough to choose rows and turns.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    /// A number from 0 to `below` - 1; 0 where there is none.
    pub(super) fn below(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)).checked_rem(below).unwrap_or(0)
    }

    /// `many` different numbers from 1 to `last`, or as many as there are.
    pub(super) fn some(&mut self, many: u64, last: u64) -> Vec<u64> {
        let mut all: Vec<u64> = (1..=last).collect();
        let many = many.min(last);
        for place in 0..many {
            let other = place + self.below(last - place);
            all.swap(place as usize, other as usize);
        }
        all.truncate(many as usize);
        all
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Dice;

    #[test]
    fn the_same_seed_draws_the_same_and_never_one_twice() {
        let drawn = Dice::new(7).some(20, 30);
        assert_eq!(drawn, Dice::new(7).some(20, 30));
        assert_ne!(drawn, Dice::new(8).some(20, 30));
        let different: BTreeSet<u64> = drawn.iter().copied().collect();
        assert_eq!(different.len(), 20);
        assert!(different.iter().all(|number| (1..=30).contains(number)));
        assert_eq!(Dice::new(7).some(5, 2).len(), 2);
    }
}
