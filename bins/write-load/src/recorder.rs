//! The ledger on its way out, and the counts of the current second.
//!
//! `sent` is handed to the system (`write(2)`) before the write's bytes can leave; outcomes go along with the next
//! `sent`, or when there is nothing else to do. An ack that was lost with us would only make its write `unknown`.

use std::sync::{Arc, Mutex, MutexGuard};

use anyhow::Result;
use program::duration::show_us;
use program::run::Run;
use program::sink::Sink;
use report::ledger::{Event, LedgerRow, Outcome};
use report::load::LoadRow;
use report::percentiles::Percentiles;

/// The journal, shared by the workers of one thread.
pub(crate) type Shared = Arc<Mutex<Journal>>;

/// The guard of a shared journal.
pub(crate) trait Held {
    /// The journal itself; a worker that panicked does not keep the others from it.
    fn held(&self) -> MutexGuard<'_, Journal>;
}

impl Held for Shared {
    fn held(&self) -> MutexGuard<'_, Journal> {
        self.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// What is written of the load.
pub(crate) struct Journal {
    run: Run,
    ledger: Option<Sink<LedgerRow>>,
    seconds: Option<Sink<LoadRow>>,
    unflushed: bool,
    /// An error of writing where none can be returned; the next event returns it.
    failed: Option<anyhow::Error>,
    keys: u64,
    second: LoadRow,
    latencies: Percentiles,
    total: LoadRow,
    all_latencies: Percentiles,
    next_due_us: Vec<Option<u64>>,
}

/// Where and when something happened to a worker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) worker: u32,
    pub(crate) node: &'a str,
    pub(crate) timeline: Option<u32>,
}

impl Journal {
    pub(crate) fn new(
        run: Run,
        ledger: Option<Sink<LedgerRow>>,
        seconds: Option<Sink<LoadRow>>,
        workers: u32,
    ) -> Journal {
        Journal {
            run,
            ledger,
            seconds,
            unflushed: false,
            failed: None,
            keys: 0,
            second: LoadRow::default(),
            latencies: Percentiles::default(),
            total: LoadRow::default(),
            all_latencies: Percentiles::default(),
            next_due_us: vec![None; workers as usize],
        }
    }

    /// When the next unsent write of a worker was or will be due.
    pub(crate) fn next_due(&mut self, worker: u32, due_us: Option<u64>) {
        self.next_due_us[worker as usize] = due_us;
    }

    /// A write is about to be sent: when this returns, the ledger has it.
    pub(crate) fn sent(&mut self, place: Place<'_>, seq: u64, due_us: Option<u64>) -> Result<u64> {
        let at_us = self.run.clock.now_us();
        self.keys += 1;
        self.second.sent += 1;
        self.row(at_us, place, Some(seq), Event::Sent, due_us, None, None)?;
        self.flush()?;
        Ok(at_us)
    }

    /// The outcome of a write; `from_us` is when it was due, in a closed loop when it was sent.
    pub(crate) fn outcome(
        &mut self,
        place: Place<'_>,
        seq: u64,
        due_us: Option<u64>,
        from_us: u64,
        outcome: Outcome,
        sqlstate: Option<&str>,
    ) -> Result<()> {
        let at_us = self.run.clock.now_us();
        let latency_us = at_us.saturating_sub(from_us);
        let event = match outcome {
            Outcome::Acked => Event::Acked,
            Outcome::AckedLocal => Event::AckedLocal,
            Outcome::Failed => Event::Failed,
            Outcome::Unknown => Event::Unknown,
            Outcome::Skipped => Event::Skipped,
        };
        let count = match outcome {
            Outcome::Acked => &mut self.second.acked,
            Outcome::AckedLocal => &mut self.second.acked_local,
            Outcome::Failed => &mut self.second.failed,
            Outcome::Unknown => &mut self.second.unknown,
            Outcome::Skipped => &mut self.second.skipped,
        };
        *count += 1;
        if outcome == Outcome::Skipped {
            self.keys += 1;
        }
        if outcome == Outcome::Acked {
            self.latencies.record(latency_us);
            self.all_latencies.record(latency_us);
        }
        let latency_us = (outcome != Outcome::Skipped).then_some(latency_us);
        self.row(at_us, place, Some(seq), event, due_us, latency_us, sqlstate)
    }

    /// A worker has a session; opening it took so long, in microseconds.
    pub(crate) fn connected(&mut self, place: Place<'_>, took_us: u64) -> Result<()> {
        self.row(self.run.clock.now_us(), place, None, Event::Connected, None, Some(took_us), None)
    }

