//! `kill`: every process of the primary is ended at once, as by a crash of its machine.
//!
//! Clients notice at once, for the kernel closes their sockets. What was acknowledged and had not reached the standby is
//! gone, which only asynchronous commits can be. The old primary is brought back by `pg_rewind`.

use report::words::Fault;

use super::Injection;

pub(super) const KILL: Injection = Injection {
    fault: Fault::Kill,
    what: "SIGKILL for all of its processes at once: a crash",
    does: "SIGKILL all processes of",
    doing: "killing",
    done: "was killed",
    act: |power, node, first_act| power.kill(node, first_act),
    proof: "none of its processes is left",
    fence: None,
};
