//! The database, the schema and the roles of a lab, made on its primary.

use anyhow::Result;
use cluster::ident::{literal, quote};
use cluster::session::Session;

use crate::secrets::{ADMIN, ROLES, Secrets};

/// The database of a lab.
pub const DATABASE: &str = "understudy";

/// Makes the database unless it is there. `session` is the administrator's, in the database `postgres`.
///
/// # Errors
/// If the primary refuses.
pub fn ensure_database(session: &Session) -> Result<()> {
    session.script("SET synchronous_commit = local")?; // a missing sync standby must not hang a set-up
    let there: bool = session.value("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", &[&DATABASE])?;
    if !there {
        session.script(&format!("CREATE DATABASE {}", quote(DATABASE)))?;
    }
    Ok(())
}

/// Makes schema and roles what `sql/` says. `session` is the administrator's, in the lab's database.
///
/// # Errors
/// If the primary refuses.
pub fn ensure(session: &Session, secrets: &Secrets) -> Result<()> {
    session.script("SET synchronous_commit = local")?;
    session.script(cluster::sql!("schema"))?;
    session.script(cluster::sql!("heartbeat"))?;
    session.script(cluster::sql!("roles"))?;
    session.script(cluster::sql!("checkers"))?;
    for role in ROLES.into_iter().filter(|role| *role != ADMIN) {
        let verifier = secrets.verifier(role)?;
        session.script(&format!("ALTER ROLE {} PASSWORD {}", quote(role), literal(&verifier)))?;
    }
    Ok(())
}
