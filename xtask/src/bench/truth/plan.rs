//! What was planted where, and how what verify-replication says is held against it.

use std::collections::{BTreeMap, BTreeSet};

use report::bench::TruthBenchRow;
use report::verdict::Verdict;
use report::verify::VerifyRow;

use super::count::Differing;

/// What kind of thing something was planted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Rows, sequences, catalogs, large objects: all of it has to be found.
    Rows,
    /// Indexes and visibility maps: all of it, where each index is read in full.
    Index,
}

/// How what was planted is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Truth {
    /// Row by row, from both servers.
    Counted,
    /// The table as one: it has to be called broken.
    Broken,
    /// Nothing was planted.
    Nothing,
}

/// What is expected of one row of `verify.csv`.
#[derive(Clone, Debug)]
pub(super) struct Expected {
    pub(super) kind: String,
    pub(super) how: &'static str,
    pub(super) class: Class,
    pub(super) truth: Truth,
    pub(super) differing: Differing,
}

impl Expected {
    pub(super) fn new(kind: &str, how: &'static str, class: Class, truth: Truth) -> Expected {
        Expected { kind: kind.to_owned(), how, class, truth, differing: Differing::default() }
    }
}

/// What is expected, by the title of the row.
pub(super) type Plan = BTreeMap<String, Expected>;

/// What was found of one kind so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tally {
    pub(super) class: Class,
    how: &'static str,
    planted: u64,
    found: u64,
    invented: u64,
    /// Of what was not found: whether all of it was called unknown, at least.
    unknown: bool,
}

/// The tallies of all kinds.
#[derive(Default)]
pub(super) struct Tallies(pub(super) BTreeMap<String, Tally>);

impl Tallies {
    /// Holds the rows of one execution against a plan. Returns what is wrong, in words.
    pub(super) fn add(&mut self, plan: &Plan, rows: &[VerifyRow]) -> Vec<String> {
        let mut wrong = Vec::new();
        let untouched = Expected::new("untouched", "none", Class::Rows, Truth::Nothing);
        for row in rows {
            let expected = plan.get(&row.table).unwrap_or(&untouched);
            let (planted, found, invented) = weigh(expected, row);
            self.one(expected, (planted, found, invented), row.verdict);
            if found < planted || invented > 0 {
                wrong.push(format!(
                    "{}: {}: {found} of {planted} found, {invented} invented, said {}",
                    expected.kind, row.table, row.verdict
                ));
            }
        }
        let there: BTreeSet<&str> = rows.iter().map(|row| &*row.table).collect();
        for (title, expected) in plan.iter().filter(|(title, _)| !there.contains(&***title)) {
            let planted = planted(expected);
            self.one(expected, (planted, 0, 0), Verdict::Held);
            if planted > 0 {
                wrong.push(format!("{}: {title}: 0 of {planted} found: nothing was said of it", expected.kind));
            }
        }
        wrong
    }

    fn one(&mut self, expected: &Expected, (planted, found, invented): (u64, u64, u64), said: Verdict) {
        let (class, how) = (expected.class, expected.how);
        let none = Tally { class, how, planted: 0, found: 0, invented: 0, unknown: true };
        let tally = self.0.entry(expected.kind.clone()).or_insert(none);
        tally.planted += planted;
        tally.found += found;
        tally.invented += invented;
        tally.unknown &= found >= planted || said == Verdict::Unknown;
    }

    /// The rows of the benchmark's file.
    pub(super) fn rows(&self, run: &str) -> Vec<TruthBenchRow> {
        self.0.iter().map(|(kind, tally)| tally.row(run, kind)).collect()
    }

    /// All of a class: planted, found, invented.
    pub(super) fn sum(&self, class: Class) -> (u64, u64, u64) {
        let of_class = self.0.values().filter(|tally| tally.class == class);
        of_class.fold((0, 0, 0), |sum, one| (sum.0 + one.planted, sum.1 + one.found, sum.2 + one.invented))
    }
}

impl Tally {
    fn row(&self, run: &str, kind: &str) -> TruthBenchRow {
        let Tally { how, planted, found, invented, .. } = *self;
        let verdict = match (invented, found < planted, self.unknown) {
            (0, false, _) => Verdict::Held,
            (0, true, true) => Verdict::Unknown,
            _ => Verdict::Broken,
        };
        TruthBenchRow {
            run: run.to_owned(),
            kind: kind.to_owned(),
            how: how.to_owned(),
            planted,
            found,
            invented,
            verdict,
        }
    }
}

fn planted(expected: &Expected) -> u64 {
    match expected.truth {
        Truth::Counted => expected.differing.here + expected.differing.there,
        Truth::Broken => 1,
        Truth::Nothing => 0,
    }
}

/// Planted, found, invented.
fn weigh(expected: &Expected, row: &VerifyRow) -> (u64, u64, u64) {
    let (planted, broken) = (planted(expected), u64::from(row.verdict == Verdict::Broken));
    match expected.truth {
        Truth::Nothing => (0, 0, broken),
        Truth::Broken => (1, broken, 0),
        Truth::Counted => {
            let [missing, extra, different] = [row.missing, row.extra, row.different].map(Option::unwrap_or_default);
            // A row that differs is one on each side, whether it is known by a key or not.
            let (here, there) = (missing + different, extra + different);
            let Differing { here: only_here, there: only_there } = expected.differing;
            let beyond = here.saturating_sub(only_here) + there.saturating_sub(only_there);
            let damage = row.corrupt.unwrap_or_default() + row.index_faults.unwrap_or_default();
            // Broken for nothing is invented, too, even without a count.
            let invented = (beyond + damage).max(if planted == 0 { broken } else { 0 });
            (planted, here.min(only_here) + there.min(only_there), invented)
        }
    }
}
