//! Which rows to look up by an index: drawn at random from the whole table, other rows in each run, so that the next run may
//! find damage that this one misses.

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::Table;
use super::index::Index;
use crate::layout::Blocks;
use crate::read_error::ReadError;
use crate::reader::{Reader, column};
use crate::tid::Tid;

/// Which rows of each table to look up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draw {
    pub(crate) rows: usize,
    /// The same seed draws the same places.
    pub(crate) seed: u64,
}

/// Blocks up to which all rows of a table are drawn from.
const SMALL: u64 = 1024;

/// If fewer rows than one in so many of those wanted were met in some blocks, all are drawn from.
const RARE: usize = 4;

/// The places of some rows that an index should lead to, by a scan. `found`: the condition that they can be looked up by it.
pub(super) fn draw(reader: &mut Reader, table: &Table, index: &Index, found: &str) -> Result<Vec<Tid>, ReadError> {
    let (wanted, seed) = (table.draw.rows as u64, table.draw.seed ^ u64::from(index.oid));
    if table.blocks > SMALL {
        let blocks = blocks(table.blocks, wanted, &mut ChaCha8Rng::seed_from_u64(seed));
        let each = wanted.div_ceil(blocks.len() as u64);
        let of_blocks = |block: &u64| format!("({})", shuffled(table, index, found, Blocks::one(*block), seed, each));
        let sql: Vec<_> = blocks.iter().map(of_blocks).collect();
        let drawn = tids(&reader.rows(&sql.join(" UNION ALL "), &[])?)?;
        if drawn.len() >= table.draw.rows / RARE {
            return Ok(drawn);
        }
    }
    tids(&reader.rows(&shuffled(table, index, found, Blocks::ALL, seed, wanted), &[])?)
}

/// The statement that draws up to so many rows of a range.
fn shuffled(table: &Table, index: &Index, found: &str, range: Blocks, seed: u64, rows: u64) -> String {
    format!(
        "SELECT t.ctid FROM {} AND {} AND {} AND {found} \
          ORDER BY pg_catalog.hashtidextended(t.ctid, {}) LIMIT {rows}",
        table.layout.table.rows(),
        range.holds(),
        index.condition(),
        seed.cast_signed()
    )
}

/// A block in each part of a table, as many as rows are wanted.
fn blocks(all: u64, wanted: u64, random: &mut ChaCha8Rng) -> Vec<u64> {
    let parts = wanted.min(all);
    (0..parts).map(|part| random.random_range(part * all / parts..(part + 1) * all / parts)).collect()
}

fn tids(rows: &[tokio_postgres::Row]) -> Result<Vec<Tid>, ReadError> {
    rows.iter().map(|row| column(row, 0)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::SeedableRng as _;
    use rand_chacha::ChaCha8Rng;

    use super::blocks;

    fn drawn(all: u64, wanted: u64, seed: u64) -> Vec<u64> {
        blocks(all, wanted, &mut ChaCha8Rng::seed_from_u64(seed))
    }

    #[test]
    fn blocks_are_spread_over_the_whole_table() {
        let hundredths: BTreeSet<u64> = drawn(10_000, 100, 1).iter().map(|block| block / 100).collect();
        assert_eq!(hundredths.len(), 100, "one block of each hundredth");
        assert_eq!(drawn(10, 100, 1), (0..10).collect::<Vec<_>>());
    }

    #[test]
    fn another_seed_draws_other_blocks_and_the_same_the_same() {
        assert_eq!(drawn(10_000, 100, 7), drawn(10_000, 100, 7));
        assert_ne!(drawn(10_000, 100, 7), drawn(10_000, 100, 8));
    }
}
