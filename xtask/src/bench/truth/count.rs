//! What truly differs, counted without verify-replication: whole tables as text, from both servers, held against each
//! other here.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::bench::psql::Server;

/// Before a table's rows.
const TITLE: &str = "\u{1}";

/// Rows and how often each is there, by table.
type Contents = BTreeMap<String, HashMap<String, u64>>;

/// Rows of one table that only one of two servers has. A row that was updated is one on each side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Differing {
    /// Only on the primary.
    pub(super) here: u64,
    /// Only on the other one.
    pub(super) there: u64,
}

/// What differs in these tables.
///
/// # Errors
/// If a server cannot read one of them.
pub(super) fn differing(
    servers: [&Server; 2],
    database: &str,
    tables: &[&str],
    dir: &Path,
) -> Result<BTreeMap<String, Differing>> {
    let mut script = String::from(
        "SET extra_float_digits = 3; SET TimeZone = 'UTC'; SET enable_indexscan = off; SET enable_indexonlyscan = off;\n",
    );
    for table in tables {
        script += &format!("\\echo {TITLE}{table}\nCOPY (SELECT t::text FROM ONLY {table} AS t) TO STDOUT;\n");
    }
    let read = |server: &Server| -> Result<Contents> {
        let file = dir.join(format!("sql/count-{database}.sql"));
        Ok(contents(&server.script(database, &file, &script)?))
    };
    let (here, there) = (read(servers[0])?, read(servers[1])?);
    let of = |table: &&str| {
        let both = (here.get(*table).context("it was not read")?, there.get(*table).context("it was not read")?);
        Ok(((*table).to_owned(), Differing { here: only(both.0, both.1), there: only(both.1, both.0) }))
    };
    tables.iter().map(of).collect()
}

fn contents(said: &str) -> Contents {
    let (mut contents, mut table) = (Contents::new(), String::new());
    for line in said.lines() {
        if let Some(title) = line.strip_prefix(TITLE) {
            title.clone_into(&mut table);
            contents.entry(table.clone()).or_default();
        } else if let Some(rows) = contents.get_mut(&table) {
            *rows.entry(line.to_owned()).or_default() += 1;
        }
    }
    contents
}

/// How many rows are in the one and not in the other, each as often as it is there.
fn only(these: &HashMap<String, u64>, those: &HashMap<String, u64>) -> u64 {
    these.iter().map(|(row, times)| times.saturating_sub(those.get(row).copied().unwrap_or(0))).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_count_as_often_as_they_are_there() {
        let read = |text: &str| contents(text).remove("t").unwrap();
        let (here, there) = (read("\u{1}t\n(1)\n(1)\n(2)\n\u{1}u\n(9)\n"), read("\u{1}t\n(1)\n(3)\n(4)\n"));
        assert_eq!((only(&here, &there), only(&there, &here)), (2, 2));
        assert!(contents("\u{1}empty\n")["empty"].is_empty());
    }
}
