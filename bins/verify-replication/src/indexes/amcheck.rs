//! PostgreSQL's own checkers, where they are installed and this role may call them. They work on a standby, too.

use std::collections::BTreeMap;

use super::index::Index;
use crate::reader::{Reader, Trouble, column};

/// The functions that may be called on a node, by name: each as a statement calls it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Checkers(BTreeMap<String, String>);

/// What a checker said.
pub(super) enum Said {
    /// There is none for this index.
    Nothing,
    /// All rows of the table are in the index, and the index is in order.
    Sound,
    /// Why it is not.
    Damaged(String),
}

impl Checkers {
    /// Asks which there are.
    ///
    /// # Errors
    /// Why that could not be asked.
    pub(crate) fn ask(reader: &mut Reader) -> Result<Checkers, Trouble> {
        let rows = reader.rows(cluster::sql!("verify_checkers"), &[])?;
        rows.iter().map(|row| Ok((column(row, 0)?, column(row, 1)?))).collect::<Result<_, _>>().map(Checkers)
    }

    /// A function by its name.
    pub(super) fn get(&self, name: &str) -> Option<&String> {
        self.0.get(name)
    }
}

/// Has an index checked in full: every row of the table has to be in it, with the value that it has in the table.
///
/// # Errors
/// Why that could not be done.
pub(super) fn check(reader: &mut Reader, checkers: &Checkers, index: &Index) -> Result<Said, Trouble> {
    let call = match index.method.as_str() {
        "btree" => checkers.get("bt_index_check").map(|function| format!("SELECT {function}($1::oid::regclass, true)")),
        "gin" => checkers.get("gin_index_check").map(|function| format!("SELECT {function}($1::oid::regclass)")),
        _ => None,
    };
    let Some(call) = call else { return Ok(Said::Nothing) };
    match reader.rows(&call, &[&index.oid]) {
        Ok(_) => Ok(Said::Sound),
        Err(trouble) if trouble.is_damage() => Ok(Said::Damaged(trouble.to_string())),
        Err(trouble) => Err(trouble),
    }
}
