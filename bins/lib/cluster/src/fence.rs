//! An LSN fence: everything that was acknowledged before it has been replayed by whoever has passed it.

use std::time::Duration;

use anyhow::Result;
use report::lsn::Lsn;

use crate::session::Session;
use crate::topology::replayed;
use crate::wait::{Look, until};

/// How often a standby is asked whether it has passed.
const LOOK: Duration = Duration::from_millis(2);

/// Raises a fence on the primary, after all acknowledgements that matter have come.
///
/// With `synchronous_commit=off` the flush LSN trails what was acknowledged, and a standby could pass a plain flush LSN
/// without the acked rows; so the fence writes a record of its own, flushes it with a local commit, and reads the
/// flush LSN after that.
///
/// # Errors
/// If the primary does not answer.
pub fn raise(primary: &Session) -> Result<Lsn> {
    primary.script(crate::sql!("fence"))?;
    primary.value::<String>("SELECT pg_current_wal_flush_lsn()::text", &[])?.parse()
}

/// Waits until `standby` has replayed past the fence.
///
/// # Errors
/// If it has not by `limit`: what lies behind the fence is then unknown, never missing.
pub fn wait(standby: &Session, fence: Lsn, limit: Duration) -> Result<()> {
    until(&format!("{} to replay up to {fence}", standby.node()), limit, LOOK, || {
        Ok(match replayed(standby)? {
            Some(at) if at >= fence => Look::Done(()),
            Some(at) => Look::NotYet(format!("replayed up to {at}")),
            None => Look::NotYet("nothing replayed".to_owned()),
        })
    })
}
