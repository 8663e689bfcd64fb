//! `ledger.csv`: the client-side journal of every write, and how it is read back.
//!
//! Each write has one key, one attempt and one outcome. `sent` is in the file before the write's bytes leave, so that
//! whatever the database holds can be judged by the ledger alone, also after the writer was killed.

use std::collections::BTreeMap;
use std::io::Read;
use std::ops::Range;

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};

/// One event of the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerRow {
    /// The run that this row belongs to.
    pub run: String,
    /// Microseconds since the run's origin. Of an outcome: when it became known.
    pub at_us: u64,
    /// The worker, from 0; empty for `end`.
    pub worker: Option<u32>,
    /// The write's number within its worker, from 1; empty for events of connecting. Of `end`: the count of keys.
    pub seq: Option<u64>,
    /// What happened.
    pub event: Event,
    /// When the write was due, in microseconds since the run's origin; empty in a closed loop.
    pub scheduled_us: Option<u64>,
    /// Time from when the write was due (closed loop: sent) to its outcome, in microseconds.
    pub latency_us: Option<u64>,
    /// SQLSTATE of an error, where the server gave one.
    pub sqlstate: Option<String>,
    /// The node that the session was on.
    pub node: Option<String>,
    /// The timeline of that node when the session began.
    pub timeline: Option<u32>,
}

/// What can happen to a write, and to a worker's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The write's bytes are about to leave.
    Sent,
    /// ReadyForQuery after CommandComplete, no error, no sync-wait notice.
    Acked,
    /// As acked, but the server said that it stopped waiting for the standby.
    AckedLocal,
    /// It provably did not commit.
    Failed,
    /// Nobody but the server knows.
    Unknown,
    /// It waited unsent for longer than `--max-behind`.
    Skipped,
    /// A worker has a session. Not an outcome.
    Connected,
    /// A worker could not get a session. Not an outcome.
    ConnectFailed,
    /// A worker's session ended while nothing was sent over it. Not an outcome.
    Disconnected,
    /// The ledger is complete.
    End,
}

/// What the client knows of one write (docs/figures.md, "The outcome of one write").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Acknowledged as the run's sync mode promises.
    Acked,
    /// Acknowledged without the standby.
    AckedLocal,
    /// Provably not committed.
    Failed,
    /// Cannot be known by the client.
    Unknown,
    /// Never sent.
    Skipped,
}

impl Event {
    /// The outcome that this event is, if it is one.
    #[must_use]
    pub fn outcome(self) -> Option<Outcome> {
        match self {
            Event::Acked => Some(Outcome::Acked),
            Event::AckedLocal => Some(Outcome::AckedLocal),
            Event::Failed => Some(Outcome::Failed),
            Event::Unknown => Some(Outcome::Unknown),
            Event::Skipped => Some(Outcome::Skipped),
            Event::Sent | Event::Connected | Event::ConnectFailed | Event::Disconnected | Event::End => None,
        }
    }
}

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
        ensure!(self.run == row.run, "it mixes rows of run {} and run {}", self.run, row.run);
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
            (Some(write), _) if write.outcome == Outcome::Unknown && write.sent_us == Some(write.at_us) => {
                write.sent_us
            }
            (Some(_), _) => bail!("worker {worker} has two outcomes for seq {seq}"),
        };
        match outcome {
            Outcome::Acked | Outcome::AckedLocal => {
                let timeline = row.timeline.context("an ack has no timeline")?;
                self.acks.push(Ack { at_us: row.at_us, worker, timeline });
            }
            Outcome::Failed | Outcome::Unknown => self.failures.push(Failure { at_us: row.at_us, worker }),
            Outcome::Skipped => {}
        }
        self.writes.insert(key, Write { sent_us, outcome, at_us: row.at_us, timeline: row.timeline });
        Ok(())
    }
}

/// Hands every whole row of a ledger to `take`, in order. A last line without its newline is left out.
///
/// # Errors
/// If a line is not a ledger row, or `take` refuses it; the error names the line.
pub fn each_row(input: impl Read, mut take: impl FnMut(LedgerRow) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let header = csv::StringRecord::from(crate::columns::columns::<LedgerRow>().to_vec());
    let mut csv = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(LastByte {
        input,
        last: None,
        ended: false,
    });
    let mut take = |record: &csv::StringRecord| {
        let line = record.position().map_or(0, csv::Position::line);
        let row = record.deserialize(Some(&header)).with_context(|| format!("ledger line {line} is not a row"))?;
        take(row).with_context(|| format!("ledger line {line}"))
    };
    let (mut record, mut next) = (csv::StringRecord::new(), csv::StringRecord::new());
    ensure!(csv.read_record(&mut record).context("cannot read the ledger")?, "the ledger is empty, without a header");
    ensure!(
        record.iter().take(header.len()).eq(header.iter()),
        "line 1 is not the header of a ledger: expected {}",
        header.iter().collect::<Vec<_>>().join(",")
    );
    // One row behind: whether the last one is whole is known only at the end of the file.
    let mut more = csv.read_record(&mut record).context("cannot read the ledger")?;
    while more {
        more = csv.read_record(&mut next).context("cannot read the ledger")?;
        if more || csv.get_ref().last == Some(b'\n') {
            take(&record)?;
        }
        std::mem::swap(&mut record, &mut next);
    }
    Ok(())
}