    /// Something happened to a worker's connection.
    pub(crate) fn connection(&mut self, place: Place<'_>, event: Event, sqlstate: Option<&str>) -> Result<()> {
        self.row(self.run.clock.now_us(), place, None, event, None, None, sqlstate)
    }

    #[expect(clippy::too_many_arguments, reason = "they are the columns of one row")]
    fn row(
        &mut self,
        at_us: u64,
        place: Place<'_>,
        seq: Option<u64>,
        event: Event,
        scheduled_us: Option<u64>,
        latency_us: Option<u64>,
        sqlstate: Option<&str>,
    ) -> Result<()> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let Some(ledger) = &mut self.ledger else { return Ok(()) };
        self.unflushed = true;
        ledger.row_unflushed(&LedgerRow {
            run: self.run.name.clone(),
            at_us,
            worker: Some(place.worker),
            seq,
            event,
            scheduled_us,
            latency_us,
            sqlstate: sqlstate.map(str::to_owned),
            node: (!place.node.is_empty()).then(|| place.node.to_owned()),
            timeline: place.timeline,
        })
    }

    fn flush(&mut self) -> Result<()> {
        self.unflushed = false;
        self.ledger.as_mut().map_or(Ok(()), Sink::flush)
    }

    /// Hands over what waits. Called when the thread has nothing else to do.
    pub(crate) fn flush_when_idle(&mut self) {
        if self.unflushed {
            self.failed = self.flush().err();
        }
    }

    /// Ends a second, in which `due` writes became due (`None`: closed loop); its row goes out.
    pub(crate) fn end_second(&mut self, due: Option<u64>) -> Result<()> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let mut row = std::mem::take(&mut self.second);
        row.scheduled = due.unwrap_or(row.sent);
        let total = &mut self.total;
        total.scheduled += row.scheduled;
        total.sent += row.sent;
        total.acked += row.acked;
        total.acked_local += row.acked_local;
        total.failed += row.failed;
        total.unknown += row.unknown;
        total.skipped += row.skipped;
        row.run.clone_from(&self.run.name);
        row.at_us = self.run.clock.now_us();
        row.p50_us = self.latencies.at(50.0);
        row.p95_us = self.latencies.at(95.0);
        row.p99_us = self.latencies.at(99.0);
        row.max_us = self.latencies.max();
        row.behind_us = self.next_due_us.iter().flatten().map(|due| row.at_us.saturating_sub(*due)).max();
        self.latencies.clear();
        self.seconds.as_mut().map_or(Ok(()), |seconds| seconds.row(&row))
    }

    /// Ends the ledger with the count of its keys, and the last second if anything happened in it.
    pub(crate) fn finish(&mut self) -> Result<()> {
        if let Some(ledger) = &mut self.ledger {
            ledger.row(&LedgerRow {
                run: self.run.name.clone(),
                at_us: self.run.clock.now_us(),
                worker: None,
                seq: Some(self.keys),
                event: Event::End,
                scheduled_us: None,
                latency_us: None,
                sqlstate: None,
                node: None,
                timeline: None,
            })?;
        }
        self.end_last_second(None)
    }

    /// Ends the second that the load ended in, if anything happened in it.
    pub(crate) fn end_last_second(&mut self, due: Option<u64>) -> Result<()> {
        let nothing = self.second == LoadRow::default() && due.unwrap_or(0) == 0;
        if nothing { Ok(()) } else { self.end_second(due) }
    }

    /// Writes that were acknowledged, in any way.
    pub(crate) fn acks(&self) -> u64 {
        self.total.acked + self.total.acked_local + self.second.acked + self.second.acked_local
    }

    /// Whether a second or more has passed with writes, and without an ack.
    pub(crate) fn is_in_vain(&self) -> bool {
        self.total.sent > 0 && self.acks() == 0
    }

    /// The whole load in a line.
    pub(crate) fn summary(&self) -> String {
        let t = &self.total;
        let latency = |percent| self.all_latencies.at(percent).map_or("-".to_owned(), show_us);
        let mut line = format!("{} writes sent, {} acked", t.sent, t.acked);
        for (count, what) in [
            (t.acked_local, "acked without the standby"),
            (t.failed, "failed"),
            (t.unknown, "unknown"),
            (t.skipped, "skipped"),
        ] {
            if count > 0 {
                line += &format!(", {count} {what}");
            }
        }
        line + &format!("; latency p50 {}, p99 {}", latency(50.0), latency(99.0))
    }
}
