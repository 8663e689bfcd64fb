//! The indexes of a table on a standby, each compared with a scan of the same node: a row that a scan shows and an index does
//! not lead to is as good as lost for most queries. The scan was compared with the primary before.
//!
//! Index and scan are read in one snapshot, so writes do not disturb. Even so a fault has to be seen several times, and must
//! not be the same in the primary's index: some operators do not find all values (NaN among circles), and an expression may
//! have been computed under other settings. A fault that both nodes have is only a remark.

mod all_rows;
pub(crate) mod amcheck;
mod contents;
mod draw;
mod explain;
mod in_full;
mod index;
mod look_up;
mod seen;
pub(crate) mod tally;
mod visibility;

use std::time::Duration;

use clap::ValueEnum;
use report::verdict::Verdict;

pub(crate) use self::draw::Draw;

use self::amcheck::Checkers;
use self::index::{Covered, Described, Index};
use self::seen::{Map, Seen};
use crate::layout::Layout;
use crate::node::NodeSessions;
use crate::read_error::{ReadError, is_of_a_name};
use crate::reader::Reader;
use crate::table_result::TableResult;

/// How often a fault has to be seen: a damaged file stays damaged.
const LOOKS: u32 = 3;

/// The pause between two such looks.
const PAUSE: Duration = Duration::from_millis(100);

/// How much of each index to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Indexes {
    /// Nothing
    None,
    /// In full by amcheck where this role may; and some rows are looked up by each
    Sample,
    /// In full, also without amcheck; what cannot be read makes the table unknown
    All,
}

/// The standby is checked; the primary is asked about faults that were found there.
struct Nodes<'a> {
    standby: &'a mut Reader,
    primary: &'a mut Reader,
    checkers_on_standby: &'a Checkers,
    checkers_on_primary: &'a Checkers,
}

/// A table whose indexes are looked at.
struct Table<'a> {
    layout: &'a Layout,
    /// Rows on the standby.
    rows: u64,
    /// Blocks on the standby.
    blocks: u64,
    /// How much of it the visibility map covers there.
    covered: Option<Covered>,
    draw: Draw,
    how: Indexes,
}

/// Looks at all indexes of a table of so many rows on a standby, and at its visibility map.
pub(crate) fn check(
    primary: &mut NodeSessions,
    standby: &mut NodeSessions,
    layout: &Layout,
    rows: u64,
    how: (Indexes, Draw),
    found: &mut TableResult,
) {
    let (how, draw) = how;
    if how == Indexes::None {
        return;
    }
    standby.revive();
    if let Some(why) = primary.silent().or_else(|| standby.silent()) {
        // Equal rows do not prove that the indexes lead to them.
        if found.verdict() == Verdict::Held {
            found.unknown.push(format!("its indexes: {why}"));
        }
        return;
    }
    found.index_faults = 0; // an index that kept the table from being read is found again below, by its name
    let (checkers_on_standby, checkers_on_primary) = (&standby.checkers.clone(), &primary.checkers.clone());
    let nodes =
        &mut Nodes { standby: standby.reader(), primary: primary.reader(), checkers_on_standby, checkers_on_primary };
    let begun = |nodes: &mut Nodes| {
        nodes.take_time_for(rows)?;
        index::read(nodes.standby, &layout.table)
    };
    nodes.set_own_settings(true);
    match begun(nodes) {
        Ok(Described { indexes, blocks, covered }) => {
            all(nodes, &Table { layout, rows, blocks, covered, draw, how }, &indexes, found);
        }
        Err(error) => found.keep("its indexes", &error),
    }
    nodes.set_own_settings(false);
    if let Err(error) = nodes.take_time_for(0) {
        found.keep("its indexes", &error);
    }
}

impl Nodes<'_> {
    fn set_own_settings(&mut self, own: bool) {
        self.standby.set_own_settings(own);
        self.primary.set_own_settings(own);
    }

    fn take_time_for(&mut self, rows: u64) -> Result<(), ReadError> {
        self.standby.take_time_for(rows)?;
        self.primary.take_time_for(rows)
    }
}

fn all(nodes: &mut Nodes, table: &Table, indexes: &[Index], found: &mut TableResult) {
    found.indexes = Some(0);
    for index in indexes {
        match look_at(nodes, table, index) {
            Ok(seen) => keep(found, index, table, Seen { not_read: why_not(seen.not_read, index, indexes), ..seen }),
            Err(_) if is_gone(nodes.standby, index) => {} // dropped or built anew meanwhile
            Err(error) => found.unknown.push(format!("index {}: {error}", index.title)),
        }
    }
    match visibility::check(nodes, table, indexes, found.index_faults) {
        Ok(map) => {
            found.tally.map(&map);
            if matches!(map, Map::NotRead) && table.how == Indexes::All {
                found.unknown.push("its visibility map was not read".to_owned());
            }
            if let Map::Wrong { rows, remark } = map {
                found.index_faults += rows;
                found.remarks.push(remark);
            }
        }
        Err(error) => found.keep("its visibility map", &error),
    }
}