/// Remembers the last byte that was read: a ledger that does not end in a newline was torn in the middle of a row.
/// The first end of the file is its end, also if it grows meanwhile: half a row would else pass for a whole one.
struct LastByte<R> {
    input: R,
    last: Option<u8>,
    ended: bool,
}

impl<R: Read> Read for LastByte<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = if self.ended { 0 } else { self.input.read(buffer)? };
        self.ended = count == 0;
        if let Some(index) = count.checked_sub(1) {
            self.last = Some(buffer[index]);
        }
        Ok(count)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    const HEADER: &str = "run,at_us,worker,seq,event,scheduled_us,latency_us,sqlstate,node,timeline\n";

    /// A ledger of run `r` with these rows, without their first field.
    pub(crate) fn ledger(rows: &[String]) -> Ledger {
        read(&rows.iter().map(|row| format!("r,{row}\n")).collect::<String>()).unwrap()
    }

    fn read(rows: &str) -> anyhow::Result<Ledger> {
        Ledger::read(format!("{HEADER}{rows}").as_bytes())
    }

    /// A file that grows while it is read: each piece ends in an end of the file.
    struct Growing(Vec<&'static str>);

    impl Read for Growing {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            if self.0.is_empty() {
                return Ok(0);
            }
            let piece = self.0.remove(0).as_bytes();
            buffer[..piece.len()].copy_from_slice(piece);
            Ok(piece.len())
        }
    }

    #[test]
    fn half_a_row_of_a_growing_ledger_is_left_out() {
        let grows =
            Growing(vec![HEADER, "r,5,0,1,sent,5,,,n,1\nr,6,0", "", ",1,acked,5,1,,n,1\nr,7,0,2,sent,7,,,n,1\n"]);
        let mut rows = 0;
        each_row(grows, |_| {
            rows += 1;
            Ok(())
        })
        .unwrap();
        assert_eq!(rows, 1);
    }

    #[test]
    fn a_sent_without_an_end_is_unknown() {
        let ledger = read("r,5,0,1,sent,5,,,n,1\n").unwrap();
        assert_eq!(ledger.count(Outcome::Unknown), 1);
        assert!(!ledger.complete);
    }

    #[test]
    fn a_torn_last_line_is_left_out_and_the_ledger_is_torn() {
        let ledger = read("r,5,0,1,sent,5,,,n,1\nr,6,0,1,acked,5,1,,n,1\nr,7,0,2,sent,7,,,n").unwrap();
        assert_eq!((ledger.writes.len(), ledger.count(Outcome::Acked)), (1, 1));
        assert!(!ledger.complete);
    }

    #[test]
    fn end_with_the_right_count_completes_it() {
        let ledger = read("r,5,0,1,sent,5,,,n,1\nr,6,0,1,acked,5,1,,n,1\nr,7,0,2,skipped,1,,,,\nr,8,,2,end,,,,,\n");
        assert!(ledger.unwrap().complete);
    }

    #[test]
    fn what_cannot_be_a_ledger_is_refused() {
        for (rows, why) in [
            ("r,5,0,1,sent,5,,,n,1\nr,8,,2,end,,,,,\n", "a wrong count"),
            ("r,5,0,1,sent,5,,,n,1\nq,6,0,1,acked,5,1,,n,1\n", "two runs"),
            ("r,5,0,1,sent,5,,,n,1\nr,5,0,1,sent,5,,,n,1\n", "a key sent twice"),
            ("r,5,0,1,acked,5,,,n,1\n", "an ack without a sent"),
            ("r,5,0,1,sent,5,,,n,1\nr,6,0,1,acked,5,1,,n,1\nr,7,0,1,failed,5,1,,n,1\n", "two outcomes"),
            ("r,5,0,1,sent,5,,,n,1\nr,6,0,1,acked,5,1,,n,\n", "an ack without a timeline"),
            ("r,5,,0,end,,,,,\nr,5,0,1,sent,5,,,n,1\n", "a row after the end"),
            ("r,five,0,1,sent,5,,,n,1\n", "a time that is no number"),
            ("r,5,0,1,lost,5,,,n,1\n", "an event that does not exist"),
        ] {
            assert!(read(rows).is_err(), "{why}");
        }
        assert!(Ledger::read("".as_bytes()).is_err());
        assert!(Ledger::read("a,b\n1,2\n".as_bytes()).is_err());
    }

    #[test]
    fn refused_connections_are_failures_and_no_outcomes() {
        let ledger = read("r,5,0,,connect_failed,,,57P03,n,\nr,6,,0,end,,,,,\n").unwrap();
        assert_eq!(ledger.failures, [Failure { at_us: 5, worker: 0 }]);
        assert!(ledger.writes.is_empty() && ledger.complete);
    }
}
