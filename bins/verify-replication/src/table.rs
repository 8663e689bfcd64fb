//! One table on all standbys.

use std::time::{Duration, Instant};

use program::progress::Progress;
use report::verdict::Verdict;
use report::verify::VerifyRow;

use crate::at_rest::Otherwise;
use crate::changed::{Changed, changed};
use crate::indexes::tally::Tally;
use crate::indexes::{self, Draw, Indexes};
use crate::layout::{Blocks, Layout};
use crate::node::{NodeSessions, Standby};
use crate::proof::EndedXids;
use crate::read_error::is_of_a_name;
use crate::recheck::{Recheck, RecheckLimits};
use crate::scan::{ChunkSums, sums};
use crate::table_result::TableResult;

/// A table with more blocks than this, eight megabytes, is read by more than one session.
const WORTH_A_SESSION: u64 = 1024;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// Blocks of one chunk.
    pub(crate) chunk_blocks: u64,
    /// How much of each index to read.
    pub(crate) indexes: Indexes,
    /// Rows to look up by each.
    pub(crate) draw: Draw,
    /// How long to try.
    pub(crate) limits: RecheckLimits,
    /// Whether all rows that differ are asked for, and not only their counts.
    pub(crate) all_differences: bool,
}

/// What was found of one table on one standby.
#[derive(Default)]
pub(crate) struct Finding {
    rows_primary: Option<u64>,
    rows_standby: Option<u64>,
    chunks: u64,
    rechecked: u64,
    pub(crate) found: TableResult,
    changed: Option<Changed>,
    otherwise: Option<Otherwise>,
    elapsed: Duration,
}

/// Compares one table on all standbys: all nodes are read at once, then each standby is judged.
pub(crate) fn compare(
    primary: &mut NodeSessions,
    standbys: &mut [Standby],
    layout: &Layout,
    options: Options,
    progress: &Progress,
) -> Vec<Finding> {
    for standby in standbys.iter_mut() {
        standby.catch_up_if_quick(primary, options.limits.catch_up);
    }
    let begun = Instant::now();
    // A table of one chunk is shared out to all sessions.
    let share = layout.blocks.div_ceil(primary.readers.len() as u64).max(WORTH_A_SESSION);
    let chunks = layout.chunks(options.chunk_blocks.min(share));
    let read = read_all(primary, standbys, layout, &chunks, progress);
    let scanned = begun.elapsed();
    let finding = |(standby, on_standby): (&mut Standby, Option<ChunkSums>)| {
        let begun = Instant::now();
        let mut finding = match (&mut standby.node, on_standby) {
            (Ok(node), Some(on_standby)) => {
                look(primary, node, layout, &chunks, &read.on_primary, &on_standby, options)
            }
            (Err(_), _) => Finding::unread(None),
            (Ok(_), None) => Finding::unread(Some("it was not read".to_owned())),
        };
        finding.rows_primary = rows(&read.on_primary);
        let scanned = if standby.node.is_ok() { scanned } else { Duration::ZERO };
        finding.elapsed = scanned + begun.elapsed();
        finding
    };
    standbys.iter_mut().zip(read.on_standby).map(finding).collect()
}

/// The sums of one table on all nodes.
struct Read {
    on_primary: ChunkSums,
    on_standby: Vec<Option<ChunkSums>>,
}

fn read_all(
    primary: &mut NodeSessions,
    standbys: &mut [Standby],
    layout: &Layout,
    chunks: &[Blocks],
    progress: &Progress,
) -> Read {
    let alive = standbys.iter().filter(|standby| standby.node.is_ok()).count();
    if alive == 0 {
        return Read { on_primary: Vec::new(), on_standby: standbys.iter().map(|_| None).collect() };
    }
    progress.begin(layout.table.title(), (chunks.len() * (alive + 1)) as u64);
    let losses: Vec<_> =
        standbys.iter().filter_map(|standby| standby.node.as_ref().ok().map(NodeSessions::loss)).collect();
    let wanted = || losses.iter().any(|lost| lost.why().is_none()); // with nobody left there is nothing to compare with
    std::thread::scope(|scope| {
        let on_standby: Vec<_> = standbys
            .iter_mut()
            .map(|standby| {
                standby
                    .node
                    .as_mut()
                    .ok()
                    .map(|node| scope.spawn(|| sums(&mut node.readers, layout, chunks, || true, progress)))
            })
            .collect();
        let on_primary = sums(&mut primary.readers, layout, chunks, wanted, progress);
        // A panic of a reader leaves no sums: nothing of it counts as read.
        let on_standby =
            on_standby.into_iter().map(|handle| handle.map(|handle| handle.join().unwrap_or_default())).collect();
        Read { on_primary, on_standby }
    })
}

