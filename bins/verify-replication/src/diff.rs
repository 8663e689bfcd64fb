//! `--diff FILE`: all that differs, row by row. Values are written only with `--show-values`.
//!
//! Which columns differ is asked afterwards, for many rows at once. A row that has changed since it was proven to differ
//! gets no columns.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Result;
use program::sink::Sink;
use report::diff::{DiffKind, DiffRow};

use crate::damage::{Side, Spot};
use crate::details::{Seen, hashes, json, texts};
use crate::difference::{Difference, Place};
use crate::layout::Layout;
use crate::node::{NodeSessions, Standby};
use crate::read_error::ReadError;
use crate::reader::Reader;
use crate::scan::at_once;
use crate::subject::{Subject, quote_where_needed};
use crate::table_result::TableResult;
use crate::tid::Tid;
use crate::types::Types;

/// Columns that are asked for at once, of all rows of a batch.
const BATCH_COLUMNS: usize = 16_384;

/// The most rows of a batch.
const BATCH: usize = 1_000;

/// Bytes of values that are asked for at once; a single row may have more.
const BATCH_BYTES: u64 = 1 << 20;

/// The file that all differences go to.
pub(crate) struct Diff {
    sink: Sink<DiffRow>,
    /// Why it is not whole: nothing more is written to it, and what is compared is still told.
    failed: Option<String>,
    run: String,
    database: String,
    show_values: bool,
}

/// A table on one standby, with what it takes to ask for its rows.
struct Asked<'a> {
    layout: Option<Layout>,
    title: String,
    standby: String,
    on_primary: &'a mut Reader,
    on_standby: Option<&'a mut Reader>,
}

/// What is known of the rows of a batch by place, on the primary and on the standby.
type Pair<T> = [HashMap<Tid, Seen<T>>; 2];

impl Diff {
    pub(crate) fn create(path: &Path, run: &str, show_values: bool) -> Result<Diff> {
        // What rows hold is for whoever may read the database, and not for whoever uses this machine.
        let sink = if show_values { Sink::create_new_private(path)? } else { Sink::create_new(path)? };
        Ok(Diff { sink, failed: None, run: run.to_owned(), database: String::new(), show_values })
    }

    /// What follows is of this database.
    pub(crate) fn in_database(&mut self, name: &str) {
        name.clone_into(&mut self.database);
    }

    /// Writes what was found of one table on one standby.
    ///
    /// # Errors
    /// If what differs was not kept. That the file cannot be written is none: see [`Diff::failed`].
    pub(crate) fn write(
        &mut self,
        found: &mut TableResult,
        table: &Subject,
        primary: &mut NodeSessions,
        standby: &mut Standby,
    ) -> Result<()> {
        let (title, name) = (table.title(), standby.name.clone());
        if let Some(all) = found.differences.as_mut().filter(|all| all.count() > 0) {
            let layout = Layout::read(primary.reader(), table, &mut Types::default()).ok();
            let on_standby = standby.node.as_mut().ok().map(NodeSessions::reader);
            let mut asked =
                Asked { layout, title: title.clone(), standby: name.clone(), on_primary: primary.reader(), on_standby };
            let size =
                (BATCH_COLUMNS / asked.layout.as_ref().map_or(1, |layout| layout.values.len().max(1))).clamp(1, BATCH);
            let mut batch = Vec::new();
            for difference in all.read()? {
                batch.push(difference?);
                if batch.len() == size {
                    program::stop::check()?;
                    self.batch(&mut asked, &batch);
                    batch.clear();
                }
            }
            self.batch(&mut asked, &batch);
        }
        for (side, spot) in found.damage.spots() {
            self.add(&self.damaged(&title, &name, *side, spot));
        }
        self.flush();
        Ok(())
    }

    /// Why the file is not whole, if it is not.
    pub(crate) fn failed(&self) -> Option<&str> {
        self.failed.as_deref()
    }

    /// Whether what rows hold is asked for.
    pub(crate) fn show_values(&self) -> bool {
        self.show_values
    }

    /// Writes a row; [`Diff::flush`] has to follow.
    pub(crate) fn add(&mut self, row: &DiffRow) {
        if self.failed.is_none() {
            self.failed = self.sink.row_unflushed(row).err().map(|error| format!("{error:#}"));
        }
    }

    /// Writes out what was added.
    pub(crate) fn flush(&mut self) {
        if self.failed.is_none() {
            self.failed = self.sink.flush().err().map(|error| format!("{error:#}"));
        }
    }

    /// A row of nothing but its names.
    pub(crate) fn row(&self, table: &str, standby: &str, kind: DiffKind, key: String) -> DiffRow {
        DiffRow {
            run: self.run.clone(),
            database: self.database.clone(),
            table: table.to_owned(),
            standby: standby.to_owned(),
            kind,
            key,
            primary_ctid: None,
            standby_ctid: None,
            columns: None,
            primary_values: None,
            standby_values: None,
        }
    }

