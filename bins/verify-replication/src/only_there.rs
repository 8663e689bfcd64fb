//! Tables that `--table` names and only a copy at rest has.

use anyhow::{Result, bail};

use crate::node::NodeSessions;
use crate::read_error::ReadError;
use crate::reader::{Reader, column};
use crate::subject::{self, Subject};
use crate::verify::Verify;

/// A table or sequence that one copy has, and the primary has not.
pub(crate) struct OnlyThere {
    pub(crate) title: String,
    pub(crate) rows: u64,
    pub(crate) copy: String,
}

impl OnlyThere {
    /// A table of a copy.
    pub(crate) fn table(copy: &mut NodeSessions, table: &Subject) -> Result<OnlyThere, ReadError> {
        Ok(OnlyThere { title: table.title(), rows: count(copy.reader(), table)?, copy: copy.name.clone() })
    }
}

impl Verify<'_> {
    /// Looks on the copies for what the primary has not.
    ///
    /// # Errors
    /// If a name leads to nothing on any of them, or they are standbys, which have what their primary has.
    pub(crate) fn only_there(&mut self, names: &[String]) -> Result<Vec<OnlyThere>> {
        let mut found = Vec::new();
        for name in names {
            let before = found.len();
            for standby in &mut self.standbys {
                let Some(node) = standby.node.as_mut().ok().filter(|node| node.at_rest) else { continue };
                let there = subject::find(&node.control, &mut node.readers[0], std::slice::from_ref(name), false)?;
                let tables = there.tables.iter().map(|table| (table, table.title()));
                let sequences = there.sequences.iter().map(|one| (one, format!("sequence {}", one.title())));
                for (subject, title) in tables.chain(sequences) {
                    let rows = count(&mut node.readers[0], subject)?;
                    found.push(OnlyThere { title, rows, copy: standby.name.clone() });
                }
            }
            if found.len() == before {
                bail!("--table {name:?}: there is no such table");
            }
        }
        Ok(found)
    }
}

/// The rows of a table; of a sequence there is one.
fn count(reader: &mut Reader, subject: &Subject) -> Result<u64, ReadError> {
    let rows = reader.rows(&format!("SELECT count(*) FROM ONLY {}", subject.quoted()), &[])?;
    rows.first().map_or(Ok(0), |row| Ok(column::<i64>(row, 0)?.unsigned_abs()))
}
