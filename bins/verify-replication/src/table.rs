//! One table on all standbys.

use std::time::{Duration, Instant};

use program::progress::Progress;
use report::verdict::Verdict;
use report::verify::VerifyRow;

use crate::at_rest::Otherwise;
use crate::found::Found;
use crate::indexes::{self, Draw, Indexes, Tally};
use crate::layout::{Blocks, Layout};
use crate::localise::Settled;
use crate::looks::{Changed, changed};
use crate::node::{Node, Standby};
use crate::reader::is_of_a_name;
use crate::recheck::{Limits, Recheck};
use crate::scan::{Sums, sums};

/// Blocks from which on a table is worth more than one session: eight megabytes.
const WORTH_A_SESSION: u64 = 1024;

/// How to compare.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// Blocks of one chunk.
    pub(crate) chunk_blocks: u64,
    /// How much of each index to read.
    pub(crate) indexes: Indexes,
    /// Rows to look up by each.
    pub(crate) draw: Draw,
    /// How long to try.
    pub(crate) limits: Limits,
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
    pub(crate) found: Found,
    changed: Option<Changed>,
    otherwise: Option<Otherwise>,
    elapsed: Duration,
}

/// Compares one table on all standbys: all nodes are read at once, then each standby is judged.
pub(crate) fn compare(
    primary: &mut Node,
    standbys: &mut [Standby],
    layout: &Layout,
    options: Options,
    progress: &Progress,
) -> Vec<Finding> {
    for standby in standbys.iter_mut() {
        standby.catch_up_if_quick(primary, options.limits.catch_up);
    }
    let begun = Instant::now();
    // Each session gets a share of a table that is one chunk.
    let share = layout.blocks.div_ceil(primary.readers.len() as u64).max(WORTH_A_SESSION);
    let chunks = layout.chunks(options.chunk_blocks.min(share));
    let read = read_all(primary, standbys, layout, &chunks, progress);
    let scanned = begun.elapsed();
    let finding = |(standby, there): (&mut Standby, Option<Sums>)| {
        let begun = Instant::now();
        let mut finding = match (&mut standby.node, there) {
            (Ok(node), Some(there)) => look(primary, node, layout, &chunks, &read.here, &there, options),
            (Err(_), _) => Finding::unread(None),
            (Ok(_), None) => Finding::unread(Some("it was not read".to_owned())),
        };
        finding.rows_primary = rows(&read.here);
        let scanned = if standby.node.is_ok() { scanned } else { Duration::ZERO };
        finding.elapsed = scanned + begun.elapsed();
        finding
    };
    standbys.iter_mut().zip(read.there).map(finding).collect()
}

/// The sums of one table on all nodes.
struct Read {
    here: Sums,
    there: Vec<Option<Sums>>,
}

fn read_all(
    primary: &mut Node,
    standbys: &mut [Standby],
    layout: &Layout,
    chunks: &[Blocks],
    progress: &Progress,
) -> Read {
    let alive = standbys.iter().filter(|standby| standby.node.is_ok()).count();
    if alive == 0 {
        return Read { here: Vec::new(), there: standbys.iter().map(|_| None).collect() };
    }
    progress.begin(layout.table.title(), (chunks.len() * (alive + 1)) as u64);
    let losses: Vec<_> = standbys.iter().filter_map(|standby| standby.node.as_ref().ok().map(Node::loss)).collect();
    let wanted = || losses.iter().any(|lost| lost.why().is_none()); // with nobody left there is nothing to compare with
    std::thread::scope(|scope| {
        let there: Vec<_> = standbys
            .iter_mut()
            .map(|standby| {
                standby
                    .node
                    .as_mut()
                    .ok()
                    .map(|node| scope.spawn(|| sums(&mut node.readers, layout, chunks, || true, progress)))
            })
            .collect();
        let here = sums(&mut primary.readers, layout, chunks, wanted, progress);
        // A panic of a reader leaves no sums: nothing of it counts as read.
        let there = there.into_iter().map(|handle| handle.map(|handle| handle.join().unwrap_or_default())).collect();
        Read { here, there }
    })
}

