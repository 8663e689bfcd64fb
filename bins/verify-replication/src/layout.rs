//! How one table is read: the expressions for a row's key and for the bytes of its content, and its blocks.

use std::fmt;

use cluster::ident::quote;
use tokio_postgres::Row;

use crate::fingerprint::{HashOf, row_bytes, value, with_unsent};
use crate::read_error::ReadError;
use crate::reader::{Reader, column};
use crate::subject::Subject;
use crate::types::Types;

/// A key whose text has more bytes is long.
const LONG_KEY: usize = 256;

/// So many characters of a long key are shown.
const SHOWN: usize = 100;

/// A range of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Blocks {
    /// The first.
    pub(crate) from: u64,
    /// The first block behind the range; `None`: the range goes to the end of the table, wherever that is by now.
    pub(crate) to: Option<u64>,
}

impl Blocks {
    pub(crate) const ALL: Blocks = Blocks { from: 0, to: None };

    pub(crate) fn one(block: u64) -> Blocks {
        Blocks { from: block, to: Some(block + 1) }
    }

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

    /// A further condition on `t.ctid`; none for the whole table.
    fn condition(self) -> String {
        if self == Blocks::ALL { String::new() } else { format!("AND {}", self.holds()) }
    }

    /// The condition that a row `t` lies in it.
    pub(crate) fn holds(self) -> String {
        let Blocks { from, to } = self;
        match to {
            None => format!("t.ctid >= '({from},0)'"),
            Some(to) => format!("t.ctid >= '({from},0)' AND t.ctid < '({to},0)'"),
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

/// How one table is read.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    /// The table, as it was called when this was read.
    pub(crate) table: Subject,
    /// The bytes of a row `t`.
    bytes: String,
    /// The expressions that those bytes are made of, column by column.
    pub(crate) values: Vec<String>,
    /// How they are hashed.
    hash: HashOf,
    /// What the types of another node are read into: nothing.
    types: Types,
    /// Whether some columns are compared as text, because their types cannot be sent: see `EndedXids::shown`.
    pub(crate) has_text: bool,
    /// The quoted columns of the primary key in its order; empty if there is none.
    key: Vec<String>,
    /// Blocks when this was read.
    pub(crate) blocks: u64,
    /// Its columns by name, each with its type.
    columns: Vec<(String, u32)>,
    /// As long as this is the same, a place and a writer identify the same row with the same bytes.
    shape: Shape,
}

/// What a table is: the file that it is in, and its columns with all that their types are made of. A file never comes
/// back: each rewrite makes another one.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Shape {
    file: Option<u32>,
    columns: Vec<(String, String)>,
}

impl Layout {
    /// Reads the table's layout from a node's catalogs.
    pub(crate) fn read(reader: &mut Reader, table: &Subject, types: &mut Types) -> Result<Layout, ReadError> {
        let hash = types.hash_of(reader)?;
        let questions = [cluster::sql!("verify_columns"), cluster::sql!("verify_blocks")];
        let [rows, extent] = reader.catalog_rows_of(questions, &[&table.oid])?;
        let oids = rows.iter().map(|row| column(row, 1)).collect::<Result<Vec<u32>, _>>()?;
        types.learn(reader, &oids)?;
        let (mut values, mut key, mut columns, mut parts) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut has_text = false;
        for (row, oid) in rows.iter().zip(oids) {
            let (name, kind) = (column::<String>(row, 0)?, types.get(oid)?);
            if types.leaves_out(table.oid, &name) {
                continue;
            }
            let quoted = quote(&name);
            has_text |= !kind.is_sendable;
            let sent = value(&quoted, kind.is_sendable, kind.sent_as.as_deref());
            values.push(with_unsent(sent, &quoted, kind.unsent.as_deref()));
            parts.push((name.clone(), kind.parts.clone()));
            columns.push((name, oid));
            if let Some(place) = column::<Option<i32>>(row, 2)? {
                key.push((place, quoted));
            }
        }
        key.sort_by_key(|(place, _)| *place);
        let key = key.into_iter().map(|(_, column)| column).collect();
        let Extent { blocks, file, table } = Extent::of(&extent, reader, table)?;
        let (shape, types) = (Shape { file, columns: parts }, types.anew());
        let bytes = row_bytes(&values);
        Ok(Layout { table, bytes, values, hash, types, has_text, key, blocks, columns, shape })
    }

