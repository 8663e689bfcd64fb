//! Why a standby does not catch up, as far as the standby itself says, and what to do about that.

use anyhow::{Error, Result, anyhow};
use cluster::session::Session;
use tokio_postgres::Row;

/// The error of a wait for a standby that did not catch up, with the likely causes.
pub(crate) fn explained(error: Error, standby: &Session) -> Error {
    if program::stop::check().is_err() || standby.is_closed() {
        return error;
    }
    match causes(standby) {
        Ok(causes) if !causes.is_empty() => anyhow!("{error:#}: {}", causes.join("; ")),
        _ => error,
    }
}

/// What keeps the standby from replaying, the surest first.
fn causes(standby: &Session) -> Result<Vec<String>> {
    if !standby.value::<bool>("SELECT pg_catalog.pg_is_in_recovery()", &[])? {
        return Ok(vec!["it was promoted meanwhile, and is no longer a standby".to_owned()]);
    }
    let rows = standby.rows(cluster::sql!("verify_hindered"), &[])?;
    let Some(row) = rows.first() else { return Ok(Vec::new()) };
    let (paused, delay, receives): (String, String, bool) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    let mut causes = Vec::new();
    if paused != "not paused" {
        causes.push(
            "its replay is paused: SELECT pg_wal_replay_resume() there ends that (where its log speaks of insufficient \
             settings, raise these first)"
                .to_owned(),
        );
    }
    if delay != "0" {
        causes.push(format!(
            "it has recovery_min_apply_delay = {delay}: give more than that with --catch-up-timeout, or set it to 0 \
             meanwhile"
        ));
    }
    causes.extend(conflict(standby, row)?);
    if !receives {
        causes.push(
            "it has no receiver, so that nothing arrives but from an archive: see its log, primary_conninfo, and its slot \
             on the primary"
                .to_owned(),
        );
    }
    Ok(causes)
}

/// Queries on the standby that replay has to wait for.
fn conflict(standby: &Session, row: &Row) -> Result<Option<String>> {
    let (kind, event): (Option<String>, Option<String>) = (row.try_get(4)?, row.try_get(5)?);
    let (kind, event) = (kind.unwrap_or_default(), event.unwrap_or_default());
    if !event.starts_with("RecoveryConflict") && kind != "BufferPin" && kind != "Lock" {
        return Ok(None);
    }
    let longest: String = row.try_get(6)?;
    let mut who = Vec::new();
    for row in standby.rows(cluster::sql!("verify_in_the_way"), &[])? {
        let (pid, application, state): (i32, Option<String>, Option<String>) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let since: Option<String> = row.try_get(3)?;
        let (application, state) = (application.unwrap_or_default(), state.unwrap_or_default());
        who.push(format!("pid {pid} ({application}, {state}, since {})", since.unwrap_or_default()));
    }
    let who = if who.is_empty() { "none is seen by now".to_owned() } else { format!("such as {}", who.join(", ")) };
    Ok(Some(format!(
        "its replay waits for queries there that are in its way ({event}; up to max_standby_streaming_delay = {longest}; \
         {who}): end them, or wait longer with --catch-up-timeout"
    )))
}
