//! Chance that can be repeated: each row has its own stretch of one ChaCha8 key stream.

use fake::rand::rngs::ChaCha8Rng;
use fake::rand::{Rng as _, SeedableRng as _};

use crate::table::Table;

/// Blocks of 64 bytes that belong to one row. Four are what the generator makes at a time, so a row costs one refill;
/// no row throws dice more than 32 times 8 bytes (`a_row_stays_within_its_stretch` holds it to that).
const BLOCKS_PER_ROW: u64 = 4;

/// The dice of one table. What they show depends on the seed, the table and the row; never on the rows before.
pub(crate) struct Dice {
    key_stream: ChaCha8Rng,
}

impl Dice {
    /// The dice for `table`. The seed is the key itself: no library's mixing function stands between.
    pub(crate) fn new(seed: u64, table: Table) -> Dice {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        let mut key_stream = ChaCha8Rng::from_seed(key);
        key_stream.set_stream(table as u64);
        Dice { key_stream }
    }

    /// Goes to the beginning of a row's stretch.
    pub(crate) fn seek(&mut self, row: u64) {
        self.key_stream.set_block_pos(row * BLOCKS_PER_ROW);
    }

    /// A number from 0 to below `end`. Computed here, since `rand` may change how it draws from a range.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        let product = u128::from(self.key_stream.next_u64()) * u128::from(end);
        u64::try_from(product >> 64).unwrap_or(0) // below 2^64 × end / 2^64: it always fits
    }

    /// Whether one throw in `n` shows what was hoped for.
    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// One of these.
    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        let index = self.below(from.len() as u64);
        &from[usize::try_from(index).unwrap_or(0)]
    }

    /// 32 random bytes.
    pub(crate) fn bytes(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        self.key_stream.fill_bytes(&mut bytes);
        bytes
    }

    /// How much of its stretch the row has used, in blocks rounded up.
    #[cfg(test)]
    pub(crate) fn blocks_used(&self, row: u64) -> u64 {
        let words = self.key_stream.get_word_pos() - u128::from(row * BLOCKS_PER_ROW) * 16;
        u64::try_from(words.div_ceil(16)).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::Dice;
    use crate::table::Table;

    #[test]
    fn a_row_does_not_depend_on_the_rows_before() {
        let mut dice = Dice::new(1, Table::Orders);
        dice.seek(7);
        let seven = dice.bytes();
        dice.seek(3);
        dice.below(10);
        dice.seek(7);
        assert_eq!(dice.bytes(), seven);
    }

    #[test]
    fn seeds_and_tables_have_dice_of_their_own() {
        let first = |seed, table| {
            let mut dice = Dice::new(seed, table);
            dice.seek(1);
            dice.bytes()
        };
        assert_ne!(first(1, Table::Orders), first(2, Table::Orders));
        assert_ne!(first(1, Table::Orders), first(1, Table::Users));
    }

    /// Should a new release of a library show other dice, every seeded database would differ from its description.
    #[test]
    fn the_dice_never_change() {
        let mut dice = Dice::new(1, Table::Customers);
        dice.seek(1);
        let thrown: Vec<_> = (0..5).map(|_| dice.below(1000)).collect();
        assert_eq!(thrown, [488, 16, 812, 217, 7]);
    }

    #[test]
    fn stays_below_the_end() {
        let mut dice = Dice::new(1, Table::Orders);
        for row in 0..1000 {
            dice.seek(row);
            assert!(dice.below(3) < 3);
            assert_eq!(dice.below(1), 0);
        }
    }
}
