//! Rows of the drill's own files, as they come.
//!
//! Keeping a row never fails: from T0 on nothing that only measures may keep the cluster from getting its primary back (a
//! full disk did, between kill and proof). What could not be written stays in memory, and is asked for at the end.

use std::path::{Path, PathBuf};

use anyhow::{Error, Result};
use program::sink::Sink;
use serde::{Deserialize, Serialize};

/// The rows of one file.
pub(crate) struct Kept<Row> {
    path: PathBuf,
    sink: Sink<Row>,
    rows: Vec<Row>,
    failed: Option<Error>,
}

impl<Row: Serialize + for<'de> Deserialize<'de>> Kept<Row> {
    pub(crate) fn create(dir: &Path, file: &str) -> Result<Kept<Row>> {
        let path = dir.join(file);
        Ok(Kept { sink: Sink::create_new(&path)?, path, rows: Vec::new(), failed: None })
    }

    /// Keeps a row. After a failure the file ends with its last whole row.
    pub(crate) fn push(&mut self, row: Row) {
        if self.failed.is_none() {
            self.failed = self.sink.row(&row).err();
        }
        self.rows.push(row);
    }

    /// Keeps many rows.
    pub(crate) fn extend(&mut self, rows: Vec<Row>) {
        if self.failed.is_none() {
            let written = rows.iter().try_for_each(|row| self.sink.row_unflushed(row));
            self.failed = written.and_then(|()| self.sink.flush()).err();
        }
        self.rows.extend(rows);
    }

    /// All rows, also those that are not in the file.
    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The file cannot be what it has to be.
    pub(crate) fn fail(&mut self, error: Error) {
        self.failed.get_or_insert(error);
    }

    /// Why rows are missing from the file; `None`: all were written.
    pub(crate) fn failure(&self) -> Option<String> {
        let name = self.path.file_name().unwrap_or_default().display();
        self.failed.as_ref().map(|error| format!("{name} is not complete: {error:#}"))
    }
}
