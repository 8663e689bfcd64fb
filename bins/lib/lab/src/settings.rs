//! Whether a server has taken its settings.

use std::time::Duration;

use anyhow::{Context as _, Result};
use cluster::session::Session;
use cluster::wait::{Attempt, until};

/// Time for a server to read its configuration after it was told to: it takes the next turn of a loop.
const DEADLINE: Duration = Duration::from_secs(2);

/// How often it is asked.
const LOOK: Duration = Duration::from_millis(5);

/// The settings of the node `name` that wait for its next restart.
///
/// # Errors
/// If the server refuses one.
pub fn taken(session: &Session, name: &str) -> Result<Vec<String>> {
    // A server reads its configuration a moment after it is told to, and only then says what has to wait.
    let taken = until(&format!("{name} to take its settings"), DEADLINE, LOOK, || {
        let refused = refused(session)?;
        Ok(if refused.is_empty() { Attempt::Done(()) } else { Attempt::NotYet(refused.join("; ")) })
    });
    taken.with_context(|| format!("node {name}: a setting is refused"))?;
    pending(session)
}

/// What the server's configuration files hold that it refuses: file, line, name, and its words.
///
/// # Errors
/// If it cannot be asked.
pub fn refused(session: &Session) -> Result<Vec<String>> {
    column(session, cluster::sql!("refused_settings"))
}

/// The names of the settings that wait for the server's next restart.
///
/// # Errors
/// If it cannot be asked.
pub fn pending(session: &Session) -> Result<Vec<String>> {
    column(session, cluster::sql!("pending_settings"))
}

/// The first column of a query over the server's configuration files. To answer, the server reads them, and logs all that
/// it finds wrong: the log would soon hold nothing else.
fn column(session: &Session, sql: &str) -> Result<Vec<String>> {
    session.script("SET log_min_messages = panic; SET log_min_error_statement = panic")?;
    let rows = session.texts(sql);
    session.script("RESET log_min_messages; RESET log_min_error_statement")?;
    Ok(rows?.into_iter().filter_map(|mut row| row.swap_remove(0)).collect())
}
