//! Random numbers that can be repeated: each row has blocks of its own in one ChaCha8 key stream.

use fake::rand::rngs::ChaCha8Rng;
use fake::rand::{Rng as _, SeedableRng as _};

use crate::table::Table;

/// Blocks of 64 bytes that belong to one row. The generator makes four at a time, so a row costs one refill; no row takes
/// more than 32 numbers of 8 bytes (the test `a_row_stays_within_its_blocks` makes sure of that).
const BLOCKS_PER_ROW: u64 = 4;

/// The random numbers of one table. They depend on the seed, the table and the row, never on the rows before.
pub(crate) struct RowRng {
    key_stream: ChaCha8Rng,
}

impl RowRng {
    /// The seed is the key itself, so no library's mixing function can change the numbers.
    pub(crate) fn new(seed: u64, table: Table) -> RowRng {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        let mut key_stream = ChaCha8Rng::from_seed(key);
        key_stream.set_stream(table as u64);
        RowRng { key_stream }
    }

    /// Goes to the first of a row's blocks.
    pub(crate) fn seek(&mut self, row: u64) {
        self.key_stream.set_block_pos(row * BLOCKS_PER_ROW);
    }

    /// A number from 0 to below `end`. Computed here, since `rand` may change how it draws from a range.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        let product = u128::from(self.key_stream.next_u64()) * u128::from(end);
        u64::try_from(product >> 64).unwrap_or(0) // below 2^64 × end / 2^64: it always fits
    }

    /// True once in `n` times.
    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        let index = self.below(from.len() as u64);
        &from[usize::try_from(index).unwrap_or(0)]
    }

    pub(crate) fn bytes(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        self.key_stream.fill_bytes(&mut bytes);
        bytes
    }

    /// How many of its blocks the row has used, rounded up.
    #[cfg(test)]
    pub(crate) fn blocks_used(&self, row: u64) -> u64 {
        let words = self.key_stream.get_word_pos() - u128::from(row * BLOCKS_PER_ROW) * 16;
        u64::try_from(words.div_ceil(16)).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::RowRng;
    use crate::table::Table;

    #[test]
    fn a_row_does_not_depend_on_the_rows_before() {
        let mut rng = RowRng::new(1, Table::Orders);
        rng.seek(7);
        let seven = rng.bytes();
        rng.seek(3);
        rng.below(10);
        rng.seek(7);
        assert_eq!(rng.bytes(), seven);
    }

    #[test]
    fn seeds_and_tables_have_numbers_of_their_own() {
        let first = |seed, table| {
            let mut rng = RowRng::new(seed, table);
            rng.seek(1);
            rng.bytes()
        };
        assert_ne!(first(1, Table::Orders), first(2, Table::Orders));
        assert_ne!(first(1, Table::Orders), first(1, Table::Users));
    }

    /// If a new release of a library made other numbers, every seeded database would differ from its spec.
    #[test]
    fn the_numbers_never_change() {
        let mut rng = RowRng::new(1, Table::Customers);
        rng.seek(1);
        let numbers: Vec<_> = (0..5).map(|_| rng.below(1000)).collect();
        assert_eq!(numbers, [488, 16, 812, 217, 7]);
    }

    #[test]
    fn stays_below_the_end() {
        let mut rng = RowRng::new(1, Table::Orders);
        for row in 0..1000 {
            rng.seek(row);
            assert!(rng.below(3) < 3);
            assert_eq!(rng.below(1), 0);
        }
    }
}
