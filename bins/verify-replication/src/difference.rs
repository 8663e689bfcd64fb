//! Rows that differ, and their counts by kind: only counts and the first few names stay in memory.

use std::collections::BTreeMap;

use report::diff::DiffKind;

use crate::fingerprint::Fingerprint;
use crate::proof::Version;
use crate::tid::Tid;

/// How many rows of a kind a message names.
pub(crate) const NAMED: usize = 5;

/// A row as one node has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// The number of its partition if a partitioned table is read as a whole; else 0.
    pub(crate) part: u32,
    /// Where it lies.
    pub(crate) ctid: Tid,
    /// What it holds.
    pub(crate) hash: Fingerprint,
}

/// A row that is proven to be on one node only, or to differ on the two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    /// Its primary key as text; `None` if the table has none.
    pub(crate) key: Option<String>,
    pub(crate) primary: Option<Place>,
    pub(crate) standby: Option<Place>,
}

impl Difference {
    /// A row of the primary that the standby lacks.
    pub(crate) fn missing(version: Version) -> Difference {
        let primary = Some(Place { part: 0, ctid: version.ctid, hash: version.hash });
        Difference { key: version.key, primary, standby: None }
    }

    /// A row of the standby that the primary lacks.
    pub(crate) fn extra(version: Version) -> Difference {
        let standby = Some(Place { part: 0, ctid: version.ctid, hash: version.hash });
        Difference { key: version.key, primary: None, standby }
    }

    /// A row that holds `there` in the same place on the standby.
    pub(crate) fn different(version: Version, on_standby: Fingerprint) -> Difference {
        let primary = Some(Place { part: 0, ctid: version.ctid, hash: version.hash });
        Difference { key: version.key, primary, standby: Some(Place { part: 0, ctid: version.ctid, hash: on_standby }) }
    }

    pub(crate) fn kind(&self) -> DiffKind {
        match (self.primary, self.standby) {
            (Some(_), None) => DiffKind::Missing,
            (None, _) => DiffKind::Extra,
            (Some(_), Some(_)) => DiffKind::Different,
        }
    }

    /// The row, on the primary if it is there.
    pub(crate) fn place(&self) -> Option<Place> {
        self.primary.or(self.standby)
    }

    /// What to call it: its key; without one, its place.
    pub(crate) fn name(&self) -> String {
        let ctid = self.place().map(|place| place.ctid);
        self.key.clone().unwrap_or_else(|| ctid.map(|ctid| format!("ctid {ctid}")).unwrap_or_default())
    }
}

/// How many rows differ in one way, and the first few of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) count: u64,
    /// Names by place.
    first: BTreeMap<Tid, String>,
}

impl Counted {
    pub(crate) fn add(&mut self, at: Tid, name: impl FnOnce() -> String) {
        self.count += 1;
        if self.first.len() < NAMED || self.first.last_key_value().is_some_and(|(last, _)| at < *last) {
            self.first.insert(at, name());
        }
        if self.first.len() > NAMED {
            self.first.pop_last();
        }
    }

    /// The first few in order of place, and how many more there are.
    pub(crate) fn names(&self) -> String {
        let mut names: Vec<String> = self.first.values().cloned().collect();
        let named = names.len() as u64;
        if self.count > named {
            names.push(format!("and {} more", self.count - named));
        }
        names.join(", ")
    }
}

/// Sentences for people: the first few are kept, the others counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Words {
    first: Vec<String>,
    count: usize,
}

impl Words {
    pub(crate) fn push(&mut self, sentence: String) {
        self.count += 1;
        if self.first.len() < NAMED {
            self.first.push(sentence);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Those that were kept, and how many were not.
    pub(crate) fn lines(&self) -> impl Iterator<Item = String> {
        let more = self.count - self.first.len();
        self.first.iter().cloned().chain((more > 0).then(|| format!("and {more} more of that kind")))
    }
}

impl Extend<String> for Words {
    fn extend<T: IntoIterator<Item = String>>(&mut self, sentences: T) {
        sentences.into_iter().for_each(|sentence| self.push(sentence));
    }
}

#[cfg(test)]
mod tests {
    use super::{Counted, NAMED, Words};
    use crate::tid::Tid;

    #[test]
    fn the_first_are_named_by_place_whatever_comes_first() {
        let mut counted = Counted::default();
        for block in [9, 3, 7, 1, 8, 2, 6] {
            counted.add(Tid { block, offset: 1 }, || block.to_string());
        }
        assert_eq!(counted.names(), "1, 2, 3, 6, 7, and 2 more");
    }

    #[test]
    fn sentences_beyond_the_first_few_are_counted() {
        let mut words = Words::default();
        words.extend((0..NAMED + 3).map(|n| n.to_string()));
        assert_eq!(words.lines().last().as_deref(), Some("and 3 more of that kind"));
        assert_eq!(words.lines().count(), NAMED + 1);
    }
}
