//! The visibility map: if it wrongly calls a page all-visible, index-only scans show the page's deleted rows.

use super::amcheck::Checkers;
use super::index::{Covered, Index};
use super::seen::Map;
use super::{Indexes, LOOKS, Nodes, Table, pause};
use crate::read_error::ReadError;
use crate::reader::{Reader, column};

/// A table whose map covers less than this share of its pages is read by index only if that was asked for: each of the other
/// rows would be fetched in the order of the index.
const COVERED: f64 = 0.9;

/// For tables up to this many blocks that cost does not matter.
const SMALL: u64 = 1024;

/// Looks whether the map calls a page all-visible that is not. `faults`: what was found in the indexes.
pub(super) fn check(nodes: &mut Nodes, table: &Table, indexes: &[Index], faults: u64) -> Result<Map, ReadError> {
    if faults > 0 && nodes.checkers_on_standby.get("pg_check_visible").is_none() {
        return Ok(Map::NotRead); // a count by an index that is wrong itself says nothing of the map
    }
    if !is_worth_it(table, nodes.checkers_on_standby) {
        return Ok(if covers_nothing(table) { Map::Empty } else { Map::NotRead });
    }
    let mut map = Map::NotRead;
    for look in 1..=LOOKS {
        map = once(nodes.standby, table, indexes, nodes.checkers_on_standby)?;
        if !matches!(map, Map::Wrong { .. }) {
            let nothing = matches!(map, Map::Sound) && covers_nothing(table) && table.how != Indexes::All;
            return Ok(if nothing { Map::Empty } else { map });
        }
        if look < LOOKS {
            pause()?;
        }
    }
    // What the primary's map says wrongly, too, is no fault of this standby, and whether that is all nobody knows.
    Ok(match once(nodes.primary, table, indexes, nodes.checkers_on_primary)? {
        Map::Wrong { .. } => Map::NotRead,
        _ => map,
    })
}

/// An index that leads to all rows and can be read alone.
fn whole(indexes: &[Index]) -> Option<&Index> {
    indexes.iter().find(|index| index.method == "btree" && index.is_valid && index.predicate.is_none())
}

/// What is known of the map of one node.
fn once(reader: &mut Reader, table: &Table, indexes: &[Index], checkers: &Checkers) -> Result<Map, ReadError> {
    if checkers.get("pg_check_visible").is_some() {
        return by_pg_visibility(reader, table, checkers);
    }
    let Some(index) = whole(indexes) else { return Ok(Map::Empty) }; // nothing reads it by index alone
    match by_counts(reader, table, index)? {
        // One that was made after the rows were deleted hides what others show. Read in full, each was counted by itself.
        Map::Sound if table.how != Indexes::All && indexes.iter().filter(|index| index.is_read_alone()).count() > 1 => {
            Ok(Map::NotRead)
        }
        map => Ok(map),
    }
}

fn by_pg_visibility(reader: &mut Reader, table: &Table, checkers: &Checkers) -> Result<Map, ReadError> {
    let (mut wrong, mut remarks) = (0_u64, Vec::new());
    // In recovery the first one goes by the snapshots of all databases, but only those of its own keep a page from being marked: so
    // it also tells of rows that everybody may see. Those are left out, all in one snapshot of ours.
    let (rows, oid) = (table.layout.table.rows(), table.layout.table.oid);
    let unseen = format!("WHERE NOT EXISTS (SELECT FROM {rows} AND t.ctid = c.t_ctid)");
    for (function, what, only) in
        [("pg_check_visible", "all-visible", unseen.as_str()), ("pg_check_frozen", "all-frozen", "")]
    {
        let Some(call) = checkers.get(function) else { continue };
        let sql = format!("SELECT count(*), min(c.t_ctid::text) FROM {call}('{oid}'::regclass) AS c {only}");
        let rows = reader.rows(&sql, &[])?;
        let Some(row) = rows.first() else { return Ok(Map::NotRead) };
        let rows = column::<i64>(row, 0)?.unsigned_abs();
        if rows > 0 {
            let first = column::<Option<String>>(row, 1)?.unwrap_or_default();
            remarks.push(format!(
                "the visibility map calls pages {what} that are not: {function} says so of {rows} rows, such as {first}"
            ));
        }
        wrong = wrong.max(rows); // a page that is not all-visible is not all-frozen either
    }
    Ok(if wrong > 0 { Map::Wrong { rows: wrong, remark: remarks.join("; ") } } else { Map::Sound })
}

/// Whether the map covers no page, as far as the last VACUUM on the primary knew.
fn covers_nothing(table: &Table) -> bool {
    table.covered.is_none_or(|covered| covered.visible <= 0)
}

/// Whether the map can be looked at for what that is worth. The checker reads what the map covers, and nothing where it covers
/// nothing: what the last VACUUM knew is not asked then.
fn is_worth_it(table: &Table, checkers: &Checkers) -> bool {
    let Some(Covered { visible, pages }) = table.covered else { return false };
    let by_counts = visible > 0 && (table.blocks <= SMALL || f64::from(visible) >= COVERED * f64::from(pages));
    checkers.get("pg_check_visible").is_some() || by_counts || table.how == Indexes::All
}

/// How many rows there are by an index alone, and by a scan, in one snapshot.
fn by_counts(reader: &mut Reader, table: &Table, index: &Index) -> Result<Map, ReadError> {
    let count = format!("SELECT count(*) FROM {}", table.layout.table.rows());
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
pub(super) const BY_INDEX_ONLY: &str = "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; \
     SET LOCAL enable_indexscan = on; SET LOCAL enable_indexonlyscan = on; SET LOCAL max_parallel_workers_per_gather = 0";
