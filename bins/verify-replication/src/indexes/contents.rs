//! What an index holds by itself, beside what the rows hold. An index-only scan shows the values of the index's own entries,
//! those of INCLUDE columns among them, by which no row is looked up and nothing is ordered.

use tokio_postgres::Row;

use super::index::Index;
use super::{LOOKS, Nodes, Seen, Table, pause};
use crate::read_error::ReadError;
use crate::reader::{Reader, column};

/// How many rows there are, and the sums of the hashes of what they hold, in digits.
type Held = (i64, String, String);

/// Why the entries of an index were not read, if it includes columns.
const BY_ANOTHER: &str = "the server returns the columns that it includes by another index";

/// Compares all values that an index can return with those of the rows.
pub(super) fn check(nodes: &mut Nodes, table: &Table, index: &Index, seen: &mut Seen) -> Result<(), ReadError> {
    let Some(sql) = table.layout.sum_of_columns_sql(&index.returned, &index.condition()) else { return Ok(()) };
    let mut shown = String::new();
    for look in 1..=LOOKS {
        nodes.standby.pace()?;
        let Some((by_index, by_scan)) = both(nodes.standby, index, &sql)? else {
            if index.includes {
                (seen.in_full, seen.not_read) = (false, Some(BY_ANOTHER.to_owned()));
            }
            return Ok(());
        };
        nodes.standby.spent(by_index.0.unsigned_abs());
        if by_index == by_scan {
            return Ok(());
        }
        shown = match by_index.0 == by_scan.0 {
            true => "other values than its rows hold".to_owned(),
            false => format!("{} rows where a scan finds {}: it or the visibility map is wrong", by_index.0, by_scan.0),
        };
        if look < LOOKS {
            pause()?;
        }
    }
    let on_primary = both(nodes.primary, index, &sql)?.is_some_and(|(by_index, by_scan)| by_index != by_scan);
    seen.faults += u64::from(!on_primary);
    let also = if on_primary { ", and the primary's does, too: no fault of this standby" } else { "" };
    seen.remarks.push(format!("by itself it shows {shown} (an index-only scan){also}"));
    Ok(())
}

/// What the index alone and a scan show in one snapshot; `None`: the server does not use this index so.
fn both(reader: &mut Reader, index: &Index, sql: &str) -> Result<Option<(Held, Held)>, ReadError> {
    let used = format!("Index Only Scan using {} on ", index.quoted);
    let rows = reader.in_one_snapshot(async |client| {
        client.batch_execute(super::visibility::BY_INDEX_ONLY).await?;
        let plan = client.query(&format!("EXPLAIN (COSTS OFF) {sql}"), &[]).await?;
        if !plan.iter().any(|line| line.try_get::<_, &str>(0).is_ok_and(|line| line.contains(&used))) {
            return Ok(None);
        }
        let by_index = client.query_one(sql, &[]).await?;
        client.batch_execute("SET LOCAL enable_indexonlyscan = off").await?;
        client.batch_execute(cluster::sql!("verify_by_scan")).await?;
        Ok(Some((by_index, client.query_one(sql, &[]).await?)))
    })?;
    let held = |row: &Row| Ok::<Held, ReadError>((column(row, 0)?, column(row, 1)?, column(row, 2)?));
    rows.map(|(by_index, by_scan)| Ok((held(&by_index)?, held(&by_scan)?))).transpose()
}
