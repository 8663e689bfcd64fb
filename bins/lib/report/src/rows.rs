//! Reading rows back.

use std::io::Read;

use anyhow::Context as _;
use serde::de::DeserializeOwned;

/// All rows of a CSV file with a header. Columns that `Row` does not know are left out: columns are only ever appended.
///
/// # Errors
/// If it cannot be read or a row is not a `Row`; the error names the line.
pub fn read<Row: DeserializeOwned>(input: impl Read) -> anyhow::Result<Vec<Row>> {
    let mut csv = csv::Reader::from_reader(input);
    csv.headers()?; // read by the rows alone, what keeps it from being read would pass for a file without rows
    csv.into_deserialize().collect::<Result<_, _>>().context("not the rows expected")
}

#[cfg(test)]
mod tests {
    use std::io::{Error, Read, Result};

    struct Broken;

    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> Result<usize> {
            Err(Error::other("the disk is broken"))
        }
    }

    #[test]
    fn what_cannot_be_read_is_no_file_without_rows() {
        let said = format!("{:#}", super::read::<crate::lag::LagRow>(Broken).unwrap_err());
        assert!(said.contains("the disk is broken"), "{said}");
        let header = crate::columns::columns::<crate::lag::LagRow>().join(",");
        assert_eq!(super::read::<crate::lag::LagRow>(header.as_bytes()).unwrap().len(), 0);
    }
}
