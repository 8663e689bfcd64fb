//! One table by value: sums first, then the rows of the buckets that differ, then their values.

use std::time::Instant;

use anyhow::Result;
use report::diff::DiffKind;
use report::verdict::Verdict as Word;
use report::verify::VerifyRow;

use super::both::Both;
use super::buckets::{self, Buckets};
use super::judge::{Abilities, Judge, Means, Verdict};
use super::orphans::Orphans;
use super::shape::Shape;
use super::told::{Told, name};
use crate::damage::Side;
use crate::diff::Diff;
use crate::difference::Difference;
use crate::leftovers::Leftovers;
use crate::node::NodeSessions;
use crate::read_error::ReadError;
use crate::scan::at_once;
use crate::subject::Subject;
use crate::table::per_second;

/// What was found of one table on one copy, ready to be told.
#[derive(Debug, Default)]
pub(crate) struct CopyResult {
    pub(crate) rows_primary: Option<u64>,
    pub(crate) rows_standby: Option<u64>,
    /// Missing, extra, different.
    pub(crate) counts: Option<[u64; 3]>,
    pub(crate) corrupt: u64,
    pub(crate) chunks: u64,
    pub(crate) rechecked: u64,
    /// What differs, for people.
    pub(crate) warnings: Vec<String>,
    /// Why something could not be found out.
    pub(crate) reasons: Vec<String>,
    /// Columns that were compared by their bytes, for want of an equality.
    pub(crate) by_bytes: Vec<String>,
    /// Whether that is proven to be so.
    pub(crate) is_broken: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct How<'a> {
    /// Blocks that are added up by one statement.
    pub(crate) chunk_blocks: u64,
    /// What the rows call the table.
    pub(crate) title: &'a str,
}

/// A table on the primary.
pub(crate) struct Here {
    pub(crate) shape: Shape,
    buckets: u64,
    /// Its sums, once somebody wanted them.
    sums: Option<Result<Buckets, ReadError>>,
}

impl Here {
    /// Reads its shape.
    pub(crate) fn read(primary: &mut NodeSessions, table: &Subject) -> Result<Here, ReadError> {
        let shape = Shape::read(primary.reader(), table, None)?;
        Ok(Here { buckets: buckets::count(shape.blocks()), shape, sums: None })
    }

    /// How many rows it has, if it can be read.
    pub(crate) fn rows(&mut self, primary: &mut NodeSessions, how: How) -> Result<u64, ReadError> {
        let sums = self
            .sums
            .get_or_insert_with(|| buckets::scan(&mut primary.readers, &self.shape, (self.buckets, how.chunk_blocks)));
        sums.as_ref().map(Buckets::rows).map_err(Clone::clone)
    }
}

/// Compares one table with the one of a copy.
pub(crate) fn compare(
    (primary, here): (&mut NodeSessions, &mut Here),
    (copy, there): (&mut NodeSessions, &Subject),
    known: &mut Abilities,
    how: How,
    diff: Option<&mut Diff>,
) -> Result<CopyResult> {
    let shape = match Shape::read(copy.reader(), there, Some(&here.shape)) {
        Ok(shape) => shape,
        Err(error) => return Ok(CopyResult::unread(Side::Standby, &error, &copy.name)),
    };
    if let Some(words) = super::columns::otherwise(&here.shape.columns, &shape.columns) {
        let rows_primary = here.rows(primary, how).ok();
        return Ok(CopyResult { rows_primary, ..CopyResult::broken(words) });
    }
    let size = (here.buckets, how.chunk_blocks);
    let sums = match here.sums.take() {
        Some(known) => (known, buckets::scan(&mut copy.readers, &shape, size)),
        None => at_once(
            || buckets::scan(&mut primary.readers, &here.shape, size),
            || buckets::scan(&mut copy.readers, &shape, size),
        ),
    };
    let (one, two) = (here.sums.insert(sums.0), sums.1);
    let (one, two) = match (one, two) {
        (Ok(one), Ok(two)) => (&*one, two),
        (Err(error), _) => return Ok(CopyResult::unread(Side::Primary, error, &primary.name)),
        (_, Err(error)) => return Ok(CopyResult::unread(Side::Standby, &error, &copy.name)),
    };
    let judge = match Judge::new(copy.reader(), &shape.columns, known) {
        Ok(judge) => judge,
        Err(error) => return Ok(CopyResult::unread(Side::Standby, &error, &copy.name)),
    };
    let mut found = CopyResult {
        rows_primary: Some(one.rows()),
        rows_standby: Some(two.rows()),
        counts: Some([0; 3]),
        chunks: one.count(),
        by_bytes: by_bytes(&judge, &shape, how.title),
        ..CopyResult::default()
    };
    let differing = one.differing(&two);
    if differing.is_empty() {
        return Ok(found);
    }
    let left = buckets::unmatched((primary.reader(), &here.shape), (copy.reader(), &shape), &differing, one.count());
    let left = match left {
        Ok(left) => left,
        Err((side, error)) => {
            let name = if side == Side::Primary { &primary.name } else { &copy.name };
            return Ok(CopyResult { rows_primary: found.rows_primary, ..CopyResult::unread(side, &error, name) });
        }
    };
    let mut told = Told::new(how.title.to_owned(), copy.name.clone(), diff);
    let mut both =
        Both { primary: primary.reader(), copy: copy.reader(), here: &here.shape, there: &shape, judge: &judge };
    match settle(left, &mut both, &mut told) {
        Err(error) if error.is::<ReadError>() => told.unknown.push(format!("{error:#}")),
        settled => settled?,
    }
    found.tell(&told, differing.len() as u64);
    Ok(found)
}

