//! Labs, drills on them, and the proof that nothing of them is left.

mod drill;
mod processes;
mod scratch_lab;
mod start;
mod turn;

use std::time::Duration;

pub(crate) use self::drill::{Done, Drill, Judged};
pub(crate) use self::processes::{programs_of, states_below, working_below};
pub(crate) use self::scratch_lab::Lab;
pub(crate) use self::turn::Turn;

/// How often something is looked at.
pub(crate) const LOOK: Duration = Duration::from_millis(5);

/// Time for what takes milliseconds on an idle machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// Time for a whole drill: some ten seconds on two idle cores, and a promotion may take a minute on a busy one.
pub(crate) const DRILL: Duration = Duration::from_secs(150);
