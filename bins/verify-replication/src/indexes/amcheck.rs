//! PostgreSQL's own checkers, where they are installed and this role may call them. They work on a standby, too.

use std::collections::BTreeMap;

use super::index::Index;
use super::{LOOKS, Nodes, Table};
use crate::read_error::ReadError;
use crate::reader::{Reader, column};
use crate::tid::{Tid, Xid};

/// The functions that may be called on a node, by name: each as a statement calls it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Checkers(BTreeMap<String, String>);

/// What a checker said.
pub(super) enum Said {
    /// There is none for this index.
    Nothing,
    /// All rows of the table are in the index, and the index is in order.
    Sound,
    /// It says that the index does not lead to a row: where that is, and what it said.
    NoEntry(Tid, String),
    /// Why it is not.
    Damaged(String),
}

impl Checkers {
    /// Asks which there are.
    pub(crate) fn ask(reader: &mut Reader) -> Result<Checkers, ReadError> {
        let rows = reader.rows(cluster::sql!("verify_checkers"), &[])?;
        rows.iter().map(|row| Ok((column(row, 0)?, column(row, 1)?))).collect::<Result<_, _>>().map(Checkers)
    }

    /// A function by its name.
    pub(super) fn get(&self, name: &str) -> Option<&String> {
        self.0.get(name)
    }
}

/// Has an index checked in full: every row of the table has to be in it, with the value that it has in the table.
pub(super) fn check(reader: &mut Reader, checkers: &Checkers, index: &Index) -> Result<Said, ReadError> {
    let oid = index.oid;
    let call = match index.method.as_str() {
        "btree" => checkers.get("bt_index_check").map(|function| format!("SELECT {function}('{oid}'::regclass, true)")),
        "gin" => checkers.get("gin_index_check").map(|function| format!("SELECT {function}('{oid}'::regclass)")),
        _ => None,
    };
    let Some(call) = call else { return Ok(Said::Nothing) };
    match reader.rows(&call, &[]) {
        Ok(_) => Ok(Said::Sound),
        Err(ReadError::Corrupt(why)) => Ok(match row(&why) {
            Some(place) => Said::NoEntry(place, why),
            None => Said::Damaged(why),
        }),
        Err(error) if error.is_damage() => Ok(Said::Damaged(error.to_string())),
        // The extension was dropped since it was asked for.
        Err(ReadError::Unread(why)) if why.contains("(SQLSTATE 42883)") => Ok(Said::Nothing),
        Err(error) => Err(error),
    }
}

/// Whether what a checker says of the standby's index is no fault of the standby: it says the same of the primary's.
///
/// It names the first row without an entry, and goes on by a filter that lets a few of them pass, others each time: so the primary
/// is asked several times. A row that comes before the primary's first one has its entry there. If the primary has it by now no
/// more, that one is a row of the same kind, as far as anybody knows.
pub(super) fn is_of_both(nodes: &mut Nodes, table: &Table, index: &Index, said: &Said) -> Result<bool, ReadError> {
    let mut first: Option<Tid> = None;
    for _ in 0..LOOKS {
        match (said, check(nodes.primary, nodes.checkers_on_primary, index)?) {
            (Said::NoEntry(there, _), Said::NoEntry(here, _)) if *there == here => return Ok(true),
            (Said::NoEntry(..), Said::NoEntry(here, _)) => first = first.max(Some(here)),
            (Said::Damaged(there), Said::Damaged(here)) => return Ok(words(there) == words(&here)),
            _ => return Ok(false),
        }
    }
    let (Said::NoEntry(there, _), Some(first)) = (said, first) else { return Ok(false) };
    let (on_standby, on_primary) = (writer(nodes.standby, table, *there)?, writer(nodes.primary, table, *there)?);
    let is_one_row = on_standby.is_some() && on_standby == on_primary; // and not gone from both by now
    Ok(*there > first || !is_one_row)
}

/// Who wrote the row at a place, if there is one.
fn writer(reader: &mut Reader, table: &Table, place: Tid) -> Result<Option<Xid>, ReadError> {
    let sql = format!("SELECT t.xmin FROM {} AND t.ctid = '{place}'::tid", table.layout.table.rows());
    reader.rows(&sql, &[])?.first().map(|row| column(row, 0)).transpose()
}

/// The row that a message is about, in whatever language: `heap tuple (0,1) from table "t" lacks matching index tuple …`.
fn row(message: &str) -> Option<Tid> {
    let (_, rest) = words(message).split_once('(')?;
    let (block, offset) = rest.split_once(')')?.0.split_once(',')?;
    Some(Tid { block: block.parse().ok()?, offset: offset.parse().ok()? })
}

/// What a server said, without which one it was.
pub(super) fn words(said: &str) -> &str {
    said.split_once("ERROR: ").map_or(said, |(_, words)| words)
}

#[cfg(test)]
mod tests {
    use super::row;
    use crate::tid::Tid;

    #[test]
    fn the_row_that_has_no_entry_is_in_the_message() {
        let said = "node b: ERROR: heap tuple (7,12) from table \"t\" lacks matching index tuple within index \"i\"";
        assert_eq!(row(said), Some(Tid { block: 7, offset: 12 }));
        assert_eq!(row("node b: ERROR: invalid page in block 5 of relation base/5/24259 (SQLSTATE XX001)"), None);
    }
}