/// Judges one standby, if both nodes had the table in one shape from its layout on until the end.
fn look(
    primary: &mut Node,
    standby: &mut Node,
    layout: &Layout,
    chunks: &[Blocks],
    here: &Sums,
    there: &Sums,
    options: Options,
) -> Finding {
    let finding = judge(primary, standby, layout, chunks, here, there, options);
    if finding.is_unknown() && !standby.at_rest && finding.found.unknown.lines().any(|why| is_of_a_name(&why)) {
        return Finding { changed: Some(Changed::Here), ..Finding::default() }; // whatever it is called by now
    }
    // The sum of a whole table in one statement is of one file. Those of its parts might miss a row that was moved.
    if finding.found.verdict() == Verdict::Held && chunks.len() == 1 && !standby.at_rest {
        return finding;
    }
    match changed(layout, primary, standby) {
        Ok(None) => finding,
        Ok(changed) => Finding { changed, ..Finding::default() },
        Err(trouble) => Finding::unread(Some(trouble.to_string())),
    }
}

/// Compares the sums of one standby with the primary's, and looks into what differs.
fn judge(
    primary: &mut Node,
    standby: &mut Node,
    layout: &Layout,
    chunks: &[Blocks],
    here: &Sums,
    there: &Sums,
    options: Options,
) -> Finding {
    let mut finding = Finding { rows_standby: rows(there), ..Finding::default() };
    let (limits, found) = (options.limits, Found::new(options.all_differences));
    let mut recheck = Recheck { layout, primary, standby, limits, found, settled: Settled::default() };
    let mut unread = 0;
    for (index, chunk) in chunks.iter().enumerate() {
        let pair = [here, there].map(|sums| sums.get(index).cloned().flatten());
        let [Some(here), Some(there)] = pair else {
            unread += 1;
            continue;
        };
        let before = recheck.found.proven();
        let looked = match (here, there) {
            (Ok(here), Ok(there)) if here == there => Ok(true),
            (Ok(_), Ok(_)) => recheck.chunk(*chunk).map(|()| {
                finding.rechecked += u64::from(recheck.found.proven() == before);
                true
            }),
            (here, there) => recheck.unread(*chunk, here.err().as_ref(), there.err().as_ref()),
        };
        match looked {
            Ok(compared) => finding.chunks += u64::from(compared),
            Err(trouble) => {
                finding.chunks += 1;
                recheck.found.unknown.push(format!("{chunk}: {trouble}"));
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
        // Where the table itself is damaged, its indexes would only lead to the same pages, and they would count twice.
        indexes::check(primary, standby, layout, rows, (options.indexes, options.draw), &mut finding.found);
    }
    finding
}

/// The rows of a node, if all of its chunks were read.
fn rows(sums: &Sums) -> Option<u64> {
    let rows = sums.iter().map(|sum| sum.as_ref()?.as_ref().ok().map(|sum| sum.rows)).sum::<Option<u64>>()?;
    (!sums.is_empty()).then_some(rows)
}

impl Finding {
    /// A finding of a table that could not be read at all, because of `why`; of a standby that is given up, that is
    /// said once for all tables.
    pub(crate) fn unread(why: Option<String>) -> Finding {
        Finding { found: Found::unread(why), ..Finding::default() }
    }

    /// A finding of what only a copy has: all of its rows are extra.
    pub(crate) fn only_there(rows: u64) -> Finding {
        let otherwise = Some(Otherwise::OnlyThere);
        Finding { rows_primary: Some(0), rows_standby: Some(rows), otherwise, ..Finding::default() }
    }

    /// Whether nothing is proven of it.
    pub(crate) fn is_unknown(&self) -> bool {
        self.verdict() == Verdict::Unknown
    }

    /// The same finding of a copy at rest that has the table otherwise.
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

    /// Which node's change made it worth nothing.
    pub(crate) fn changed(&self) -> Option<Changed> {
        self.changed
    }

    /// Says for eyes what is not as it should be: which rows, not what is in them. [`Finding::reasons`] are another matter.
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

    /// The row that tells it.
    pub(crate) fn row(&self, run: &str, table: &str, standby: &str) -> VerifyRow {
        let elapsed_us = u64::try_from(self.elapsed.as_micros()).unwrap_or(u64::MAX);
        let compared = if self.rows_standby.is_some() { self.rows_primary.unwrap_or(0) } else { 0 };
        // Of a table of which nothing was compared, nothing is known: not even that nothing is missing.
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

/// A count per second.
pub(crate) fn per_second(count: u64, elapsed_us: u64) -> u64 {
    count.saturating_mul(1_000_000).checked_div(elapsed_us).unwrap_or(0)
}
