//! One chunk over COPY, to the server and back.

use std::io::{self, ErrorKind, Read as _, Write as _};

use anyhow::{Context as _, Result, anyhow};
use cluster::connect::describe;
use postgres::{Client, GenericClient};

use crate::crew::{Chunk, Watch};
use crate::rows::{BLOCK, Recipe, Rows, stretches};

/// Settings under which COPY prints rows as [`crate::line`] writes them.
const CANONICAL: &str = "SET TimeZone = 'UTC'; SET DateStyle = 'ISO, YMD'; SET bytea_output = 'hex'";

/// Loads a chunk: in a transaction of its own, or in the one that is open. Returns the bytes sent.
pub(crate) fn load(client: &mut impl GenericClient, chunk: &Chunk, recipe: Recipe, watch: &Watch) -> Result<u64> {
    let (name, columns) = (chunk.table.name(), chunk.table.columns());
    let copy = format!("COPY {name} ({columns}) FROM STDIN (FORMAT csv)");
    let mut writer = client.copy_in(&copy).map_err(describe).context(name)?;
    let mut rows = Rows::new(chunk.table, recipe);
    let (mut block, mut bytes) = (Vec::new(), 0);
    for ids in stretches(chunk.ids.clone(), BLOCK) {
        let count = ids.end - ids.start;
        block.clear();
        rows.write(ids, &mut block);
        writer.write_all(&block).map_err(server_said).context(name)?;
        bytes += block.len() as u64;
        watch.done(count)?;
    }
    writer.finish().map_err(describe).context(name)?;
    Ok(bytes)
}

/// Whether the table holds exactly the chunk's rows between its first and its last id.
pub(crate) fn is_loaded(client: &mut Client, chunk: &Chunk, recipe: Recipe, watch: &Watch) -> Result<bool> {
    let (name, columns) = (chunk.table.name(), chunk.table.columns());
    client.batch_execute(CANONICAL).map_err(describe)?;
    let (first, last) = (chunk.ids.start, chunk.ids.end - 1);
    let select = format!("SELECT {columns} FROM {name} WHERE id BETWEEN {first} AND {last} ORDER BY id");
    let mut reader =
        client.copy_out(&format!("COPY ({select}) TO STDOUT (FORMAT csv)")).map_err(describe).context(name)?;
    let mut rows = Rows::new(chunk.table, recipe);
    let (mut expected, mut found) = (Vec::new(), Vec::new());
    for ids in stretches(chunk.ids.clone(), BLOCK) {
        let count = ids.end - ids.start;
        expected.clear();
        rows.write(ids, &mut expected);
        found.resize(expected.len(), 0);
        match reader.read_exact(&mut found) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(false),
            other => other.map_err(server_said).context(name)?,
        }
        if found != expected {
            return Ok(false);
        }
        watch.done(count)?;
    }
    Ok(reader.read(&mut [0]).map_err(server_said).context(name)? == 0)
}

/// The server's own word, out of the error of a writer or reader.
fn server_said(error: io::Error) -> anyhow::Error {
    match error.downcast::<postgres::Error>() {
        Ok(error) => describe(error),
        Err(error) => anyhow!(error),
    }
}
