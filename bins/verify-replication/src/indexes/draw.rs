//! Which rows to look up by an index: drawn at random from all over the table, other ones in each run. Damage that one run
//! misses the next one may find.

use std::collections::BTreeSet;

use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::Table;
use super::index::Index;
use crate::reader::{Reader, Trouble, column};
use crate::tid::Tid;

/// Which rows of each table to look up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draw {
    /// How many.
    pub(crate) rows: usize,
    /// The same seed draws the same places.
    pub(crate) seed: u64,
}

/// How many places are tried for each row that is wanted: some line pointers are dead.
const TRIES: u64 = 4;

/// A partial index of which fewer rows than one in so many of those wanted were met is drawn from by a scan of the table.
const RARE: usize = 4;

/// The places of some rows that an index should lead to, by a scan. `found`: the condition that they can be looked up by it.
///
/// # Errors
/// Why they could not be read.
pub(super) fn draw(reader: &mut Reader, table: &Table, index: &Index, found: &str) -> Result<Vec<Tid>, Trouble> {
    let (name, wanted) = (table.layout.table.quoted(), table.draw.rows);
    let mut random = ChaCha8Rng::seed_from_u64(table.draw.seed ^ u64::from(index.oid));
    let places = places(table.blocks, table.rows, wanted as u64, &mut random);
    let names: Vec<String> = places.iter().map(|(block, pointer)| format!("({block},{pointer})")).collect();
    let sql = format!(
        "SELECT t.ctid FROM ONLY {name} AS t WHERE t.ctid = ANY ($1::text[]::tid[]) AND {} AND {found}",
        index.condition()
    );
    let there: BTreeSet<Tid> = tids(&reader.rows(&sql, &[&names])?)?.into_iter().collect();
    // In the order of the places: the first round of them alone is spread over the whole table.
    let mut drawn = Vec::new();
    for (block, offset) in places {
        let (Ok(block), Ok(offset)) = (block.try_into(), offset.try_into()) else { continue };
        let tid = Tid { block, offset };
        if there.contains(&tid) && !drawn.contains(&tid) && drawn.len() < wanted {
            drawn.push(tid);
        }
    }
    if index.predicate.is_none() || drawn.len() >= wanted / RARE {
        return Ok(drawn);
    }
    let seed = table.draw.seed.cast_signed();
    let sql = format!(
        "SELECT t.ctid FROM ONLY {name} AS t WHERE {} AND {found} \
          ORDER BY pg_catalog.hashtidextended(t.ctid, {seed}) LIMIT {wanted}",
        index.condition()
    );
    tids(&reader.rows(&sql, &[])?)
}

fn tids(rows: &[tokio_postgres::Row]) -> Result<Vec<Tid>, Trouble> {
    rows.iter().map(|row| column(row, 0)).collect()
}

/// Where to look for rows: block and line pointer. As many rounds as there are tries, each with a place in every part of
/// the table; of a small table, all places.
fn places(blocks: u64, rows: u64, wanted: u64, random: &mut ChaCha8Rng) -> Vec<(u64, u64)> {
    let in_block = rows.div_ceil(blocks.max(1)).max(1);
    if blocks * in_block <= wanted * TRIES {
        let mut all: Vec<_> = (0..blocks).flat_map(|block| (1..=in_block).map(move |place| (block, place))).collect();
        all.shuffle(random);
        return all;
    }
    let parts = wanted.min(blocks);
    let mut places = Vec::new();
    for _ in 0..wanted.div_ceil(parts) * TRIES {
        for part in 0..parts {
            let (from, to) = (part * blocks / parts, (part + 1) * blocks / parts);
            places.push((random.random_range(from..to), random.random_range(1..=in_block)));
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::SeedableRng as _;
    use rand_chacha::ChaCha8Rng;

    use super::places;

    fn drawn(blocks: u64, rows: u64, wanted: u64, seed: u64) -> Vec<(u64, u64)> {
        places(blocks, rows, wanted, &mut ChaCha8Rng::seed_from_u64(seed))
    }

    #[test]
    fn the_first_round_of_places_is_spread_over_the_whole_table() {
        let places = drawn(10_000, 600_000, 100, 1);
        assert_eq!(places.len(), 400);
        let hundredths: BTreeSet<u64> = places[..100].iter().map(|(block, _)| block / 100).collect();
        assert_eq!(hundredths.len(), 100, "one block of each hundredth");
        assert!(places.iter().all(|(block, pointer)| *block < 10_000 && (1..=60).contains(pointer)));
    }

    #[test]
    fn another_seed_draws_other_places_and_the_same_the_same() {
        assert_eq!(drawn(10_000, 600_000, 100, 7), drawn(10_000, 600_000, 100, 7));
        assert_ne!(drawn(10_000, 600_000, 100, 7), drawn(10_000, 600_000, 100, 8));
    }

    #[test]
    fn of_a_small_table_every_row_is_looked_up() {
        assert_eq!(drawn(3, 90, 100, 1).into_iter().collect::<BTreeSet<_>>().len(), 90);
    }

    #[test]
    fn more_rows_than_blocks_are_drawn_from_few_blocks() {
        let places = drawn(10, 1_000, 100, 1);
        assert_eq!((places.len(), places.iter().map(|(block, _)| block).collect::<BTreeSet<_>>().len()), (400, 10));
    }

    #[test]
    fn an_empty_table_has_no_places() {
        assert!(drawn(0, 0, 100, 1).is_empty());
    }
}
