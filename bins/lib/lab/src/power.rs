//! The seam for what can be done to a node's power.

use anyhow::Result;
use program::progress::Progress;

/// Whether a node's server runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The postmaster runs.
    On,
    /// It does not.
    Off,
    /// It is there and does nothing: all of its processes are stopped, and its sockets stay open.
    Frozen,
}

/// Called once, when all is prepared and the first act of a fault is next: that moment is T0.
pub type FirstAct<'a> = &'a mut dyn FnMut();

/// What can be done to a node's power.
pub trait Power {
    /// Whether the node's server runs.
    ///
    /// # Errors
    /// If it cannot be told.
    fn power(&self, node: &str) -> Result<State>;

    /// Starts the node's server as whatever its data directory says it is, and waits until it takes connections.
    ///
    /// # Errors
    /// If it does not start; the error holds the end of its log.
    fn start(&self, node: &str) -> Result<()>;

    /// Shuts the node's server down cleanly, and returns when it is seen to be down.
    ///
    /// # Errors
    /// If it still runs at the deadline.
    fn stop(&self, node: &str) -> Result<()>;

    /// Ends every process of the node at once, as a crash would, and returns when all are seen to be gone.
    /// A frozen node can be killed, too: none of its processes does anything more before it dies.
    ///
    /// # Errors
    /// If it did not run, or is not provably gone: then nothing may be concluded from the fault.
    fn kill(&self, node: &str, first_act: FirstAct<'_>) -> Result<()>;

    /// Stops every process of the node where it is, and returns when all are seen to be stopped. Its sockets stay open.
    ///
    /// # Errors
    /// If it did not run, or is not provably frozen; then what was stopped goes on.
    fn freeze(&self, node: &str, first_act: FirstAct<'_>) -> Result<()>;

    /// Lets a frozen node go on.
    ///
    /// # Errors
    /// What the system says.
    fn thaw(&self, node: &str) -> Result<()>;
}

/// Ends a server that a drill left frozen when it was killed: it answers nobody, and thawed it might be a second primary.
///
/// # Errors
/// If it is not provably gone.
pub(crate) fn end_frozen(power: &dyn Power, node: &str, progress: &Progress) -> Result<()> {
    if power.power(node)? == State::Frozen {
        progress.say(&format!("{node} was left frozen, and is ended"));
        power.kill(node, &mut || {})?;
    }
    Ok(())
}
