//! What a run reports: its rows, their joined verdict, and messages for people. One account for all databases.

use std::path::PathBuf;

use anyhow::Result;
use program::progress::Progress;
use program::sink::Sink;
use report::verdict::Verdict;
use report::verify::VerifyRow;

use crate::diff::Diff;

pub(crate) struct Account {
    pub(crate) run: String,
    /// Where words go.
    pub(crate) progress: Progress,
    /// The joined verdict of all rows so far; `None` before the first row.
    pub(crate) verdict: Option<Verdict>,
    /// The file of `--diff`, once the first database has begun.
    pub(crate) diff: Option<Diff>,
    /// The path of that file, and whether values are written to it.
    wanted: Option<(PathBuf, bool)>,
    sink: Option<Sink<VerifyRow>>,
}

impl Account {
    /// An account without a row yet. stdout is opened with the first row, or database.
    pub(crate) fn new(run: String, progress: Progress, wanted: Option<(PathBuf, bool)>) -> Account {
        Account { run, progress, verdict: None, diff: None, wanted, sink: None }
    }

    /// Begins with a database, now that it can be read: before that no file is made.
    pub(crate) fn begin_database(&mut self, name: &str) -> Result<()> {
        self.begin()?;
        if let Some((path, show_values)) = self.wanted.take() {
            self.diff = Some(Diff::create(&path, &self.run, show_values)?);
        }
        self.diff.iter_mut().for_each(|diff| diff.in_database(name));
        Ok(())
    }

    /// Writes the header, unless it is there.
    fn begin(&mut self) -> Result<&mut Sink<VerifyRow>> {
        match &mut self.sink {
            Some(sink) => Ok(sink),
            none => Ok(none.insert(Sink::stdout()?)),
        }
    }

    /// Writes a row and joins its verdict. The verdict counts also if the row can no longer be written.
    pub(crate) fn row(&mut self, row: &VerifyRow) -> Result<()> {
        self.verdict = Some(self.verdict.map_or(row.verdict, |so_far| so_far.join(row.verdict)));
        self.begin()?.row(row)
    }
}
