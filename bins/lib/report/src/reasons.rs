//! Why the verdict on a drill is not `held`: each thing that keeps it from that, with what it makes of it.

use std::fmt;

use serde::Serialize;

use crate::event::Mark;
use crate::evidence::Evidence;
use crate::fate::{Fate, FateRow, Fates};
use crate::flow::Flow;
use crate::ledger::{Key, Ledger};
use crate::limits;
use crate::show::us;
use crate::takeovers::Takeover;
use crate::verdict::Verdict::{self, Broken, Unknown};
use crate::words::Fault;

/// A client reads an ack within this time, in microseconds, or it was held up itself.
const READ_LATE_US: u64 = 50_000;

/// One reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// The takeover that it is about; `None`: the run as a whole.
    #[serde(rename = "takeover")]
    pub step: Option<u32>,
    /// What the verdict is for this reason alone.
    pub verdict: Verdict,
    /// In words.
    pub why: String,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let step = self.step.map_or(String::new(), |step| format!("takeover {step}: "));
        write!(f, "{}: {step}{}", self.verdict, self.why)
    }
}

/// The reasons; none: held. `fates` are those of the final read, if there was one.
#[must_use]
pub fn reasons(evidence: &Evidence, takeovers: &[Takeover], fates: Option<&Fates>) -> Vec<Reason> {
    let several = takeovers.len() > 1;
    let mut reasons = Vec::new();
    let mut say = |step: Option<u32>, verdict: Verdict, why: Option<String>| {
        let step = step.filter(|_| several);
        reasons.extend(why.map(|why| Reason { step, verdict, why }));
    };
    for why in lost_or_wrong(evidence, fates) {
        say(None, Broken, Some(why));
    }
    let load_died = evidence.has(Mark::LoadDied);
    for takeover in takeovers {
        say(Some(takeover.step), Broken, never_acked_again(takeover).filter(|_| !load_died));
        let failed = takeover.rejoin == Some(crate::words::Rejoin::Failed) && !takeover.port_taken;
        say(Some(takeover.step), Broken, failed.then(|| "the old primary could not rejoin".to_owned()));
        say(Some(takeover.step), Broken, lost_when_nothing_may_be(evidence, takeover, fates));
        for standby in &takeover.not_streaming {
            let which = if takeover.fault.has_takeover() { "the new primary on its timeline" } else { "the primary" };
            let why = format!("{standby} does not stream from {which}");
            say(Some(takeover.step), Broken, Some(why));
        }
    }
    say(None, Unknown, takeovers.is_empty().then(|| "no step of the drill had begun".to_owned()));
    say(None, Unknown, load_died.then(|| "the load ended before it was told to".to_owned()));
    for takeover in takeovers {
        let (step, proven) = (Some(takeover.step), takeover.fault_proven_us.is_some());
        let missing = match takeover.fault.has_takeover() {
            true => "no standby was told to promote",
            false => "the primary was not let go on",
        };
        say(step, Unknown, (!takeover.answered()).then(|| missing.to_owned()));
        say(step, Unknown, (!proven).then(|| "the fault was not proven to have fired".to_owned()));
    }
    for takeover in takeovers {
        for (verdict, why) in limits::not_kept(&evidence.plan, takeover) {
            say(Some(takeover.step), verdict, Some(why));
        }
    }
    let ledger = &evidence.ledger;
    say(None, Unknown, fates.is_none().then(|| "there was no final read".to_owned()));
    say(None, Unknown, (!ledger.complete).then(|| "the ledger is torn: it does not end with `end`".to_owned()));
    say(None, Unknown, ledger.acks.is_empty().then(|| "no write was acknowledged at all".to_owned()));
    for takeover in takeovers.iter().filter(|takeover| takeover.fault_proven_us.is_some()) {
        say(Some(takeover.step), Unknown, Flow::of(&evidence.plan, ledger, takeover).why_not());
        say(Some(takeover.step), Unknown, read_late(ledger, takeover));
    }
    for event in evidence.events.iter().filter(|event| event.mark == Mark::CouldNot) {
        say(event.step, Unknown, event.detail.clone());
    }
    reasons
}

/// What is not there as the clients were told, and a second primary.
fn lost_or_wrong(evidence: &Evidence, fates: Option<&Fates>) -> Vec<String> {
    let (mut found, max_lost) = (Vec::new(), evidence.plan.max_lost);
    let mut say = |count: u64, allowed: u64, what: &str| {
        if count > allowed {
            found.push(format!("{count} {what}"));
        }
    };
    if let Some(fates) = fates {
        let lost = format!("acknowledged writes are lost (--max-lost {max_lost})");
        say(fates.count(Fate::Lost), max_lost, &lost);
        say(fates.count(Fate::Phantom), 0, "writes that the server refused are there");
        say(fates.count(Fate::Unexpected), 0, "rows are there that were never sent");
        say(fates.count(Fate::Duplicate), 0, "writes are there twice");
        say(fates.count(Fate::Corrupt), 0, "writes are there with another payload");
        say(fates.holes, 0, "lost writes have a later surviving one of the same worker");
    }
    let primaries = evidence.events.iter().filter(|event| event.mark == Mark::PrimariesCounted);
    say(primaries.filter_map(|event| event.count).max().unwrap_or(0), 1, "nodes are out of recovery");
    found
}

/// What `--max-lost` does not allow.
fn lost_when_nothing_may_be(evidence: &Evidence, takeover: &Takeover, fates: Option<&Fates>) -> Option<String> {
    let write = |row: &FateRow| evidence.ledger.writes.get(&Key { worker: row.worker, seq: row.seq });
    let lost = |row: &&FateRow| row.fate == Fate::Lost && takeover.tests(write(row));
    let count = fates?.named.iter().filter(lost).count();
    let who = takeover.fault.loses_nothing().filter(|_| count > 0)?;
    Some(format!("{count} acknowledged writes are lost, and {who} loses none, whatever --max-lost says"))
}

/// Without a fault, a promotion, an ack before it or a load that lived, a missing ack says nothing about the cluster.
fn never_acked_again(takeover: &Takeover) -> Option<String> {
    let known = takeover.fault_proven_us.is_some() && takeover.marks.old_timeline.is_some();
    let should = takeover.answered() && known;
    let where_to = match takeover.fault.has_takeover() {
        true => "on the new timeline by the deadline",
        false => "after the primary went on",
    };
    (should && takeover.marks.t4_us.is_none()).then(|| format!("no write was acknowledged {where_to}"))
}

/// How late the load read the last ack of the old primary: none was made once all of its processes were ended or frozen, until
/// they went on.
fn read_late(ledger: &Ledger, takeover: &Takeover) -> Option<String> {
    let (old, proven_us) = (takeover.marks.old_timeline?, takeover.fault_proven_us?);
    let moments = takeover.moments.start..takeover.thawed_us.unwrap_or(takeover.moments.end);
    let acks = ledger.acks.iter().filter(|ack| ack.timeline <= old && moments.contains(&ack.at_us));
    let late_us = acks.map(|ack| ack.at_us).max()?.saturating_sub(proven_us);
    // Who is only frozen may be let go on by anybody.
    let or = if takeover.fault == Fault::Freeze { ", or somebody let the old primary go on" } else { "" };
    let why = format!("the load itself was held up{or}: it read an acknowledgement of the old primary");
    let (late, left_it) = (us(late_us), takeover.fault.left_it());
    (late_us > READ_LATE_US)
        .then(|| format!("{why} {late} after that one was {left_it}, and the outage is longer than it says"))
}

#[cfg(test)]
#[path = "reasons_tests.rs"]
mod tests;
