//! `stall`: every process of the primary is stopped where it is for `--stall`, and then goes on, as on a machine that swaps
//! or is moved.
//!
//! Nobody takes over: that is what a time-out of a failover manager is for. The primary goes on where it was, so nothing
//! may be lost, and the outage is the time that it was stopped. If the drill is interrupted, it goes on at once.

use report::words::Fault;

use super::Injection;

pub(super) const STALL: Injection = Injection {
    fault: Fault::Stall,
    what: "SIGSTOP for all of its processes, for --stall; nobody takes over, and it goes on, which must lose nothing",
    does: "SIGSTOP all processes of",
    doing: "freezing",
    done: "was frozen",
    act: |power, node, first_act| power.freeze(node, first_act),
    proof: "all of its processes are stopped",
    fence: None,
};
