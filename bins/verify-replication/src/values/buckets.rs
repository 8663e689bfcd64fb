//! Sums of fingerprints by bucket. The bucket is some bits of the fingerprint itself, so the place and the order of rows do not
//! matter, but how often a row is there does.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use futures_util::{StreamExt as _, pin_mut};

use super::shape::Shape;
use crate::damage::Side;
use crate::difference::{Difference, Place};
use crate::fingerprint::Fingerprint;
use crate::layout::{Blocks, Layout};
use crate::leftovers::Leftovers;
use crate::read_error::ReadError;
use crate::reader::Reader;
use crate::scan::at_once;
use crate::text::Text;

/// The most buckets: of ten million rows, each holds some six hundred, which are read again if they differ.
const MOST: u64 = 1 << 14;

/// Blocks whose rows are listed by one statement: thirty thousand narrow rows at most.
const LISTED: u64 = 128;

/// One bucket of one node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    rows: u64,
    halves: [i128; 2],
}

/// All rows of a table on one node, by bucket.
#[derive(Clone, Debug)]
pub(crate) struct Buckets(Vec<Sum>);

/// How many buckets a table of so many blocks has: a power of two.
pub(crate) fn count(blocks: u64) -> u64 {
    blocks.next_power_of_two().clamp(16, MOST)
}

impl Buckets {
    fn new(count: u64) -> Buckets {
        Buckets(vec![Sum::default(); count as usize])
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.0.len() as u64
    }

    /// Rows in all of them.
    pub(crate) fn rows(&self) -> u64 {
        self.0.iter().map(|sum| sum.rows).sum()
    }

    /// The numbers of those that differ.
    pub(crate) fn differing(&self, other: &Buckets) -> Vec<i64> {
        let pairs = (0..).zip(self.0.iter().zip(&other.0));
        pairs.filter(|(_, (here, there))| here != there).map(|(number, _)| number).collect()
    }

    fn join(&mut self, other: &Buckets) {
        for (sum, more) in self.0.iter_mut().zip(&other.0) {
            sum.rows += more.rows;
            sum.halves = [0, 1].map(|n| sum.halves[n] + more.halves[n]);
        }
    }
}

/// The bucket of a row `h`.
fn bucket(count: u64) -> String {
    format!("(h.one & {})", count - 1)
}

/// Adds up a table on one node, with as many sessions as it has readers.
pub(crate) fn scan(
    readers: &mut [Reader],
    shape: &Shape,
    (count, chunk_blocks): (u64, u64),
) -> Result<Buckets, ReadError> {
    let chunks = shape.chunks(chunk_blocks);
    let next = AtomicUsize::new(0);
    let total = Mutex::new(Ok(Buckets::new(count)));
    let sessions = readers.len().min(chunks.len());
    std::thread::scope(|scope| {
        for reader in &mut readers[..sessions] {
            scope.spawn(|| {
                while let Some((part, range)) = chunks.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let sums = sums(reader, shape.leaf(*part), *range, count);
                    let mut total = total.lock().unwrap_or_else(PoisonError::into_inner);
                    match (&mut *total, sums) {
                        (Ok(total), Ok(sums)) => total.join(&sums),
                        (Ok(_), Err(error)) => *total = Err(error),
                        (Err(_), _) => return,
                    }
                }
            });
        }
    });
    total.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Adds up a range of one part.
fn sums(reader: &mut Reader, leaf: &Layout, range: Blocks, count: u64) -> Result<Buckets, ReadError> {
    program::stop::check().map_err(|error| ReadError::Lost(error.to_string()))?;
    reader.pace()?;
    let sql = format!(
        "SELECT {bucket}, count(*), sum(h.one)::text, sum(h.two)::text FROM ({hashes}) AS h GROUP BY 1",
        bucket = bucket(count),
        hashes = leaf.hashes_of_range_sql(range, false)
    );
    let buckets = reader.read(async |client| {
        let mut buckets = Some(Buckets::new(count));
        let rows = client.query_raw(&sql, &[] as &[i64]).await?;
        pin_mut!(rows);
        while let Some(row) = rows.next().await {
            let row = row?;
            let (number, rows): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
            let halves: [&str; 2] = [row.try_get(2)?, row.try_get(3)?];
            let sum = match halves.map(|digits| digits.parse().ok()) {
                [Some(one), Some(two)] => Some(Sum { rows: rows.unsigned_abs(), halves: [one, two] }),
                _ => None,
            };
            let place = buckets.as_mut().and_then(|buckets| buckets.0.get_mut(number as usize));
            match (place, sum) {
                (Some(place), Some(sum)) => *place = sum,
                _ => buckets = None,
            }
        }
        Ok(buckets)
    })?;
    let buckets = buckets.ok_or_else(|| ReadError::Unread("a sum that is no number".to_owned()))?;
    reader.spent(buckets.rows());
    Ok(buckets)
}

