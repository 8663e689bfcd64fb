//! `diff.csv`: one row that differs, or one damaged block, as `verify-replication --diff` writes it.

use serde::{Deserialize, Serialize};

/// One proven difference between a table of the primary and the same table of one standby.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiffRow {
    /// The run that this row belongs to.
    pub run: String,
    /// The database that the table is in.
    pub database: String,
    /// The table with its schema; catalogs are tables, too.
    pub table: String,
    /// The standby's name.
    pub standby: String,
    /// How it differs.
    pub kind: DiffKind,
    /// The primary key as text; without one `ctid (block,line pointer)`; of damage `block N`, or `file PATH`.
    pub key: String,
    /// Where the row lies on the primary; of damage there, the block with line pointer 0.
    pub primary_ctid: Option<String>,
    /// Where the row lies on the standby; of damage there, the block with line pointer 0.
    pub standby_ctid: Option<String>,
    /// The names of the columns that differ, with commas between them.
    pub columns: Option<String>,
    /// With `--show-values`: what the primary holds, as a JSON object of texts by column.
    pub primary_values: Option<String>,
    /// With `--show-values`: what the standby holds, likewise.
    pub standby_values: Option<String>,
}

/// How a row differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiffKind {
    /// The standby lacks it.
    Missing,
    /// The primary lacks it.
    Extra,
    /// It has another content on the standby.
    Different,
    /// A node cannot read what lies there.
    Corrupt,
}

impl DiffKind {
    /// As a message calls it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            DiffKind::Missing => "missing",
            DiffKind::Extra => "extra",
            DiffKind::Different => "different",
            DiffKind::Corrupt => "corrupt",
        }
    }
}
