//! The visibility map: a page that it wrongly calls all-visible shows deleted rows to whoever reads an index only.

use super::index::Index;
use super::{Checkers, Indexes, LOOKS, Table, pause};
use crate::reader::{Reader, Trouble, column};

/// A table whose map covers less than this share of its pages is read by index only if that was asked for: each of the other
/// rows would be fetched in the order of the index.
const COVERED: f64 = 0.9;

/// Blocks up to which that costs nothing worth a thought.
const SMALL: u64 = 1024;

/// What is known of a map.
pub(super) enum Map {
    /// Nothing: it was not looked at.
    NotRead,
    /// No fault was found.
    Sound,
    /// So many rows show a fault.
    Wrong { rows: u64, remark: String },
}

/// Looks whether the map calls a page all-visible that is not.
///
/// # Errors
/// Why that could not be found out.
pub(super) fn check(
    reader: &mut Reader,
    table: &Table,
    indexes: &[Index],
    checkers: &Checkers,
) -> Result<Map, Trouble> {
    if let Some(function) = checkers.get("pg_check_visible") {
        return persistent(|| by_pg_visibility(reader, table, function));
    }
    let whole = |index: &&Index| index.method == "btree" && index.is_valid && index.predicate.is_none();
    let Some(index) = indexes.iter().find(whole) else { return Ok(Map::NotRead) };
    if !is_worth_it(reader, table)? {
        return Ok(Map::NotRead);
    }
    persistent(|| by_counts(reader, table, index))
}

fn persistent(mut look: impl FnMut() -> Result<Map, Trouble>) -> Result<Map, Trouble> {
    for _ in 1..LOOKS {
        match look()? {
            Map::Wrong { .. } => pause()?,
            map => return Ok(map),
        }
    }
    look()
}

fn by_pg_visibility(reader: &mut Reader, table: &Table, function: &str) -> Result<Map, Trouble> {
    let sql = format!("SELECT count(*), min(c.t_ctid::text) FROM {function}($1::oid::regclass) AS c");
    let rows = reader.rows(&sql, &[&table.layout.table.oid])?;
    let Some(row) = rows.first() else { return Ok(Map::NotRead) };
    let rows = column::<i64>(row, 0)?.unsigned_abs();
    let first = column::<Option<String>>(row, 1)?.unwrap_or_default();
    let remark = format!(
        "the visibility map calls pages all-visible that are not: pg_check_visible says so of {rows} rows, such as {first}"
    );
    Ok(if rows > 0 { Map::Wrong { rows, remark } } else { Map::Sound })
}

fn is_worth_it(reader: &mut Reader, table: &Table) -> Result<bool, Trouble> {
    let sql = "SELECT c.relallvisible, c.relpages FROM pg_catalog.pg_class AS c WHERE c.oid = $1";
    let rows = reader.rows(sql, &[&table.layout.table.oid])?;
    let Some(row) = rows.first() else { return Ok(false) };
    let (visible, pages): (i32, i32) = (column(row, 0)?, column(row, 1)?);
    let is_cheap = table.blocks <= SMALL || f64::from(visible) >= COVERED * f64::from(pages);
    Ok(visible > 0 && (is_cheap || table.how == Indexes::All))
}

/// How many rows there are by an index alone, and by a scan, in one snapshot.
fn by_counts(reader: &mut Reader, table: &Table, index: &Index) -> Result<Map, Trouble> {
    let count = format!("SELECT count(*) FROM ONLY {}", table.layout.table.quoted());
    let counts = reader.in_one_snapshot(async |client| {
        let by_scan = client.query_one(&count, &[]).await?;
        client.batch_execute(BY_INDEX_ONLY).await?;
        let plan = client.query(&format!("EXPLAIN (COSTS OFF) {count}"), &[]).await?;
        let by_index = client.query_one(&count, &[]).await?;
        Ok((by_scan, plan, by_index))
    })?;
    let (by_scan, plan, by_index) = counts;
    let plan = plan.iter().map(|row| column::<String>(row, 0)).collect::<Result<Vec<_>, _>>()?;
    let is_used = plan.iter().any(|line| line.contains("Index Only Scan using "));
    let (by_scan, by_index): (i64, i64) = (column(&by_scan, 0)?, column(&by_index, 0)?);
    let rows = by_scan.abs_diff(by_index);
    let remark = format!(
        "by index only there are {by_index} rows, by a scan {by_scan}: the visibility map is wrong, or {}",
        index.title
    );
    Ok(match (is_used, rows) {
        (false, _) => Map::NotRead,
        (true, 0) => Map::Sound,
        _ => Map::Wrong { rows, remark },
    })
}

/// Reads indexes alone, wherever the map allows that.
const BY_INDEX_ONLY: &str = "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_indexscan = on; \
     SET LOCAL enable_indexonlyscan = on; SET LOCAL max_parallel_workers_per_gather = 0";
