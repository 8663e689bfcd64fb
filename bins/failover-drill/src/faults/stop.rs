//! `stop`: the primary is shut down as one does for a planned switchover.
//!
//! A fast shutdown ends all sessions, writes a checkpoint, and waits until the standbys that stream have received all of its
//! WAL, to the last record. So nothing that was acknowledged may be lost, in any sync mode. Acks may come until it is down: T0
//! is just before it is asked to shut down, and the fault is proven when it is seen to be down.

use report::words::Fault;

use super::Injection;

pub(super) const STOP: Injection = Injection {
    fault: Fault::Stop,
    what: "A fast shutdown, which waits for the standbys: a planned switchover, which must lose nothing",
    does: "shut down",
    doing: "shutting down",
    done: "was shut down",
    act: |power, node, first_act| {
        first_act();
        power.stop(node)
    },
    proof: "its server is down",
    fence: None,
};
