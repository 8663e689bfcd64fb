//! What the tasks of one measurement share. They run on one thread, so plain cells are enough.

use std::cell::{Cell, RefCell};

use anyhow::{Error, Result};
use cluster::conninfo::Conninfo;
use program::clock::Clock;
use program::progress::Progress;
use tokio::sync::Notify;

use crate::summary::Output;
use crate::tracker::LagTracker;

pub(crate) struct Measurement {
    /// The run's name: the key of its heartbeat row.
    pub(crate) run: String,
    pub(crate) clock: Clock,
    pub(crate) interval_us: u64,
    pub(crate) progress: Progress,
    /// How to reach each node.
    pub(crate) infos: Vec<Conninfo>,
    tracker: RefCell<LagTracker>,
    output: RefCell<Output>,
    /// For each node: wakes its task, because a beat has been sent.
    wakes: Vec<Notify>,
    failure: Cell<Option<Error>>,
    failed: Notify,
}

impl Measurement {
    pub(crate) fn new(
        (run, clock, interval_us): (String, Clock, u64),
        infos: Vec<Conninfo>,
        tracker: LagTracker,
        output: Output,
        progress: Progress,
    ) -> Measurement {
        let wakes = infos.iter().map(|_| Notify::new()).collect();
        let (tracker, output) = (RefCell::new(tracker), RefCell::new(output));
        Measurement {
            run,
            clock,
            interval_us,
            progress,
            infos,
            tracker,
            output,
            wakes,
            failure: Cell::new(None),
            failed: Notify::new(),
        }
    }

    /// Asks the tracker, or tells it what happened. Rows that follow from it are written at once.
    pub(crate) fn tracker<T>(&self, act: impl FnOnce(&mut LagTracker) -> T) -> T {
        let (answer, rows) = {
            let mut tracker = self.tracker.borrow_mut();
            (act(&mut tracker), tracker.take_rows())
        };
        if let Err(error) = self.output.borrow_mut().write(&rows) {
            self.failure.set(Some(error));
            self.failed.notify_one();
        }
        answer
    }

    pub(crate) fn name(&self, node: usize) -> String {
        self.tracker.borrow().name(node).to_owned()
    }

    /// Waits until a row could not be written.
    pub(crate) async fn failed(&self) -> Error {
        loop {
            if let Some(error) = self.failure.take() {
                return error;
            }
            self.failed.notified().await;
        }
    }

    /// Fails if a row could not be written.
    pub(crate) fn check(&self) -> Result<()> {
        self.failure.take().map_or(Ok(()), Err)
    }

    pub(crate) fn output(&self) -> std::cell::Ref<'_, Output> {
        self.output.borrow()
    }

    /// The first tick after now. All tasks share the grid of the run's clock.
    pub(crate) fn next_tick_us(&self) -> u64 {
        (self.clock.now_us() / self.interval_us + 1) * self.interval_us
    }

    /// Has all nodes polled now.
    pub(crate) fn wake_all(&self) {
        self.wakes.iter().for_each(Notify::notify_one);
    }

    /// Waits for [`Measurement::wake_all`].
    pub(crate) async fn woken(&self, node: usize) {
        self.wakes[node].notified().await;
    }
}
