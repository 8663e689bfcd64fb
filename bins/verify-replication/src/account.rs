//! What a run tells: its rows, their joined verdict, and words for eyes. One for all databases.

use std::path::PathBuf;

use anyhow::Result;
use program::progress::Progress;
use program::sink::Sink;
use report::verdict::Verdict;
use report::verify::VerifyRow;

use crate::diff::Diff;

/// The account of a run.
pub(crate) struct Account {
    /// The run's name.
    pub(crate) run: String,
    /// Where words go.
    pub(crate) progress: Progress,
    /// What all rows so far come to; `None`: there was none.
    pub(crate) verdict: Option<Verdict>,
    /// Where all that differs goes, if it is asked for, once it is begun.
    pub(crate) diff: Option<Diff>,
    /// The file for that, and whether values are to be in it.
    wanted: Option<(PathBuf, bool)>,
    sink: Option<Sink<VerifyRow>>,
}

impl Account {
    /// An account without a row yet. stdout is opened with the first row, or database.
    pub(crate) fn new(run: String, progress: Progress, wanted: Option<(PathBuf, bool)>) -> Account {
        Account { run, progress, verdict: None, diff: None, wanted, sink: None }
    }

    /// Begins with a database, now that it can be read: before that no file is made.
    ///
    /// # Errors
    /// What the system says of stdout, or of the file for all that differs.
    pub(crate) fn begin_database(&mut self, name: &str) -> Result<()> {
        self.begin()?;
        if let Some((path, show_values)) = self.wanted.take() {
            self.diff = Some(Diff::create(&path, &self.run, show_values)?);
        }
        self.diff.iter_mut().for_each(|diff| diff.in_database(name));
        Ok(())
    }

    /// Writes the header, unless it is there.
    ///
    /// # Errors
    /// What the system says of stdout.
    fn begin(&mut self) -> Result<&mut Sink<VerifyRow>> {
        match &mut self.sink {
            Some(sink) => Ok(sink),
            none => Ok(none.insert(Sink::stdout()?)),
        }
    }

    /// Writes a row and joins its verdict. The verdict counts also if the row can no longer be written.
    ///
    /// # Errors
    /// As [`Account::begin`].
    pub(crate) fn row(&mut self, row: &VerifyRow) -> Result<()> {
        self.verdict = Some(self.verdict.map_or(row.verdict, |so_far| so_far.join(row.verdict)));
        self.begin()?.row(row)
    }
}
