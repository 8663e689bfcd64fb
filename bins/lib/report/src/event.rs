//! `events.csv`: the marks of a drill and what was done, in order. With the ledger and the reads it is all that a verdict
//! needs.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::lsn::Lsn;
use crate::words::{Fault, Rejoin};

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
    /// The step of the run that had begun last, from 1; empty before the first.
    pub step: Option<u32>,
    /// Of `step_begun`: what is to happen to the node.
    pub fault: Option<Fault>,
    /// Of `chosen`, `fork_read`, `old_end_read`: the position in the WAL.
    pub lsn: Option<Lsn>,
    /// Of what was counted or sealed: how many.
    pub count: Option<u64>,
    /// Of `rejoined` and `rejoin_failed`: how.
    pub rejoin: Option<Rejoin>,
    /// Of `sealed`: the file.
    pub file: Option<String>,
    /// Of `sealed`: its MD5.
    pub md5: Option<String>,
}

/// What can happen in a drill. T1, T4 and T5 are not here: they are read from the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// The load was started.
    LoadStarted,
    /// The first write of the load was acknowledged: the measurement before the fault begins.
    Steady,
    /// A step of the run begins: a fault is to come upon this node, which is the primary.
    StepBegun,
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
    /// The standby took the order.
    PromoteAccepted,
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
    /// The primary, which was frozen for a while, goes on: acks from here on are new ones.
    Thawed,
    /// The old primary, which had only been frozen, was ended: it cannot serve anybody again.
    Fenced,
    /// Rejoining the old primary began.
    RejoinBegun,
    /// The old primary streams from the new one.
    Rejoined,
    /// Rejoining failed.
    RejoinFailed,
    /// Somebody outside has the port of the node that was to rejoin: whether it can was not seen.
    PortTaken,
    /// T6: a standby streams from the new primary.
    T6,
    /// `synchronous_standby_names` was set on the new primary, after a quorum streamed.
    SyncRestored,
    /// The load had ended before it was told to.
    LoadDied,
    /// The load was told to end.
    LoadEnding,
    /// The load has ended and no backend of it is left.
    LoadEnded,
    /// How many nodes are out of recovery, before the final read.
    PrimariesCounted,
    /// The final read began.
    FinalRead,
    /// The final read is done.
    FinalReadDone,
    /// A standby does not stream from the new primary on its timeline at the end.
    Defect,
    /// The raw floor is being measured: a second takeover, on the same nodes, that is no part of the drill.
    FloorBegun,
    /// Of the floor: just before its primary was killed.
    FloorKilled,
    /// Of the floor: the waiting client's first write was acknowledged.
    FloorAcked,
    /// It was measured, and the nodes are as they were but for their roles.
    FloorDone,
    /// Something could not be done or found out, and so the verdict is not `held`.
    CouldNot,
    /// A file is finished: its lines and MD5. The last of these is of this file itself, up to there.
    Sealed,
    /// A reason why the verdict is not `held`. Nothing else comes after the last `sealed`.
    Verdict,
    /// Something that the reader should know.
    Note,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::EventRow;

    /// Events of run `r` with these rows, without their first field.
    pub(crate) fn events(rows: &[String]) -> Vec<EventRow> {
        let header = "run,at_us,mark,node,detail,step,fault,lsn,count,rejoin,file,md5\n";
        let text: String = rows.iter().map(|row| format!("r,{row}\n")).collect();
        crate::rows::read((header.to_owned() + &text).as_bytes()).unwrap()
    }

    #[test]
    fn events_of_runs_without_the_newer_columns_are_read() {
        let old = "run,at_us,mark,node,detail\nr,5,t0,node1,kill\n";
        let events: Vec<EventRow> = crate::rows::read(old.as_bytes()).unwrap();
        assert_eq!((events.len(), events[0].step, events[0].lsn), (1, None, None));
    }
}
