//! What a server may have been built without, or its package left out: tried where it is there, and named where it is not.

use std::io::Write as _;

use cluster::server_error::sqlstate;
use cluster::session::Session;
use tokio_postgres::error::SqlState;

/// Whether a server can do what a script asks for. If it has no such feature or extension, that is said beside the results of
/// the tests, which do not look as if it had been tried.
///
/// # Panics
/// If the script fails for any other reason.
pub(crate) fn has(session: &Session, script: &str) -> bool {
    let Err(error) = session.script(script) else { return true };
    let state = sqlstate(&error).cloned();
    let lacking = [SqlState::FEATURE_NOT_SUPPORTED, SqlState::UNDEFINED_FILE]; // the second one: extensions up to PostgreSQL 14
    assert!(state.is_some_and(|state| lacking.contains(&state)), "{script}: {error:#}");
    let version: String = session.value("SHOW server_version", &[]).unwrap();
    // Not by a macro, whose words go with a test that passes.
    let _ = writeln!(std::io::stderr(), "NOT TRIED with PostgreSQL {version}: {}: {error:#}", script.trim());
    false
}
