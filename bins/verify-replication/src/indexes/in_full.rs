//! A btree read from its first entry to its last, in its order: it has to lead to each row once, and the rows have to be in
//! that order by what they hold themselves.

use super::explain::by_index;
use super::index::{Column, Index};
use super::{LOOKS, Seen, Table, pause};
use crate::reader::{Reader, Trouble, column};

/// What a way through a table met.
#[derive(Debug, PartialEq, Eq)]
struct Met {
    rows: u64,
    /// The sum of the hashes of their places, in digits.
    places: String,
}

/// Reads an index in full.
///
/// # Errors
/// Why it could not be read.
pub(super) fn read(reader: &mut Reader, table: &Table, index: &Index, seen: &mut Seen) -> Result<(), Trouble> {
    let Some(in_order) = in_order(table, index) else {
        return Ok(()); // its order is not known
    };
    for look in 1..=LOOKS {
        reader.pace()?;
        let Some((by_scan, by_index, unordered)) = both(reader, table, index, &in_order)? else {
            seen.not_read.get_or_insert_with(|| "the server reads its rows in order by another index".to_owned());
            return Ok(());
        };
        reader.spent(by_index.rows);
        (seen.in_full, seen.not_read) = (true, None);
        if by_scan == by_index && unordered == 0 {
            return Ok(());
        }
        if look < LOOKS {
            pause()?;
            continue;
        }
        seen.faults += (by_scan.rows.abs_diff(by_index.rows) + unordered).max(1);
        seen.remarks.push(format!(
            "leads to {} rows where a scan finds {}, {unordered} of them out of its order",
            by_index.rows, by_scan.rows
        ));
    }
    Ok(())
}

/// What a scan and the index meet in one snapshot, and how many rows come out of order; `None`: the server does not use this
/// index to read in its order.
fn both(reader: &mut Reader, table: &Table, index: &Index, in_order: &str) -> Result<Option<(Met, Met, u64)>, Trouble> {
    let scan = format!(
        "SELECT count(*), COALESCE(sum(pg_catalog.hashtidextended(t.ctid, 0)), 0)::text FROM ONLY {} AS t WHERE {}",
        table.layout.table.quoted(),
        index.condition()
    );
    by_index(reader, index, (in_order, None), |reader| {
        let (scanned, read) = reader.in_one_snapshot(async |client| {
            let read = client.query_one(in_order, &[]).await?;
            client.batch_execute(cluster::sql!("verify_by_scan")).await?;
            let scanned = client.query_one(&scan, &[]).await?;
            Ok((scanned, read))
        })?;
        let met = |row| Ok(Met { rows: column::<i64>(row, 0)?.unsigned_abs(), places: column(row, 1)? });
        Ok((met(&scanned)?, met(&read)?, column::<i64>(&read, 2)?.unsigned_abs()))
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
           FROM (SELECT t.ctid AS place, lag(true) OVER w AS has_before, {} FROM ONLY {} AS t WHERE {} \
                 WINDOW w AS (ORDER BY {})) AS r",
        values.join(", "),
        table.layout.table.quoted(),
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
