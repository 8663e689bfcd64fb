//! How one table is read: the expressions for a row's key and for the hash of its content, and its blocks.
//!
//! Equal means what the type's own equality means (numeric 1.0 and 1.00 are equal), since that is what its hash
//! function stands for. Types without one (json, xml, point, …) are compared as their text, byte by byte.

use std::collections::HashMap;
use std::fmt;

use cluster::ident::quote;
use tokio_postgres::error::SqlState;

use crate::reader::{Reader, Trouble, column};
use crate::subject::Subject;

/// A range of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Blocks {
    /// The first.
    pub(crate) from: u64,
    /// The first behind it; `None`: up to the end of the table, wherever that is by now.
    pub(crate) to: Option<u64>,
}

impl Blocks {
    /// The whole table.
    pub(crate) const ALL: Blocks = Blocks { from: 0, to: None };

    /// This range in parts of `size` blocks, where the table has `end` blocks. The last part is as open as the whole.
    pub(crate) fn split(self, size: u64, end: u64) -> Vec<Blocks> {
        let last = self.to.unwrap_or(end);
        let mut parts = vec![self];
        while let Some(part) = parts.last_mut()
            && part.from + size < last
        {
            let middle = part.from + size;
            part.to = Some(middle);
            parts.push(Blocks { from: middle, to: self.to });
        }
        parts
    }

    /// How many blocks, where the table has `end`.
    pub(crate) fn count(self, end: u64) -> u64 {
        self.to.unwrap_or(end).saturating_sub(self.from)
    }

    /// The condition on `t.ctid`. None for the whole table: then the server may read it in parallel.
    fn condition(self) -> String {
        match self {
            Blocks::ALL => String::new(),
            Blocks { from, to: None } => format!("WHERE t.ctid >= '({from},0)'"),
            Blocks { from, to: Some(to) } => format!("WHERE t.ctid >= '({from},0)' AND t.ctid < '({to},0)'"),
        }
    }
}

impl fmt::Display for Blocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to {
            Some(to) => write!(f, "blocks {} to {}", self.from, to - 1),
            None => write!(f, "blocks from {}", self.from),
        }
    }
}

/// A column of the primary key.
#[derive(Clone, Debug)]
pub(crate) struct KeyColumn {
    /// Its quoted name.
    pub(crate) quoted: String,
    /// Its type, as a statement calls it.
    pub(crate) kind: String,
}

/// How one table is read.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    /// The table.
    pub(crate) table: Subject,
    /// The hash of a row `t`.
    pub(crate) hash: String,
    /// The primary key in its order; empty if there is none.
    pub(crate) key: Vec<KeyColumn>,
    /// The index of the primary key.
    pub(crate) key_index: Option<String>,
    /// Blocks on the primary when this was read.
    pub(crate) blocks: u64,
}

/// Which types have an extended hash function, as far as asked.
pub(crate) type Hashable = HashMap<u32, bool>;

impl Layout {
    /// Reads the table's layout from the primary's catalogs.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn read(reader: &mut Reader, table: &Subject, hashable: &mut Hashable) -> Result<Layout, Trouble> {
        let (mut values, mut key, mut key_index) = (Vec::new(), Vec::new(), None);
        for row in reader.rows(cluster::sql!("verify_columns"), &[&table.oid])? {
            let quoted = quote(column(&row, 0)?);
            values.push(match (is_hashable(reader, table, &quoted, column(&row, 1)?, hashable)?, column(&row, 3)?) {
                (true, true) => format!("t.{quoted}"),
                (false, true) => format!("t.{quoted}::text"),
                // Its hash follows the collation's version, which may differ between hosts.
                (_, false) => format!("t.{quoted}::text COLLATE \"C\""),
            });
            if let Some(place) = column::<Option<i32>>(&row, 4)? {
                key.push((place, KeyColumn { quoted, kind: column(&row, 2)? }));
                key_index = column(&row, 5)?;
            }
        }
        key.sort_by_key(|(place, _)| *place);
        let key = key.into_iter().map(|(_, column)| column).collect();
        let blocks = blocks(reader, table)?;
        Ok(Layout { table: table.clone(), hash: row_hash(&values), key, key_index, blocks })
    }

    /// The chunks of the whole table.
    pub(crate) fn chunks(&self, size: u64) -> Vec<Blocks> {
        Blocks::ALL.split(size, self.blocks)
    }

    /// The statement that counts and hashes a range.
    pub(crate) fn sum_sql(&self, range: Blocks) -> String {
        let (hash, table, condition) = (&self.hash, self.table.quoted(), range.condition());
        format!("SELECT count(*), COALESCE(sum({hash}), 0)::text FROM ONLY {table} AS t {condition}")
    }

    /// The statement that lists the rows of a range: ctid, xmin, xmax, key, hash.
    pub(crate) fn rows_sql(&self, range: Blocks) -> String {
        let (key, hash, table) = (self.key_text(), &self.hash, self.table.quoted());
        format!("SELECT t.ctid, t.xmin, t.xmax, {key}, {hash} FROM ONLY {table} AS t {}", range.condition())
    }

    /// The key of a row `t` as text.
    fn key_text(&self) -> String {
        match &self.key[..] {
            [] => "NULL::text".to_owned(),
            [one] => format!("t.{}::text", one.quoted),
            several => {
                let columns: Vec<_> = several.iter().map(|column| format!("t.{}", column.quoted)).collect();
                format!("ROW({})::text", columns.join(", "))
            }
        }
    }
}

