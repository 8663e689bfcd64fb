//! A chunk whose sums differ is narrowed down by sums, then read row by row until each difference is proven or gone.

use std::collections::{BTreeSet, HashSet};
use std::time::{Duration, Instant};

use tokio_postgres::error::SqlState;

use crate::difference::Difference;
use crate::layout::{Blocks, Layout, extent};
use crate::node::{NodeSessions, catch_up};
use crate::proof::{Content, EndedXids, Reads, judge};
use crate::read_error::ReadError;
use crate::reader::{Reader, column};
use crate::scan::{both, sum, versions};
use crate::table_result::TableResult;
use crate::tid::Xid;

/// A range is divided into this many parts each time.
const PARTS: u64 = 16;

/// Blocks that are read row by row: half a megabyte, some thousand rows, a few milliseconds.
const LEAF: u64 = 64;

/// The pause before a look is repeated, times the number of the look: rows on their way arrive within milliseconds.
const PAUSE: Duration = Duration::from_millis(5);

/// The longest such pause: a commit may wait for its standby for long, and need not be checked more often.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// Writers that are remembered from one range to the next.
const MANY: usize = 100_000;

/// How long to try.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecheckLimits {
    /// For a standby to catch up.
    pub(crate) catch_up: Duration,
    /// Looks at the same blocks, beyond the first.
    pub(crate) retries: u32,
    /// All such further looks of one table on one standby together.
    pub(crate) patience: Duration,
}

pub(crate) struct Recheck<'a> {
    /// How the table is read.
    pub(crate) layout: &'a Layout,
    pub(crate) primary: &'a mut NodeSessions,
    pub(crate) standby: &'a mut NodeSessions,
    /// How long to try; its patience is used up.
    pub(crate) limits: RecheckLimits,
    /// What was found so far.
    pub(crate) found: TableResult,
    /// The transactions known to have ended. They are kept: most differences of a table have few writers.
    pub(crate) ended: EndedXids,
}

