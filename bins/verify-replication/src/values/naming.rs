//! Names for orphans: a hash by the types' own equality, from the copy's server, so that equal rows have the same name.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use anyhow::Result;

use super::both::{Both, at, few};
use super::columns;
use super::judge::{Means, Texts};
use super::told::{Told, name};
use crate::difference::{Difference, Place};
use crate::fingerprint::Fingerprint;

/// Names that are kept for rows of the same bytes, of a table without a key.
const KEPT: usize = 10_000;

/// A side (the primary's: true), and bytes.
type Bytes = (bool, Fingerprint);

/// Gives names to the orphans of one table.
pub(crate) struct Naming {
    /// Columns that the copy's server hashes.
    by: Vec<usize>,
    /// Columns whose text says all of the value, or must be enough: hashed by us.
    by_text: Vec<usize>,
    /// Names of rows that may come again.
    known: HashMap<Bytes, u64>,
    has_key: bool,
}

impl Naming {
    /// By the key, or without one by all columns.
    pub(crate) fn new(both: &Both) -> Naming {
        let key = columns::key(&both.here.columns);
        let has_key = !key.is_empty();
        let of: Vec<usize> = if has_key { key } else { (0..both.here.columns.len()).collect() };
        let by_text = |n: &usize| matches!(both.judge.means(*n), Means::Text | Means::NoOperator);
        let by = both.judge.naming(&of);
        Naming { by, by_text: of.into_iter().filter(by_text).collect(), known: HashMap::new(), has_key }
    }

    /// Names a batch of rows that are on one side each, and hands them on. A row that cannot be named is undecided.
    pub(crate) fn name(
        &mut self,
        both: &mut Both,
        rows: &[Difference],
        told: &mut Told,
        take: &mut dyn FnMut(u64, &Difference) -> Result<()>,
    ) -> Result<()> {
        if self.known.len() > KEPT || self.has_key {
            self.known.clear();
        }
        let mut new: Vec<(Bytes, &Difference)> = Vec::new();
        for row in rows {
            let bytes = bytes(row);
            if !self.known.contains_key(&bytes) && !new.iter().any(|(known, _)| *known == bytes) {
                new.push((bytes, row));
            }
        }
        let lengths = lengths(both, &new)?;
        let mut rest = &new[..];
        while !rest.is_empty() {
            let (now, later) =
                rest.split_at(few(rest.iter().map(|(bytes, _)| lengths.get(bytes).copied().unwrap_or(0))));
            self.ask(both, now)?;
            rest = later;
        }
        for row in rows {
            match self.known.get(&bytes(row)) {
                Some(known) => take(*known, row)?,
                None => told.unnamed(&name(both, row)),
            }
        }
        Ok(())
    }

    fn ask(&mut self, both: &mut Both, rows: &[(Bytes, &Difference)]) -> Result<()> {
        let [here, there] = places(rows);
        let wanted = [&self.by[..], &self.by_text].concat();
        let [mut texts_here, mut texts_there] = both.texts(&here, &there, &wanted)?;
        let (mut asked, mut texts): (Vec<Bytes>, Vec<Texts>) = (Vec::new(), Vec::new());
        for (bytes, row) in rows {
            let side = if bytes.0 { &mut texts_here } else { &mut texts_there };
            if let Some(some) = row.place().and_then(|place| side.remove(&at(&place))) {
                asked.push(*bytes);
                texts.push(some);
            }
        }
        let names = both.judge.names(both.copy, &self.by, &texts)?;
        for ((bytes, texts), hash) in asked.into_iter().zip(&texts).zip(names) {
            let Some(hash) = hash else { continue };
            let mut hasher = DefaultHasher::new();
            hash.hash(&mut hasher);
            self.by_text.iter().for_each(|n| texts[*n].hash(&mut hasher));
            self.known.insert(bytes, hasher.finish());
        }
        Ok(())
    }
}

fn bytes(row: &Difference) -> Bytes {
    (row.primary.is_some(), row.place().map_or(Fingerprint(0, 0), |place| place.hash))
}

/// Places on the primary, and on the copy.
fn places(rows: &[(Bytes, &Difference)]) -> [Vec<Place>; 2] {
    [true, false].map(|side| {
        rows.iter().filter(|((is_here, _), _)| *is_here == side).filter_map(|(_, row)| row.place()).collect()
    })
}

fn lengths(both: &mut Both, rows: &[(Bytes, &Difference)]) -> Result<HashMap<Bytes, u64>> {
    let [here, there] = places(rows);
    let [here, there] = both.lengths(&here, &there)?;
    let length = |(bytes, row): &(Bytes, &Difference)| {
        let lengths = if bytes.0 { &here } else { &there };
        Some((*bytes, *lengths.get(&at(&row.place()?))?))
    };
    Ok(rows.iter().filter_map(length).collect())
}
