//! A table on one node: its columns, and where its rows lie.

use cluster::ident::quote;

use super::columns::{self, Column};
use crate::layout::{Blocks, Layout};
use crate::read_error::ReadError;
use crate::reader::{Reader, column};
use crate::subject::Subject;

/// A table as a node has it.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    /// Its columns, in the order of their names.
    pub(crate) columns: Vec<Column>,
    /// Itself, or the leaves of a partitioned one. `Place::part` counts them from 0.
    pub(crate) leaves: Vec<Layout>,
}

impl Shape {
    /// Reads the table's shape. Rows are hashed as `like` has it, the same table of another node, else as its own columns say.
    pub(crate) fn read(reader: &mut Reader, table: &Subject, like: Option<&Shape>) -> Result<Shape, ReadError> {
        // Catalogs of a thousand tables are long, and read for each of them.
        reader.set_mode(cluster::sql!("verify_by_index"));
        let shape = Shape::from_catalogs(reader, table, like);
        reader.set_mode(cluster::sql!("verify_by_scan"));
        shape
    }

    fn from_catalogs(reader: &mut Reader, table: &Subject, like: Option<&Shape>) -> Result<Shape, ReadError> {
        let columns = columns::read(reader, table)?;
        let hashed = like.map_or(&columns, |like| &like.columns);
        let values: Vec<String> = hashed.iter().map(Column::in_bytes).collect();
        let key: Vec<String> = columns::key(hashed).into_iter().map(|n| quote(&hashed[n].name)).collect();
        let mut leaves = Vec::new();
        for row in reader.rows(cluster::sql!("verify_value_leaves"), &[&table.oid])? {
            let leaf = Subject { oid: column(&row, 0)?, schema: column(&row, 1)?, name: column(&row, 2)? };
            let blocks = column::<Option<i64>>(&row, 3)?.unwrap_or(0).unsigned_abs();
            leaves.push(Layout::of_values(leaf, values.clone(), key.clone(), blocks));
        }
        Ok(Shape { columns, leaves })
    }

    /// Blocks of all of it.
    pub(crate) fn blocks(&self) -> u64 {
        self.leaves.iter().map(|leaf| leaf.blocks).sum()
    }

    /// Parts of no more than `size` blocks, by leaf.
    pub(crate) fn chunks(&self, size: u64) -> Vec<(u32, Blocks)> {
        let of = |(part, leaf): (u32, &Layout)| leaf.chunks(size).into_iter().map(move |range| (part, range));
        (0..).zip(&self.leaves).flat_map(of).collect()
    }

    /// The layout of a part.
    pub(crate) fn leaf(&self, part: u32) -> &Layout {
        &self.leaves[part as usize]
    }

    /// Whether its rows have keys.
    pub(crate) fn has_key(&self) -> bool {
        self.columns.iter().any(|column| column.key.is_some())
    }
}
