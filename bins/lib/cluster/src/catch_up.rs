//! Catching up: a standby that has replayed past a mark in the WAL has everything that was acknowledged before the mark.

use std::time::Duration;

use anyhow::Result;
use report::lsn::Lsn;

use crate::session::Session;
use crate::topology::replayed;
use crate::wait::{Attempt, until};

/// How often a standby is asked whether it has caught up.
const POLL_EVERY: Duration = Duration::from_millis(2);

/// Sets a mark on the primary. To be called after the acknowledgements that it has to cover.
///
/// With `synchronous_commit=off` the flush LSN trails the acknowledged commits, and a standby could pass a plain flush LSN
/// without their rows. So the mark is a WAL record of its own, flushed with a local commit, and the flush LSN is read after
/// that.
pub fn mark(primary: &Session) -> Result<Lsn> {
    primary.script(crate::sql!("catch_up_mark"))?;
    primary.value::<String>("SELECT pg_current_wal_flush_lsn()::text", &[])?.parse()
}

/// Waits until `standby` has caught up: until it has replayed past `mark`. Returns how far it was seen to have replayed.
///
/// # Errors
/// If it has not caught up by `limit`, or at once if the session is gone. Rows written before the mark are then unknown,
/// never missing.
pub fn wait(standby: &Session, mark: Lsn, limit: Duration) -> Result<Lsn> {
    until(&format!("{} to replay up to {mark}", standby.node()), limit, POLL_EVERY, || {
        Ok(match replayed(standby) {
            Ok(Some(at)) if at >= mark => Attempt::Done(at),
            Ok(Some(at)) => Attempt::NotYet(format!("replayed up to {at}")),
            Ok(None) => Attempt::NotYet("nothing replayed".to_owned()),
            Err(error) if standby.is_closed() => Attempt::Never(error), // this session will never answer
            Err(error) => return Err(error),
        })
    })
}
