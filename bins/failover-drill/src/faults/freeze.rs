//! `freeze`: every process of the primary is stopped where it is, as on a machine that hangs.
//!
//! Its sockets stay open, so clients notice nothing but silence, and give up after their `--op-timeout`. Whoever promotes
//! a standby then does not know whether the old primary will go on one day. It must not: it would serve whoever still talks
//! to it. So it is killed while it is stopped, once the clients are well again, and only then brought back; or at once, if the
//! drill is interrupted.

use report::words::Fault;

use super::Injection;

pub(super) const FREEZE: Injection = Injection {
    fault: Fault::Freeze,
    what: "SIGSTOP for all of its processes: it is silent, its sockets stay open, clients notice by --op-timeout",
    does: "SIGSTOP all processes of",
    doing: "freezing",
    done: "was frozen",
    act: |power, node, first_act| power.freeze(node, first_act),
    proof: "all of its processes are stopped",
    fence: Some(|power, node| power.kill(node, &mut || {})),
};
