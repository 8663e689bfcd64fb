//! Some rows looked up by index: a row that a scan shows and the index does not is as good as lost for most queries.
//!
//! They are drawn at random from all over the table, other ones in each run: damage that one run misses the next one may
//! find. They are looked up by the operators of the index's own operator class, or the server could not use the index.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::fingerprint::Fingerprint;
use crate::layout::Layout;
use crate::localise::{Look, Version};
use crate::node::{Node, catch_up_if_quick};
use crate::reader::{Reader, Trouble, column};
use crate::recheck::Limits;
use crate::tid::{Tid, Xid};

/// How often rows are looked up again that changed between two looks.
pub(crate) const LOOKS: u32 = 10;

/// The pause between two such looks.
const PAUSE: Duration = Duration::from_millis(50);

/// Which rows of each table to look up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draw {
    /// How many; 0: none.
    pub(crate) rows: usize,
    /// The same seed draws the same places.
    pub(crate) seed: u64,
}

/// How many places are tried for each row that is wanted: some line pointers are dead.
const TRIES: u64 = 4;

/// A row's key, column by column as text, and the fingerprint of its content on the primary.
struct Sampled {
    key: Vec<String>,
    hash: Fingerprint,
}

/// What a look-up found for the n-th key.
type Found = BTreeMap<i64, BTreeSet<(Tid, Xid, Fingerprint)>>;

/// Looks some of `rows` rows up on the standby by the primary key's index. `different`: index and scan do not
/// find the same under a key. `again`: changed at every look.
///
/// # Errors
/// Why they could not be looked up.
pub(crate) fn look_up(
    primary: &mut Node,
    standby: &mut Node,
    layout: &Layout,
    rows: u64,
    draw: Draw,
    limits: Limits,
) -> Result<Look, Trouble> {
    let sampled = sample(primary.reader(), layout, rows, draw)?;
    if sampled.is_empty() {
        return Ok(Look::default());
    }
    // That most are there: what is not found as it was sampled is looked at closer on the standby alone.
    catch_up_if_quick(primary, standby, limits.catch_up).map_err(|error| Trouble::Lost(format!("{error:#}")))?;
    let all: Vec<_> = sampled.iter().collect();
    let found = by_index(&mut standby.readers[0], layout, &all)?;
    // A hash that differs was only the reason to look closer: the row may have been updated since it was sampled.
    let mut open: Vec<&Sampled> = Vec::new();
    for (n, row) in (1..).zip(&all) {
        let as_sampled =
            found.get(&n).is_some_and(|rows| rows.len() == 1 && rows.iter().all(|(.., hash)| *hash == row.hash));
        if !as_sampled {
            open.push(row);
        }
    }
    closer(&mut standby.readers[0], layout, open)
}

/// Compares what index and scan find, on the standby alone, until they agree or are proven not to.
fn closer(reader: &mut Reader, layout: &Layout, mut open: Vec<&Sampled>) -> Result<Look, Trouble> {
    let mut look = Look::default();
    for round in 0..LOOKS {
        if open.is_empty() {
            break;
        }
        if round > 0 {
            program::stop::pause(PAUSE).map_err(|error| Trouble::Lost(error.to_string()))?;
        }
        let before = by_index(reader, layout, &open)?;
        let scanned = lookup(reader, layout, &open)?;
        let after = by_index(reader, layout, &open)?;
        let mut still = Vec::new();
        for (n, row) in (1..).zip(open) {
            let [before, scanned, after] = [&before, &scanned, &after].map(|found| found.get(&n));
            if scanned == before || scanned == after {
                continue;
            }
            match scanned.or(before).and_then(BTreeSet::first) {
                Some(found) if before == after => look.different.push(version(row, *found)),
                _ => still.push(row),
            }
        }
        open = still;
    }
    look.again = open.iter().map(|row| row.key.join(", ")).collect();
    Ok(look)
}

