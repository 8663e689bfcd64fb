//! What was found of one table on one copy, counted and named, and written to `--diff` at once: nobody writes, so that what a
//! row holds is still what was compared.

use anyhow::Result;
use report::diff::{DiffKind, DiffRow};

use super::both::{Both, at, few};
use super::shape::Shape;
use crate::details::json;
use crate::diff::Diff;
use crate::difference::{Counted, Difference, Place, Words};
use crate::subject::quote_where_needed;

/// A row that differs, and in which columns, if both nodes have it.
pub(crate) type Differing = (Difference, Vec<usize>);

/// What was found, with where it goes.
pub(crate) struct Told<'a> {
    /// Rows that the copy lacks.
    pub(crate) missing: Counted,
    /// Rows that the primary lacks.
    pub(crate) extra: Counted,
    /// Rows of the same key with other values.
    pub(crate) different: Counted,
    /// Rows that could not be decided.
    pub(crate) unknown: Words,
    /// Whether the copy's server did not take the values of some row.
    has_unnamed: bool,
    diff: Option<&'a mut Diff>,
    title: String,
    standby: String,
}

impl<'a> Told<'a> {
    /// Nothing found yet of a table on a copy.
    pub(crate) fn new(title: String, standby: String, diff: Option<&'a mut Diff>) -> Told<'a> {
        let (missing, extra, different) = Default::default();
        Told { missing, extra, different, unknown: Words::default(), has_unnamed: false, diff, title, standby }
    }

    /// Whether rows are known to differ.
    pub(crate) fn is_broken(&self) -> bool {
        self.missing.count + self.extra.count + self.different.count > 0
    }

    /// Keeps that so many rows could not be decided, such as the one of that name.
    pub(crate) fn undecided(&mut self, rows: u64, name: &str, why: &str) {
        let which = if rows == 1 { name.to_owned() } else { format!("{rows} rows such as {name}") };
        self.unknown.push(format!("{which} could not be compared: {why}"));
    }

    /// Keeps that a row cannot be compared with any other, since the copy's server does not take what it holds.
    pub(crate) fn unnamed(&mut self, name: &str) {
        self.has_unnamed = true;
        self.undecided(1, name, "the copy's server does not take its values, or it is gone: somebody writes");
    }

    /// Whether there are such rows: any other row may then be equal to one of them.
    pub(crate) fn has_unnamed(&self) -> bool {
        self.has_unnamed
    }

    /// Tells of rows that differ.
    pub(crate) fn tell(&mut self, both: &mut Both, rows: &[Differing]) -> Result<()> {
        for (row, _) in rows {
            let Some(place) = row.place() else { continue };
            let counted = match row.kind() {
                DiffKind::Missing => &mut self.missing,
                DiffKind::Extra => &mut self.extra,
                DiffKind::Different | DiffKind::Corrupt => &mut self.different,
            };
            counted.add(place.ctid, || name(both, row));
        }
        let Some(shows) = self.diff.as_ref().map(|diff| diff.show_values()) else { return Ok(()) };
        let mut rest = rows;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(if shows { self.few(both, rest)? } else { rest.len() });
            self.write(both, now, shows)?;
            rest = later;
        }
        Ok(())
    }

    /// How many rows to show the values of at once.
    fn few(&self, both: &mut Both, rows: &[Differing]) -> Result<usize> {
        let [here, there] = both.lengths(&places(rows, |row| row.primary), &places(rows, |row| row.standby))?;
        let length = |(row, _): &Differing| {
            let of = |place: Option<Place>, lengths: &std::collections::HashMap<_, u64>| {
                place.and_then(|place| lengths.get(&at(&place)).copied()).unwrap_or(0)
            };
            of(row.primary, &here) + of(row.standby, &there)
        };
        Ok(few(rows.iter().map(length)))
    }

    fn write(&mut self, both: &mut Both, rows: &[Differing], shows: bool) -> Result<()> {
        let all: Vec<usize> = (0..both.here.columns.len()).collect();
        let chosen = |(row, differing): &Differing| match row.kind() {
            DiffKind::Different => differing.clone(),
            _ => all.clone(),
        };
        let [here, there] = match shows {
            true => {
                let wanted: Vec<usize> =
                    rows.iter().flat_map(chosen).collect::<std::collections::BTreeSet<_>>().into_iter().collect();
                both.texts(&places(rows, |row| row.primary), &places(rows, |row| row.standby), &wanted)?
            }
            false => Default::default(),
        };
        let Some(diff) = &mut self.diff else { return Ok(()) };
        for one in rows {
            let (row, chosen) = (&one.0, chosen(one));
            let names: Vec<&str> = chosen.iter().map(|n| both.here.columns[*n].name.as_str()).collect();
            let values = |place: Option<Place>, texts: &std::collections::HashMap<_, Vec<Option<String>>>| {
                let texts = texts.get(&at(&place?))?;
                Some(json(names.iter().copied().zip(chosen.iter().map(|n| texts[*n].as_deref()))))
            };
            let different = row.kind() == DiffKind::Different;
            let columns = || names.iter().map(|name| quote_where_needed(name)).collect::<Vec<_>>().join(",");
            diff.add(&DiffRow {
                primary_ctid: row.primary.map(|place| place.ctid.to_string()),
                standby_ctid: row.standby.map(|place| place.ctid.to_string()),
                columns: different.then(columns),
                primary_values: values(row.primary, &here),
                standby_values: values(row.standby, &there),
                ..diff.row(&self.title, &self.standby, row.kind(), name(both, row))
            });
        }
        diff.flush();
        Ok(())
    }
}

fn places(rows: &[Differing], side: impl Fn(&Difference) -> Option<Place>) -> Vec<Place> {
    rows.iter().filter_map(|(row, _)| side(row)).collect()
}

/// What to call a row: its key; without one its place, and in which leaf of a partitioned table.
pub(crate) fn name(both: &Both, row: &Difference) -> String {
    let leaf = |shape: &Shape, place: Place| match shape.leaves.len() {
        0 | 1 => String::new(),
        _ => format!(" of {}", shape.leaf(place.part).table.title()),
    };
    let shape = if row.primary.is_some() { both.here } else { both.there };
    match (&row.key, row.place()) {
        (Some(key), _) => key.clone(),
        (None, Some(place)) => format!("ctid {}{}", place.ctid, leaf(shape, place)),
        (None, None) => String::new(),
    }
}
