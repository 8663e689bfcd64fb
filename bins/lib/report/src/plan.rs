//! `plan.csv`: what a drill was to be, and what it began on.

use serde::{Deserialize, Serialize};

use crate::words::{Backend, SyncMode};

/// What the figures and the verdict of a drill depend on, and was known before its load began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanRow {
    /// The run that this row belongs to.
    pub run: String,
    /// How the nodes are run.
    pub backend: Backend,
    /// The full version of PostgreSQL, as the running primary said it: the programs on the disk may be newer.
    pub pg_version: String,
    /// The sync mode.
    pub sync: SyncMode,
    /// Standbys at the start.
    pub standbys: u64,
    /// Clients writing.
    pub clients: u64,
    /// Writes due per second; empty for `max`.
    pub rate_per_s: Option<u64>,
    /// How long a client waits for an answer before it gives a write up.
    pub op_timeout_us: u64,
    /// How many acknowledged writes may be lost before the verdict is `broken`.
    pub max_lost: u64,
    /// The longest outage of a takeover before the verdict is `broken`; empty if any is taken.
    pub max_outage_us: Option<u64>,
    /// The fewest writes acknowledged per second before each fault; empty if any rate is taken.
    pub min_rate_per_s: Option<u64>,
    /// How long the load wrote before each fault, or before the standbys were cut off.
    pub before_us: Option<u64>,
    /// How long it wrote after the old primary had rejoined.
    pub after_us: Option<u64>,
    /// How long before the fault the standbys were cut off; empty if they were not.
    pub cut_us: Option<u64>,
    /// How long the primary was frozen; empty if another was to take over.
    pub stall_us: Option<u64>,
    /// How long nothing was done between fault and promotion; empty if there was no such pause.
    pub decide_us: Option<u64>,
    /// How many faults, one after the other.
    pub rounds: Option<u64>,
}

impl PlanRow {
    /// Whether commits wait for a standby.
    #[must_use]
    pub fn is_sync(&self) -> bool {
        self.sync != SyncMode::Async
    }
}
