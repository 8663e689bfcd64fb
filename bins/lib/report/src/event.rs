//! `events.csv`: the marks of a drill and what was done, in order.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One event of a drill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRow {
    /// The run that this row belongs to.
    pub run: String,
    /// Microseconds since the run's origin.
    pub at_us: u64,
    /// What happened.
    pub mark: Mark,
    /// The node that it happened to; empty if to none.
    pub node: Option<String>,
    /// More about it, for people.
    pub detail: Option<String>,
}

/// What can happen in a drill. T1, T4 and T5 are not here: they are read from the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// The load was started.
    LoadStarted,
    /// The first write of the load was acknowledged: the measurement before the fault begins.
    Steady,
    /// The standby is being cut off from the primary.
    CutBegun,
    /// The standby was seen to be cut off: nothing written from here on reaches it.
    Cut,
    /// T0: just before the first act of the fault.
    T0,
    /// The fault was seen to have fired.
    FaultProven,
    /// The standby to promote was chosen.
    Chosen,
    /// `pg_promote()` was called.
    PromoteCalled,
    /// T3: the standby said that it is out of recovery.
    T3,
    /// The end of the old timeline was read from the dead primary's WAL.
    OldEndRead,
    /// The fork LSN was read from the new timeline's history.
    ForkRead,
    /// A replication slot was made on the new primary.
    SlotCreated,
    /// A standby was pointed at the new primary.
    Repointed,
    /// The old primary's own rows were read, while nobody could reach it.
    DivergentRead,
    /// Rejoining the old primary began.
    RejoinBegun,
    /// The old primary streams from the new one.
    Rejoined,
    /// Rejoining failed.
    RejoinFailed,
    /// T6: a standby streams from the new primary.
    T6,
    /// `synchronous_standby_names` was set on the new primary, after a quorum streamed.
    SyncRestored,
    /// The load was told to end.
    LoadEnding,
    /// The load has ended and no backend of it is left.
    LoadEnded,
    /// The final read began.
    FinalRead,
    /// The final read is done.
    FinalReadDone,
    /// A check at the end found something that it should not have.
    Defect,
    /// The raw floor is being measured: a second takeover, on the same nodes, that is no part of the drill.
    FloorBegun,
    /// It was measured, and the nodes are as they were but for their roles.
    FloorDone,
    /// A reason why the verdict is not `held`.
    Verdict,
    /// Something that the reader should know.
    Note,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}