    fn damaged(&self, table: &str, standby: &str, side: Side, spot: &Spot) -> DiffRow {
        let (key, block) = match spot {
            Spot::Block(block) => (format!("block {block}"), *block),
            Spot::File(file) => (format!("file {file}"), 0),
            Spot::Other(what) => (what.clone(), 0),
        };
        let mut row = self.row(table, standby, DiffKind::Corrupt, key);
        let ctid = Some(format!("({block},0)"));
        match side {
            Side::Primary => row.primary_ctid = ctid,
            Side::Standby => row.standby_ctid = ctid,
        }
        row
    }

    fn batch(&mut self, asked: &mut Asked, batch: &[Difference]) {
        let hashes = asked.hashes(batch, self.show_values).unwrap_or_default();
        let mut rest = batch;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(if self.show_values { few(rest, &hashes) } else { rest.len() });
            let texts = if self.show_values { asked.texts(now).unwrap_or_default() } else { Pair::default() };
            for difference in now {
                self.add(&self.differing(asked, difference, &hashes, &texts));
            }
            rest = later;
        }
        self.flush();
    }

    fn differing(
        &self,
        asked: &Asked,
        difference: &Difference,
        hashes: &Pair<i64>,
        texts: &Pair<Option<String>>,
    ) -> DiffRow {
        let mut row = self.row(&asked.title, &asked.standby, difference.kind(), difference.name());
        let places = [difference.primary, difference.standby];
        [row.primary_ctid, row.standby_ctid] = places.map(|place| place.map(|place| place.ctid.to_string()));
        let Some(layout) = &asked.layout else { return row };
        let names: Vec<&str> = layout.column_names().collect();
        let chosen: Vec<usize> = match difference.kind() {
            DiffKind::Different => {
                let [Some(on_primary), Some(on_standby)] = proven(places, hashes) else { return row };
                let halves = on_primary.columns.chunks(2).zip(on_standby.columns.chunks(2)).enumerate();
                halves
                    .filter(|(_, (on_primary, on_standby))| on_primary != on_standby)
                    .map(|(index, _)| index)
                    .collect()
            }
            _ => (0..names.len()).collect(),
        };
        if difference.kind() == DiffKind::Different {
            let differing: Vec<_> =
                chosen.iter().filter_map(|n| names.get(*n)).map(|n| quote_where_needed(n)).collect();
            row.columns = Some(differing.join(","));
        }
        let values = |seen: &Seen<Option<String>>| {
            json(chosen.iter().filter_map(|n| Some((*names.get(*n)?, seen.columns.get(*n)?.as_deref()))))
        };
        [row.primary_values, row.standby_values] = proven(places, texts).map(|seen| seen.map(values));
        row
    }
}

/// The rows that are still what was proven.
fn proven<T>(places: [Option<Place>; 2], seen: &Pair<T>) -> [Option<&Seen<T>>; 2] {
    let of = |side: usize| {
        let place = places[side]?;
        seen[side].get(&place.ctid).filter(|seen| seen.hash == place.hash)
    };
    [of(0), of(1)]
}

/// How many of the first rows to ask for values at once: at least one.
fn few(rows: &[Difference], hashes: &Pair<i64>) -> usize {
    let mut bytes = 0;
    let fits = |row: &&Difference| {
        let seen = proven([row.primary, row.standby], hashes);
        bytes += seen.into_iter().flatten().map(|seen| seen.bytes).sum::<u64>();
        bytes <= BATCH_BYTES
    };
    rows.iter().take_while(fits).count().max(1)
}

impl Asked<'_> {
    /// A row that only one node has is read only for its values: there are no columns to compare.
    fn hashes(&mut self, rows: &[Difference], all: bool) -> Result<Pair<i64>, ReadError> {
        let wanted: Vec<_> = rows.iter().filter(|row| all || row.kind() == DiffKind::Different).collect();
        self.ask(&wanted, hashes)
    }

    fn texts(&mut self, rows: &[Difference]) -> Result<Pair<Option<String>>, ReadError> {
        self.ask(&rows.iter().collect::<Vec<_>>(), texts)
    }

    /// Asks both nodes at once.
    fn ask<T: Send>(
        &mut self,
        rows: &[&Difference],
        ask: impl Fn(&mut Reader, &Layout, &[Tid]) -> Result<HashMap<Tid, Seen<T>>, ReadError> + Sync,
    ) -> Result<Pair<T>, ReadError> {
        let (Some(layout), Some(on_standby)) = (&self.layout, &mut self.on_standby) else { return Ok(Pair::default()) };
        let tids =
            |side: fn(&Difference) -> Option<Place>| rows.iter().filter_map(|row| side(row)).map(|p| p.ctid).collect();
        let (on_primary, standby): (Vec<Tid>, Vec<Tid>) = (tids(|row| row.primary), tids(|row| row.standby));
        let primary = &mut *self.on_primary;
        let (on_primary, on_standby) =
            at_once(|| ask(primary, layout, &on_primary), || ask(on_standby, layout, &standby));
        Ok([on_primary?, on_standby?])
    }
}