    /// A layout of these values, hashed alike by servers of whatever version; `key`: quoted columns.
    pub(crate) fn of_values(table: Subject, values: Vec<String>, key: Vec<String>, blocks: u64) -> Layout {
        let (bytes, shape) = (row_bytes(&values), Shape { file: None, columns: Vec::new() });
        let (hash, columns, types) = (HashOf::ArrayOfBytes, Vec::new(), Types::default());
        Layout { table, bytes, values, hash, types, has_text: true, key, blocks, columns, shape }
    }

    /// Whether the table has other columns on a node, whatever its file and the parts of its types are.
    pub(crate) fn has_other_columns(&self, reader: &mut Reader) -> Result<bool, ReadError> {
        Ok(Layout::read(reader, &self.table, &mut self.types.anew())?.columns != self.columns)
    }

    /// Whether the table has another shape on a node: it was rewritten or altered there, or not yet.
    pub(crate) fn is_outdated(&self, reader: &mut Reader) -> Result<bool, ReadError> {
        Ok(Layout::read(reader, &self.table, &mut self.types.anew())?.shape != self.shape)
    }

    /// Whether the table is in another file on a node: the part of [`Layout::is_outdated`] that is quick to ask.
    pub(crate) fn is_rewritten(&self, reader: &mut Reader) -> Result<bool, ReadError> {
        Ok(extent(reader, &self.table)?.file != self.shape.file)
    }

    /// Its columns by name, each with its type.
    pub(crate) fn columns(&self) -> &[(String, u32)] {
        &self.columns
    }

    /// The chunks of the whole table.
    pub(crate) fn chunks(&self, size: u64) -> Vec<Blocks> {
        Blocks::ALL.split(size, self.blocks)
    }

    /// The two halves of the fingerprint of a row `t`, for a statement of a few rows.
    pub(crate) fn fingerprint(&self) -> String {
        self.hash.columns(&self.bytes).join(", ")
    }

