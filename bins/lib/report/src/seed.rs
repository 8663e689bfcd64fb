//! What `seed-data` prints.

use serde::{Deserialize, Serialize};

/// One table that was loaded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeedRow {
    /// The run that this row belongs to.
    pub run: String,
    /// The table, with its schema.
    pub table: String,
    /// Rows loaded.
    pub rows: u64,
    /// Bytes sent over COPY.
    pub bytes: u64,
    /// Time from the first byte to the commit, in microseconds.
    pub elapsed_us: u64,
    /// Rows per second.
    pub rows_per_s: u64,
}
