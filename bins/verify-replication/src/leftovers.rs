//! Rows that only one node shows. When the whole table was read, those with the same key are matched, or without a key
//! those with the same content: a row counts by its content, wherever it lies.
//!
//! Memory stays bounded however many there are. Beyond a limit they are divided by the hash of their name into temporary
//! files, and each part is matched by itself; a part that is too large for the memory is divided again.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use anyhow::Result;

use crate::difference::{Difference, Place};
use crate::fingerprint::Fingerprint;
use crate::spool::Spool;

/// Memory for rows, in bytes: some ten thousand of them.
const LIMIT: usize = 8 << 20;

/// Parts at each level.
const PARTS: u64 = 64;

/// Memory of each part for what is not in its file yet, in bytes.
const PART_BUFFER: usize = 16 << 10;

/// A part that is too large after this many levels has few names: 64^4 parts of eight megabytes would hold any table.
const LEVELS: u32 = 4;

/// Gets the rows that were not matched.
type Tell<'a> = dyn FnMut(Difference) -> Result<()> + 'a;

/// Rows that are on one node only.
#[derive(Debug)]
pub(crate) struct Leftovers {
    held: Vec<Difference>,
    /// Memory that `held` takes.
    bytes: usize,
    limit: usize,
    level: u32,
    /// Where they are, if that was too much.
    parts: Vec<Spool>,
}

impl Default for Leftovers {
    fn default() -> Leftovers {
        Leftovers::within(LIMIT)
    }
}

impl Leftovers {
    /// None yet; more than `limit` bytes of them go to temporary files.
    fn within(limit: usize) -> Leftovers {
        Leftovers { held: Vec::new(), bytes: 0, limit, level: 0, parts: Vec::new() }
    }

    pub(crate) fn add(&mut self, row: Difference) -> Result<()> {
        if !self.parts.is_empty() {
            return self.part(&row);
        }
        self.bytes += size_of::<Difference>() + row.key.as_ref().map_or(0, String::capacity);
        self.held.push(row);
        if self.bytes > self.limit && self.level < LEVELS {
            self.parts = (0..PARTS).map(|_| Spool::new(PART_BUFFER)).collect();
            return std::mem::take(&mut self.held).iter().try_for_each(|row| self.part(row));
        }
        Ok(())
    }

    fn part(&mut self, row: &Difference) -> Result<()> {
        let mut hasher = DefaultHasher::new();
        (self.level, &row.key).hash(&mut hasher);
        if row.key.is_none() {
            row.place().map(|place| place.hash).hash(&mut hasher);
        }
        self.parts[(hasher.finish() % PARTS) as usize].push(row)
    }

    /// Matches the rows, and hands on the rest: rows that only one node has, and rows of one key that differ.
    pub(crate) fn settle(self, tell: &mut Tell) -> Result<()> {
        if self.parts.is_empty() {
            return matched(self.held).into_iter().try_for_each(tell);
        }
        for mut part in self.parts {
            program::stop::check()?;
            if self.level + 1 == LEVELS && part.count() > 0 {
                settle_alike(part, tell)?;
                continue;
            }
            let mut inner = Leftovers { level: self.level + 1, ..Leftovers::within(self.limit) };
            part.read()?.try_for_each(|row| inner.add(row?))?;
            drop(part); // its file before the next ones are made
            inner.settle(tell)?;
        }
        Ok(())
    }
}

/// Matches rows that are in memory; what is left comes in order of place.
fn matched(mut rows: Vec<Difference>) -> Vec<Difference> {
    rows.sort_unstable_by(|a, b| (&a.key, content(a), a.place()).cmp(&(&b.key, content(b), b.place())));
    let mut left = Vec::new();
    for alike in rows.chunk_by(|a, b| a.key == b.key && (a.key.is_some() || content(a) == content(b))) {
        let (mut on_primary, mut on_standby) = (places(alike, |row| row.primary), places(alike, |row| row.standby));
        cancel(&mut on_primary, &mut on_standby);
        let (mut on_primary, mut on_standby) = (on_primary.into_iter(), on_standby.into_iter());
        loop {
            let (primary, standby) = (on_primary.next(), on_standby.next());
            if primary.is_none() && standby.is_none() {
                break;
            }
            left.push(Difference { key: alike[0].key.clone(), primary, standby });
        }
    }
    left.sort_unstable_by_key(Difference::place);
    left
}

fn content(row: &Difference) -> Option<Fingerprint> {
    row.place().map(|place| place.hash)
}

fn places(rows: &[Difference], side: impl Fn(&Difference) -> Option<Place>) -> Vec<Place> {
    rows.iter().filter_map(side).collect()
}

/// Takes out what both sides have, each as often as both have it.
fn cancel(on_primary: &mut Vec<Place>, on_standby: &mut Vec<Place>) {
    if on_primary.is_empty() || on_standby.is_empty() {
        return;
    }
    let mut open: HashMap<Fingerprint, usize> = HashMap::new();
    on_standby.iter().for_each(|place| *open.entry(place.hash).or_default() += 1);
    let mut gone: HashMap<Fingerprint, usize> = HashMap::new();
    on_primary.retain(|place| match open.get_mut(&place.hash).filter(|left| **left > 0) {
        Some(left) => {
            *left -= 1;
            *gone.entry(place.hash).or_default() += 1;
            false
        }
        None => true,
    });
    on_standby.retain(|place| match gone.get_mut(&place.hash).filter(|left| **left > 0) {
        Some(left) => {
            *left -= 1;
            false
        }
        None => true,
    });
}

/// Matches the rows of few names that are too many for the memory: without a key, by counts alone.
fn settle_alike(mut part: Spool, tell: &mut Tell) -> Result<()> {
    let mut keyed = Vec::new();
    let mut equal: HashMap<Fingerprint, [u64; 2]> = HashMap::new();
    for row in part.read()? {
        let row = row?;
        match content(&row) {
            Some(hash) if row.key.is_none() => {
                equal.entry(hash).or_default()[usize::from(row.primary.is_none())] += 1;
            }
            _ => keyed.push(row), // no two rows of a node have one key, but where its index is damaged
        }
    }
    equal.values_mut().for_each(|sides| *sides = [sides[0].min(sides[1]); 2]);
    for row in part.read()? {
        let row = row?;
        let Some(hash) = content(&row).filter(|_| row.key.is_none()) else { continue };
        match equal.get_mut(&hash).map(|sides| &mut sides[usize::from(row.primary.is_none())]) {
            Some(left) if *left > 0 => *left -= 1,
            _ => tell(row)?,
        }
    }
    matched(keyed).into_iter().try_for_each(tell)
}

#[cfg(test)]
#[path = "leftovers_tests.rs"]
mod tests;
