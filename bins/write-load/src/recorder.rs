//! Writes the ledger and the row of each second.
//!
//! `sent` is handed to the system (`write(2)`) before the write's bytes can leave. An outcome is handed over with the next
//! `sent`, or as soon as the thread is idle: if we are killed before that, its write is `unknown`, which is always true.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use program::duration::show_us;
use program::run::Run;
use program::sink::Sink;
use report::ledger::{Event, LedgerRow, Outcome};
use report::load::LoadRow;
use report::percentiles::Percentiles;

/// The recorder, shared by the clients of one thread.
#[derive(Clone)]
pub(crate) struct SharedRecorder(Arc<Mutex<Recorder>>);

impl SharedRecorder {
    pub(crate) fn new(recorder: Recorder) -> SharedRecorder {
        SharedRecorder(Arc::new(Mutex::new(recorder)))
    }

    /// A client that panicked does not keep the others from the recorder.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Recorder> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) struct Recorder {
    run: Run,
    ledger: Option<Sink<LedgerRow>>,
    seconds: Option<Sink<LoadRow>>,
    unflushed: bool,
    /// An error of a flush that could not return it. The next event does.
    failed: Option<anyhow::Error>,
    keys: u64,
    second: LoadRow,
    latencies: Percentiles,
    total: LoadRow,
    all_latencies: Percentiles,
    next_due_us: Vec<Option<u64>>,
    /// For how long writes were due.
    lasted_us: u64,
}

/// The client that something happened to, and its session: the node and its timeline.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin<'a> {
    pub(crate) client: u32,
    pub(crate) node: &'a str,
    pub(crate) timeline: Option<u32>,
}

impl Recorder {
    pub(crate) fn new(
        run: Run,
        ledger: Option<Sink<LedgerRow>>,
        seconds: Option<Sink<LoadRow>>,
        clients: u32,
    ) -> Recorder {
        Recorder {
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
            next_due_us: vec![None; clients as usize],
            lasted_us: 0,
        }
    }

    /// When the next unsent write of a client was or will be due.
    pub(crate) fn next_due(&mut self, client: u32, scheduled_us: Option<u64>) {
        self.next_due_us[client as usize] = scheduled_us;
    }

    /// A write is about to be sent: when this returns, the ledger has it.
    pub(crate) fn sent(&mut self, origin: Origin<'_>, seq: u64, scheduled_us: Option<u64>) -> Result<u64> {
        let at_us = self.run.clock.now_us();
        self.keys += 1;
        self.second.sent += 1;
        self.write(&LedgerRow { seq: Some(seq), scheduled_us, ..self.event(at_us, origin, Event::Sent) })?;
        self.flush()?;
        Ok(at_us)
    }

    /// The outcome of a write; `from_us` is when it was due, in a closed loop when it was sent.
    pub(crate) fn outcome(
        &mut self,
        origin: Origin<'_>,
        seq: u64,
        scheduled_us: Option<u64>,
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
        self.write(&LedgerRow {
            seq: Some(seq),
            scheduled_us,
            latency_us: (outcome != Outcome::Skipped).then_some(latency_us),
            sqlstate: sqlstate.map(str::to_owned),
            ..self.event(at_us, origin, event)
        })
    }

    /// A client has a session, and opening it took `took_us`.
    pub(crate) fn connected(&mut self, origin: Origin<'_>, took_us: u64) -> Result<()> {
        let row = self.event(self.run.clock.now_us(), origin, Event::Connected);
        self.write(&LedgerRow { latency_us: Some(took_us), ..row })
    }

    /// Something happened to a client's connection.
    pub(crate) fn connection(&mut self, origin: Origin<'_>, event: Event, sqlstate: Option<&str>) -> Result<()> {
        let row = self.event(self.run.clock.now_us(), origin, event);
        self.write(&LedgerRow { sqlstate: sqlstate.map(str::to_owned), ..row })
    }

    /// A row without a write.
    fn event(&self, at_us: u64, origin: Origin<'_>, event: Event) -> LedgerRow {
        LedgerRow {
            run: self.run.name.clone(),
            at_us,
            worker: Some(origin.client),
            seq: None,
            event,
            scheduled_us: None,
            latency_us: None,
            sqlstate: None,
            node: (!origin.node.is_empty()).then(|| origin.node.to_owned()),
            timeline: origin.timeline,
        }
    }

    fn write(&mut self, row: &LedgerRow) -> Result<()> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let Some(ledger) = &mut self.ledger else { return Ok(()) };
        self.unflushed = true;
        ledger.row_unflushed(row)
    }

    fn flush(&mut self) -> Result<()> {
        self.unflushed = false;
        self.ledger.as_mut().map_or(Ok(()), Sink::flush)
    }

    /// Hands over the rows that wait. Called when the thread has nothing else to do.
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

    /// For how long writes were due, now that none will be any more.
    pub(crate) fn lasted(&mut self, time_us: u64) {
        self.lasted_us = time_us;
    }

    /// Why the load was slower than so many acknowledged writes per second; `None`: it was not.
    pub(crate) fn slower_than(&self, min_per_s: u64) -> Option<String> {
        let per_s = self.acks() as f64 * 1e6 / self.lasted_us.max(1) as f64;
        (per_s < min_per_s as f64)
            .then(|| format!("{per_s:.1} writes per second were acknowledged (--min-rate {min_per_s})"))
    }

    /// Writes that were acknowledged, in any way.
    pub(crate) fn acks(&self) -> u64 {
        self.total.acked + self.total.acked_local + self.second.acked + self.second.acked_local
    }

    /// Whether a second or more has passed with writes and without an ack.
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

#[cfg(test)]
mod tests {
    use program::clock::Clock;
    use program::run::Run;

    use super::Recorder;

    #[test]
    fn a_rate_that_equals_its_limit_is_not_slower_and_nothing_is() {
        let run = Run { name: "r".to_owned(), clock: Clock::starting_now() };
        let mut recorder = Recorder::new(run, None, None, 1);
        recorder.lasted(2_000_000);
        (recorder.total.acked, recorder.total.acked_local, recorder.second.acked) = (890, 10, 100);
        assert_eq!(recorder.slower_than(500), None);
        recorder.second.acked = 99;
        let why = recorder.slower_than(500).unwrap();
        assert_eq!(why, "499.5 writes per second were acknowledged (--min-rate 500)");
    }
}
