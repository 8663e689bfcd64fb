//! Reading rows back.

use std::io::Read;

use anyhow::Context as _;
use serde::de::DeserializeOwned;

/// All rows of a CSV file with a header. Columns that `Row` does not know are left out: columns are only ever appended.
///
/// # Errors
/// If it cannot be read or a row is not a `Row`; the error names the line.
pub fn read<Row: DeserializeOwned>(input: impl Read) -> anyhow::Result<Vec<Row>> {
    csv::Reader::from_reader(input).into_deserialize().collect::<Result<_, _>>().context("not the rows expected")
}