    pub(crate) fn column_names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|(name, _)| name.as_str())
    }

    /// The statement that hashes each column of the rows in some places: ctid, the two halves of the fingerprint, the
    /// length, and an array of both halves of each column.
    pub(crate) fn hashes_sql(&self) -> String {
        let hash = |value: &String| self.hash.columns(&row_bytes(std::slice::from_ref(value))).join(", ");
        let columns: Vec<_> = self.values.iter().map(hash).collect();
        self.places_sql(&format!("ARRAY[{}]::bigint[]", columns.join(", ")))
    }

    /// The statement that shows each column of the rows in some places as text: as above, with an array of texts. The
    /// type's output function is called by way of `format()`: a cast to text could be anybody's.
    pub(crate) fn texts_sql(&self) -> String {
        let text = |name: &str| {
            let column = format!("t.{}", quote(name));
            format!("CASE WHEN pg_catalog.num_nulls({column}) = 0 THEN pg_catalog.format('%s', {column}) END")
        };
        let columns: Vec<_> = self.column_names().map(text).collect();
        self.places_sql(&format!("ARRAY[{}]::text[]", columns.join(", ")))
    }

    /// The statement that shows some rows by their places: ctid, the two halves of the fingerprint, the length, and an array.
    pub(crate) fn places_sql(&self, columns: &str) -> String {
        let (fingerprint, bytes, table) = (self.fingerprint(), &self.bytes, self.table.rows());
        format!(
            "SELECT t.ctid, {fingerprint}, pg_catalog.octet_length({bytes}), {columns} \
               FROM {table} AND t.ctid = ANY ($1::text[]::tid[])"
        )
    }

    /// The statement that counts and hashes a range.
    pub(crate) fn sum_sql(&self, range: Blocks) -> String {
        let [one, two] = self.hash.columns("r.bytes").map(|half| format!("COALESCE(sum({half}), 0)::text"));
        format!("SELECT count(*), {one}, {two} FROM ({}) AS r", self.bytes_sql(range, ""))
    }

    /// The statement that counts and hashes what some columns hold in the rows of a condition. `None`: it has no such column.
    pub(crate) fn sum_of_columns_sql(&self, names: &[String], condition: &str) -> Option<String> {
        let known = self.columns.iter().zip(&self.values).filter(|((name, _), _)| names.contains(name));
        let values: Vec<String> = known.map(|(_, value)| value.clone()).collect();
        let [one, two] = self.hash.columns("r.bytes").map(|half| format!("COALESCE(sum({half}), 0)::text"));
        let (bytes, rows) = (row_bytes(&values), self.table.rows());
        let all = format!("SELECT {bytes} AS bytes FROM {rows} AND {condition} OFFSET 0");
        (!values.is_empty()).then(|| format!("SELECT count(*), {one}, {two} FROM ({all}) AS r"))
    }

    /// The statement that lists the rows of a range: ctid, xmin, xmax, key, and the two halves of the fingerprint.
    pub(crate) fn rows_sql(&self, range: Blocks) -> String {
        let [one, two] = self.hash.columns("r.bytes");
        let system = format!("t.ctid, t.xmin, t.xmax, {} AS key, ", self.key_text());
        format!("SELECT r.ctid, r.xmin, r.xmax, r.key, {one}, {two} FROM ({}) AS r", self.bytes_sql(range, &system))
    }

    /// The statement that hashes the rows of a range: key, ctid, and the two halves of the fingerprint, once for each row.
    pub(crate) fn hashes_of_range_sql(&self, range: Blocks, with_key: bool) -> String {
        let [one, two] = self.hash.columns("b.bytes");
        let key = if with_key { self.key_text() } else { "NULL::text".to_owned() };
        let bytes = self.bytes_sql(range, &format!("{key} AS key, t.ctid AS place, "));
        format!("SELECT b.key, b.place, {one} AS one, {two} AS two FROM ({bytes}) AS b OFFSET 0")
    }

    /// The bytes of each row of a range, with more columns before them. `OFFSET 0` keeps the planner from putting the
    /// expression in the place of each of its uses: the row would be sent once for each half of its hash.
    fn bytes_sql(&self, range: Blocks, more: &str) -> String {
        let (bytes, rows, condition) = (&self.bytes, self.table.rows(), range.condition());
        format!("SELECT {more}{bytes} AS bytes FROM {rows} {condition} OFFSET 0")
    }

    /// The key of a row `t` as text: what the output functions of its types say. A cast to text could be anybody's function,
    /// and would run as our role. Of a long key the beginning, and a hash that tells it from others: an index takes a value of
    /// any length that can be compressed to two kilobytes, and thousands of rows are held at once.
    fn key_text(&self) -> String {
        let text = match &self.key[..] {
            [] => return "NULL::text".to_owned(),
            [one] => format!("pg_catalog.concat(t.{one})"),
            several => {
                let columns: Vec<_> = several.iter().map(|column| format!("t.{column}")).collect();
                format!("ROW({})::text", columns.join(", "))
            }
        };
        let [one, two] = self.hash.columns(&row_bytes(std::slice::from_ref(&text)));
        format!(
            "CASE WHEN pg_catalog.octet_length({text}) > {LONG_KEY} \
                  THEN pg_catalog.format('%s... (hash %s %s)', pg_catalog.left({text}, {SHOWN}), {one}, {two}) \
                  ELSE {text} END"
        )
    }
}

/// How large a table is on a node, in which file, and what it is called there.
pub(crate) struct Extent {
    pub(crate) blocks: u64,
    file: Option<u32>,
    table: Subject,
}

impl Extent {
    /// What `sql/verify_blocks.sql` says.
    pub(crate) fn of(rows: &[Row], reader: &Reader, table: &Subject) -> Result<Extent, ReadError> {
        let row = rows.first();
        let blocks = row.map(|row| column::<Option<i64>>(row, 0)).transpose()?.flatten();
        let file = row.map(|row| column::<Option<u32>>(row, 1)).transpose()?.flatten();
        match (row, blocks.and_then(|blocks| u64::try_from(blocks).ok())) {
            (Some(row), Some(blocks)) => {
                let table = Subject { oid: table.oid, schema: column(row, 2)?, name: column(row, 3)? };
                Ok(Extent { blocks, file, table })
            }
            _ => Err(ReadError::Lost(format!("node {}: {} is gone", reader.node(), table.title()))),
        }
    }
}

pub(crate) fn extent(reader: &mut Reader, table: &Subject) -> Result<Extent, ReadError> {
    let rows = reader.catalog_rows(cluster::sql!("verify_blocks"), &[&table.oid])?;
    Extent::of(&rows, reader, table)
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
        assert_eq!(Blocks { from: 3, to: None }.condition(), "AND t.ctid >= '(3,0)'");
    }
}
