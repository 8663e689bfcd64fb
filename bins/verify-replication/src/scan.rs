//! Reading chunks: count and sums of hashes, on all nodes at once.
//!
//! The sums are exact (numeric), so that equal rows do not cancel out as they would under XOR, and the count stands
//! beside them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use program::progress::Progress;

use crate::fingerprint::Fingerprint;
use crate::layout::{Blocks, Layout};
use crate::proof::Version;
use crate::read_error::ReadError;
use crate::reader::{Reader, column};
use crate::text::{Raw, Shown};

/// What a range of blocks holds on one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) rows: u64,
    /// The sums of the two halves of their fingerprints, in digits.
    hashes: [String; 2],
}

/// The sums of a table's chunks on one node. `None`: the chunk was not read any more.
pub(crate) type ChunkSums = Vec<Option<Result<Sum, ReadError>>>;

/// Counts and hashes one range.
pub(crate) fn sum(reader: &mut Reader, layout: &Layout, range: Blocks) -> Result<Sum, ReadError> {
    reader.pace()?;
    let rows = reader.raw_rows(&layout.sum_sql(range), &[])?;
    let Some(row) = rows.first() else { return Err(ReadError::Unread("an aggregate without a row".to_owned())) };
    let sum = Sum { rows: column::<i64>(row, 0)?.unsigned_abs(), hashes: [column(row, 1)?, column(row, 2)?] };
    reader.spent(sum.rows);
    Ok(sum)
}

/// Lists the rows of one range.
pub(crate) fn versions(reader: &mut Reader, layout: &Layout, range: Blocks) -> Result<Vec<Version>, ReadError> {
    let version = |(row, key): (&tokio_postgres::Row, Option<Shown>)| {
        Ok(Version {
            ctid: column(row, 0)?,
            xmin: column(row, 1)?,
            xmax: column(row, 2)?,
            key: key.map(|key| key.text),
            hash: Fingerprint(column(row, 4)?, column(row, 5)?),
        })
    };
    reader.pace()?;
    let rows = reader.raw_rows(&layout.rows_sql(range), &[])?;
    reader.spent(rows.len() as u64);
    let keys = rows.iter().map(|row| column::<Option<Raw>>(row, 3)).collect::<Result<_, _>>()?;
    let keys = reader.texts(keys)?;
    rows.iter().zip(keys).map(version).collect()
}

/// Counts and hashes all chunks on one node, with as many sessions as it has readers, as long as anybody wants them.
pub(crate) fn sums(
    readers: &mut [Reader],
    layout: &Layout,
    chunks: &[Blocks],
    wanted: impl Fn() -> bool + Sync,
    progress: &Progress,
) -> ChunkSums {
    let next = AtomicUsize::new(0);
    let sums = Mutex::new(vec![None; chunks.len()]);
    let read = |reader: &mut Reader| {
        while let Some((index, range)) = take(&next, chunks).filter(|_| wanted()) {
            let sum = sum(reader, layout, range);
            if matches!(sum, Err(ReadError::Lost(_))) {
                next.store(chunks.len(), Ordering::Relaxed);
            }
            sums.lock().unwrap_or_else(PoisonError::into_inner)[index] = Some(sum);
            progress.advance(1);
        }
    };
    match readers.split_first_mut() {
        Some((first, _)) if chunks.len() == 1 => read(first), // most tables: a thread costs more than it reads
        _ => std::thread::scope(|scope| {
            for reader in readers {
                scope.spawn(|| read(reader));
            }
        }),
    }
    sums.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// The next chunk that nobody has taken yet.
fn take(next: &AtomicUsize, chunks: &[Blocks]) -> Option<(usize, Blocks)> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    chunks.get(index).filter(|_| program::stop::check().is_ok()).map(|range| (index, *range))
}

/// Does the same on two nodes at once.
pub(crate) fn both<T: Send>(
    primary: &mut Reader,
    standby: &mut Reader,
    work: impl Fn(&mut Reader) -> T + Sync,
) -> (T, T) {
    at_once(|| work(primary), || work(standby))
}

/// Does two things at once.
pub(crate) fn at_once<T: Send>(on_primary: impl FnOnce() -> T + Send, on_standby: impl FnOnce() -> T) -> (T, T) {
    std::thread::scope(|scope| {
        let on_primary = scope.spawn(on_primary);
        let on_standby = on_standby();
        match on_primary.join() {
            Ok(on_primary) => (on_primary, on_standby),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}
