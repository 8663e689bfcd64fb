//! How fast a node may be read: `--max-rows-per-s`, over all sessions on it together.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;

/// The most rows that a block of 8 kB can hold (`MaxHeapTuplesPerPage`).
const ROWS_OF_A_BLOCK: u32 = 291;

/// The pace of one node: who has read has to wait until what was read is within the bound, before anybody reads more.
#[derive(Debug)]
pub(crate) struct Pace {
    per_s: Option<u32>,
    /// When all that was read so far is within the bound.
    free: Mutex<Instant>,
}

impl Pace {
    /// A pace of so many rows per second; `None`: as fast as it goes.
    pub(crate) fn new(per_s: Option<u32>) -> Pace {
        Pace { per_s, free: Mutex::new(Instant::now()) }
    }

    /// Waits until rows may be read.
    pub(crate) fn wait(&self) -> Result<()> {
        let free = *self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let left = free.saturating_duration_since(Instant::now());
        if left.is_zero() { Ok(()) } else { program::stop::pause(left) }
    }

    /// Notes that so many rows were read.
    pub(crate) fn spent(&self, rows: u64) {
        let Some(per_s) = self.per_s else { return };
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let cost = Duration::from_micros(rows.saturating_mul(1_000_000) / u64::from(per_s.max(1)));
        *free = (*free).max(Instant::now()) + cost;
    }
}

/// The blocks of a chunk that no more than a second's rows are in, where so many sessions read one each at a time.
pub(crate) fn blocks(per_s: u32, sessions: u16) -> u64 {
    u64::from(per_s / ROWS_OF_A_BLOCK / u32::from(sessions.max(1))).max(1)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Pace, blocks};

    #[test]
    fn what_was_read_has_to_be_waited_for() {
        let (pace, begun) = (Pace::new(Some(1_000)), Instant::now());
        pace.wait().unwrap();
        pace.spent(100);
        pace.spent(100); // by another session
        assert!(begun.elapsed() < Duration::from_millis(150), "the first rows are free");
        pace.wait().unwrap();
        assert!(begun.elapsed() >= Duration::from_millis(200), "{:?}", begun.elapsed());
    }

    #[test]
    fn without_a_bound_nothing_is_waited_for() {
        let (pace, begun) = (Pace::new(None), Instant::now());
        pace.spent(u64::MAX);
        pace.wait().unwrap();
        assert!(begun.elapsed() < Duration::from_secs(1));
    }

    #[test]
    fn a_chunk_holds_a_seconds_rows_and_at_least_one_block() {
        assert_eq!([blocks(5_000, 2), blocks(1, 64), blocks(1_000_000, 1)], [8, 1, 3_436]);
    }
}
