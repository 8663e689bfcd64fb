//! A chunk whose sums differ: narrowed down by sums, then read row by row until each difference is proven or gone.

use std::collections::{BTreeSet, HashSet};
use std::time::{Duration, Instant};

use tokio_postgres::error::SqlState;

use crate::difference::Difference;
use crate::found::Found;
use crate::layout::{Blocks, Layout, extent};
use crate::localise::{Content, Reads, Settled, judge};
use crate::node::{Node, catch_up};
use crate::reader::{Reader, Trouble, column};
use crate::scan::{both, sum, versions};
use crate::tid::Xid;

/// A chunk is narrowed down by as many parts each time.
const PARTS: u64 = 16;

/// Blocks that are read row by row: half a megabyte, some thousand rows, a few milliseconds.
const LEAF: u64 = 64;

/// The pause before a look is repeated, times the number of the look: rows on their way arrive within milliseconds.
const PAUSE: Duration = Duration::from_millis(5);

/// The longest such pause: a commit may wait for its standby for long, and need not be asked for more often.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// Writers that are remembered from one range to the next.
const MANY: usize = 100_000;

/// How long to try.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// For a standby to catch up.
    pub(crate) catch_up: Duration,
    /// Looks at the same blocks, beyond the first.
    pub(crate) retries: u32,
    /// All such further looks of one table on one standby together.
    pub(crate) patience: Duration,
}

/// The rechecking of one table on one standby.
pub(crate) struct Recheck<'a> {
    /// How the table is read.
    pub(crate) layout: &'a Layout,
    /// The primary.
    pub(crate) primary: &'a mut Node,
    /// The standby.
    pub(crate) standby: &'a mut Node,
    /// How long to try; its patience is used up.
    pub(crate) limits: Limits,
    /// What was found so far.
    pub(crate) found: Found,
    /// What has ended so far. A writer stays so, and most differences of a table have few of them.
    pub(crate) settled: Settled,
}

