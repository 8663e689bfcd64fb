//! `reads.csv`: what reads of nodes found of a run's writes.
//!
//! A row is a stretch of consecutive writes of one client. A million writes make some dozen rows: a stretch ends only where
//! something is missing, and a takeover cuts off ends.

use std::collections::{BTreeSet, HashMap};

use anyhow::ensure;
use serde::{Deserialize, Serialize};

use crate::ledger::Key;
use crate::payload::payload;

/// The most keys that one read is taken to hold: what a file says is not believed beyond what a drill can write.
const MOST_KEYS: u64 = 100_000_000;

/// Writes of one client that a read found, one after the other, all alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadRow {
    /// The run that this row belongs to.
    pub run: String,
    /// Which read.
    pub read: ReadKind,
    /// The node that was read.
    pub node: String,
    /// The step of the run that had begun last, from 1.
    pub step: Option<u32>,
    /// The worker that wrote them.
    pub worker: u32,
    /// The number of the first within the worker.
    pub first_seq: u64,
    /// The number of the last: all between are there, too.
    pub last_seq: u64,
    /// How often each of them is there.
    pub times: u32,
    /// Whether each has the payload that its key says.
    pub intact: bool,
}

/// Which read of a drill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadKind {
    /// The read that writes are judged by, of the node that is out of recovery at the end.
    Final,
    /// What the old primary had, read while nobody could reach it.
    OldPrimary,
}

/// The rows of one run that a node holds.
#[derive(Clone, Debug, Default)]
pub struct Present {
    rows: HashMap<Key, Found>,
}

/// What was found of one write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// How often it is there.
    pub times: u32,
    /// Whether each has the payload that its key says.
    pub intact: bool,
}

impl Present {
    /// Takes in one row of a read. `run` is the run whose rows are read.
    pub fn add(&mut self, run: &str, key: Key, found_payload: &str) {
        let intact = found_payload == payload(run, key.worker, key.seq);
        let row = self.rows.entry(key).or_insert(Found { times: 0, intact: true });
        row.times += 1;
        row.intact &= intact;
    }

    /// What a read found, from its rows in `reads.csv`.
    ///
    /// # Errors
    /// If two rows hold the same write, one ends before it begins, or there are more than a drill can write.
    pub fn from_rows<'a>(rows: impl IntoIterator<Item = &'a ReadRow>) -> anyhow::Result<Present> {
        let (mut present, mut keys) = (Present::default(), 0_u64);
        for row in rows {
            let ReadRow { worker, first_seq, last_seq, times, intact, .. } = *row;
            ensure!(first_seq <= last_seq && times > 0, "worker {worker}: {first_seq} to {last_seq} is no stretch");
            keys = keys.saturating_add(last_seq - first_seq);
            ensure!(keys < MOST_KEYS, "a read of more than {MOST_KEYS} writes is not believed");
            for seq in first_seq..=last_seq {
                let twice = present.rows.insert(Key { worker, seq }, Found { times, intact });
                ensure!(twice.is_none(), "worker {worker}: {seq} is in two stretches");
            }
        }
        Ok(present)
    }

    /// The rows of `reads.csv` for this read.
    #[must_use]
    pub fn to_rows(&self, run: &str, read: ReadKind, node: &str, step: Option<u32>) -> Vec<ReadRow> {
        let mut found: Vec<(Key, Found)> = self.rows.iter().map(|(key, found)| (*key, *found)).collect();
        found.sort_unstable_by_key(|(key, _)| *key);
        let mut rows: Vec<ReadRow> = Vec::new();
        for (Key { worker, seq }, Found { times, intact }) in found {
            match rows.last_mut() {
                Some(last)
                    if (last.worker, last.last_seq + 1, last.times, last.intact) == (worker, seq, times, intact) =>
                {
                    last.last_seq = seq;
                }
                _ => rows.push(ReadRow {
                    run: run.to_owned(),
                    read,
                    node: node.to_owned(),
                    step,
                    worker,
                    first_seq: seq,
                    last_seq: seq,
                    times,
                    intact,
                }),
            }
        }
        rows
    }

    /// What was found of a write.
    #[must_use]
    pub fn get(&self, key: Key) -> Option<Found> {
        self.rows.get(&key).copied()
    }

    /// Whether a row with this key was read.
    #[must_use]
    pub fn has(&self, key: Key) -> bool {
        self.rows.contains_key(&key)
    }

    /// How many different keys were read.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether no row was read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The keys that are here and not there.
    #[must_use]
    pub fn without(&self, there: impl Fn(Key) -> bool) -> BTreeSet<Key> {
        self.rows.keys().filter(|key| !there(**key)).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(keys: &[(u32, u64)]) -> Present {
        let mut present = Present::default();
        for &(worker, seq) in keys {
            present.add("r", Key { worker, seq }, &payload("r", worker, seq));
        }
        present
    }

    fn rows(present: &Present) -> Vec<ReadRow> {
        present.to_rows("r", ReadKind::Final, "node2", Some(1))
    }

    #[test]
    fn a_stretch_ends_where_something_is_missing_or_not_as_the_others() {
        let mut present = read(&[(1, 1), (0, 3), (0, 1), (0, 2), (0, 5), (0, 6), (0, 6)]);
        present.add("r", Key { worker: 0, seq: 4 }, "something else");
        let shown: Vec<_> =
            rows(&present).iter().map(|r| (r.worker, r.first_seq, r.last_seq, r.times, r.intact)).collect();
        assert_eq!(
            shown,
            [(0, 1, 3, 1, true), (0, 4, 4, 1, false), (0, 5, 5, 1, true), (0, 6, 6, 2, true), (1, 1, 1, 1, true)]
        );
        let back = Present::from_rows(&rows(&present)).unwrap();
        assert_eq!(back.rows, present.rows);
    }

    #[test]
    fn a_million_writes_of_which_few_are_missing_make_few_rows() {
        let all: Vec<(u32, u64)> = (0..8).flat_map(|worker| (1..=125_000).map(move |seq| (worker, seq))).collect();
        let kept: Vec<_> = all.into_iter().filter(|(worker, seq)| *seq != 60_000 + u64::from(*worker)).collect();
        let present = read(&kept);
        assert_eq!(rows(&present).len(), 16);
        assert_eq!(Present::from_rows(&rows(&present)).unwrap().len(), 999_992);
    }

    #[test]
    fn what_cannot_be_a_read_is_refused() {
        let row = |first_seq, last_seq| ReadRow { first_seq, last_seq, ..rows(&read(&[(0, 1)])).remove(0) };
        for wrong in [vec![row(1, 3), row(3, 4)], vec![row(2, 1)], vec![row(1, u64::MAX)], vec![row(1, 1), row(1, 1)]] {
            assert!(Present::from_rows(&wrong).is_err(), "{wrong:?}");
        }
        assert!(Present::from_rows(&[ReadRow { times: 0, ..row(1, 1) }]).is_err(), "there, and not once");
    }
}
