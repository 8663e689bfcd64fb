//! Some rows looked up by index: a row that a scan shows and the index does not is as good as lost for most queries.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::fingerprint::Fingerprint;
use crate::layout::Layout;
use crate::localise::{Look, Version};
use crate::node::{Node, catch_up};
use crate::reader::{Reader, Trouble, column};
use crate::recheck::Limits;
use crate::tid::{Tid, Xid};

/// How often rows are looked up again that changed between two looks.
pub(crate) const LOOKS: u32 = 10;

/// The pause between two such looks.
const PAUSE: Duration = Duration::from_millis(50);

/// A row's key, column by column as text, and the fingerprint of its content on the primary.
struct Sampled {
    key: Vec<String>,
    hash: Fingerprint,
}

/// What a look-up found for the n-th key.
type Found = BTreeMap<i64, BTreeSet<(Tid, Xid, Fingerprint)>>;

/// Looks up to `count` of `rows` rows up on the standby by the primary key's index. `different`: index and scan do not
/// find the same under a key. `again`: changed at every look.
///
/// # Errors
/// Why they could not be looked up.
pub(crate) fn look_up(
    primary: &mut Node,
    standby: &mut Node,
    layout: &Layout,
    rows: u64,
    count: usize,
    limits: Limits,
) -> Result<Look, Trouble> {
    let sampled = sample(primary.reader(), layout, rows, count)?;
    if sampled.is_empty() {
        return Ok(Look::default());
    }
    catch_up(primary, standby, limits.catch_up).map_err(|error| Trouble::Lost(format!("{error:#}")))?;
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

/// Rows from all over the table: one line pointer from each of `count` blocks (some from more in a small table).
fn sample(reader: &mut Reader, layout: &Layout, rows: u64, count: usize) -> Result<Vec<Sampled>, Trouble> {
    let keys: Vec<_> = layout.key.iter().map(|column| format!("t.{}::text", column.quoted)).collect();
    let sql = format!(
        "SELECT {}, ARRAY[{}] FROM ONLY {} AS t WHERE t.ctid = ANY ($1::text[]::tid[]) LIMIT {count}",
        layout.fingerprint(),
        keys.join(", "),
        layout.table.quoted()
    );
    let rows = reader.rows(&sql, &[&places(layout.blocks, rows, count)])?;
    rows.iter()
        .map(|row| Ok(Sampled { hash: Fingerprint(column(row, 0)?, column(row, 1)?), key: column(row, 2)? }))
        .collect()
}

/// Where to look for rows: blocks at equal distances, and in each a few line pointers at equal distances, of which some
/// may be dead.
fn places(blocks: u64, rows: u64, count: usize) -> Vec<String> {
    let taken = blocks.min(count as u64);
    if taken == 0 {
        return Vec::new();
    }
    let in_block = rows.div_ceil(blocks).max(1);
    let tries = ((count as u64).div_ceil(taken) + 3).min(in_block);
    let place = |n: u64, t: u64| {
        let (block, pointer) = (n * blocks / taken, (n * 7 + t * in_block / tries) % in_block + 1);
        format!("({block},{pointer})")
    };
    (0..taken).flat_map(|n| (0..tries).map(move |t| place(n, t))).collect()
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
        .map(|(column, k)| format!("t.{} = k.{k}::{}", column.quoted, column.kind))
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
    use super::places;

    #[test]
    fn places_are_spread_over_the_whole_table() {
        let places = places(10_000, 600_000, 100);
        let blocks: std::collections::BTreeSet<u64> =
            places.iter().map(|place| place[1..].split(',').next().unwrap().parse().unwrap()).collect();
        assert_eq!(blocks.len(), 100);
        assert_eq!((blocks.first(), blocks.last()), (Some(&0), Some(&9_900)));
    }

    #[test]
    fn of_a_small_table_every_row_is_looked_up() {
        let places: std::collections::BTreeSet<_> = places(3, 90, 100).into_iter().collect();
        assert_eq!(places.len(), 90);
    }

    #[test]
    fn an_empty_table_has_no_places() {
        assert!(places(0, 0, 100).is_empty());
    }
}
