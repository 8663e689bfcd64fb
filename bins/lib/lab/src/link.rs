//! The seam for what can be done to the link over which a standby receives WAL.

use anyhow::Result;

use crate::standby::Upstream;

/// How a cut shows on the standby.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Its receiver ends.
    Receiver,
    /// Nothing but silence: its receiver waits for `wal_receiver_timeout`.
    Network,
}

/// What can be done to the link over which a standby receives WAL.
pub trait Link {
    /// Cuts it. Returns once the cut was asked for; see that it took effect.
    ///
    /// # Errors
    /// If it cannot be asked for.
    fn cut(&self, standby: &str) -> Result<Cut>;

    /// Heals it: makes a stopped or running node follow `upstream` from its next start or at once. With `None` it has nobody
    /// to receive from.
    ///
    /// # Errors
    /// If its configuration cannot be written.
    fn follow(&self, node: &str, upstream: Option<&Upstream>) -> Result<()>;
}
