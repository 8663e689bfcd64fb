//! `drill.csv`: one drill, and the verdict on it.

use serde::{Deserialize, Serialize};

use crate::show::us;
use crate::verdict::Verdict;

/// One drill. What each figure means is DESIGN's section "What the figures mean", retold in `reports/README.md`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillRow {
    /// The run that this row belongs to.
    pub run: String,
    /// How the nodes are run: `local`, `compose`, `external`.
    pub backend: String,
    /// The full version of PostgreSQL, as the primary said it before the fault.
    pub pg_version: String,
    /// The fault that was injected.
    pub fault: String,
    /// The sync mode: `async`, `remote_write`, `on`, `remote_apply`.
    pub sync: String,
    /// Standbys at the start.
    pub standbys: u64,
    /// Clients writing.
    pub clients: u64,
    /// Writes due per second; empty for `max`.
    pub rate_per_s: Option<u64>,
    /// Writes acknowledged.
    pub acked: u64,
    /// Writes acknowledged without the standby.
    pub acked_local: u64,
    /// Writes that provably did not commit.
    pub failed: u64,
    /// Writes whose outcome the client cannot know.
    pub unknown: u64,
    /// Writes never sent.
    pub skipped: u64,
    /// Acked and gone; this and the next seven are empty if there was no final read.
    pub lost: Option<u64>,
    /// Acked without the standby, and gone.
    pub lost_local: Option<u64>,
    /// Unknown, and present.
    pub recovered: Option<u64>,
    /// Failed, and present.
    pub phantom: Option<u64>,
    /// Never sent, and present; empty too if the ledger is torn.
    pub unexpected: Option<u64>,
    /// Present twice.
    pub duplicate: Option<u64>,
    /// Present with another payload.
    pub corrupt: Option<u64>,
    /// Keys in the old primary's data directory that the new primary lacks; empty if it was not read.
    pub divergent: Option<u64>,
    /// T4 − T1 (without a promotion: the longest gap that ends after T0).
    pub outage_us: Option<u64>,
    /// Shortest outage of a worker.
    pub outage_worker_min_us: Option<u64>,
    /// Median outage of a worker.
    pub outage_worker_p50_us: Option<u64>,
    /// Longest outage of a worker.
    pub outage_worker_max_us: Option<u64>,
    /// Longest gap between two acks of the run.
    pub longest_gap_us: Option<u64>,
    /// T2 − T0.
    pub detection_us: Option<u64>,
    /// T3 − T0.
    pub promotion_us: Option<u64>,
    /// T4 − T3.
    pub reroute_us: Option<u64>,
    /// T6 − T0.
    pub redundancy_us: Option<u64>,
    /// From T0 until acks came again at 90 % of the rate before it.
    pub recover90_us: Option<u64>,
    /// From T4 to the last ack of the old timeline after it.
    pub split_us: Option<u64>,
    /// Acks of the old timeline after T4.
    pub split_acked: Option<u64>,
    /// From the last surviving ack before the first lost one to the last lost one.
    pub rpo_span_us: Option<u64>,
    /// WAL of the old timeline beyond the fork.
    pub rpo_wal_bytes: Option<u64>,
    /// How the old primary came back: `rewind`, `clone`, `failed`; empty if it was not tried.
    pub rejoin: Option<String>,
    /// From the begin of rejoining until it streamed.
    pub rejoin_us: Option<u64>,
    /// The verdict.
    pub verdict: Verdict,
    /// `exact`, or `at_least` if no ack came on the new timeline until the deadline.
    pub outage_kind: Option<String>,
    /// Longest time without an ack before T0, one that was open at T0 counted up to T0: what the outage has to be
    /// compared with.
    pub longest_gap_before_us: Option<u64>,
    /// Lost writes that have a later surviving ack of the same worker and timeline.
    pub holes: Option<u64>,
    /// How long a client waits for an answer before it gives a write up: detection cannot be told apart below this
    /// when the fault is silent.
    pub op_timeout_us: u64,
    /// The raw floor on the same nodes: SIGKILL, `pg_ctl promote -w`, first write by a waiting client.
    pub floor_us: Option<u64>,
    /// The node that the fault hit.
    pub old_primary: String,
    /// The node that took over; empty if none did.
    pub new_primary: Option<String>,
    /// T5 − T0: until every client had acked five in a row; empty if one of them never did.
    pub well_us: Option<u64>,
    /// Clients that acked before the fault and never on the new timeline.
    pub stranded: Option<u64>,
    /// The part of the outage that lies before T0.
    pub outage_before_us: Option<u64>,
    /// The part of `reroute_us` in which the client with the first ack was connecting: the load's own share.
    pub connecting_us: Option<u64>,
}