/// Compares one standby, and drops the result if the table did not keep its shape on both nodes until the end.
fn look(
    primary: &mut NodeSessions,
    standby: &mut NodeSessions,
    layout: &Layout,
    chunks: &[Blocks],
    on_primary: &ChunkSums,
    on_standby: &ChunkSums,
    options: Options,
) -> Finding {
    let finding = judge(primary, standby, layout, chunks, on_primary, on_standby, options);
    if finding.is_unknown() && !standby.at_rest && finding.found.unknown.lines().any(|why| is_of_a_name(&why)) {
        return Finding { changed: Some(Changed::Here), ..Finding::default() }; // it was renamed
    }
    // One statement reads one file. But several sums could miss a row that was moved between their parts.
    if finding.found.verdict() == Verdict::Held && chunks.len() == 1 && !standby.at_rest {
        return finding;
    }
    match changed(layout, primary, standby) {
        Ok(None) => finding,
        Ok(changed) => Finding { changed, ..Finding::default() },
        Err(error) => Finding::unread(Some(error.to_string())),
    }
}

/// Compares the sums of one standby with the primary's, and looks into what differs.
fn judge(
    primary: &mut NodeSessions,
    standby: &mut NodeSessions,
    layout: &Layout,
    chunks: &[Blocks],
    on_primary: &ChunkSums,
    on_standby: &ChunkSums,
    options: Options,
) -> Finding {
    let mut finding = Finding { rows_standby: rows(on_standby), ..Finding::default() };
    let (limits, found) = (options.limits, TableResult::new(options.all_differences));
    let mut recheck = Recheck { layout, primary, standby, limits, found, ended: EndedXids::default() };
    let mut unread = 0;
    for (index, chunk) in chunks.iter().enumerate() {
        let pair = [on_primary, on_standby].map(|sums| sums.get(index).cloned().flatten());
        let [Some(on_primary), Some(on_standby)] = pair else {
            unread += 1;
            continue;
        };
        let before = recheck.found.proven();
        let looked = match (on_primary, on_standby) {
            (Ok(on_primary), Ok(on_standby)) if on_primary == on_standby => Ok(true),
            (Ok(_), Ok(_)) => recheck.chunk(*chunk).map(|()| {
                finding.rechecked += u64::from(recheck.found.proven() == before);
                true
            }),
            (on_primary, on_standby) => recheck.unread(*chunk, on_primary.err().as_ref(), on_standby.err().as_ref()),
        };
        match looked {
            Ok(compared) => finding.chunks += u64::from(compared),
            Err(error) => {
                finding.chunks += 1;
                recheck.found.unknown.push(format!("{chunk}: {error}"));
                break;
            }
        }
    }
    if unread > 0 {
        recheck.found.unknown.push(format!("{unread} chunks were not read"));
    }
    recheck.found.settle(recheck.standby.at_rest);
    finding.found = recheck.found;
    let rows = finding.rows_standby.unwrap_or(layout.blocks);
    if finding.found.damage.is_none() {
        // The indexes of a damaged table would lead to the same damaged pages, and these would count twice.
        indexes::check(primary, standby, layout, rows, (options.indexes, options.draw), &mut finding.found);
    }
    finding
}

/// The rows of a node, if all of its chunks were read.
fn rows(sums: &ChunkSums) -> Option<u64> {
    let rows = sums.iter().map(|sum| sum.as_ref()?.as_ref().ok().map(|sum| sum.rows)).sum::<Option<u64>>()?;
    (!sums.is_empty()).then_some(rows)
}

