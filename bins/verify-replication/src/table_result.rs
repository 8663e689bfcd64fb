//! What was found of one table on one standby.

use std::fmt::Display;

use report::diff::DiffKind;
use report::verdict::Verdict;

use crate::damage::{Damage, Side};
use crate::difference::{Counted, Difference, Words};
use crate::indexes::Tally;
use crate::leftovers::Leftovers;
use crate::reader::Trouble;
use crate::spool::Spool;

/// Memory for the differences that `--diff` writes in the end, in bytes.
const SPOOL: usize = 256 << 10;

/// What was found of one table on one standby, beyond the counts of its rows.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Rows of the primary that the standby lacks.
    pub(crate) missing: Counted,
    /// Rows of the standby that the primary lacks.
    pub(crate) extra: Counted,
    /// Rows of another content on the standby.
    pub(crate) different: Counted,
    /// What a node could not read for damage.
    pub(crate) damage: Damage,
    /// Indexes that were read, in full or at some rows; `None`: none could be.
    pub(crate) indexes: Option<u64>,
    /// What is wrong with them: rows, or 1 for an index that is damaged.
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

impl Found {
    /// Nothing yet. With `all`, each row that differs is kept for [`Found::differences`].
    pub(crate) fn new(all: bool) -> Found {
        Found { differences: all.then(|| Spool::new(SPOOL)), ..Found::default() }
    }

    /// Nothing could be read, because of `why`.
    pub(crate) fn unread(why: Option<String>) -> Found {
        let mut found = Found { unread: true, ..Found::default() };
        found.unknown.extend(why);
        found
    }

    /// Keeps why something could not be read, where it cannot be narrowed down any further.
    pub(crate) fn keep(&mut self, what: impl Display, trouble: &Trouble) {
        match trouble {
            Trouble::Index(_) | Trouble::Corrupt(_) | Trouble::NoFile(..) => {
                self.damage.other(Side::Standby, what.to_string(), trouble);
            }
            Trouble::Unread(_) | Trouble::Lost(_) | Trouble::Internal(_) => {
                self.unknown.push(format!("{what}: {trouble}"));
            }
        }
    }

    /// Keeps that no statement on the table can be planned, for an index that is damaged.
    pub(crate) fn planless(&mut self, trouble: &Trouble) {
        if self.index_faults == 0 {
            self.index_faults = 1;
            self.remarks.push(format!("no statement on it can be planned: {trouble}"));
        }
    }

    /// Adds rows that are proven to differ.
    ///
    /// # Errors
    /// If they cannot be kept: then nothing more can be found out of this table.
    pub(crate) fn add(&mut self, rows: Vec<Difference>) -> Result<(), Trouble> {
        let lost = |error: anyhow::Error| Trouble::Lost(format!("{error:#}"));
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

    /// Matches the rows that only one node shows, once all that can be read was read. `at_rest`: a copy may have a row
    /// anywhere, so that it is missing only if nothing of that node was left unread. Of a standby that is proven by the
    /// place of the row.
    pub(crate) fn settle(&mut self, at_rest: bool) {
        let unread = at_rest && !self.unknown.is_empty();
        let [here, there] = [Side::Primary, Side::Standby].map(|side| unread || at_rest && self.damage.is_on(side));
        let mut unproven = 0_u64;
        let leftovers = std::mem::take(&mut self.leftovers);
        self.left = 0;
        let settled = leftovers.settle(&mut |row| match row.kind() {
            DiffKind::Missing if there => {
                unproven += 1;
                Ok(())
            }
            DiffKind::Extra if here => {
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

    /// How many rows are proven to differ; until they are settled, those count twice that are only elsewhere.
    pub(crate) fn proven(&self) -> u64 {
        self.missing.count + self.extra.count + self.different.count + self.left
    }

    /// The verdict that this is enough for.
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