/// Decides about the rows whose bytes are not on both nodes.
fn settle(left: Leftovers, both: &mut Both, told: &mut Told) -> Result<()> {
    let (mut pairs, mut orphans) = (Vec::new(), Orphans::new());
    left.settle(&mut |row| {
        if row.kind() != DiffKind::Different {
            return orphans.add(&row);
        }
        pairs.push(row);
        if pairs.len() == both.batch() { judged(both, std::mem::take(&mut pairs), told) } else { Ok(()) }
    })?;
    judged(both, pairs, told)?;
    orphans.settle(both, told)
}

/// Tells of rows of one key whose values differ.
fn judged(both: &mut Both, rows: Vec<Difference>, told: &mut Told) -> Result<()> {
    program::stop::check()?;
    let places: Vec<_> = rows.iter().filter_map(|row| Some((row.primary?, row.standby?))).collect();
    let mut differ = Vec::new();
    for (row, verdict) in rows.into_iter().zip(both.compare(&places)?) {
        match verdict {
            Verdict::Differ(columns) if columns.is_empty() => {}
            Verdict::Differ(columns) => differ.push((row, columns)),
            Verdict::Undecided(why) => told.undecided(1, &name(both, &row), &why),
        }
    }
    told.tell(both, &differ)
}

fn by_bytes(judge: &Judge, shape: &Shape, title: &str) -> Vec<String> {
    let those = shape.columns.iter().enumerate().filter(|(n, _)| judge.means(*n) == Means::NoOperator);
    those
        .map(|(_, column)| format!("{title}.{} ({})", crate::subject::quote_where_needed(&column.name), column.kind))
        .collect()
}

impl CopyResult {
    /// A table that differs as a whole on the copy, or is missing there.
    pub(crate) fn broken(words: String) -> CopyResult {
        CopyResult { warnings: vec![words], is_broken: true, ..CopyResult::default() }
    }

    /// The same, and broken for this.
    pub(crate) fn and_broken(mut self, words: String) -> CopyResult {
        self.warnings.push(words);
        self.is_broken = true;
        self
    }

    /// Nothing is known.
    pub(crate) fn unknown(why: Option<String>) -> CopyResult {
        CopyResult { reasons: why.into_iter().collect(), ..CopyResult::default() }
    }

    /// A table that one side could not read.
    pub(crate) fn unread(side: Side, error: &ReadError, node: &str) -> CopyResult {
        if !error.is_damage() {
            return CopyResult::unknown(Some(error.to_string()));
        }
        let side = if side == Side::Primary { "the primary" } else { "the copy" };
        let words = format!("damaged on {node}, {side}: {error}; the rest of it was not compared");
        CopyResult { corrupt: 1, ..CopyResult::broken(words) }
    }

    fn tell(&mut self, told: &Told, differing: u64) {
        let all = [("missing", &told.missing), ("extra", &told.extra), ("different", &told.different)];
        self.counts = Some(all.map(|(_, counted)| counted.count));
        let some = all.iter().filter(|(_, counted)| counted.count > 0);
        self.warnings.extend(some.map(|(what, counted)| format!("{what}: {}", counted.names())));
        self.reasons.extend(told.unknown.lines());
        self.is_broken = told.is_broken();
        if !self.is_broken {
            self.rechecked = differing;
        }
    }

    /// What is proven.
    pub(crate) fn verdict(&self) -> Word {
        match (self.is_broken, self.reasons.is_empty() && self.counts.is_some()) {
            (true, _) => Word::Broken,
            (_, true) => Word::Held,
            _ => Word::Unknown,
        }
    }

    /// The row of `verify.csv`.
    pub(crate) fn row(&self, run: &str, title: &str, standby: &str, begun: Instant) -> VerifyRow {
        let elapsed_us = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        let count = |n: usize| self.counts.map(|counts| counts[n]);
        let compared = if self.rows_standby.is_some() { self.rows_primary.unwrap_or(0) } else { 0 };
        VerifyRow {
            run: run.to_owned(),
            table: title.to_owned(),
            standby: standby.to_owned(),
            rows_primary: self.rows_primary,
            rows_standby: self.rows_standby,
            missing: count(0),
            extra: count(1),
            different: count(2),
            // Of a table that could not be read, nothing else is known.
            corrupt: (self.corrupt > 0 || self.counts.is_some()).then_some(self.corrupt),
            chunks: self.chunks,
            rechecked: self.rechecked,
            elapsed_us,
            rows_per_s: per_second(compared, elapsed_us),
            verdict: self.verdict(),
            descent: None,
            database: None,
            equal: None,
            indexes: None,
            index_faults: None,
        }
    }
}
