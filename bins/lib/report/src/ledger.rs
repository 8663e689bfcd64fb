//! `ledger.csv`: what the clients wrote down of every write, and what follows from it.
//!
//! Each write has one key, one attempt and one outcome. `sent` is in the file before the write's bytes leave, so that
//! whatever the database holds can be judged by the ledger alone, also after the writer was killed.

use std::collections::BTreeMap;
use std::io::Read;
use std::ops::Range;

use crate::foreign::one_line;
use crate::ledger_file::each_row;
pub use crate::ledger_row::{Event, LedgerRow, Outcome};
use anyhow::{Context as _, bail, ensure};

/// The key of a write within its run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The worker, from 0.
    pub worker: u32,
    /// The write's number within its worker, from 1.
    pub seq: u64,
}

/// What the ledger says of one write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Write {
    /// When it was sent; `None` if it never was.
    pub sent_us: Option<u64>,
    /// What the client knows. A `sent` without an end is `Unknown`.
    pub outcome: Outcome,
    /// When the outcome became known; of a `sent` without an end, when it was sent.
    pub at_us: u64,
    /// The timeline of its session.
    pub timeline: Option<u32>,
}

/// An acknowledgement, `acked` or `acked_local`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    /// When it was received, in microseconds since the run's origin.
    pub at_us: u64,
    /// The worker that received it.
    pub worker: u32,
    /// The timeline that it was made on.
    pub timeline: u32,
    /// Time from when the write was due (closed loop: sent), in microseconds; `None` in ledgers that do not say.
    pub latency_us: Option<u64>,
}

/// A failure that a client saw: an outcome `failed` or `unknown`, or a connection that was refused or ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// When it was seen, in microseconds since the run's origin.
    pub at_us: u64,
    /// The worker that saw it.
    pub worker: u32,
}

/// A session that a worker got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connect {
    /// When it was there, in microseconds since the run's origin.
    pub at_us: u64,
    /// The worker that it belongs to.
    pub worker: u32,
    /// How long the attempt took that succeeded, in microseconds; `None` in ledgers that do not say.
    pub took_us: Option<u64>,
}

/// What the clients saw from one moment of the run to another.
#[derive(Clone, Debug, Default)]
pub struct Stretch {
    /// Acknowledgements in the order of time.
    pub acks: Vec<Ack>,
    /// Failures in the order of the file.
    pub failures: Vec<Failure>,
    /// Sessions in the order of the file.
    pub connects: Vec<Connect>,
    /// The end of it, or of the ledger if that comes first.
    pub last_us: u64,
}

/// A whole ledger, read back.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// The run that all rows belong to; empty if there are no rows.
    pub run: String,
    /// All writes by key.
    pub writes: BTreeMap<Key, Write>,
    /// All acknowledgements in the order of the file.
    pub acks: Vec<Ack>,
    /// All failures in the order of the file.
    pub failures: Vec<Failure>,
    /// All sessions in the order of the file.
    pub connects: Vec<Connect>,
    /// Time of the last row.
    pub last_us: u64,
    /// Whether the last row is `end` with the right count of keys. If not, the ledger is torn.
    pub complete: bool,
}

impl Write {
    /// Whether nothing is known of it but that it was sent.
    fn is_open(&self) -> bool {
        self.outcome == Outcome::Unknown && self.sent_us == Some(self.at_us)
    }
}

impl Ledger {
    /// Reads a ledger. A last line without its newline (the writer was killed) is left out, and the ledger is torn.
    ///
    /// # Errors
    /// If it cannot be read, a line is not a ledger row, rows of two runs are mixed, or a key has two outcomes:
    /// no verdict can stand on such a ledger.
    pub fn read(input: impl Read) -> anyhow::Result<Ledger> {
        let mut ledger = Ledger::default();
        each_row(input, |row| ledger.add(&row))?;
        Ok(ledger)
    }

    /// Counts the writes with this outcome.
    #[must_use]
    pub fn count(&self, outcome: Outcome) -> u64 {
        self.count_within(outcome, &(0..u64::MAX))
    }

