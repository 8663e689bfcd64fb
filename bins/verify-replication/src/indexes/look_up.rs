//! Rows looked up by an index, each by its own value, through the operators of the index's operator class. The index has to
//! lead to the row, and to no row of another value.
//!
//! Rows are read and looked up by one statement, so both see one snapshot.

use std::collections::{HashMap, HashSet};

use super::draw::draw;
use super::explain::{BY_PLACE, by, mode};
use super::index::{Column, Index};
use super::{Indexes, LOOKS, Nodes, Seen, Table, pause};
use crate::read_error::ReadError;
use crate::reader::{Reader, column};
use crate::tid::{Tid, Xid};

/// How many rows of one value are followed. If the row is not among them, the look-up says nothing: it might be among others.
const FOLLOWED: i64 = 200;

/// How many rows a message names.
const NAMED: usize = 5;

/// How rows are looked up by an index.
pub(super) struct Way<'a> {
    table: &'a Table<'a>,
    index: &'a Index,
    /// Which of its columns are asked for, and by which operator.
    operators: Vec<(usize, &'a str)>,
    /// How the session is set for it; `None`: that is to be asked yet.
    mode: Option<&'static str>,
}

/// What became of some rows that were looked up.
#[derive(Default)]
pub(super) struct Looked {
    /// Rows of which it was seen whether the index leads to them.
    pub(super) rows: u64,
    /// Those that it does not lead to or leads from wrongly.
    pub(super) wrong: Vec<Tid>,
}

/// Looks up some rows, drawn at random.
pub(super) fn some(nodes: &mut Nodes, table: &Table, index: &Index, seen: &mut Seen) -> Result<(), ReadError> {
    let mut met = false;
    for mut way in ways(table, index) {
        let drawn = draw(nodes.standby, table, index, &way.holds())?;
        if drawn.is_empty() {
            continue;
        }
        met = true;
        let Some(looked) = way.look(nodes.standby, &drawn)? else { continue };
        seen.looked_up += looked.rows;
        seen.not_read = (looked.rows == 0).then(|| TOO_MANY.to_owned());
        return way.settle(nodes, looked.wrong, seen);
    }
    let is_asked = index.columns.iter().all(|column| !column.operators.is_empty());
    let why = if is_asked && !met { "no row was met that it can be asked for" } else { NO_WAY };
    seen.not_read = Some(why.to_owned());
    Ok(())
}

pub(super) const NEITHER: &str = "some of its rows are found by their own values on neither node";

pub(super) const TOO_MANY: &str = "some rows share their value with too many others to be told from them";

pub(super) const NO_WAY: &str =
    "the server takes another way to its rows, or there is no operator that finds them by their own value";

/// Ways to look rows up: with all columns first; then with each one alone.
pub(super) fn ways<'a>(table: &'a Table, index: &'a Index) -> Vec<Way<'a>> {
    let columns = &index.columns;
    let most = columns.iter().map(|column| column.operators.len()).min().unwrap_or(0);
    let nth =
        |n: usize| columns.iter().enumerate().map(move |(at, column)| (at, column.operators[n].as_str())).collect();
    let mut ways: Vec<Vec<(usize, &str)>> = (0..most).map(nth).collect();
    if columns.len() > 1 {
        for (at, column) in columns.iter().enumerate() {
            ways.extend(column.operators.iter().map(|operator| vec![(at, operator.as_str())]));
        }
    }
    ways.into_iter().map(|operators| Way { table, index, operators, mode: None }).collect()
}

