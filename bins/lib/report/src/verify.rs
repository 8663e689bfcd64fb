//! `verify.csv`: one table on one standby.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::verdict::Verdict;

/// The comparison of one table of the primary with the same table of one standby.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyRow {
    /// The run that this row belongs to.
    pub run: String,
    /// The table with its schema; `sequence …`, `ledger …`, `catalogs` and `large objects` for what else is compared.
    pub table: String,
    /// The standby's name.
    pub standby: String,
    /// Rows on the primary; empty if it could not be read.
    pub rows_primary: Option<u64>,
    /// Rows on the standby; empty if it could not be read.
    pub rows_standby: Option<u64>,
    /// Rows of the primary that the standby provably lacks; empty, as the next three, if nothing could be compared.
    pub missing: Option<u64>,
    /// Rows of the standby that the primary provably lacks.
    pub extra: Option<u64>,
    /// Rows that provably have another content on the standby.
    pub different: Option<u64>,
    /// Damaged blocks: what a node cannot read of the table, each block by itself. A file that is not there counts once.
    pub corrupt: Option<u64>,
    /// Chunks compared.
    pub chunks: u64,
    /// Chunks that had to be looked at again, because rows were on their way.
    pub rechecked: u64,
    /// Time for this table on this standby, in microseconds.
    pub elapsed_us: u64,
    /// Rows of the primary compared per second.
    pub rows_per_s: u64,
    /// What was found.
    pub verdict: Verdict,
    /// How it was proven that the standby follows this very primary; empty if it was not.
    pub descent: Option<Descent>,
    /// The database that it is in.
    pub database: Option<String>,
    /// What "equal" means here.
    pub equal: Option<Equal>,
    /// Indexes of the table that were read on the standby, in full or at some rows; empty, as the next, if none could be.
    pub indexes: Option<u64>,
    /// What is wrong with them: rows that an index does not lead to or leads to wrongly, and indexes that are damaged.
    pub index_faults: Option<u64>,
}

impl VerifyRow {
    /// The row on the catalogs of one standby.
    pub const CATALOGS: &str = "catalogs";
    /// The row on the large objects of one standby.
    pub const LARGE_OBJECTS: &str = "large objects";

    /// Whether this row is on a table: the others count things of their own kind.
    #[must_use]
    pub fn is_table(&self) -> bool {
        let others = [VerifyRow::CATALOGS, VerifyRow::LARGE_OBJECTS];
        !self.table.starts_with("sequence ") && !self.table.starts_with("ledger ") && !others.contains(&&*self.table)
    }
}

/// When two rows are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Equal {
    /// When their bytes are, as the server sends them.
    Bytes,
    /// When the equality of each column's type says so.
    Values,
}

/// How a standby is known to follow the primary that it is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Descent {
    /// Its receiver streams from the primary; both said so.
    Streams,
    /// Its receiver streams from a standby of which it is known.
    Cascades,
    /// It has no receiver, and its last restartpoint is a checkpoint that the primary made.
    Restartpoint,
    /// It is not known and was not asked: both are compared as they stand, on the user's word (`--at-rest`).
    AtRest,
}

impl fmt::Display for Descent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Descent::Streams => "streams from the primary",
            Descent::Cascades => "streams from a standby of the primary",
            Descent::Restartpoint => "has no receiver, and its last restartpoint is a checkpoint of the primary",
            Descent::AtRest => "compared at rest, as it stands: nothing says that it follows the primary",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::VerifyRow;

    #[test]
    fn what_is_no_table_is_not_counted_as_one() {
        let header = "run,table,standby,rows_primary,rows_standby,missing,extra,different,corrupt,chunks,rechecked,\
            elapsed_us,rows_per_s,verdict,descent,database,equal,indexes,index_faults\n";
        let titles =
            ["public.t", "catalogs", "large objects", "sequence public.s", "ledger r", "public.\"large objects\""];
        let rows: String =
            titles.iter().map(|title| format!("r,{},s,1,1,,,,,0,0,0,0,held,,,,,\n", csv(title))).collect();
        let rows: Vec<VerifyRow> = crate::rows::read((header.to_owned() + &rows).as_bytes()).unwrap();
        let tables: Vec<_> = rows.iter().filter(|row| row.is_table()).map(|row| &*row.table).collect();
        assert_eq!(tables, ["public.t", "public.\"large objects\""]);
    }

    fn csv(text: &str) -> String {
        format!("\"{}\"", text.replace('"', "\"\""))
    }
}
