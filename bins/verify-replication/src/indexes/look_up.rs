//! Rows looked up by an index: each by its own value, through the operators of the index's operator class. It has to lead
//! to the row, and to no row of another value.
//!
//! Rows are read and looked up by one statement, so both see one snapshot.

use std::collections::BTreeMap;

use super::draw::draw;
use super::explain::{BY_PLACE, by_index};
use super::index::Index;
use super::{LOOKS, Seen, Table, pause};
use crate::layout::Blocks;
use crate::reader::{Reader, Trouble, column};
use crate::tid::Tid;

/// How many rows of one value are followed. A row that is not among so many is not looked up: it might be among the others.
const FOLLOWED: usize = 200;

/// Blocks that are looked up at once.
const BATCH: u64 = 64;

/// Faults after which no more are looked for: an index that leads nowhere is bad enough.
const MOST: usize = 100_000;

/// How many rows a message names.
const NAMED: usize = 5;

/// What an index led to from one row: where, and whether the row there has that value.
type Led = Vec<(Tid, bool)>;

/// Looks up some rows, drawn at random.
///
/// # Errors
/// Why they could not be looked up.
pub(super) fn some(reader: &mut Reader, table: &Table, index: &Index, seen: &mut Seen) -> Result<(), Trouble> {
    let mut met = false;
    for ways in ways(index) {
        let drawn = draw(reader, table, index, &holds(index, &ways))?;
        if drawn.is_empty() {
            continue;
        }
        met = true;
        let Some(wrong) = look(reader, table, index, &ways, &drawn, seen)? else { continue };
        return settle(reader, table, index, &ways, wrong, seen);
    }
    let is_asked = index.columns.iter().all(|column| !column.operators.is_empty());
    let why = if is_asked && !met { "no row was met that it can be asked for" } else { NO_WAY };
    seen.not_read = Some(why.to_owned());
    Ok(())
}

/// Looks up all rows, as long as most of them can be told from the others of their value.
///
/// # Errors
/// Why they could not be looked up.
pub(super) fn all(reader: &mut Reader, table: &Table, index: &Index, seen: &mut Seen) -> Result<(), Trouble> {
    for ways in ways(index) {
        let (holds, mut wrong, mut met, mut is_used) = (holds(index, &ways), Vec::new(), 0, true);
        for range in Blocks::ALL.split(BATCH, table.blocks) {
            program::stop::check().map_err(|error| Trouble::Lost(error.to_string()))?;
            reader.pace()?;
            let places = within(reader, table, index, range, &holds)?;
            met += places.len() as u64;
            reader.spent(places.len() as u64);
            match look(reader, table, index, &ways, &places, seen)? {
                Some(some) => wrong.extend(some),
                None => is_used = false,
            }
            if !is_used || seen.looked_up < met / 2 || wrong.len() > MOST {
                break;
            }
        }
        if is_used {
            seen.not_read = (seen.looked_up < met).then(|| TOO_MANY.to_owned());
            return settle(reader, table, index, &ways, wrong, seen);
        }
    }
    seen.not_read = Some(NO_WAY.to_owned());
    Ok(())
}

/// The places of those rows of a range that the index should lead to, by a scan.
fn within(reader: &mut Reader, table: &Table, index: &Index, range: Blocks, holds: &str) -> Result<Vec<Tid>, Trouble> {
    let (name, range, condition) = (table.layout.table.quoted(), range.holds(), index.condition());
    let sql = format!("SELECT t.ctid FROM ONLY {name} AS t WHERE {range} AND {condition} AND {holds}");
    reader.rows(&sql, &[])?.iter().map(|row| column(row, 0)).collect()
}

const TOO_MANY: &str = "some rows share their value with too many others to be told from them";

const NO_WAY: &str =
    "the server takes another way to its rows, or there is no operator that finds them by their own value";

/// Ways to look rows up: with each of its columns an operator. All columns first; then the first one alone.
fn ways(index: &Index) -> Vec<Vec<&str>> {
    let most = index.columns.iter().map(|column| column.operators.len()).min().unwrap_or(0);
    let whole = (0..most).map(|n| index.columns.iter().map(|column| column.operators[n].as_str()).collect::<Vec<_>>());
    let mut ways: Vec<_> = whole.collect();
    if index.columns.len() > 1 {
        ways.extend(index.columns[0].operators.iter().map(|operator| vec![operator.as_str()]));
    }
    ways
}

/// That each value stands in this relation to itself: NULL does not, nor does an empty range overlap itself.
fn holds(index: &Index, ways: &[&str]) -> String {
    let each = index
        .columns
        .iter()
        .zip(ways)
        .map(|(column, operator)| format!("{} {operator} {}", column.value, column.probe));
    format!("({})", each.collect::<Vec<_>>().join(" AND "))
}