impl Way<'_> {
    /// The columns that are asked for, each with its operator.
    fn columns(&self) -> impl Iterator<Item = (usize, &Column, &str)> {
        self.operators.iter().enumerate().map(|(n, (at, operator))| (n, &self.index.columns[*at], *operator))
    }

    /// That each value stands in this relation to itself: NULL does not, nor does an empty range overlap itself.
    pub(super) fn holds(&self) -> String {
        let each = self.columns().map(|(_, column, operator)| format!("{} {operator} {}", column.value, column.probe));
        format!("({})", each.collect::<Vec<_>>().join(" AND "))
    }

    /// Looks up the rows at these places. `None`: the server does not use this index for it.
    pub(super) fn look(&mut self, reader: &mut Reader, places: &[Tid]) -> Result<Option<Looked>, ReadError> {
        if places.is_empty() {
            return Ok(Some(Looked::default()));
        }
        let sql = self.statement(places);
        if self.mode.is_none() {
            self.mode = mode(reader, self.index, (&sql, Some(BY_PLACE)))?;
        }
        let Some(mode) = self.mode else { return Ok(None) };
        let mut looked = Looked::default();
        for row in by(reader, mode, |reader| reader.rows(&sql, &[]))? {
            let (place, count): (Option<Tid>, i64) = (column(&row, 0)?, column(&row, 1)?);
            let Some(place) = place else {
                looked.rows += count.unsigned_abs();
                continue;
            };
            match is_wrong(count, column::<Option<bool>>(&row, 2)?) {
                true => looked.wrong.push(place),
                false => looked.rows -= 1, // it was not seen
            }
        }
        Ok(Some(looked))
    }

    /// The statement that looks up the rows at these places: in its first row their number, then a row for each that the
    /// index does not lead to, or leads from to another value: its place, how many rows it led to, and whether all of these
    /// have that value. `OFFSET 0` keeps the planner from another order: each place is fetched by itself, and not by way of
    /// the index.
    fn statement(&self, places: &[Tid]) -> String {
        let (rows, condition, holds) = (self.table.layout.table.rows(), self.index.condition(), self.holds());
        let places: Vec<_> = places.iter().map(|place| format!("\"{place}\"")).collect();
        let probes: Vec<_> = self.columns().map(|(n, column, _)| format!("{} AS k{n}", column.probe)).collect();
        let equal: Vec<_> = self
            .columns()
            .map(|(n, column, operator)| format!("{} {operator} \"?drawn\".k{n}", column.value))
            .collect();
        let equal = equal.join(" AND ");
        format!(
            "WITH \"?drawn\" AS MATERIALIZED \
               (SELECT there.* FROM pg_catalog.unnest('{{{}}}'::tid[]) AS at (place) CROSS JOIN LATERAL \
                 (SELECT t.ctid AS \"?place\", {} FROM {rows} \
                   AND t.ctid = at.place AND {condition} AND {holds} OFFSET 0) AS there) \
             SELECT NULL::tid, count(*), NULL::boolean FROM \"?drawn\" UNION ALL \
             SELECT \"?drawn\".\"?place\", led.count, led.has_value FROM \"?drawn\" CROSS JOIN LATERAL \
               (SELECT count(*), bool_or(f.place = \"?drawn\".\"?place\") AS leads, bool_and(f.has_value) AS has_value \
                  FROM (SELECT t.ctid AS place, COALESCE({equal}, false) AS has_value FROM {rows} \
                         AND {equal} AND {condition} LIMIT {FOLLOWED}) AS f) AS led \
              WHERE (led.leads AND led.has_value) IS NOT TRUE",
            places.join(","),
            probes.join(", ")
        )
    }

    /// Checks wrong rows again: a row that is right later was no fault, nor is one that is wrong on the primary, too. One that
    /// the primary has no more says nothing by itself.
    pub(super) fn settle(&mut self, nodes: &mut Nodes, mut wrong: Vec<Tid>, seen: &mut Seen) -> Result<(), ReadError> {
        for _ in 2..LOOKS {
            if wrong.is_empty() {
                return Ok(());
            }
            pause()?;
            wrong = self.wrong_among(nodes.standby, &wrong)?;
        }
        if wrong.is_empty() {
            return Ok(());
        }
        pause()?;
        // A place and its writer are a row; around the looks, so that each look was at this very row.
        let there = self.writers(nodes.standby, &wrong)?;
        let wrong = self.wrong_among(nodes.standby, &wrong)?;
        let on_primary: HashSet<Tid> = self.wrong_among(nodes.primary, &wrong)?.into_iter().collect();
        let here = self.writers(nodes.primary, &wrong)?;
        let (known, gone): (Vec<Tid>, Vec<Tid>) =
            wrong.into_iter().partition(|place| here.contains_key(place) && here.get(place) == there.get(place));
        let (same, wrong): (Vec<Tid>, Vec<Tid>) = known.into_iter().partition(|place| on_primary.contains(place));
        if !gone.is_empty() && wrong.is_empty() {
            let why =
                format!("it does not lead to the rows at {}, and the primary has others there by now", named(&gone));
            // Others that no index leads to may have been there; then nothing at all can be said of it.
            match !same.is_empty() || self.misses_some(nodes.primary)? {
                true => (seen.looked_up, seen.not_read) = (0, Some(why)),
                false => seen.unknown = Some(why),
            }
        }
        self.note(&wrong, &same, seen);
        Ok(())
    }

    fn note(&self, wrong: &[Tid], on_both: &[Tid], seen: &mut Seen) {
        seen.faults += wrong.len() as u64;
        if !wrong.is_empty() {
            seen.remarks.push(format!("does not lead to the rows at {}, or not to them alone", named(wrong)));
        }
        if on_both.is_empty() {
            return;
        }
        // Nor was anything seen of these rows: whether the index holds what it should is not known.
        seen.looked_up = seen.looked_up.saturating_sub(on_both.len() as u64);
        if seen.looked_up == 0 || self.table.how == Indexes::All {
            seen.not_read.get_or_insert_with(|| NEITHER.to_owned());
        }
        let rows = named(on_both);
        seen.remarks
            .push(format!("does not lead to the rows at {rows}, on the primary neither: no fault of this standby"));
    }

    /// Whether a node's index does not lead to some of its own rows.
    fn misses_some(&mut self, reader: &mut Reader) -> Result<bool, ReadError> {
        let drawn = draw(reader, self.table, self.index, &self.holds())?;
        Ok(!self.wrong_among(reader, &drawn)?.is_empty())
    }

    /// Who wrote the rows at these places, as far as the index should lead to them.
    fn writers(&self, reader: &mut Reader, places: &[Tid]) -> Result<HashMap<Tid, Xid>, ReadError> {
        let (rows, condition, holds) = (self.table.layout.table.rows(), self.index.condition(), self.holds());
        let sql = format!(
            "SELECT t.ctid, t.xmin FROM {rows} AND t.ctid = ANY ($1::text[]::tid[]) AND {condition} AND {holds}"
        );
        let mut writers = HashMap::new();
        for some in places.chunks(1000) {
            let some: Vec<String> = some.iter().map(Tid::to_string).collect();
            for row in reader.rows(&sql, &[&some])? {
                writers.insert(column(&row, 0)?, column(&row, 1)?);
            }
        }
        Ok(writers)
    }

    /// Those of these rows that a node's index does not lead to, or not to them alone.
    fn wrong_among(&mut self, reader: &mut Reader, places: &[Tid]) -> Result<Vec<Tid>, ReadError> {
        let mut wrong = Vec::new();
        for some in places.chunks(1000) {
            wrong.extend(self.look(reader, some)?.unwrap_or_default().wrong);
        }
        Ok(wrong)
    }
}

/// The first few of some places.
fn named(places: &[Tid]) -> String {
    let named: Vec<_> = places.iter().take(NAMED).map(Tid::to_string).collect();
    let more = if places.len() > NAMED { format!(" and {} more", places.len() - NAMED) } else { String::new() };
    named.join(", ") + &more
}

/// Whether an index that led to so many rows, but not to the one that it was asked for or not only to its value, is wrong.
/// If not, the row may be among those that were not followed.
fn is_wrong(led_to: i64, has_value: Option<bool>) -> bool {
    has_value == Some(false) || led_to < FOLLOWED
}

#[cfg(test)]
mod tests {
    use super::{FOLLOWED, is_wrong};

    #[test]
    fn a_row_that_may_be_among_those_that_were_not_followed_was_not_looked_up() {
        assert!(is_wrong(0, None), "it leads nowhere");
        assert!(is_wrong(1, Some(true)), "it leads to another row of that value");
        assert!(is_wrong(FOLLOWED, Some(false)), "it leads to another value");
        assert!(!is_wrong(FOLLOWED, Some(true)));
    }
}