impl Recheck<'_> {
    /// Looks into a chunk whose sums differ, or that is damaged somewhere. Stops at what makes the rest unreadable.
    ///
    /// # Errors
    /// Why the table cannot be read any further.
    pub(crate) fn chunk(&mut self, chunk: Blocks) -> Result<(), Trouble> {
        let table = &self.layout.table;
        let end = extent(self.primary.reader(), table)?.blocks.max(extent(self.standby.reader(), table)?.blocks);
        let mut open = vec![chunk];
        while let Some(range) = open.pop() {
            program::stop::check().map_err(|error| Trouble::Lost(error.to_string()))?;
            let size = range.count(end);
            if size > LEAF {
                open.extend(self.differing_parts(range, size.div_ceil(PARTS).max(LEAF), end)?);
                continue;
            }
            match self.rows(range) {
                Ok(()) => {}
                Err(Trouble::Lost(why)) => return Err(Trouble::Lost(why)),
                Err(trouble) if trouble.may_be_damage() => self.narrow(range, end, &trouble)?,
                Err(trouble) => self.found.keep(range, &trouble),
            }
        }
        Ok(())
    }

    /// The parts of a range whose sums differ, or cannot be read for damage.
    fn differing_parts(&mut self, range: Blocks, size: u64, end: u64) -> Result<Vec<Blocks>, Trouble> {
        let (layout, parts) = (self.layout, range.split(size, end));
        self.catch_up()?;
        let all = |reader: &mut Reader| parts.iter().map(|part| sum(reader, layout, *part)).collect::<Vec<_>>();
        let (here, there) = both(self.primary.reader(), self.standby.reader(), all);
        let mut differing = Vec::new();
        for (part, pair) in parts.into_iter().zip(here.into_iter().zip(there)) {
            match pair {
                (Ok(here), Ok(there)) if here == there => {}
                (Ok(_), Ok(_)) => differing.push(part),
                (Err(Trouble::Lost(why)), _) | (_, Err(Trouble::Lost(why))) => return Err(Trouble::Lost(why)),
                (here, there) => {
                    let troubles: Vec<_> = [here.err(), there.err()].into_iter().flatten().collect();
                    match troubles.iter().any(Trouble::may_be_damage) {
                        true if self.found.damage.is_enough() => self.give_up(part),
                        true => differing.push(part),
                        false => troubles.iter().for_each(|trouble| self.found.keep(part, trouble)),
                    }
                }
            }
        }
        Ok(differing)
    }

    /// Reads a range row by row, and keeps what is proven to differ, unless the range turns out to be damaged: then it has
    /// to be read in parts, and nothing is to be counted twice.
    ///
    /// # Errors
    /// Why it could not be read, or what differs not be kept.
    pub(crate) fn rows(&mut self, range: Blocks) -> Result<(), Trouble> {
        let mut proven = Vec::new();
        let read = self.until_proven(range, &mut proven);
        if !read.as_ref().is_err_and(Trouble::may_be_damage) {
            self.found.add(proven)?;
        }
        read
    }

    /// Reads a range again and again, until everything in it agreed once or is proven to differ.
    fn until_proven(&mut self, range: Blocks, proven: &mut Vec<Difference>) -> Result<(), Trouble> {
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
                pause.map_err(|error| Trouble::Lost(error.to_string()))?;
                self.check_file()?;
            }
            let reads = self.reads(range)?;
            looks += 1;
            let mut look = judge(&reads, only.as_ref(), &self.settled);
            drop(reads);
            proven.extend(look.missing.drain(..).map(Difference::missing));
            proven.extend(look.extra.drain(..).map(Difference::extra));
            let different = look.different.drain(..).zip(look.shown.drain(..));
            proven.extend(different.map(|(version, there)| Difference::different(version, there)));
            if look.again.is_empty() {
                return Ok(());
            }
            self.settle(&look.ask_xmin, &look.ask_xmax, look.ask_shown, &mut waiting)?;
            only = Some(look.again);
            asked = look.ask_xmin.union(&look.ask_xmax).copied().collect();
            if round >= 8
                && round % 4 == 0
                && self.primary.waiting.stuck(&self.primary.door).is_some_and(|c| c.hold(&asked))
            {
                break; // it is known what they wait for, and that it may take for ever
            }
            if round > 0 {
                self.limits.patience = self.limits.patience.saturating_sub(begun.elapsed());
            }
        }
        let names: Vec<_> = only.iter().flatten().take(3).map(String::as_str).collect();
        let count = only.as_ref().map_or(0, BTreeSet::len);
        let waiting = self.primary.waiting.now(&self.primary.door).filter(|commits| commits.hold(&asked));
        let waiting = waiting.map(|commits| format!("; {commits}")).unwrap_or_default();
        let names = names.join(", ");
        self.found
            .unknown
            .push(format!("{range}: {count} rows still changing after {looks} looks, such as {names}{waiting}"));
        Ok(())
    }

    /// Forgets what is of one range only. An id in `xmax` is one of them: it may become that of a new multixact.
    fn begin(&mut self) -> Vec<Waiting> {
        self.settled.xmax.clear();
        self.settled.shown = self.layout.has_text.then(HashSet::new);
        if self.settled.xmin.len() > MANY {
            self.settled.xmin.clear();
        }
        Vec::new()
    }

    /// Rows whose places changed would not come to rest.
    fn check_file(&mut self) -> Result<(), Trouble> {
        if self.standby.at_rest {
            return Ok(()); // nobody writes, and each copy may have rewritten it for itself
        }
        let moved =
            self.layout.is_rewritten(self.primary.reader())? || self.layout.is_rewritten(self.standby.reader())?;
        if moved { Err(Trouble::Lost("it was rewritten meanwhile".to_owned())) } else { Ok(()) }
    }

    /// The three reads that a proof needs.
    fn reads(&mut self, range: Blocks) -> Result<Reads, Trouble> {
        let first = versions(self.primary.reader(), self.layout, range)?;
        self.catch_up()?;
        let standby = versions(self.standby.reader(), self.layout, range)?;
        let second = versions(self.primary.reader(), self.layout, range)?;
        Ok(Reads { first, standby, second })
    }

    fn catch_up(&mut self) -> Result<(), Trouble> {
        catch_up(self.primary, self.standby, self.limits.catch_up).map_err(|error| Trouble::Lost(format!("{error:#}")))
    }

    /// Learns what has ended by now; what that settles counts from the next look on.
    fn settle(
        &mut self,
        xmin: &BTreeSet<Xid>,
        xmax: &BTreeSet<Xid>,
        shown: BTreeSet<Content>,
        waiting: &mut Vec<Waiting>,
    ) -> Result<(), Trouble> {
        let settled = &mut self.settled;
        if self.standby.at_rest {
            // Nobody writes. What either wrote since they parted is another history to the other one.
            settled.xmin.extend(xmin);
            settled.xmax.extend(xmax);
            settled.shown.iter_mut().for_each(|known| known.extend(&shown));
            return Ok(());
        }
        let reader = self.primary.reader();
        settled.xmin.extend(ended(reader, xmin)?);
        for xmax in ended(reader, xmax)? {
            let members = members(reader, xmax)?;
            if ended(reader, &members)?.len() == members.len() {
                settled.xmax.insert(xmax);
            }
        }
        for (shown, running) in std::mem::take(waiting) {
            if ended(reader, &running)?.len() == running.len() {
                settled.shown.iter_mut().for_each(|known| known.extend(&shown));
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

/// The transactions that run on the primary, those included whose commit waits for a standby.
fn running(reader: &mut Reader) -> Result<BTreeSet<Xid>, Trouble> {
    let rows = reader.rows(cluster::sql!("verify_running"), &[])?;
    rows.iter().map(|row| Ok(Xid(short(column(row, 0)?)))).collect()
}

/// Those of these transactions that run no longer on the primary.
pub(crate) fn ended(reader: &mut Reader, xids: &BTreeSet<Xid>) -> Result<BTreeSet<Xid>, Trouble> {
    if xids.is_empty() {
        return Ok(BTreeSet::new());
    }
    let numbers: Vec<i64> = xids.iter().map(|xid| i64::from(xid.0)).collect();
    let rows = reader.rows(cluster::sql!("verify_settled"), &[&numbers])?;
    rows.iter().map(|row| Ok(Xid(short(column(row, 0)?)))).collect()
}

/// The members of the multixact that an `xmax` would be if it were one: a row does not say which of the two it holds.
fn members(reader: &mut Reader, xmax: Xid) -> Result<BTreeSet<Xid>, Trouble> {
    let id = xmax.0.to_string();
    let rows = reader.read(async |client| match client.query(cluster::sql!("verify_members"), &[&id]).await {
        Err(error) if no_such_multixact(error.code()) => Ok(Vec::new()),
        other => other,
    })?;
    rows.iter().map(|row| Ok(Xid(short(column(row, 0)?)))).collect()
}

/// PostgreSQL has no SQLSTATE of its own for it.
fn no_such_multixact(code: Option<&SqlState>) -> bool {
    matches!(code, Some(&(SqlState::INTERNAL_ERROR | SqlState::INVALID_PARAMETER_VALUE)))
}

/// A transaction id that SQL handed us as a bigint.
fn short(number: i64) -> u32 {
    (number & 0xFFFF_FFFF) as u32 // the lower 32 bits are the id
}
