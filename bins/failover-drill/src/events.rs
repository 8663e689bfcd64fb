//! `events.csv`: the marks of the drill, as they happen.

use std::path::Path;

use anyhow::Result;
use program::run::Run;
use program::sink::Sink;
use report::event::{EventRow, Mark};
use report::foreign::one_line;

/// The events of one drill.
///
/// Setting a mark never fails: from T0 on nothing that only measures may keep the cluster from getting its primary back
/// (a full disk did, between kill and proof). What could not be written is asked for at the end.
pub(crate) struct Events {
    run: Run,
    sink: Sink<EventRow>,
    failed: Option<anyhow::Error>,
}

impl Events {
    pub(crate) fn create(dir: &Path, run: &Run) -> Result<Events> {
        Ok(Events { run: run.clone(), sink: Sink::create_new(&dir.join("events.csv"))?, failed: None })
    }

    /// Something happened now; returns when, in microseconds since the run's origin.
    pub(crate) fn now(&mut self, mark: Mark, node: Option<&str>, detail: &str) -> u64 {
        let at_us = self.run.clock.now_us();
        self.at(at_us, mark, node, detail);
        at_us
    }

    /// Something happened at `at_us`.
    pub(crate) fn at(&mut self, at_us: u64, mark: Mark, node: Option<&str>, detail: &str) {
        if self.failed.is_some() {
            return; // the file ends with its last whole row
        }
        let row = EventRow {
            run: self.run.name.clone(),
            at_us,
            mark,
            node: node.map(str::to_owned),
            detail: (!detail.is_empty()).then(|| one_line(detail).into_owned()),
        };
        self.failed = self.sink.row(&row).err();
    }

    /// Why marks are missing from the file; `None`: all were written.
    pub(crate) fn failure(&self) -> Option<String> {
        self.failed.as_ref().map(|error| format!("events.csv is not complete: {error:#}"))
    }
}
