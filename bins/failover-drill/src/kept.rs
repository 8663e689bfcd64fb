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

#[cfg(test)]
mod tests {
    use serde::Serializer;
    use serde::ser::Error as _;

    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
    struct Row {
        #[serde(serialize_with = "not_zero")]
        number: u32,
    }

    /// What cannot be written, as on a full disk.
    fn not_zero<S: Serializer>(number: &u32, serializer: S) -> Result<S::Ok, S::Error> {
        if *number == 0 { Err(S::Error::custom("no room")) } else { serializer.serialize_u32(*number) }
    }

    #[test]
    fn what_could_not_be_written_is_kept_and_told_and_the_file_ends_with_its_last_whole_row() {
        let rows = |numbers: &[u32]| numbers.iter().map(|number| Row { number: *number }).collect::<Vec<_>>();
        for at_once in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let mut kept = Kept::create(dir.path(), "rows.csv").unwrap();
            kept.extend(rows(&[1, 2]));
            assert_eq!(kept.failure(), None);
            match at_once {
                true => kept.extend(rows(&[0, 3])),
                false => rows(&[0, 3]).into_iter().for_each(|row| kept.push(row)),
            }
            let why = kept.failure().unwrap();
            assert!(why.starts_with("rows.csv is not complete") && why.contains("no room"), "{why}");
            assert_eq!(kept.rows(), rows(&[1, 2, 0, 3]));
            assert_eq!(std::fs::read_to_string(dir.path().join("rows.csv")).unwrap(), "number\n1\n2\n");
        }
    }
}
