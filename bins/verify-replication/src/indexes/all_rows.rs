//! All rows looked up by an index, by whatever ways the server takes: by all of its columns at once, and where one of them has no
//! value by the others.

use super::index::Index;
use super::look_up::{Looked, NEITHER, NO_WAY, TOO_MANY, Way, ways};
use super::{Nodes, Seen, Table};
use crate::layout::Blocks;
use crate::read_error::ReadError;
use crate::reader::{Reader, column};
use crate::tid::Tid;

/// Blocks that are looked up at once.
const BATCH: u64 = 64;

/// Faults after which no more are looked for: an index that leads nowhere is bad enough.
const MOST: usize = 100_000;

const NOT_ASKED: &str = "the server does not use it to look up rows without a value in its other columns";

/// What became of all rows that were to be looked up.
#[derive(Default)]
struct All {
    /// Rows that were to be looked up, as far as it went.
    met: u64,
    looked: Looked,
    /// Whether so many were wrong that the others were not looked up.
    has_stopped: bool,
}

/// Looks up all rows, as long as most of them can be told from the others of their value.
pub(super) fn all(nodes: &mut Nodes, table: &Table, index: &Index, seen: &mut Seen) -> Result<(), ReadError> {
    let (mut met, mut rest, mut not_asked) = (0, "true".to_owned(), Vec::new());
    for mut way in ways(table, index) {
        let holds = way.holds();
        // A btree is read in its order besides; by its second column alone each look-up would read all of it.
        if met > 0 && index.method == "btree" {
            not_asked.push(holds);
            continue;
        }
        if met > 0 && !is_there(nodes.standby, table, index, &rest)? {
            return Ok(());
        }
        let Some(found) = look_at_all(&mut way, nodes.standby, table, index, &rest)? else {
            not_asked.push(holds);
            continue;
        };
        met += found.met;
        seen.looked_up += found.looked.rows;
        rest = format!("{rest} AND NOT COALESCE({holds}, false)");
        way.settle(nodes, found.looked.wrong, seen)?;
        if found.has_stopped && seen.faults == 0 {
            seen.not_read.get_or_insert_with(|| NEITHER.to_owned()); // the other rows were not looked up
        }
        if found.has_stopped || seen.faults > 0 {
            return Ok(());
        }
        if seen.looked_up < met {
            seen.not_read.get_or_insert_with(|| TOO_MANY.to_owned());
        }
    }
    if seen.not_read.is_none() && !not_asked.is_empty() {
        let left = format!("{rest} AND ({})", not_asked.join(" OR "));
        let why = if met == 0 { NO_WAY } else { NOT_ASKED };
        seen.not_read = is_there(nodes.standby, table, index, &left)?.then(|| why.to_owned());
    }
    Ok(())
}

/// Whether any row that the index should lead to meets a condition.
fn is_there(reader: &mut Reader, table: &Table, index: &Index, condition: &str) -> Result<bool, ReadError> {
    let (rows, indexed) = (table.layout.table.rows(), index.condition());
    let sql = format!("SELECT EXISTS (SELECT FROM {rows} AND {indexed} AND {condition})");
    reader.rows(&sql, &[])?.first().map_or(Ok(false), |row| column(row, 0))
}

/// The places of those rows of a range that the index should lead to, by a scan.
fn within(
    reader: &mut Reader,
    table: &Table,
    index: &Index,
    range: Blocks,
    holds: &str,
) -> Result<Vec<Tid>, ReadError> {
    let (rows, range, condition) = (table.layout.table.rows(), range.holds(), index.condition());
    let sql = format!("SELECT t.ctid FROM {rows} AND {range} AND {condition} AND {holds}");
    reader.rows(&sql, &[])?.iter().map(|row| column(row, 0)).collect()
}

/// Looks up all rows of a condition, batch by batch. `None`: the server does not use this index for it.
fn look_at_all(
    way: &mut Way,
    reader: &mut Reader,
    table: &Table,
    index: &Index,
    condition: &str,
) -> Result<Option<All>, ReadError> {
    let (holds, mut all) = (format!("{} AND {condition}", way.holds()), All::default());
    for range in Blocks::ALL.split(BATCH, table.blocks) {
        program::stop::check().map_err(|error| ReadError::Lost(error.to_string()))?;
        reader.pace()?;
        let places = within(reader, table, index, range, &holds)?;
        all.met += places.len() as u64;
        reader.spent(places.len() as u64);
        let Some(looked) = way.look(reader, &places)? else { return Ok(None) };
        all.looked.rows += looked.rows;
        all.looked.wrong.extend(looked.wrong);
        all.has_stopped = all.looked.wrong.len() > MOST;
        if all.has_stopped || all.looked.rows < all.met / 2 {
            break;
        }
    }
    Ok(Some(all))
}