impl Finding {
    /// The table could not be read at all, because of `why`. `None` if the standby was given up: one message says that for
    /// all tables.
    pub(crate) fn unread(why: Option<String>) -> Finding {
        Finding { found: TableResult::unread(why), ..Finding::default() }
    }

    /// Only the copy has the table: all of its rows are extra.
    pub(crate) fn only_there(rows: u64) -> Finding {
        let otherwise = Some(Otherwise::OnlyThere);
        Finding { rows_primary: Some(0), rows_standby: Some(rows), otherwise, ..Finding::default() }
    }

    /// Whether nothing is proven.
    pub(crate) fn is_unknown(&self) -> bool {
        self.verdict() == Verdict::Unknown
    }

    /// The same finding for a copy at rest whose table differs as a whole.
    pub(crate) fn with_otherwise(self, otherwise: Otherwise) -> Finding {
        Finding { otherwise: Some(otherwise), ..self }
    }

    /// Why something could not be found out.
    pub(crate) fn reasons(&self) -> Vec<String> {
        if self.otherwise.is_some() { Vec::new() } else { self.found.unknown.lines().collect() }
    }

    fn verdict(&self) -> Verdict {
        if self.otherwise.is_some() { Verdict::Broken } else { self.found.verdict() }
    }

    /// How much of its indexes was read.
    pub(crate) fn tally(&self) -> &Tally {
        &self.found.tally
    }

    /// The node whose change made the finding useless.
    pub(crate) fn changed(&self) -> Option<Changed> {
        self.changed
    }

    /// Tells people which rows and blocks are wrong, without their values. Why something is unknown is in [`Finding::reasons`].
    pub(crate) fn tell(&self, table: &str, standby: &str, progress: &Progress) {
        let found = &self.found;
        for (what, rows) in [("missing", &found.missing), ("extra", &found.extra), ("different", &found.different)] {
            if rows.count > 0 {
                progress.warn(&format!("{table} on {standby}: {what}: {}", rows.names()));
            }
        }
        let otherwise = self.otherwise.as_ref().map(ToString::to_string);
        for why in found.damage.lines().into_iter().chain(found.remarks.lines()).chain(otherwise) {
            progress.warn(&format!("{table} on {standby}: {why}"));
        }
    }

    /// The row of `verify.csv`.
    pub(crate) fn row(&self, run: &str, table: &str, standby: &str) -> VerifyRow {
        let elapsed_us = u64::try_from(self.elapsed.as_micros()).unwrap_or(u64::MAX);
        let compared = if self.rows_standby.is_some() { self.rows_primary.unwrap_or(0) } else { 0 };
        // If nothing of a table was compared, nothing is known, not even that no row is missing.
        let absent = self.otherwise == Some(Otherwise::Absent);
        let missing = if absent { self.rows_primary } else { None };
        let extra = if self.otherwise == Some(Otherwise::OnlyThere) { self.rows_standby } else { None };
        let of = |count: u64| (count > 0 || self.chunks > 0 && !self.found.unread).then_some(count);
        VerifyRow {
            run: run.to_owned(),
            table: table.to_owned(),
            standby: standby.to_owned(),
            rows_primary: self.rows_primary,
            rows_standby: if absent { Some(0) } else { self.rows_standby },
            missing: missing.or(of(self.found.missing.count)),
            extra: extra.or(of(self.found.extra.count)),
            different: of(self.found.different.count),
            corrupt: of(self.found.damage.count()),
            chunks: self.chunks,
            rechecked: self.rechecked,
            elapsed_us,
            rows_per_s: per_second(compared, elapsed_us),
            verdict: self.verdict(),
            descent: None,
            database: None,
            equal: None,
            indexes: self.found.indexes,
            index_faults: (self.found.indexes.is_some() || self.found.index_faults > 0)
                .then_some(self.found.index_faults),
        }
    }
}

pub(crate) fn per_second(count: u64, elapsed_us: u64) -> u64 {
    count.saturating_mul(1_000_000).checked_div(elapsed_us).unwrap_or(0)
}
