//! `--stdout TABLE`: the rows as CSV, without a server.

use std::io::{self, Write};

use anyhow::{Context as _, Result};
use program::sink::Closed;
use program::stop;

use crate::rows::{BLOCK, Rows, Spec, ranges};
use crate::table::Table;

/// Writes a whole table to stdout, with a header.
pub(crate) fn table(table: Table, spec: Spec) -> Result<()> {
    let mut stdout = io::stdout().lock();
    let mut rows = Rows::new(table, spec);
    let mut block = format!("{}\n", table.columns()).into_bytes();
    for ids in ranges(1..spec.size.of(table) + 1, BLOCK) {
        stop::check()?;
        rows.write(ids, &mut block);
        put(&mut stdout, &block)?;
        block.clear();
    }
    Ok(())
}

fn put(stdout: &mut impl Write, block: &[u8]) -> Result<()> {
    match stdout.write_all(block).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Closed.into()),
        other => other.context("cannot write to stdout"),
    }
}