/// Why an index was not read because the server prefers another one. The server plans by costs alone, and two indexes over the
/// same columns cost the same: `enable_…` excludes kinds of scans, not indexes. To exclude an index (to drop it in a
/// transaction, `indisvalid`, a hook) takes writes, locks, or a superuser, and is impossible on a standby.
fn why_not(why: Option<String>, index: &Index, indexes: &[Index]) -> Option<String> {
    let by_another = why.as_ref().is_some_and(|why| [look_up::NO_WAY, in_full::BY_ANOTHER].contains(&why.as_str()));
    let twin = indexes.iter().any(|other| other.oid != index.oid && other.is_valid && other.is_over_the_same(index));
    if by_another && twin { Some(TWIN.to_owned()) } else { why }
}

const TWIN: &str =
    "another index is over the same, and no setting of a session makes the server read this one: amcheck does";

fn keep(found: &mut TableResult, index: &Index, table: &Table, seen: Seen) {
    let is_read = seen.in_full || seen.by_amcheck || seen.looked_up > 0 || seen.faults > 0;
    found.tally.add(&seen, table.rows);
    found.indexes = found.indexes.map(|read| read + u64::from(is_read));
    found.index_faults += seen.faults;
    found.remarks.extend(seen.remarks.into_iter().map(|remark| format!("index {}: {remark}", index.title)));
    found.unknown.extend(seen.unknown.map(|why| format!("index {}: {why}", index.title)));
    let Some(why) = seen.not_read else { return };
    if table.how == Indexes::All && !seen.in_full && !seen.by_amcheck {
        found.unknown.push(format!("index {} was not read in full: {why}", index.title));
    }
    if !is_read {
        found.tally.not_read(&index.title, why);
    }
}

/// Looks at one index by all means that there are.
fn look_at(nodes: &mut Nodes, table: &Table, index: &Index) -> Result<Seen, ReadError> {
    let mut seen = Seen::default();
    if !index.is_valid {
        return Ok(Seen { not_read: Some("it is not valid, and no query uses it".to_owned()), ..seen });
    }
    let said = persistent(|| amcheck::check(nodes.standby, nodes.checkers_on_standby, index))?;
    match &said {
        amcheck::Said::Nothing => {}
        amcheck::Said::Sound => seen.by_amcheck = true,
        amcheck::Said::Damaged(why) | amcheck::Said::NoEntry(_, why) => {
            if !amcheck::is_of_both(nodes, table, index, &said)? {
                return Ok(damaged(format!("amcheck: {why}")));
            }
            // Whatever else is wrong with it, amcheck stops there.
            seen.remarks
                .push(format!("amcheck says the same of it on both nodes, and no more: {}", amcheck::words(why)));
        }
    }
    if index.calls_code_of_users {
        seen.not_read = Some("it calls functions of this database's users, which only amcheck may".to_owned());
        return Ok(seen);
    }
    if table.rows == 0 {
        return Ok(Seen { in_full: true, ..seen }); // it leads to nothing, as it should
    }
    match look_up(nodes, table, index, &mut seen) {
        Ok(()) => Ok(seen),
        Err(error) if error.is_damage() => Ok(damaged(error.to_string())),
        Err(ReadError::Unread(why)) if !is_of_a_name(&why) => Ok(Seen { not_read: Some(why), ..seen }),
        Err(error) => Err(error),
    }
}

/// Looks rows up by an index, or reads it in full.
fn look_up(nodes: &mut Nodes, table: &Table, index: &Index, seen: &mut Seen) -> Result<(), ReadError> {
    if table.how == Indexes::Sample {
        return look_up::some(nodes, table, index, seen);
    }
    all_rows::all(nodes, table, index, seen)?;
    if seen.faults == 0 {
        in_full::nulls(nodes, table, index, seen)?;
    }
    // Of a btree the rows that share their value with many others are seen in its order.
    match index.method == "btree" && seen.faults == 0 {
        true => in_full::read(nodes, table, index, seen)?,
        false => seen.in_full |= seen.not_read.is_none(),
    }
    if seen.faults == 0 { contents::check(nodes, table, index, seen) } else { Ok(()) }
}

fn damaged(why: String) -> Seen {
    Seen { in_full: true, faults: 1, remarks: vec![why], ..Seen::default() }
}

/// Asks again as long as the answer is damage, with a bound. Rows without an entry have to be the same each time: on a standby
/// the entry of a row that was deleted a moment ago may be marked as dead, and `amcheck` then counts it as missing. If the rows
/// are others each time, nothing is known.
fn persistent(mut ask: impl FnMut() -> Result<amcheck::Said, ReadError>) -> Result<amcheck::Said, ReadError> {
    let mut said = ask()?;
    let mut same = true;
    for _ in 1..LOOKS {
        if matches!(said, amcheck::Said::Nothing | amcheck::Said::Sound) {
            return Ok(said);
        }
        pause()?;
        let again = ask()?;
        if let (amcheck::Said::NoEntry(before, _), amcheck::Said::NoEntry(now, _)) = (&said, &again) {
            same &= before == now;
        }
        said = again;
    }
    Ok(if same { said } else { amcheck::Said::Nothing })
}

/// Waits before another look.
fn pause() -> Result<(), ReadError> {
    program::stop::pause(PAUSE).map_err(|error| ReadError::Lost(error.to_string()))
}

/// Whether an index is there no more, or not valid.
fn is_gone(reader: &mut Reader, index: &Index) -> bool {
    let sql = "SELECT FROM pg_catalog.pg_index AS i WHERE i.indexrelid = $1 AND i.indisvalid";
    reader.catalog_rows(sql, &[&index.oid]).is_ok_and(|rows| rows.is_empty())
}
