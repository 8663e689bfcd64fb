//! An index, as its catalogs describe it.

use tokio_postgres::Row;

use crate::layout::Extent;
use crate::read_error::ReadError;
use crate::reader::{Reader, column};
use crate::subject::Subject;

pub(crate) struct Index {
    pub(crate) oid: u32,
    /// Its quoted name, as EXPLAIN prints it.
    pub(crate) quoted: String,
    /// Its name with its schema.
    pub(crate) title: String,
    pub(crate) method: String,
    /// Whether queries may use it.
    pub(crate) is_valid: bool,
    /// The predicate of a partial index.
    pub(crate) predicate: Option<String>,
    /// Whether to compute its columns or its predicate may run code that a user of the database wrote.
    pub(crate) calls_code_of_users: bool,
    /// The columns of the table that it can return by itself.
    pub(crate) returned: Vec<String>,
    /// Whether it has columns beyond its key.
    pub(crate) includes: bool,
    /// Its key columns; at least one.
    pub(crate) columns: Vec<Column>,
}

/// A key column of an index.
#[derive(PartialEq, Eq)]
pub(crate) struct Column {
    /// The expression that it holds.
    pub(crate) value: String,
    /// What to ask for to find a row of that value: the value itself, or a query for it.
    pub(crate) probe: String,
    /// Operators by which an index scan can find a row by its probe; none: no such scan is known.
    pub(crate) operators: Vec<String>,
    /// Of an index that is in order: the operator that says that a value comes before another one.
    pub(crate) before: Option<String>,
    /// Whether NULL comes first in that order.
    pub(crate) nulls_first: bool,
}

impl Index {
    /// Whether the server can use one as well as the other for whatever is asked of their rows.
    pub(crate) fn is_over_the_same(&self, other: &Index) -> bool {
        self.method == other.method && self.predicate == other.predicate && self.columns == other.columns
    }

    /// Whether index-only scans can use it: those show whatever it leads to on a page that the visibility map calls all-visible.
    pub(crate) fn is_read_alone(&self) -> bool {
        self.is_valid && (self.method == "btree" || !self.returned.is_empty())
    }

    /// Its predicate as a condition; `true` if it has none.
    pub(crate) fn condition(&self) -> String {
        self.predicate.as_ref().map_or_else(|| "true".to_owned(), |predicate| format!("({predicate})"))
    }
}

/// What a node's catalogs say of a table's indexes, and of what they lead to.
pub(crate) struct Described {
    /// Its indexes, by name.
    pub(crate) indexes: Vec<Index>,
    /// Its blocks.
    pub(crate) blocks: u64,
    /// Its pages as of the last VACUUM, and how many of them its visibility map covered.
    pub(crate) covered: Option<Covered>,
}

/// How much of a table the visibility map covers, as far as the last VACUUM knew.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Covered {
    pub(crate) visible: i32,
    pub(crate) pages: i32,
}

/// Reads what a node's catalogs say of a table's indexes.
pub(crate) fn read(reader: &mut Reader, table: &Subject) -> Result<Described, ReadError> {
    let covered = "SELECT c.relallvisible, c.relpages FROM pg_catalog.pg_class AS c WHERE c.oid = $1";
    let questions = [cluster::sql!("verify_indexes"), cluster::sql!("verify_blocks"), covered];
    let [indexes, extent, covered_rows] = reader.catalog_rows_of(questions, &[&table.oid])?;
    let covered = |row: &Row| Ok(Covered { visible: column(row, 0)?, pages: column(row, 1)? });
    Ok(Described {
        indexes: indexes_of(&indexes)?,
        blocks: Extent::of(&extent, reader, table)?.blocks,
        covered: covered_rows.first().map(covered).transpose()?,
    })
}

/// The indexes that `sql/verify_indexes.sql` tells of.
fn indexes_of(rows: &[Row]) -> Result<Vec<Index>, ReadError> {
    let mut indexes: Vec<Index> = Vec::new();
    for row in rows {
        let oid = column(row, 0)?;
        let Some(value) = column::<Option<String>>(row, 7)? else { continue }; // dropped in this moment
        let value = format!("({value})");
        let key = Column {
            probe: if column(row, 11)? { query_for_all_lexemes(&value) } else { value.clone() },
            value,
            operators: column(row, 8)?,
            before: column(row, 9)?,
            nulls_first: column(row, 10)?,
        };
        match indexes.last_mut().filter(|last| last.oid == oid) {
            Some(index) => index.columns.push(key),
            None => indexes.push(Index {
                oid,
                quoted: column(row, 1)?,
                title: column(row, 2)?,
                method: column(row, 3)?,
                is_valid: column(row, 4)?,
                predicate: column(row, 5)?,
                calls_code_of_users: column(row, 6)?,
                returned: column(row, 12)?,
                includes: column(row, 13)?,
                columns: vec![key],
            }),
        }
    }
    Ok(indexes)
}

/// A text search index is asked by a query, and not by a document.
fn query_for_all_lexemes(document: &str) -> String {
    let quoted = r"'''' || pg_catalog.replace(pg_catalog.replace(l, '\', '\\'), '''', '''''') || ''''";
    let lexemes = format!("pg_catalog.unnest(pg_catalog.tsvector_to_array({document})) AS l");
    format!("(SELECT pg_catalog.string_agg({quoted}, ' & ') FROM {lexemes})::pg_catalog.tsquery")
}
