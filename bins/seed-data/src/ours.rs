//! A table is ours if its schema, its mark and its columns are those of `sql/schema.sql`. All three tables are checked
//! before anything else is asked or done. Of a table that is not ours nothing is read, and no message proposes to empty it.

use std::collections::HashMap;

use anyhow::{Context as _, Result, bail, ensure};
use cluster::session::Session;

use crate::table::Table;

/// The comment by which `sql/schema.sql` marks the tables that it makes.
const MARK: &str = "made by pg-understudy; seed-data --replace may empty it";

/// A relation that bears the name of one of our tables.
struct Found {
    kind: String,
    comment: Option<String>,
    columns: Option<String>,
}

/// Fails if one of the three tables is not there, or is somebody else's.
pub(crate) fn check(session: &Session) -> Result<()> {
    let names: Vec<&str> = Table::ALL.iter().map(|table| table.bare_name()).collect();
    let mut found = HashMap::new();
    for row in session.rows(cluster::sql!("seed_tables"), &[&names])? {
        let table = Found { kind: row.try_get(1)?, comment: row.try_get(2)?, columns: row.try_get(3)? };
        found.insert(row.try_get::<_, String>(0)?, table);
    }
    for table in Table::ALL {
        judge(table, found.get(table.bare_name())).with_context(|| format!("node {}", session.node()))?;
    }
    Ok(())
}

fn judge(table: Table, found: Option<&Found>) -> Result<()> {
    let name = table.name();
    let Some(found) = found else {
        bail!("there is no table {name}: `setup` makes it in a lab, elsewhere: psql -d DBNAME -f sql/schema.sql")
    };
    ensure!(
        found.kind == "r" && found.comment.as_deref() == Some(MARK),
        "{name} does not bear the mark that sql/schema.sql gives (its comment), so it is somebody else's: \
         nothing was read from it or changed; name another database"
    );
    let columns = found.columns.as_deref().unwrap_or("");
    ensure!(
        columns == table.typed_columns(),
        "{name} bears our mark and has other columns than sql/schema.sql, so it was changed since: \
         nothing was read from it or changed; name another database. It has: {columns}; \
         sql/schema.sql: {}",
        table.typed_columns()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::MARK;

    /// The mark is named here and in two files: they must not drift apart.
    #[test]
    fn the_mark_is_that_of_the_files() {
        for file in [cluster::sql!("schema"), cluster::sql!("seed_empty")] {
            assert!(file.contains(&format!("mark  CONSTANT text := '{MARK}';")), "{file}");
        }
    }
}