/// What the verdict on a drill depends on.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// Whether the fault was proven to have fired.
    pub fault_proven: bool,
    /// Whether the final read was done, with the writers drained.
    pub final_read: bool,
    /// Whether the ledger ends with `end` and the right count.
    pub ledger_complete: bool,
    /// Acks seen in the whole run.
    pub acks: u64,
    /// Whether a standby took the order to promote: if not, a missing ack says nothing about the cluster.
    pub promotion_ordered: bool,
    /// Whether an ack on the new timeline was seen.
    pub acked_on_new_timeline: bool,
    /// Whether the load ran until it was told to end: if not, a missing ack says nothing about the cluster.
    pub load_lived: bool,
    /// Whether the load was flowing when it mattered; what a ledger does not see, it cannot judge.
    pub flow: Flow,
    /// Lost writes and how many are allowed.
    pub lost: u64,
    /// How many lost writes are allowed.
    pub max_lost: u64,
    /// Reported as failed, and present.
    pub phantom: u64,
    /// Never sent, and present.
    pub unexpected: u64,
    /// Present twice.
    pub duplicate: u64,
    /// Present with another payload.
    pub corrupt: u64,
    /// Lost writes with a later surviving ack.
    pub holes: u64,
    /// Nodes out of recovery at the final read.
    pub primaries: u64,
    /// Whether the old primary was to rejoin, and whether it does.
    pub rejoined: Option<bool>,
    /// Standbys that do not stream from the new primary on its timeline at the end, by name.
    pub not_streaming: Vec<String>,
    /// Why something could not be found out, in words.
    pub could_not: Vec<String>,
    /// How long after its last process was gone the last ack of the old primary was read, in microseconds.
    pub read_late_us: Option<u64>,
}

/// A client reads an ack within this time, in microseconds, or it was held up itself.
const READ_LATE_US: u64 = 50_000;

/// For how long nothing had been acknowledged when it mattered: at T0, and after a cut in a sync mode, which promises
/// silence, at the cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// The silence in microseconds; `None`: nothing was acknowledged before.
    pub silent_us: Option<u64>,
    /// The longest silence of a load that counts as flowing, in microseconds.
    pub allowed_us: u64,
    /// Whether that moment was the cut and not T0.
    pub at_cut: bool,
    /// After a cut in async, where commits go on that nobody else has: how many writes were sent and acknowledged between
    /// the cut and T0.
    pub after_cut: Option<u64>,
}

impl Flow {
    /// Why the load was not flowing; `None`: it was.
    #[must_use]
    pub fn why_not(&self) -> Option<String> {
        let what = if self.at_cut { "cut" } else { "fault" };
        match self.silent_us {
            Some(silent) if silent <= self.allowed_us && self.after_cut == Some(0) => Some(
                "the load was not flowing: no write was sent and acknowledged between the cut and the fault, and a ledger \
                 cannot see what others lost then (a longer --cut, or a higher --rate)"
                    .to_owned(),
            ),
            Some(silent) if silent <= self.allowed_us => None,
            Some(silent) => Some(format!(
                "the load was not flowing: nothing was acknowledged in the last {} before the {what} (allowed: {}), and a \
                 ledger cannot see what was lost then",
                us(silent),
                us(self.allowed_us)
            )),
            None => Some(format!("the load was not flowing: nothing was acknowledged before the {what}")),
        }
    }
}