impl Recheck<'_> {
    /// Looks into a chunk whose sums differ, or that is damaged somewhere. Stops at an error that makes the rest unreadable.
    pub(crate) fn chunk(&mut self, chunk: Blocks) -> Result<(), ReadError> {
        let table = &self.layout.table;
        let end = extent(self.primary.reader(), table)?.blocks.max(extent(self.standby.reader(), table)?.blocks);
        let mut open = vec![chunk];
        while let Some(range) = open.pop() {
            program::stop::check().map_err(|error| ReadError::Lost(error.to_string()))?;
            let size = range.count(end);
            if size > LEAF {
                open.extend(self.differing_parts(range, size.div_ceil(PARTS).max(LEAF), end)?);
                continue;
            }
            match self.rows(range) {
                Ok(()) => {}
                Err(ReadError::Lost(why)) => return Err(ReadError::Lost(why)),
                Err(error) if error.may_be_damage() => self.narrow(range, end, &error)?,
                Err(error) => self.found.keep(range, &error),
            }
        }
        Ok(())
    }

    /// The parts of a range whose sums differ, or that cannot be read because of damage.
    fn differing_parts(&mut self, range: Blocks, size: u64, end: u64) -> Result<Vec<Blocks>, ReadError> {
        let (layout, parts) = (self.layout, range.split(size, end));
        self.catch_up()?;
        let all = |reader: &mut Reader| parts.iter().map(|part| sum(reader, layout, *part)).collect::<Vec<_>>();
        let (on_primary, on_standby) = both(self.primary.reader(), self.standby.reader(), all);
        let mut differing = Vec::new();
        for (part, pair) in parts.into_iter().zip(on_primary.into_iter().zip(on_standby)) {
            match pair {
                (Ok(on_primary), Ok(on_standby)) if on_primary == on_standby => {}
                (Ok(_), Ok(_)) => differing.push(part),
                (Err(ReadError::Lost(why)), _) | (_, Err(ReadError::Lost(why))) => return Err(ReadError::Lost(why)),
                (on_primary, on_standby) => {
                    let errors: Vec<_> = [on_primary.err(), on_standby.err()].into_iter().flatten().collect();
                    match errors.iter().any(ReadError::may_be_damage) {
                        true if self.found.damage.is_enough() => self.give_up(part),
                        true => differing.push(part),
                        false => errors.iter().for_each(|error| self.found.keep(part, error)),
                    }
                }
            }
        }
        Ok(differing)
    }

    /// Reads a range row by row, and keeps the proven differences. But not if the range turns out to be damaged: it will be
    /// read again in parts, and no row may count twice.
    pub(crate) fn rows(&mut self, range: Blocks) -> Result<(), ReadError> {
        let mut proven = Vec::new();
        let read = self.until_proven(range, &mut proven);
        if !read.as_ref().is_err_and(ReadError::may_be_damage) {
            self.found.add(proven)?;
        }
        read
    }

    /// Reads a range again and again, until everything in it agreed once or is proven to differ.
    fn until_proven(&mut self, range: Blocks, proven: &mut Vec<Difference>) -> Result<(), ReadError> {
        let mut waiting = self.begin();
        let mut only: Option<BTreeSet<String>> = None;
        let (mut looks, mut asked) = (0, BTreeSet::new());
        for round in 0..=self.limits.retries {
            let begun = Instant::now();
            if round > 0 {
                if self.limits.patience.is_zero() {
                    break;
                }
                let pause = program::stop::pause((PAUSE * round).min(LONGEST_PAUSE));
                pause.map_err(|error| ReadError::Lost(error.to_string()))?;
                self.check_file()?;
            }
            let reads = self.reads(range)?;
            looks += 1;
            let mut differences = judge(&reads, only.as_ref(), &self.ended);
            drop(reads);
            proven.extend(differences.missing.drain(..).map(Difference::missing));
            proven.extend(differences.extra.drain(..).map(Difference::extra));
            let different = differences.different.drain(..).zip(differences.shown.drain(..));
            proven.extend(different.map(|(version, on_standby)| Difference::different(version, on_standby)));
            if differences.again.is_empty() {
                return Ok(());
            }
            self.learn_ended(&differences.ask_xmin, &differences.ask_xmax, differences.ask_shown, &mut waiting)?;
            only = Some(differences.again);
            asked = differences.ask_xmin.union(&differences.ask_xmax).copied().collect();
            if round >= 8
                && round % 4 == 0
                && self.primary.waiting.stuck(&self.primary.control).is_some_and(|c| c.hold(&asked))
            {
                break; // these rows wait for stuck commits, which may take for ever
            }
            if round > 0 {
                self.limits.patience = self.limits.patience.saturating_sub(begun.elapsed());
            }
        }
        let names: Vec<_> = only.iter().flatten().take(3).map(String::as_str).collect();
        let count = only.as_ref().map_or(0, BTreeSet::len);
        let waiting = self.primary.waiting.now(&self.primary.control).filter(|commits| commits.hold(&asked));
        let waiting = waiting.map(|commits| format!("; {commits}")).unwrap_or_default();
        let names = names.join(", ");
        self.found
            .unknown
            .push(format!("{range}: {count} rows still changing after {looks} looks, such as {names}{waiting}"));
        Ok(())
    }

    /// Forgets what is valid for one range only, such as ids in `xmax`: they may become those of new multixacts.
    fn begin(&mut self) -> Vec<Waiting> {
        self.ended.xmax.clear();
        // One look has to do where no other one is to come, and at rest.
        let again = self.limits.retries > 0 && !self.limits.patience.is_zero() && !self.standby.at_rest;
        self.ended.shown = (self.layout.has_text || again).then(HashSet::new);
        if self.ended.xmin.len() > MANY {
            self.ended.xmin.clear();
        }
        Vec::new()
    }

    /// Fails if the table was rewritten: rows whose places changed would never agree.
    fn check_file(&mut self) -> Result<(), ReadError> {
        if self.standby.at_rest {
            return Ok(()); // nobody writes, and each copy may have rewritten it for itself
        }
        let moved =
            self.layout.is_rewritten(self.primary.reader())? || self.layout.is_rewritten(self.standby.reader())?;
        if moved { Err(ReadError::Lost("it was rewritten meanwhile".to_owned())) } else { Ok(()) }
    }

    /// The three reads that a proof needs.
    fn reads(&mut self, range: Blocks) -> Result<Reads, ReadError> {
        let primary_before = versions(self.primary.reader(), self.layout, range)?;
        self.catch_up()?;
        let standby = versions(self.standby.reader(), self.layout, range)?;
        let primary_after = versions(self.primary.reader(), self.layout, range)?;
        Ok(Reads { primary_before, standby, primary_after })
    }

    fn catch_up(&mut self) -> Result<(), ReadError> {
        catch_up(self.primary, self.standby, self.limits.catch_up)
            .map_err(|error| ReadError::Lost(format!("{error:#}")))
    }

    /// Asks which transactions have ended by now. That counts from the next look on.
    fn learn_ended(
        &mut self,
        xmin: &BTreeSet<Xid>,
        xmax: &BTreeSet<Xid>,
        shown: BTreeSet<Content>,
        waiting: &mut Vec<Waiting>,
    ) -> Result<(), ReadError> {
        let known = &mut self.ended;
        if self.standby.at_rest {
            // Nobody writes. Since the copies parted, each has a history of its own: all its transactions have ended.
            known.xmin.extend(xmin);
            known.xmax.extend(xmax);
            known.shown.iter_mut().for_each(|all| all.extend(&shown));
            return Ok(());
        }
        let reader = self.primary.reader();
        known.xmin.extend(ended(reader, xmin)?);
        for xmax in ended(reader, xmax)? {
            let members = members(reader, xmax)?;
            if ended(reader, &members)?.len() == members.len() {
                known.xmax.insert(xmax);
            }
        }
        if !self.layout.has_text {
            // The content is in the row's own bytes; but the table may be altered to and fro while it is read three times.
            known.shown.iter_mut().for_each(|all| all.extend(&shown));
            return Ok(());
        }
        for (shown, running) in std::mem::take(waiting) {
            if ended(reader, &running)?.len() == running.len() {
                known.shown.iter_mut().for_each(|all| all.extend(&shown));
            } else {
                waiting.push((shown, running));
            }
        }
        if !shown.is_empty() {
            waiting.push((shown, running(reader)?));
        }
        Ok(())
    }
}

