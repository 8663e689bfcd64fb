//! Catching up: whoever has replayed past a mark in the WAL has everything that was acknowledged before it.

use std::time::Duration;

use anyhow::Result;
use report::lsn::Lsn;

use crate::session::Session;
use crate::topology::replayed;
use crate::wait::{Look, until};

/// How often a standby is asked whether it has caught up.
const LOOK: Duration = Duration::from_millis(2);

/// Sets a mark on the primary, after all acknowledgements that matter have come.
///
/// With `synchronous_commit=off` the flush LSN trails what was acknowledged, and a standby could pass a plain flush LSN
/// without the acked rows; so the mark is a record of its own, flushed with a local commit, and the flush LSN is read
/// after that.
///
/// # Errors
/// If the primary does not answer.
pub fn mark(primary: &Session) -> Result<Lsn> {
    primary.script(crate::sql!("catch_up_mark"))?;
    primary.value::<String>("SELECT pg_current_wal_flush_lsn()::text", &[])?.parse()
}

/// Waits until `standby` has caught up: until it has replayed past `mark`. Returns how far it was seen to have replayed.
///
/// # Errors
/// If it has not by `limit`, or at once if the session is gone: what was written before the mark is then unknown, never
/// missing.
pub fn wait(standby: &Session, mark: Lsn, limit: Duration) -> Result<Lsn> {
    until(&format!("{} to replay up to {mark}", standby.node()), limit, LOOK, || {
        Ok(match replayed(standby) {
            Ok(Some(at)) if at >= mark => Look::Done(at),
            Ok(Some(at)) => Look::NotYet(format!("replayed up to {at}")),
            Ok(None) => Look::NotYet("nothing replayed".to_owned()),
            Err(error) if standby.is_closed() => Look::Never(error), // this session will never answer
            Err(error) => return Err(error),
        })
    })
}
