//! `events.csv`: the marks of the drill, as they happen.

use std::path::Path;

use anyhow::Result;
use program::folder;
use program::run::Run;
use report::event::{EventRow, Mark};
use report::evidence::{EVENTS, SEALED};
use report::foreign::one_line;
use report::words::Fault;

use crate::kept::Kept;

/// The events of one drill. Setting a mark never fails.
pub(crate) struct Events {
    run: Run,
    kept: Kept<EventRow>,
    step: Option<u32>,
}

impl Events {
    pub(crate) fn create(dir: &Path, run: &Run) -> Result<Events> {
        Ok(Events { run: run.clone(), kept: Kept::create(dir, EVENTS)?, step: None })
    }

    /// An event of now, for more to be put into it.
    pub(crate) fn row(&self, mark: Mark, node: Option<&str>, detail: &str) -> EventRow {
        EventRow {
            run: self.run.name.clone(),
            at_us: self.run.clock.now_us(),
            mark,
            node: node.map(str::to_owned),
            detail: (!detail.is_empty()).then(|| one_line(detail).into_owned()),
            step: self.step,
            fault: None,
            lsn: None,
            count: None,
            rejoin: None,
            file: None,
            md5: None,
        }
    }

    /// Something happened; returns when, in microseconds since the run's origin.
    pub(crate) fn put(&mut self, row: EventRow) -> u64 {
        let at_us = row.at_us;
        self.kept.push(row);
        at_us
    }

    /// Something happened now; returns when.
    pub(crate) fn now(&mut self, mark: Mark, node: Option<&str>, detail: &str) -> u64 {
        self.put(self.row(mark, node, detail))
    }

    /// Something happened at `at_us`.
    pub(crate) fn at(&mut self, at_us: u64, mark: Mark, node: Option<&str>, detail: &str) {
        self.put(EventRow { at_us, ..self.row(mark, node, detail) });
    }

    /// The next step begins: all events from here on are of it.
    pub(crate) fn begin_step(&mut self, fault: Fault, node: &str) {
        self.step = Some(self.step.unwrap_or(0) + 1);
        self.put(EventRow { fault: Some(fault), ..self.row(Mark::StepBegun, Some(node), "") });
    }

    pub(crate) fn step(&self) -> Option<u32> {
        self.step
    }

    /// Whether something happened in this step.
    pub(crate) fn has(&self, mark: Mark) -> bool {
        self.first_us(mark).is_some()
    }

    /// When something first happened in this step.
    pub(crate) fn first_us(&self, mark: Mark) -> Option<u64> {
        self.rows().iter().find(|row| row.mark == mark && row.step == self.step).map(|row| row.at_us)
    }

    /// Seals the files that the verdict follows from, this one last: only verdicts may come after that.
    pub(crate) fn seal(&mut self, dir: &Path) {
        for file in SEALED.into_iter().chain([EVENTS]) {
            match folder::seal(dir, file) {
                Ok(seal) => {
                    let row = self.row(Mark::Sealed, None, "");
                    let (count, file, md5) = (Some(seal.lines), Some(file.to_owned()), Some(seal.md5));
                    self.put(EventRow { count, file, md5, ..row });
                }
                Err(error) => return self.kept.fail(error),
            }
        }
    }

    /// All events, also those that could not be written.
    pub(crate) fn rows(&self) -> &[EventRow] {
        self.kept.rows()
    }

    /// Why marks are missing from the file; `None`: all were written.
    pub(crate) fn failure(&self) -> Option<String> {
        self.kept.failure()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_has_its_number_and_its_own_events() {
        let dir = tempfile::tempdir().unwrap();
        let run = Run { name: "r".to_owned(), clock: program::clock::Clock::starting_now() };
        let mut events = Events::create(dir.path(), &run).unwrap();
        events.now(Mark::Steady, None, "");
        events.begin_step(Fault::Kill, "node1");
        let first_us = events.now(Mark::T0, Some("node1"), "");
        events.begin_step(Fault::Stop, "node2");
        assert!(!events.has(Mark::T0) && !events.has(Mark::Steady));
        events.at(first_us + 1, Mark::T0, Some("node2"), "");
        events.at(first_us + 2, Mark::T0, Some("node2"), "");
        assert_eq!(events.first_us(Mark::T0), Some(first_us + 1));
        let steps: Vec<_> = events.rows().iter().map(|row| row.step).collect();
        assert_eq!(steps, [None, Some(1), Some(1), Some(2), Some(2), Some(2)]);
        assert_eq!((events.rows()[3].fault, events.rows()[3].node.as_deref()), (Some(Fault::Stop), Some("node2")));
        let written = folder::rows::<EventRow>(dir.path(), EVENTS).unwrap();
        assert_eq!(written, events.rows());
    }
}
