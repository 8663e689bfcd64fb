//! How much of the indexes was read.

use std::collections::BTreeMap;

use report::show::count;

use super::seen::{Map, Seen};

/// How many indexes that were not read for the same reason are named.
const NAMED: usize = 5;

/// How much of some tables' indexes was read on one standby.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    all: u64,
    /// Those of which anything was read.
    read: u64,
    /// Those that were read in full.
    in_full: u64,
    /// Others that `amcheck` read.
    by_amcheck: u64,
    /// Those of which some rows were looked up.
    sampled: u64,
    /// Rows that were looked up by those.
    looked_up: u64,
    /// Rows of their tables, once for each of those.
    rows: u64,
    /// Visibility maps.
    maps: u64,
    /// Those that were looked at.
    maps_read: u64,
    /// Those of which nothing was read, by why.
    not_read: BTreeMap<String, Vec<String>>,
}

impl Tally {
    /// Counts an index of a table of so many rows.
    pub(super) fn add(&mut self, seen: &Seen, rows: u64) {
        let &Seen { in_full, by_amcheck, looked_up, .. } = seen;
        self.all += 1;
        self.read += u64::from(in_full || by_amcheck || looked_up > 0);
        self.in_full += u64::from(in_full);
        self.by_amcheck += u64::from(by_amcheck && !in_full);
        if !in_full && looked_up > 0 {
            self.sampled += 1;
            self.looked_up += looked_up;
            self.rows += rows;
        }
    }

    /// Counts a visibility map that covers something.
    pub(super) fn map(&mut self, map: &Map) {
        self.maps += u64::from(!matches!(map, Map::Empty));
        self.maps_read += u64::from(matches!(map, Map::Sound | Map::Wrong { .. }));
    }

    /// Keeps the name of one of which nothing was read, and why.
    pub(super) fn not_read(&mut self, index: &str, why: String) {
        self.not_read.entry(why).or_default().push(index.to_owned());
    }

    /// Adds those of another table.
    pub(crate) fn join(&mut self, other: &Tally) {
        self.all += other.all;
        self.read += other.read;
        self.in_full += other.in_full;
        self.by_amcheck += other.by_amcheck;
        self.sampled += other.sampled;
        self.looked_up += other.looked_up;
        self.rows += other.rows;
        self.maps += other.maps;
        self.maps_read += other.maps_read;
        for (why, indexes) in &other.not_read {
            self.not_read.entry(why.clone()).or_default().extend_from_slice(indexes);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all == 0 && self.maps == 0
    }

    /// In words; `seed`: of the random choice of rows, if they were chosen.
    pub(crate) fn words(&self, seed: Option<u64>) -> String {
        let noun = if self.all == 1 { "index" } else { "indexes" };
        let mut words = format!("{} of {} {noun}: {} read in full", self.read, self.all, self.in_full);
        if self.by_amcheck > 0 {
            words += &format!(", {} by amcheck", self.by_amcheck);
        }
        if self.sampled > 0 {
            words += &format!(
                ", {} by {} of {}{}",
                self.sampled,
                self.looked_up,
                count(self.rows, "row"),
                seed.map(|seed| format!(" drawn at random (--seed {seed})")).unwrap_or_default()
            );
        }
        words + &format!("; {} of {}", self.maps_read, count(self.maps, "visibility map"))
    }

    /// What was not read, a line for each reason.
    pub(crate) fn not_read_words(&self) -> Vec<String> {
        let line = |(why, indexes): (&String, &Vec<String>)| {
            let named = indexes[..indexes.len().min(NAMED)].join(", ");
            let more =
                if indexes.len() > NAMED { format!(" and {} more", indexes.len() - NAMED) } else { String::new() };
            format!("indexes not read: {named}{more} ({why})")
        };
        self.not_read.iter().map(line).collect()
    }
}
