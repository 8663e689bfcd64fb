//! `events.csv`: the marks of the drill, as they happen.

use std::path::Path;

use anyhow::Result;
use program::run::Run;
use program::sink::Sink;
use report::event::{EventRow, Mark};

/// The events of one drill.
pub(crate) struct Events {
    run: Run,
    sink: Sink<EventRow>,
}

impl Events {
    pub(crate) fn create(dir: &Path, run: &Run) -> Result<Events> {
        Ok(Events { run: run.clone(), sink: Sink::create_new(&dir.join("events.csv"))? })
    }

    /// Something happened now; returns when.
    pub(crate) fn now(&mut self, mark: Mark, node: Option<&str>, detail: &str) -> Result<u64> {
        let at_us = self.run.clock.now_us();
        self.at(at_us, mark, node, detail)?;
        Ok(at_us)
    }

    /// Something happened at `at_us`.
    pub(crate) fn at(&mut self, at_us: u64, mark: Mark, node: Option<&str>, detail: &str) -> Result<()> {
        self.sink.row(&EventRow {
            run: self.run.name.clone(),
            at_us,
            mark,
            node: node.map(str::to_owned),
            detail: (!detail.is_empty()).then(|| detail.replace('\n', " ")),
        })
    }
}
