//! What a run reports: its rows, their joined verdict, and messages for people. One account for all databases.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::Result;
use program::progress::Progress;
use program::sink::Sink;
use report::foreign::one_line;
use report::lsn::Lsn;
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
    /// The first mark that was set in the primary's WAL; `None` before it.
    pub(crate) since: Option<Lsn>,
    sink: Option<Sink<VerifyRow>>,
    /// Whether rows are CSV on a terminal, too.
    csv: bool,
    standbys: BTreeSet<String>,
    /// What did not hold, by name, and why.
    not_held: Vec<(Verdict, String)>,
}

impl Account {
    /// An account without a row yet. stdout is opened with the first row, or database.
    pub(crate) fn new(run: String, progress: Progress, wanted: Option<(PathBuf, bool)>, csv: bool) -> Account {
        let (standbys, not_held) = (BTreeSet::new(), Vec::new());
        Account { run, progress, verdict: None, diff: None, wanted, since: None, sink: None, csv, standbys, not_held }
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
            none => Ok(none.insert(Sink::stdout_for_people(self.csv)?)),
        }
    }

    /// Writes a row and joins its verdict. The verdict counts also if the row can no longer be written.
    pub(crate) fn row(&mut self, row: &VerifyRow) -> Result<()> {
        self.verdict = Some(self.verdict.map_or(row.verdict, |so_far| so_far.join(row.verdict)));
        self.standbys.insert(one_line(&row.standby).into_owned());
        if row.verdict != Verdict::Held {
            self.not_held.push((row.verdict, one_line(&format!("{} on {}", row.table, row.standby)).into_owned()));
        }
        self.begin()?.row(row)
    }

    /// What came of it all, in a sentence; empty without a row.
    pub(crate) fn sentence(&self) -> String {
        let Some(verdict) = self.verdict else { return String::new() };
        let mut named = self.not_held.iter().filter(|(found, _)| *found == verdict).map(|(_, name)| name.as_str());
        let first = named.next().unwrap_or_default();
        let and = |more: usize, nor: &str| if more > 0 { format!(", {nor} {more} more") } else { String::new() };
        let standbys: Vec<&str> = self.standbys.iter().map(String::as_str).collect();
        let found = match verdict {
            Verdict::Held => format!("all that was compared is the same on {}", standbys.join(" and ")),
            Verdict::Broken => format!("{first} is not the same as on the primary{}", and(named.count(), "nor are")),
            Verdict::Unknown => format!("{first} could not be compared to an end{}", and(named.count(), "nor could")),
        };
        format!("verdict   {verdict}: {found}")
    }
}