    /// Counts the writes with this outcome, where it became known within these moments.
    #[must_use]
    pub fn count_within(&self, outcome: Outcome, moments: &Range<u64>) -> u64 {
        self.writes.values().filter(|write| write.outcome == outcome && moments.contains(&write.at_us)).count() as u64
    }

    /// How many writes were sent and have no outcome, not even an unknown one: whoever ends a ledger has given each of them one.
    #[must_use]
    pub fn open(&self) -> usize {
        self.writes.values().filter(|write| write.is_open()).count()
    }

    /// What the clients saw within these moments.
    #[must_use]
    pub fn within(&self, moments: &Range<u64>) -> Stretch {
        let mut acks: Vec<Ack> = self.acks.iter().filter(|ack| moments.contains(&ack.at_us)).copied().collect();
        acks.sort_by_key(|ack| ack.at_us);
        Stretch {
            acks,
            failures: self.failures.iter().filter(|failure| moments.contains(&failure.at_us)).copied().collect(),
            connects: self.connects.iter().filter(|connect| moments.contains(&connect.at_us)).copied().collect(),
            last_us: self.last_us.min(moments.end),
        }
    }

    fn add(&mut self, row: &LedgerRow) -> anyhow::Result<()> {
        if self.run.is_empty() {
            self.run.clone_from(&row.run);
        }
        ensure!(self.run == row.run, "it mixes rows of run {} and run {}", one_line(&self.run), one_line(&row.run));
        ensure!(!self.complete, "there is a row after `end`");
        self.last_us = self.last_us.max(row.at_us);
        match row.event {
            Event::End => {
                let keys = row.seq.context("`end` has no count of keys")?;
                ensure!(keys == self.writes.len() as u64, "`end` counts {keys} keys, there are {}", self.writes.len());
                self.complete = true;
            }
            Event::Connected => {
                let worker = row.worker.context("an event of connecting has no worker")?;
                self.connects.push(Connect { at_us: row.at_us, worker, took_us: row.latency_us });
            }
            Event::ConnectFailed | Event::Disconnected => {
                let worker = row.worker.context("an event of connecting has no worker")?;
                ensure!(row.seq.is_none(), "an event of connecting has the seq of a write");
                self.failures.push(Failure { at_us: row.at_us, worker });
            }
            _ => self.add_write(row)?,
        }
        Ok(())
    }

    fn add_write(&mut self, row: &LedgerRow) -> anyhow::Result<()> {
        let (Some(worker), Some(seq)) = (row.worker, row.seq) else { bail!("a write needs a worker and a seq") };
        let key = Key { worker, seq };
        let Some(outcome) = row.event.outcome() else {
            let open =
                Write { sent_us: Some(row.at_us), outcome: Outcome::Unknown, at_us: row.at_us, timeline: row.timeline };
            ensure!(self.writes.insert(key, open).is_none(), "worker {worker} sent seq {seq} twice");
            return Ok(());
        };
        let sent_us = match (self.writes.get(&key), outcome) {
            (None, Outcome::Skipped) => None,
            (None, _) => bail!("worker {worker} has an outcome for seq {seq}, which was never sent"),
            (Some(write), _) if write.is_open() => write.sent_us,
            (Some(_), _) => bail!("worker {worker} has two outcomes for seq {seq}"),
        };
        match outcome {
            Outcome::Acked | Outcome::AckedLocal => {
                let timeline = row.timeline.context("an ack has no timeline")?;
                self.acks.push(Ack { at_us: row.at_us, worker, timeline, latency_us: row.latency_us });
            }
            Outcome::Failed | Outcome::Unknown => self.failures.push(Failure { at_us: row.at_us, worker }),
            Outcome::Skipped => {}
        }
        self.writes.insert(key, Write { sent_us, outcome, at_us: row.at_us, timeline: row.timeline });
        Ok(())
    }
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
pub(crate) mod tests;