/// The verdict on a drill, with a reason for each thing that keeps it from `held`.
#[must_use]
pub fn verdict(findings: &Findings) -> (Verdict, Vec<String>) {
    let f = findings;
    let mut reasons = Vec::new();
    let mut verdict = Verdict::Held;
    let mut say = |if_so: bool, then: Verdict, why: String| {
        if if_so {
            verdict = verdict.join(then);
            reasons.push(format!("{then}: {why}"));
        }
    };
    use Verdict::{Broken, Unknown};
    say(f.lost > f.max_lost, Broken, format!("{} acknowledged writes are lost (--max-lost {})", f.lost, f.max_lost));
    say(f.phantom > 0, Broken, format!("{} writes that the server refused are there", f.phantom));
    say(f.unexpected > 0, Broken, format!("{} rows are there that were never sent", f.unexpected));
    say(f.duplicate > 0, Broken, format!("{} writes are there twice", f.duplicate));
    say(f.corrupt > 0, Broken, format!("{} writes are there with another payload", f.corrupt));
    say(f.holes > 0, Broken, format!("{} lost writes have a later surviving one of the same worker", f.holes));
    say(f.primaries > 1, Broken, format!("{} nodes are out of recovery", f.primaries));
    say(
        f.promotion_ordered && f.fault_proven && f.load_lived && !f.acked_on_new_timeline,
        Broken,
        "no write was acknowledged on the new timeline by the deadline".to_owned(),
    );
    say(f.rejoined == Some(false), Broken, "the old primary could not rejoin".to_owned());
    for standby in &f.not_streaming {
        say(true, Broken, format!("{standby} does not stream from the new primary on its timeline"));
    }
    say(!f.load_lived, Unknown, "the load ended before it was told to".to_owned());
    say(!f.promotion_ordered, Unknown, "no standby was told to promote".to_owned());
    say(!f.fault_proven, Unknown, "the fault was not proven to have fired".to_owned());
    say(!f.final_read, Unknown, "there was no final read".to_owned());
    say(!f.ledger_complete, Unknown, "the ledger is torn: it does not end with `end`".to_owned());
    say(f.acks == 0, Unknown, "no write was acknowledged at all".to_owned());
    if let Some(why) = f.flow.why_not().filter(|_| f.fault_proven) {
        say(true, Unknown, why);
    }
    if let Some(late) = f.read_late_us.filter(|late| *late > READ_LATE_US) {
        let why = "the load itself was held up: it read an acknowledgement of the old primary";
        say(
            true,
            Unknown,
            format!("{why} {} after that one was gone, and the outage is longer than it says", us(late)),
        );
    }
    for why in &f.could_not {
        say(true, Unknown, why.clone());
    }
    (verdict, reasons)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Findings {
        Findings {
            fault_proven: true,
            final_read: true,
            ledger_complete: true,
            acks: 1,
            promotion_ordered: true,
            acked_on_new_timeline: true,
            load_lived: true,
            primaries: 1,
            flow: Flow { silent_us: Some(2_000), allowed_us: 250_000, at_cut: false, after_cut: None },
            rejoined: Some(true),
            ..Findings::default()
        }
    }

    fn after(change: impl FnOnce(&mut Findings)) -> Verdict {
        let mut findings = good();
        change(&mut findings);
        verdict(&findings).0
    }

    #[test]
    fn all_well_is_held_without_a_reason() {
        assert_eq!(verdict(&good()), (Verdict::Held, vec![]));
    }

    #[test]
    fn each_defect_is_broken() {
        assert_eq!(after(|f| f.lost = 1), Verdict::Broken);
        assert_eq!(after(|f| f.phantom = 1), Verdict::Broken);
        assert_eq!(after(|f| f.unexpected = 1), Verdict::Broken);
        assert_eq!(after(|f| f.duplicate = 1), Verdict::Broken);
        assert_eq!(after(|f| f.corrupt = 1), Verdict::Broken);
        assert_eq!(after(|f| f.holes = 1), Verdict::Broken);
        assert_eq!(after(|f| f.primaries = 2), Verdict::Broken);
        assert_eq!(after(|f| f.acked_on_new_timeline = false), Verdict::Broken);
        assert_eq!(after(|f| f.rejoined = Some(false)), Verdict::Broken);
        assert_eq!(after(|f| f.not_streaming.push("node3".into())), Verdict::Broken);
    }

    #[test]
    fn what_was_not_seen_is_unknown() {
        assert_eq!(after(|f| f.fault_proven = false), Verdict::Unknown);
        assert_eq!(after(|f| f.final_read = false), Verdict::Unknown);
        assert_eq!(after(|f| f.ledger_complete = false), Verdict::Unknown);
        assert_eq!(after(|f| f.acks = 0), Verdict::Unknown);
        assert_eq!(after(|f| (f.load_lived, f.acked_on_new_timeline) = (false, false)), Verdict::Unknown);
        assert_eq!(after(|f| (f.promotion_ordered, f.acked_on_new_timeline) = (false, false)), Verdict::Unknown);
        assert_eq!(after(|f| f.could_not.push("the sync wait".into())), Verdict::Unknown);
    }

    #[test]
    fn a_load_that_did_not_flow_when_it_mattered_saw_nothing() {
        assert_eq!(after(|f| f.flow.silent_us = Some(250_001)), Verdict::Unknown);
        assert_eq!(after(|f| f.flow.silent_us = None), Verdict::Unknown);
        assert_eq!(after(|f| f.flow.after_cut = Some(0)), Verdict::Unknown);
        assert_eq!(after(|f| f.flow.after_cut = Some(1)), Verdict::Held);
        assert_eq!(after(|f| (f.flow.silent_us, f.lost) = (None, 1)), Verdict::Broken, "what was seen counts");
    }

    #[test]
    fn a_load_that_was_held_up_itself_knows_no_outage() {
        assert_eq!(after(|f| f.read_late_us = Some(50_000)), Verdict::Held);
        assert_eq!(after(|f| f.read_late_us = Some(50_001)), Verdict::Unknown);
    }

    #[test]
    fn allowed_losses_hold_and_broken_outweighs_unknown() {
        assert_eq!(after(|f| (f.lost, f.max_lost) = (3, 3)), Verdict::Held);
        assert_eq!(after(|f| (f.lost, f.final_read) = (1, false)), Verdict::Broken);
    }
}
