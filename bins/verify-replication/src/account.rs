//! What a run tells: its rows, their joined verdict, and words for eyes. One for all databases.

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
    /// Where all that differs goes, if it is asked for.
    pub(crate) diff: Option<Diff>,
    sink: Option<Sink<VerifyRow>>,
}

impl Account {
    /// An account without a row yet. stdout is opened with the first row, or by [`Account::begin`].
    pub(crate) fn new(run: String, progress: Progress, diff: Option<Diff>) -> Account {
        Account { run, progress, verdict: None, diff, sink: None }
    }

    /// Writes the header, unless it is there.
    ///
    /// # Errors
    /// What the system says of stdout.
    pub(crate) fn begin(&mut self) -> Result<&mut Sink<VerifyRow>> {
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
