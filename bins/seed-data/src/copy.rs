//! One chunk over COPY, to the server and back.

use anyhow::{Context as _, Result};
use cluster::blocking::Blocking;

use crate::rows::{BLOCK, Rows, Spec, ranges};
use crate::worker_pool::{Chunk, PoolProgress};

/// Settings under which COPY prints rows as [`crate::csv_line`] writes them.
const CANONICAL: &str = "SET TimeZone = 'UTC'; SET DateStyle = 'ISO, YMD'; SET bytea_output = 'hex'";

/// Loads a chunk: in a transaction of its own, or in the one that is open. Returns the bytes sent.
pub(crate) fn load(session: &Blocking, chunk: &Chunk, spec: Spec, progress: &PoolProgress) -> Result<u64> {
    let (name, columns) = (chunk.table.name(), chunk.table.columns());
    let mut rows = Rows::new(chunk.table, spec);
    let (mut blocks, mut bytes) = (ranges(chunk.ids.clone(), BLOCK), 0);
    let next = |block: &mut Vec<u8>| {
        let Some(ids) = blocks.next() else { return Ok(false) };
        let count = ids.end - ids.start;
        rows.write(ids, block);
        bytes += block.len() as u64;
        progress.done(count).map(|()| true)
    };
    session.copy_in(&format!("COPY {name} ({columns}) FROM STDIN (FORMAT csv)"), next).context(name)?;
    Ok(bytes)
}

/// Whether the table holds exactly the chunk's rows between its first and its last id.
pub(crate) fn is_loaded(session: &Blocking, chunk: &Chunk, spec: Spec, progress: &PoolProgress) -> Result<bool> {
    let (name, columns) = (chunk.table.name(), chunk.table.columns());
    session.script(CANONICAL)?;
    let (first, last) = (chunk.ids.start, chunk.ids.end - 1);
    let select = format!("SELECT {columns} FROM {name} WHERE id BETWEEN {first} AND {last} ORDER BY id");
    let mut rows = Rows::new(chunk.table, spec);
    let mut blocks = ranges(chunk.ids.clone(), BLOCK);
    // The block that is compared now, how many of its bytes were found, and whether all bytes so far were the same.
    let (mut expected, mut there, mut same) = (Vec::new(), 0, true);
    session
        .copy_out(&format!("COPY ({select}) TO STDOUT (FORMAT csv)"), |mut found| {
            while same && !found.is_empty() {
                if there == expected.len() {
                    (expected, there) = (Vec::new(), 0);
                    match blocks.next() {
                        Some(ids) => {
                            progress.done(ids.end - ids.start)?;
                            rows.write(ids, &mut expected);
                        }
                        None => same = false, // the table holds more than expected
                    }
                }
                let count = found.len().min(expected.len() - there);
                same &= found[..count] == expected[there..there + count];
                there += count;
                found = &found[count..];
            }
            Ok(same)
        })
        .context(name)?;
    Ok(same && there == expected.len() && blocks.next().is_none())
}
