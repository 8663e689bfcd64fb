//! What was found of one table on one standby.

use std::fmt::Display;

use report::diff::DiffKind;
use report::verdict::Verdict;

use crate::damage::{Damage, Side};
use crate::difference::{Counted, Difference, Words};
use crate::indexes::tally::Tally;
use crate::leftovers::Leftovers;
use crate::read_error::ReadError;
use crate::spool::Spool;

/// Memory for the differences that `--diff` writes in the end, in bytes.
const SPOOL: usize = 256 << 10;

/// What was found of one table on one standby, beyond the counts of its rows.
#[derive(Debug, Default)]
pub(crate) struct TableResult {
    /// Rows of the primary that the standby lacks.
    pub(crate) missing: Counted,
    /// Rows of the standby that the primary lacks.
    pub(crate) extra: Counted,
    /// Rows of another content on the standby.
    pub(crate) different: Counted,
    /// What a node could not read for damage.
    pub(crate) damage: Damage,
    /// How many indexes were read, in full or at some rows; `None`: no index could be read.
    pub(crate) indexes: Option<u64>,
    /// The faults of these indexes: rows, or 1 for an index that is damaged.
    pub(crate) index_faults: u64,
    /// How much of them was read.
    pub(crate) tally: Tally,
    /// All rows that differ, if they are asked for.
    pub(crate) differences: Option<Spool>,
    /// Whether nothing of it could be read.
    pub(crate) unread: bool,
    /// Why something could not be found out.
    pub(crate) unknown: Words,
    /// What else there is to say.
    pub(crate) remarks: Words,
    /// Rows that only one node shows, until the whole table was read.
    leftovers: Leftovers,
    /// How many of them there are.
    left: u64,
}

impl TableResult {
    /// With `all`, each row that differs is kept for [`TableResult::differences`].
    pub(crate) fn new(all: bool) -> TableResult {
        TableResult { differences: all.then(|| Spool::new(SPOOL)), ..TableResult::default() }
    }

    /// Nothing could be read, because of `why`.
    pub(crate) fn unread(why: Option<String>) -> TableResult {
        let mut found = TableResult { unread: true, ..TableResult::default() };
        found.unknown.extend(why);
        found
    }

    /// Keeps why a part could not be read, if it cannot be narrowed down any further.
    pub(crate) fn keep(&mut self, what: impl Display, error: &ReadError) {
        match error {
            ReadError::Index(_) | ReadError::Corrupt(_) | ReadError::NoFile(..) => {
                self.damage.other(Side::Standby, what.to_string(), error);
            }
            ReadError::Unread(_) | ReadError::Lost(_) | ReadError::Internal(_) => {
                self.unknown.push(format!("{what}: {error}"));
            }
        }
    }

    /// Keeps that no statement on the table can be planned, because an index is damaged.
    pub(crate) fn planless(&mut self, error: &ReadError) {
        if self.index_faults == 0 {
            self.index_faults = 1;
            self.remarks.push(format!("no statement on it can be planned: {error}"));
        }
    }

    /// Adds rows that are proven to differ.
    ///
    /// # Errors
    /// If they cannot be kept: then nothing more can be found out of this table.
    pub(crate) fn add(&mut self, rows: Vec<Difference>) -> Result<(), ReadError> {
        let lost = |error: anyhow::Error| ReadError::Lost(format!("{error:#}"));
        for row in rows {
            match row.kind() {
                DiffKind::Different => self.tell(&row).map_err(lost)?,
                _ => {
                    self.left += 1;
                    self.leftovers.add(row).map_err(lost)?;
                }
            }
        }
        Ok(())
    }

    /// Matches the rows that only one node shows, after everything that can be read was read. `at_rest`: a copy may have a row
    /// in any place, so a row is missing only if the whole copy was read. On a standby the row's place alone proves it.
    pub(crate) fn settle(&mut self, at_rest: bool) {
        let unread = at_rest && !self.unknown.is_empty();
        let [on_primary, on_standby] =
            [Side::Primary, Side::Standby].map(|side| unread || at_rest && self.damage.is_on(side));
        let mut unproven = 0_u64;
        let leftovers = std::mem::take(&mut self.leftovers);
        self.left = 0;
        let settled = leftovers.settle(&mut |row| match row.kind() {
            DiffKind::Missing if on_standby => {
                unproven += 1;
                Ok(())
            }
            DiffKind::Extra if on_primary => {
                unproven += 1;
                Ok(())
            }
            _ => self.tell(&row),
        });
        if let Err(error) = settled {
            self.unknown.push(format!("what differs could not be counted to the end: {error:#}"));
        }
        if unproven > 0 {
            self.unknown.push(format!("{unproven} rows that one node shows may lie in what the other could not read"));
        }
    }

    /// Counts a row that is sure to differ.
    fn tell(&mut self, row: &Difference) -> anyhow::Result<()> {
        let Some(place) = row.place() else { return Ok(()) };
        let counted = match row.kind() {
            DiffKind::Missing => &mut self.missing,
            DiffKind::Extra => &mut self.extra,
            DiffKind::Different | DiffKind::Corrupt => &mut self.different,
        };
        counted.add(place.ctid, || row.name());
        self.differences.as_mut().map_or(Ok(()), |all| all.push(row))
    }

    /// How many rows are proven to differ. Before [`TableResult::settle`] a row that only lies elsewhere counts twice.
    pub(crate) fn proven(&self) -> u64 {
        self.missing.count + self.extra.count + self.different.count + self.left
    }

    pub(crate) fn verdict(&self) -> Verdict {
        if self.proven() > 0 || !self.damage.is_none() || self.index_faults > 0 {
            Verdict::Broken
        } else if self.unread || !self.unknown.is_empty() {
            Verdict::Unknown
        } else {
            Verdict::Held
        }
    }
}
