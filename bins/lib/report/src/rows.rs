//! Reading rows back.

use std::io::{self, Read};

use anyhow::{Context as _, ensure};
use serde::de::DeserializeOwned;

/// All rows of a CSV file with a header. Columns that `Row` does not know are left out: columns are only ever appended.
///
/// # Errors
/// If it cannot be read or a row is not a `Row`; the error names the line. Or if the last line has no end: of what was cut there a
/// figure may be left that looks whole.
pub fn read<Row: DeserializeOwned>(input: impl Read) -> anyhow::Result<Vec<Row>> {
    let mut input = Ending { input, last: b'\n' };
    let mut csv = csv::Reader::from_reader(&mut input);
    csv.headers()?; // read by the rows alone, what keeps it from being read would pass for a file without rows
    let rows = csv.into_deserialize().collect::<Result<_, _>>().context("not the rows expected")?;
    ensure!(input.last == b'\n', "its last line is cut");
    Ok(rows)
}

/// Remembers the last byte that was read.
struct Ending<Input> {
    input: Input,
    last: u8,
}

impl<Input: Read> Read for Ending<Input> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(into)?;
        self.last = into[..count].last().copied().unwrap_or(self.last);
        Ok(count)
    }
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
        let header = crate::columns::columns::<crate::lag::LagRow>().join(",") + "\n";
        assert_eq!(super::read::<crate::lag::LagRow>(header.as_bytes()).unwrap().len(), 0);
    }

    #[test]
    fn a_figure_that_was_cut_is_no_figure() {
        let seeded = "run,table,rows,bytes,elapsed_us,rows_per_s\nr,users,500,1,1,500\n";
        let read = |text: &str| super::read::<crate::seed::SeedRow>(text.as_bytes());
        assert!(read(seeded).is_ok(), "{:?}", read(seeded));
        assert!(format!("{:#}", read(seeded.trim_end()).unwrap_err()).contains("its last line is cut"));
    }
}
