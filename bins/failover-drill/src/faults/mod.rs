//! What can come upon a primary, a file for each.
//!
//! Only what is done to it stands here. What is expected of the cluster afterwards is [`report::words::Fault`]'s to say,
//! since whoever judges the files needs to know it, too; and the order of what follows is in `drill.rs`.

mod freeze;
mod kill;
mod stall;
mod stop;

use anyhow::Result;
use lab::power::{FirstAct, Power};
use report::words::Fault;

/// A fault, and how it is brought about.
pub(crate) struct Injection {
    pub(crate) fault: Fault,
    /// What happens, for `--help`.
    pub(crate) what: &'static str,
    /// What is to be done to the node that is named after it.
    pub(crate) does: &'static str,
    /// What is being done to the node that is named after it.
    pub(crate) doing: &'static str,
    /// What was done to the node that is named before it.
    pub(crate) done: &'static str,
    /// Does it to the node, and returns once it is seen to have fired. The first act is told of just before it: T0.
    pub(crate) act: fn(&dyn Power, &str, FirstAct<'_>) -> Result<()>,
    /// What was seen then.
    pub(crate) proof: &'static str,
    /// Keeps the old primary from ever serving anybody again, once a standby has taken over; `None`: it is down already.
    pub(crate) fence: Option<Fence>,
}

/// Ends a node that could go on.
pub(crate) type Fence = fn(&dyn Power, &str) -> Result<()>;

/// All of them.
pub(crate) const ALL: [&Injection; 4] = [&kill::KILL, &stop::STOP, &freeze::FREEZE, &stall::STALL];
