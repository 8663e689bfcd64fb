//! Bringing a node back as a standby of the primary: by `pg_rewind`, else by a fresh base backup.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use cluster::session::Session;
use report::words::Rejoin;

use crate::backend::Backend;
use crate::ports::Taken;
use crate::slots;
use crate::standby::{Upstream, wait_streaming};

/// Time for a rewound or cloned node to stream: it replays what came since its checkpoint, then connects.
pub(crate) const STREAM_DEADLINE: Duration = Duration::from_secs(60);

/// Time for a checkpoint on the primary: it writes all dirty buffers.
const CHECKPOINT_DEADLINE: Duration = Duration::from_secs(300);

/// How a node came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejoined {
    /// `pg_rewind` was enough.
    Rewind,
    /// It took a fresh base backup; why the rewind was not enough.
    Clone {
        /// What `pg_rewind` or the rewound server said.
        because: String,
    },
}

impl Rejoined {
    /// The word for it in rows.
    #[must_use]
    pub fn word(&self) -> Rejoin {
        match self {
            Rejoined::Rewind => Rejoin::Rewind,
            Rejoined::Clone { .. } => Rejoin::Clone,
        }
    }
}

/// Makes the stopped or running `node` a standby that streams from `upstream`, whatever it was before.
///
/// `primary` is the administrator's session on the upstream; `open` opens one on the node.
///
/// # Errors
/// If neither a rewind nor a base backup makes it stream.
pub fn rejoin(
    backend: &dyn Backend,
    node: &str,
    upstream: &Upstream,
    primary: &Session,
    open: &dyn Fn() -> Result<Session>,
) -> Result<Rejoined> {
    slots::ensure(primary, &upstream.slot)?;
    // Without it pg_rewind (up to PostgreSQL 15) sees the old timeline in the new primary's control file and finds
    // nothing to do.
    primary.within(CHECKPOINT_DEADLINE, async { Ok(primary.client().batch_execute("CHECKPOINT").await?) })?;
    backend.stop(node)?;
    backend.follow(node, Some(upstream))?; // first: the tools take the same way to the upstream
    let because =
        match rewind(backend, node, upstream).and_then(|()| run_as_standby(backend, node, upstream, primary, open)) {
            Ok(()) => return Ok(Rejoined::Rewind),
            Err(error) if error.is::<Taken>() => return Err(error), // a base backup does not free the port
            Err(error) => format!("{error:#}"),
        };
    program::stop::check()?;
    // No fault of the rewind's, and nothing can be seen over this session any more: the caller may try again.
    ensure!(!primary.has_ended(), "the session on {} has ended: {because}", upstream.node);
    backend.stop(node)?;
    clone(backend, node, upstream, primary, open)
        .with_context(|| format!("after pg_rewind did not help ({because})"))?;
    Ok(Rejoined::Clone { because })
}

/// Gives the stopped `node`, which was told to follow `upstream`, a fresh base backup of it and runs it as its standby.
///
/// # Errors
/// If the backup fails, or the node does not stream.
pub fn clone(
    backend: &dyn Backend,
    node: &str,
    upstream: &Upstream,
    primary: &Session,
    open: &dyn Fn() -> Result<Session>,
) -> Result<()> {
    backend.clone_from(node, upstream)?;
    run_as_standby(backend, node, upstream, primary, open)?;
    backend.discard_old(node)
}

fn rewind(backend: &dyn Backend, node: &str, upstream: &Upstream) -> Result<()> {
    backend.rewind(node, upstream)?;
    // The source's settings came along, and no standby.signal: started like this it would be a second primary.
    backend.make_standby(node)
}

fn run_as_standby(
    backend: &dyn Backend,
    node: &str,
    upstream: &Upstream,
    primary: &Session,
    open: &dyn Fn() -> Result<Session>,
) -> Result<()> {
    backend.sync_names(node, "")?;
    backend.start(node)?;
    wait_streaming(primary, open, upstream, STREAM_DEADLINE).map_err(|error| backend.with_log(node, error))?;
    drop_slots(&open()?)
}

/// Removes a standby's own slots, left from when it was primary: nobody reads them, and they would keep WAL for ever.
///
/// # Errors
/// If it does not answer.
pub fn drop_slots(standby: &Session) -> Result<()> {
    for name in slots::names(standby)? {
        slots::drop(standby, &name)?;
    }
    Ok(())
}
