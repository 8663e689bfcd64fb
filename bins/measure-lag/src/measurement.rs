//! What the tasks of one measurement share. They run on one thread, so plain cells will do.

use std::cell::{Cell, RefCell};

use anyhow::{Error, Result};
use cluster::conninfo::Conninfo;
use program::clock::Clock;
use program::progress::Progress;
use tokio::sync::Notify;

use crate::board::Board;
use crate::summary::Output;

/// One measurement.
pub(crate) struct Shared {
    /// The run's name: the key of its heartbeat row.
    pub(crate) run: String,
    pub(crate) clock: Clock,
    pub(crate) interval_us: u64,
    pub(crate) progress: Progress,
    /// How to reach each node.
    pub(crate) infos: Vec<Conninfo>,
    board: RefCell<Board>,
    output: RefCell<Output>,
    /// For each node: a beat has been sent, look now.
    wakes: Vec<Notify>,
    failure: Cell<Option<Error>>,
    failed: Notify,
}

impl Shared {
    /// A measurement of the nodes that `infos` lead to.
    pub(crate) fn new(
        (run, clock, interval_us): (String, Clock, u64),
        infos: Vec<Conninfo>,
        board: Board,
        output: Output,
        progress: Progress,
    ) -> Shared {
        let wakes = infos.iter().map(|_| Notify::new()).collect();
        let (board, output) = (RefCell::new(board), RefCell::new(output));
        Shared {
            run,
            clock,
            interval_us,
            progress,
            infos,
            board,
            output,
            wakes,
            failure: Cell::new(None),
            failed: Notify::new(),
        }
    }

    /// Asks the board, or tells it what happened; the rows that follow from it are written at once.
    pub(crate) fn board<T>(&self, act: impl FnOnce(&mut Board) -> T) -> T {
        let (answer, rows) = {
            let mut board = self.board.borrow_mut();
            (act(&mut board), board.take_rows())
        };
        if let Err(error) = self.output.borrow_mut().write(&rows) {
            self.failure.set(Some(error));
            self.failed.notify_one();
        }
        answer
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

    /// The output, when all is over.
    pub(crate) fn output(&self) -> std::cell::Ref<'_, Output> {
        self.output.borrow()
    }

    /// The first tick after now. All tasks share the grid of the run's clock.
    pub(crate) fn next_tick_us(&self) -> u64 {
        (self.clock.now_us() / self.interval_us + 1) * self.interval_us
    }

    /// Has all nodes looked at now.
    pub(crate) fn wake_all(&self) {
        self.wakes.iter().for_each(Notify::notify_one);
    }

    /// Waits for [`Shared::wake_all`].
    pub(crate) async fn woken(&self, node: usize) {
        self.wakes[node].notified().await;
    }
}
