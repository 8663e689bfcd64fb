//! A btree read from its first entry to its last, in its order: it has to lead to each row once, and the rows have to be in
//! that order by what they hold themselves.

use super::explain::{by, mode};
use super::index::{Column, Index};
use super::{LOOKS, Nodes, Seen, Table, pause};
use crate::read_error::ReadError;
use crate::reader::{Reader, column};

/// The rows that one way of reading a table met.
#[derive(Debug, PartialEq, Eq)]
struct Met {
    rows: u64,
    /// The sum of the hashes of their places, in digits.
    places: String,
}

/// A scan and an index, side by side.
struct Pass {
    by_scan: Met,
    by_index: Met,
    /// Rows that come out of the index's order.
    unordered: u64,
}

impl Pass {
    /// At least so many rows are not as they should be.
    fn faults(&self) -> u64 {
        match self.by_scan == self.by_index {
            true => self.unordered,
            false => (self.by_scan.rows.abs_diff(self.by_index.rows) + self.unordered).max(1),
        }
    }
}

pub(super) const BY_ANOTHER: &str = "the server reads its rows in order by another index";

/// Reads an index in full.
pub(super) fn read(nodes: &mut Nodes, table: &Table, index: &Index, seen: &mut Seen) -> Result<(), ReadError> {
    let Some(in_order) = in_order(table, index) else {
        return Ok(()); // its order is not known
    };
    let scan = format!(
        "SELECT count(*), COALESCE(sum(pg_catalog.hashtidextended(t.ctid, 0)), 0)::text FROM {} AND {}",
        table.layout.table.rows(),
        index.condition()
    );
    for look in 1..=LOOKS {
        nodes.standby.pace()?;
        let Some(pass) = both(nodes.standby, index, &in_order, &scan)? else {
            seen.not_read.get_or_insert_with(|| BY_ANOTHER.to_owned());
            return Ok(());
        };
        nodes.standby.spent(pass.by_index.rows);
        (seen.in_full, seen.not_read) = (true, None);
        if pass.faults() == 0 {
            return Ok(());
        }
        if look < LOOKS {
            pause()?;
            continue;
        }
        let on_primary = both(nodes.primary, index, &in_order, &scan)?.map_or(0, |pass| pass.faults());
        let also = if on_primary > 0 { ", and the primary's is much like it" } else { "" };
        count(pass.faults(), on_primary, seen);
        seen.remarks.push(format!(
            "leads to {} rows where a scan finds {}, {} of them out of its order{also}",
            pass.by_index.rows, pass.by_scan.rows, pass.unordered
        ));
    }
    Ok(())
}

/// Looks for the rows without a value in each column, which are not looked up by it: by the index, where the server uses it
/// for that, and by a scan.
pub(super) fn nulls(nodes: &mut Nodes, table: &Table, index: &Index, seen: &mut Seen) -> Result<(), ReadError> {
    for column in &index.columns {
        let sql = format!(
            "SELECT count(*), COALESCE(sum(pg_catalog.hashtidextended(t.ctid, 0)), 0)::text, 0::bigint \
               FROM {} AND {} AND {} IS NULL",
            table.layout.table.rows(),
            index.condition(),
            column.value
        );
        let mut faults = 0;
        for _ in 0..LOOKS {
            faults = both(nodes.standby, index, &sql, &sql)?.map_or(0, |pass| pass.faults());
            if faults == 0 {
                break;
            }
            pause()?;
        }
        if faults > 0 {
            let on_primary = both(nodes.primary, index, &sql, &sql)?.map_or(0, |pass| pass.faults());
            count(faults, on_primary, seen);
            seen.remarks.push(format!(
                "by IS NULL it leads to {faults} rows more or less than a scan ({on_primary} on the primary)"
            ));
        }
    }
    Ok(())
}

/// Counts faults. If the primary's index has some, too, nothing can be told: it is written to, and no two counts are of one moment.
fn count(faults: u64, on_primary: u64, seen: &mut Seen) {
    if on_primary == 0 {
        seen.faults += faults;
    } else {
        (seen.in_full, seen.not_read) = (false, Some(NEITHER.to_owned()));
    }
}

const NEITHER: &str = "the primary's own leads to other rows than a scan";

/// What a scan and the index meet in one snapshot; `None`: the server does not use this index to read in its order.
fn both(reader: &mut Reader, index: &Index, in_order: &str, scan: &str) -> Result<Option<Pass>, ReadError> {
    let Some(mode) = mode(reader, index, (in_order, None))? else { return Ok(None) };
    by(reader, mode, |reader| {
        let (scanned, read) = reader.in_one_snapshot(async |client| {
            let read = client.query_one(in_order, &[]).await?;
            client.batch_execute(cluster::sql!("verify_by_scan")).await?;
            let scanned = client.query_one(scan, &[]).await?;
            Ok((scanned, read))
        })?;
        let met = |row| Ok(Met { rows: column::<i64>(row, 0)?.unsigned_abs(), places: column(row, 1)? });
        let unordered = column::<i64>(&read, 2)?.unsigned_abs();
        Ok(Some(Pass { by_scan: met(&scanned)?, by_index: met(&read)?, unordered }))
    })
}

/// The statement that reads in the order of the index.
fn in_order(table: &Table, index: &Index) -> Option<String> {
    let order: Option<Vec<String>> = index.columns.iter().map(order).collect();
    let columns = || index.columns.iter().enumerate();
    let values: Vec<_> =
        columns().map(|(n, column)| format!("{0} AS k{n}, lag({0}) OVER w AS before{n}", column.value)).collect();
    let wrong = columns().rev().try_fold("false".to_owned(), |then, (n, column)| wrong(n, column, &then))?;
    Some(format!(
        "SELECT count(*), COALESCE(sum(pg_catalog.hashtidextended(r.place, 0)), 0)::text, \
                count(*) FILTER (WHERE r.has_before AND {wrong}) \
           FROM (SELECT t.ctid AS place, lag(true) OVER w AS has_before, {} FROM {} AND {} \
                 WINDOW w AS (ORDER BY {})) AS r",
        values.join(", "),
        table.layout.table.rows(),
        index.condition(),
        order?.join(", ")
    ))
}

fn order(column: &Column) -> Option<String> {
    let nulls = if column.nulls_first { "FIRST" } else { "LAST" };
    Some(format!("{} USING {} NULLS {nulls}", column.value, column.before.as_ref()?))
}

/// Whether the n-th column of a row should have come before that of the row before it; where they are equal, `then`.
fn wrong(n: usize, column: &Column, then: &str) -> Option<String> {
    let (before, equal, nulls_first) = (column.before.as_ref()?, column.operators.first()?, column.nulls_first);
    Some(format!(
        "CASE WHEN r.k{n} IS NULL AND r.before{n} IS NULL THEN {then} \
              WHEN r.before{n} IS NULL THEN {} WHEN r.k{n} IS NULL THEN {nulls_first} \
              WHEN r.k{n} {before} r.before{n} THEN true WHEN r.k{n} {equal} r.before{n} THEN {then} ELSE false END",
        !nulls_first
    ))
}
