//! `verify.csv`: one table on one standby.

use serde::{Deserialize, Serialize};

use crate::verdict::Verdict;

/// The comparison of one table of the primary with the same table of one standby.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyRow {
    /// The run that this row belongs to.
    pub run: String,
    /// The table with its schema; `sequence …`, `ledger …` for the other two things that are compared.
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
    /// Chunks that a node could not read because they are damaged (SQLSTATE XX001, XX002, 22P03).
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
}