fn version(row: &Sampled, (ctid, xmin, hash): (Tid, Xid, Fingerprint)) -> Version {
    Version { ctid, xmin, xmax: Xid::NONE, key: Some(row.key.join(", ")), hash }
}

/// Rows from all over the table, as many as are wanted or as its places hold.
fn sample(reader: &mut Reader, layout: &Layout, rows: u64, draw: Draw) -> Result<Vec<Sampled>, Trouble> {
    let keys: Vec<_> = layout.key.iter().map(|column| format!("t.{}::text", column.quoted)).collect();
    let sql = format!(
        "SELECT t.ctid, {}, ARRAY[{}] FROM ONLY {} AS t WHERE t.ctid = ANY ($1::text[]::tid[])",
        layout.fingerprint(),
        keys.join(", "),
        layout.table.quoted()
    );
    let mut random = ChaCha8Rng::seed_from_u64(draw.seed ^ u64::from(layout.table.oid));
    let places = places(layout.blocks, rows, draw.rows as u64, &mut random);
    let names: Vec<String> = places.iter().map(|(block, pointer)| format!("({block},{pointer})")).collect();
    let mut there: BTreeMap<(u64, u64), Sampled> = BTreeMap::new();
    for row in reader.rows(&sql, &[&names])? {
        let Tid { block, offset } = column(&row, 0)?;
        let sampled = Sampled { hash: Fingerprint(column(&row, 1)?, column(&row, 2)?), key: column(&row, 3)? };
        there.insert((block.into(), offset.into()), sampled);
    }
    // In the order of the places: the first round of them alone is spread over the whole table.
    Ok(places.iter().filter_map(|place| there.remove(place)).take(draw.rows).collect())
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

/// What the standby finds for these keys by index only.
fn by_index(reader: &mut Reader, layout: &Layout, rows: &[&Sampled]) -> Result<Found, Trouble> {
    reader.set_mode(cluster::sql!("verify_by_index"))?;
    let found = lookup(reader, layout, rows);
    reader.set_mode(cluster::sql!("verify_by_scan"))?;
    found
}

/// What the standby finds for these keys, however this session looks.
fn lookup(reader: &mut Reader, layout: &Layout, rows: &[&Sampled]) -> Result<Found, Trouble> {
    let columns: Vec<Vec<&str>> =
        (0..layout.key.len()).map(|n| rows.iter().map(|row| row.key[n].as_str()).collect()).collect();
    let parameters: Vec<&(dyn ToSql + Sync)> = columns.iter().map(|column| column as &(dyn ToSql + Sync)).collect();
    let mut found = Found::new();
    for row in reader.rows(&lookup_sql(layout), &parameters)? {
        found.entry(column(&row, 0)?).or_default().insert(place(&row)?);
    }
    Ok(found)
}

fn place(row: &Row) -> Result<(Tid, Xid, Fingerprint), Trouble> {
    Ok((column(row, 1)?, column(row, 2)?, Fingerprint(column(row, 3)?, column(row, 4)?)))
}

/// One round trip for all keys: `$1`, `$2`, … are the columns of the key.
fn lookup_sql(layout: &Layout) -> String {
    let numbers = 1..=layout.key.len();
    let arrays: Vec<_> = numbers.clone().map(|n| format!("${n}::text[]")).collect();
    let names: Vec<_> = numbers.map(|n| format!("k{n}")).collect();
    let equal: Vec<_> = layout
        .key
        .iter()
        .zip(&names)
        .map(|(column, k)| format!("t.{} {} k.{k}::{}", column.quoted, column.equal, column.kind))
        .collect();
    format!(
        "SELECT k.n, t.ctid, t.xmin, {} \
           FROM ROWS FROM (unnest({})) WITH ORDINALITY AS k ({}, n) JOIN ONLY {} AS t ON {}",
        layout.fingerprint(),
        arrays.join(", "),
        names.join(", "),
        layout.table.quoted(),
        equal.join(" AND ")
    )
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