/// Looks up the rows at these places. Returns those that it does not lead to or leads from wrongly; `None`: the
/// server does not use this index for it.
fn look(
    reader: &mut Reader,
    table: &Table,
    index: &Index,
    ways: &[&str],
    places: &[Tid],
    seen: &mut Seen,
) -> Result<Option<Vec<Tid>>, Trouble> {
    if places.is_empty() {
        return Ok(Some(Vec::new()));
    }
    let sql = statement(table, index, ways, places);
    let rows = by_index(reader, index, (&sql, Some(BY_PLACE)), |reader| reader.rows(&sql, &[]))?;
    let Some(rows) = rows else { return Ok(None) };
    let mut led: BTreeMap<Tid, Led> = BTreeMap::new();
    for row in &rows {
        let led = led.entry(column(row, 0)?).or_default();
        if let Some(there) = column(row, 1)? {
            led.push((there, column::<Option<bool>>(row, 2)?.unwrap_or(false)));
        }
    }
    let mut wrong = Vec::new();
    for (place, led) in led {
        match leads(place, &led) {
            Some(true) => seen.looked_up += 1,
            Some(false) => {
                seen.looked_up += 1;
                wrong.push(place);
            }
            None => {}
        }
    }
    Ok(Some(wrong))
}

/// Whether an index leads from the value of the row at `place` to it, and to no other value; `None`: that was not seen.
fn leads(place: Tid, led: &Led) -> Option<bool> {
    if led.iter().any(|(_, has_value)| !has_value) {
        return Some(false);
    }
    match led.iter().any(|(there, _)| *there == place) {
        true => Some(true),
        false if led.len() < FOLLOWED => Some(false),
        false => None,
    }
}

/// `OFFSET 0` keeps the planner from another order: each place is fetched by itself, and not by way of the index.
fn statement(table: &Table, index: &Index, ways: &[&str], places: &[Tid]) -> String {
    let name = table.layout.table.quoted();
    let places: Vec<_> = places.iter().map(|place| format!("\"{place}\"")).collect();
    let columns = || index.columns.iter().zip(ways).enumerate();
    let values: Vec<_> = columns().map(|(n, (column, _))| format!("{} AS k{n}", column.probe)).collect();
    let equal: Vec<_> =
        columns().map(|(n, (column, operator))| format!("{} {operator} drawn.k{n}", column.value)).collect();
    let (equal, condition, holds) = (equal.join(" AND "), index.condition(), holds(index, ways));
    format!(
        "WITH drawn AS MATERIALIZED \
           (SELECT there.* FROM pg_catalog.unnest('{{{}}}'::tid[]) AS at (place) CROSS JOIN LATERAL \
             (SELECT t.ctid AS place, {} FROM ONLY {name} AS t \
               WHERE t.ctid = at.place AND {condition} AND {holds} OFFSET 0) AS there) \
         SELECT drawn.place, led.place, led.has_value FROM drawn LEFT JOIN LATERAL \
           (SELECT t.ctid AS place, ({equal}) AS has_value FROM ONLY {name} AS t \
             WHERE {equal} AND {condition} LIMIT {FOLLOWED}) AS led ON true",
        places.join(","),
        values.join(", ")
    )
}

/// Looks at wrong ones again: what is right at a later look was no fault.
fn settle(
    reader: &mut Reader,
    table: &Table,
    index: &Index,
    ways: &[&str],
    mut wrong: Vec<Tid>,
    seen: &mut Seen,
) -> Result<(), Trouble> {
    for _ in 1..LOOKS {
        if wrong.is_empty() {
            return Ok(());
        }
        pause()?;
        let mut still = Vec::new();
        for some in wrong.chunks(1000) {
            let again = look(reader, table, index, ways, some, &mut Seen::default())?;
            still.extend(again.unwrap_or_default());
        }
        wrong = still;
    }
    if !wrong.is_empty() {
        let named: Vec<_> = wrong.iter().take(NAMED).map(Tid::to_string).collect();
        let more = if wrong.len() > NAMED { format!(" and {} more", wrong.len() - NAMED) } else { String::new() };
        seen.faults += wrong.len() as u64;
        seen.remarks.push(format!("does not lead to the rows at {}{more}, or leads to others", named.join(", ")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{FOLLOWED, leads};
    use crate::tid::Tid;

    const fn at(block: u32) -> Tid {
        Tid { block, offset: 1 }
    }

    #[test]
    fn an_index_has_to_lead_to_the_row_and_to_no_other_value() {
        assert_eq!(leads(at(1), &vec![(at(1), true), (at(2), true)]), Some(true));
        assert_eq!(leads(at(1), &vec![]), Some(false));
        assert_eq!(leads(at(1), &vec![(at(2), true)]), Some(false));
        assert_eq!(leads(at(1), &vec![(at(1), true), (at(2), false)]), Some(false));
    }

    #[test]
    fn a_row_that_may_be_among_those_that_were_not_followed_was_not_looked_up() {
        assert_eq!(leads(at(1), &vec![(at(2), true); FOLLOWED]), None);
    }
}
