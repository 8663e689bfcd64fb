//! Whether a server has taken its settings.

use std::time::Duration;

use anyhow::{Context as _, Result};
use cluster::session::Session;
use cluster::wait::{Look, until};

/// Time for a server to read its configuration after it was told to: it takes the next turn of a loop.
const DEADLINE: Duration = Duration::from_secs(2);

/// How often it is asked.
const LOOK: Duration = Duration::from_millis(5);

/// The settings of the node `name` that wait for its next restart.
///
/// # Errors
/// If the server refuses one.
pub fn taken(session: &Session, name: &str) -> Result<Vec<String>> {
    let mut pending = Vec::new();
    // A server reads its configuration a moment after it is told to, and only then says what has to wait.
    let refused = until(&format!("{name} to read its settings"), DEADLINE, LOOK, || {
        pending = column(session, "SELECT name FROM pg_settings WHERE pending_restart ORDER BY name")?;
        let mut refused = session.texts("SELECT name, error FROM pg_file_settings WHERE error IS NOT NULL")?;
        refused.retain(|row| !pending.iter().any(|name| row[0].as_ref() == Some(name)));
        Ok(match refused.pop() {
            None => Look::Done(()),
            Some(row) => Look::NotYet(row.into_iter().flatten().collect::<Vec<_>>().join(": ")),
        })
    });
    refused.with_context(|| format!("node {name}: a setting is refused (`--set NAME=default` takes one back)"))?;
    Ok(pending)
}

/// The first column of a query's rows.
fn column(session: &Session, sql: &str) -> Result<Vec<String>> {
    Ok(session.texts(sql)?.into_iter().filter_map(|mut row| row.swap_remove(0)).collect())
}
