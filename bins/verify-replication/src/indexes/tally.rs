//! How much of the indexes was read.

use report::show::count;

/// How many not-read indexes are named.
const NAMED: usize = 10;

/// How much of some tables' indexes was read on one standby.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// Indexes.
    all: u64,
    /// Those that were read in full.
    in_full: u64,
    /// Those of which rows were looked up, and no more.
    sampled: u64,
    /// Rows that were looked up by those.
    looked_up: u64,
    /// Rows of their tables, once for each of those.
    rows: u64,
    /// Those of which nothing was read, each with why.
    pub(crate) not_read: Vec<String>,
}

impl Tally {
    /// Counts an index of a table of so many rows.
    pub(super) fn add(&mut self, in_full: bool, looked_up: u64, rows: u64) {
        self.all += 1;
        self.in_full += u64::from(in_full);
        if !in_full && looked_up > 0 {
            self.sampled += 1;
            self.looked_up += looked_up;
            self.rows += rows;
        }
    }

    /// Adds those of another table.
    pub(crate) fn join(&mut self, other: &Tally) {
        self.all += other.all;
        self.in_full += other.in_full;
        self.sampled += other.sampled;
        self.looked_up += other.looked_up;
        self.rows += other.rows;
        self.not_read.extend(other.not_read.iter().cloned());
    }

    /// Whether there are any.
    pub(crate) fn is_empty(&self) -> bool {
        self.all == 0
    }

    /// In words; `seed`: of the random choice of rows.
    pub(crate) fn words(&self, seed: u64) -> String {
        let read = self.in_full + self.sampled;
        let noun = if self.all == 1 { "index" } else { "indexes" };
        let mut words = format!("{read} of {} {noun}: {} in full", self.all, self.in_full);
        if self.sampled > 0 {
            words += &format!(
                ", {} by {} of {} drawn at random (--seed {seed})",
                self.sampled,
                self.looked_up,
                count(self.rows, "row")
            );
        }
        if !self.not_read.is_empty() {
            let named = &self.not_read[..self.not_read.len().min(NAMED)];
            words += &format!("; not read: {}", named.join(", "));
            if self.not_read.len() > NAMED {
                words += &format!(" and {} more", self.not_read.len() - NAMED);
            }
        }
        words
    }
}