/// `ROW(…)` is read faster than the whole-row variable, which copies the row first.
fn row_hash(values: &[String]) -> String {
    format!("pg_catalog.hash_record_extended(ROW({}), 0)", values.join(", "))
}

/// The table's blocks on this node.
///
/// # Errors
/// If the table is gone.
pub(crate) fn blocks(reader: &mut Reader, table: &Subject) -> Result<u64, Trouble> {
    let rows = reader.rows(cluster::sql!("verify_blocks"), &[&table.oid])?;
    let blocks = rows.first().map(|row| column::<Option<i64>>(row, 0)).transpose()?.flatten();
    let blocks = blocks.and_then(|blocks| u64::try_from(blocks).ok());
    blocks.ok_or_else(|| Trouble::Lost(format!("node {}: {} is gone", reader.node(), table.title())))
}

/// Asks the server by trying: the catalogs would have to be followed through arrays, ranges, composites and domains.
fn is_hashable(
    reader: &mut Reader,
    table: &Subject,
    quoted: &str,
    kind: u32,
    known: &mut Hashable,
) -> Result<bool, Trouble> {
    if let Some(answer) = known.get(&kind) {
        return Ok(*answer);
    }
    // A NULL of the column's own type, without reading a row: a domain that refuses NULL does not get in the way.
    let sql =
        format!("SELECT {}", row_hash(&[format!("(SELECT t.{quoted} FROM ONLY {} AS t LIMIT 0)", table.quoted())]));
    let answer = reader.read(async |client| match client.query(&sql, &[]).await {
        Ok(_) => Ok(true),
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_FUNCTION) => Ok(false),
        Err(error) => Err(error),
    })?;
    known.insert(kind, answer);
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::Blocks;

    #[test]
    fn chunks_cover_the_table_without_gap_or_overlap_and_the_last_stays_open() {
        for (end, size) in [(0, 4), (1, 4), (4, 4), (5, 4), (9, 4)] {
            let parts = Blocks::ALL.split(size, end);
            assert_eq!(parts[0].from, 0);
            assert_eq!(parts[parts.len() - 1].to, None);
            for pair in parts.windows(2) {
                assert_eq!(pair[0].to, Some(pair[1].from));
                assert_eq!(pair[0].count(end), size);
            }
            assert_eq!(parts.len() as u64, end.div_ceil(size).max(1));
        }
    }

    #[test]
    fn a_closed_range_splits_into_closed_parts() {
        let parts = Blocks { from: 10, to: Some(15) }.split(2, 999);
        assert_eq!(parts.iter().map(|part| part.to).collect::<Vec<_>>(), [Some(12), Some(14), Some(15)]);
    }

    #[test]
    fn the_whole_table_has_no_condition() {
        assert_eq!(Blocks::ALL.condition(), "");
        assert_eq!(Blocks { from: 3, to: None }.condition(), "WHERE t.ctid >= '(3,0)'");
    }
}
