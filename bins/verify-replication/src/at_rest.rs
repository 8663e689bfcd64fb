//! Copies at rest: nobody writes to them, so a table that is missing, or is another one, will not change with time.

use anyhow::Result;
use cluster::session::Session;

use crate::layout::Layout;
use crate::node::NodeSessions;
use crate::read_error::ReadError;
use crate::subject::Subject;
use crate::types::Types;

/// How a copy's table differs from the primary's as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Otherwise {
    /// It has none: all of its rows are missing.
    Absent,
    /// Only it has one: all of its rows are extra.
    OnlyThere,
    /// As these words say; its rows were not compared.
    Defined(String),
    /// A partitioned one, as these words say; the partitions that the primary has were compared.
    Parted(String),
}

impl std::fmt::Display for Otherwise {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Otherwise::Absent => f.write_str("it is not there: it was dropped, or its schema was"),
            Otherwise::OnlyThere => f.write_str("it is only there: the primary has none of that name"),
            Otherwise::Defined(how) => write!(f, "{how}; its rows were not compared"),
            Otherwise::Parted(how) => f.write_str(how),
        }
    }
}

/// How the table of a copy that could not be compared differs as a whole; `None` if it does not, or it cannot be found out.
pub(crate) fn otherwise(table: &Subject, primary: &mut NodeSessions, copy: &mut NodeSessions) -> Option<Otherwise> {
    match by_name(table, &copy.control) {
        Ok(None) => columns(table, primary, copy).ok()?.map(Otherwise::Defined),
        Ok(otherwise) => otherwise,
        Err(_) => None,
    }
}

/// Whether the table is there under its name, and is the same one; `None`: it is.
pub(crate) fn by_name(table: &Subject, copy: &Session) -> Result<Option<Otherwise>> {
    let sql = "SELECT (SELECT c.oid::pg_catalog.regclass::text FROM pg_catalog.pg_class AS c WHERE c.oid = $1),
                      (SELECT c.oid FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
                        WHERE n.nspname = $2::text AND c.relname = $3::text)";
    let rows = copy.rows(sql, &[&table.oid, &table.schema, &table.name])?;
    let Some(row) = rows.first() else { return Ok(None) };
    let (same, named): (Option<String>, Option<u32>) = (row.try_get(0)?, row.try_get(1)?);
    Ok(match (same, named) {
        (_, Some(oid)) if oid == table.oid => None,
        (None, None) => Some(Otherwise::Absent),
        (Some(name), _) => Some(Otherwise::Defined(format!("it is called {name} there"))),
        (None, Some(_)) => {
            Some(Otherwise::Defined("another table has its name there: it was dropped and made again".to_owned()))
        }
    })
}

/// Which columns are other ones, in words.
fn columns(table: &Subject, primary: &mut NodeSessions, copy: &mut NodeSessions) -> Result<Option<String>, ReadError> {
    let here = Layout::read(primary.reader(), table, &mut Types::default())?;
    let there = Layout::read(copy.reader(), table, &mut Types::default())?;
    let names =
        |columns: Vec<&(String, u32)>| columns.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
    let only = |these: &Layout, those: &Layout| {
        names(
            these.columns().iter().filter(|(name, _)| those.columns().iter().all(|(other, _)| other != name)).collect(),
        )
    };
    let retyped = here
        .columns()
        .iter()
        .filter(|(name, kind)| there.columns().iter().any(|(other, other_kind)| other == name && other_kind != kind));
    let words: Vec<String> = [
        ("only on the primary", only(&here, &there)),
        ("only there", only(&there, &here)),
        ("of another type", names(retyped.collect())),
    ]
    .into_iter()
    .filter(|(_, names)| !names.is_empty())
    .map(|(what, names)| format!("{what}: {names}"))
    .collect();
    Ok(match (here.columns() == there.columns(), words.is_empty()) {
        (true, _) => None,
        (false, true) => Some("its columns stand in another order there".to_owned()),
        (false, false) => Some(format!("it has other columns there ({})", words.join("; "))),
    })
}