/// Reads the rows of the buckets that differ, on both nodes at once. [`Leftovers`] matches the rows whose bytes both have.
pub(crate) fn unmatched(
    (primary, here): (&mut Reader, &Shape),
    (copy, there): (&mut Reader, &Shape),
    differing: &[i64],
    count: u64,
) -> Result<Leftovers, (Side, ReadError)> {
    let left = Mutex::new(Leftovers::default());
    let (primary, copy) = at_once(
        || list(primary, here, (differing, count), &|row, place| keep(&left, row, place, true)),
        || list(copy, there, (differing, count), &|row, place| keep(&left, row, place, false)),
    );
    primary.map_err(|error| (Side::Primary, error))?;
    copy.map_err(|error| (Side::Standby, error))?;
    Ok(left.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn keep(left: &Mutex<Leftovers>, key: Option<String>, place: Place, is_here: bool) -> anyhow::Result<()> {
    let (primary, standby) = if is_here { (Some(place), None) } else { (None, Some(place)) };
    left.lock().unwrap_or_else(PoisonError::into_inner).add(Difference { key, primary, standby })
}

/// Hands on the rows of some buckets of one node, few enough at a time for the memory.
fn list(
    reader: &mut Reader,
    shape: &Shape,
    (wanted, count): (&[i64], u64),
    keep: &(dyn Fn(Option<String>, Place) -> anyhow::Result<()> + Sync),
) -> Result<(), ReadError> {
    for (part, range) in shape.chunks(LISTED) {
        program::stop::check().map_err(|error| ReadError::Lost(error.to_string()))?;
        reader.pace()?;
        let sql = format!(
            "SELECT h.key, h.place, h.one, h.two FROM ({hashes}) AS h WHERE {bucket} = ANY ($1)",
            bucket = bucket(count),
            hashes = shape.leaf(part).hashes_of_range_sql(range, true)
        );
        let rows = reader.read(async |client| {
            let mut listed = Vec::new();
            let rows = client.query_raw(&sql, [wanted]).await?;
            pin_mut!(rows);
            while let Some(row) = rows.next().await {
                let row = row?;
                let hash = Fingerprint(row.try_get(2)?, row.try_get(3)?);
                let key: Option<Text> = row.try_get(0)?;
                listed.push((key.map(|key| key.0), Place { part, ctid: row.try_get(1)?, hash }));
            }
            Ok(listed)
        })?;
        reader.spent(rows.len() as u64);
        for (key, place) in rows {
            keep(key, place).map_err(|error| ReadError::Lost(format!("{error:#}")))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Buckets, Sum, count};

    #[test]
    fn there_are_as_many_buckets_as_blocks_within_bounds() {
        assert_eq!([0, 17, 1 << 14, 1 << 30].map(count), [16, 32, 1 << 14, 1 << 14]);
    }

    #[test]
    fn what_is_there_twice_differs_from_once_and_from_nothing() {
        let of = |rows, one| Buckets(vec![Sum::default(), Sum { rows, halves: [one, -one] }]);
        assert_eq!(of(1, 5).differing(&of(1, 5)), [] as [i64; 0]);
        assert_eq!(of(2, 10).differing(&of(1, 5)), [1]);
        let mut twice = of(1, 5);
        twice.join(&of(1, 5));
        assert_eq!(twice.differing(&of(2, 10)), [] as [i64; 0]);
        assert_eq!(twice.rows(), 2);
    }
}
