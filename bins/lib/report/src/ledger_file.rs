//! The rows of a `ledger.csv`, whole ones only: the file may still grow, and its writer may have been killed.

use std::io::Read;

use anyhow::{Context as _, ensure};

use crate::ledger_row::LedgerRow;

/// Hands every whole row of a ledger to `take`, in order. A last line without its newline is left out.
///
/// # Errors
/// If a line is not a ledger row, or `take` refuses it; the error names the line.
pub fn each_row(input: impl Read, mut take: impl FnMut(LedgerRow) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let header = csv::StringRecord::from(crate::columns::columns::<LedgerRow>().to_vec());
    let mut csv = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(LastByte {
        input,
        last: None,
        ended: false,
    });
    let mut take = |record: &csv::StringRecord| {
        let line = record.position().map_or(0, csv::Position::line);
        let row = record.deserialize(Some(&header)).with_context(|| format!("ledger line {line} is not a row"))?;
        take(row).with_context(|| format!("ledger line {line}"))
    };
    let (mut record, mut next) = (csv::StringRecord::new(), csv::StringRecord::new());
    ensure!(csv.read_record(&mut record).context("cannot read the ledger")?, "the ledger is empty, without a header");
    ensure!(
        record.iter().take(header.len()).eq(header.iter()),
        "line 1 is not the header of a ledger: expected {}",
        header.iter().collect::<Vec<_>>().join(",")
    );
    // A row is handed on after the next one was read: only the end of the file tells whether the last row is whole.
    let mut more = csv.read_record(&mut record).context("cannot read the ledger")?;
    while more {
        more = csv.read_record(&mut next).context("cannot read the ledger")?;
        if more || csv.get_ref().last == Some(b'\n') {
            take(&record)?;
        }
        std::mem::swap(&mut record, &mut next);
    }
    Ok(())
}

/// Remembers the last byte that was read: a ledger that does not end in a newline was torn in the middle of a row.
/// The first end of the file counts, even if the file grows afterwards: half a row could pass for a whole one.
struct LastByte<R> {
    input: R,
    last: Option<u8>,
    ended: bool,
}

impl<R: Read> Read for LastByte<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = if self.ended { 0 } else { self.input.read(buffer)? };
        self.ended = count == 0;
        if let Some(index) = count.checked_sub(1) {
            self.last = Some(buffer[index]);
        }
        Ok(count)
    }
}