/// What the standby showed, and who ran on the primary then.
type Waiting = (BTreeSet<Content>, BTreeSet<Xid>);

/// The transactions that run on the primary, including those whose commit waits for a standby.
fn running(reader: &mut Reader) -> Result<BTreeSet<Xid>, ReadError> {
    let rows = reader.rows(cluster::sql!("verify_running"), &[])?;
    rows.iter().map(|row| Ok(Xid(short(column(row, 0)?)))).collect()
}

/// Those of these transactions that no longer run on the primary.
pub(crate) fn ended(reader: &mut Reader, xids: &BTreeSet<Xid>) -> Result<BTreeSet<Xid>, ReadError> {
    if xids.is_empty() {
        return Ok(BTreeSet::new());
    }
    let numbers: Vec<i64> = xids.iter().map(|xid| i64::from(xid.0)).collect();
    let rows = reader.rows(cluster::sql!("verify_settled"), &[&numbers])?;
    rows.iter().map(|row| Ok(Xid(short(column(row, 0)?)))).collect()
}

/// The members of the multixact with this id, if there is one: a row does not say whether its `xmax` is a multixact.
fn members(reader: &mut Reader, xmax: Xid) -> Result<BTreeSet<Xid>, ReadError> {
    let id = xmax.0.to_string();
    let rows = reader.read(async |client| match client.query(cluster::sql!("verify_members"), &[&id]).await {
        Err(error) if no_such_multixact(error.code()) => Ok(Vec::new()),
        other => other,
    })?;
    rows.iter().map(|row| Ok(Xid(short(column(row, 0)?)))).collect()
}

/// PostgreSQL has no SQLSTATE of its own for a missing multixact.
fn no_such_multixact(code: Option<&SqlState>) -> bool {
    matches!(code, Some(&(SqlState::INTERNAL_ERROR | SqlState::INVALID_PARAMETER_VALUE)))
}

/// A transaction id that SQL handed us as a bigint.
fn short(number: i64) -> u32 {
    (number & 0xFFFF_FFFF) as u32 // the lower 32 bits are the id
}
