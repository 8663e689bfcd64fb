//! The takeovers of a run, from its events and its ledger: one for each step that began, however many there are.

use std::ops::Range;

use anyhow::{Context as _, Result, ensure};

use crate::event::{EventRow, Mark};
use crate::ledger::{Ledger, Write};
use crate::lsn::Lsn;
use crate::marks::{Marks, Seen, marks};
use crate::words::{Fault, OutageKind, Rejoin};

/// One step of a run: what came upon a primary, and what followed. `None`: it did not happen, or was not seen.
#[derive(Clone, Debug)]
pub struct Takeover {
    /// Which step, from 1.
    pub step: u32,
    /// What was to happen to the primary.
    pub fault: Fault,
    /// The primary.
    pub old_primary: String,
    /// The standby that was chosen to take over.
    pub new_primary: Option<String>,
    /// When cutting the standbys off began.
    pub cut_begun_us: Option<u64>,
    /// When the last of them was seen to be cut off.
    pub cut_us: Option<u64>,
    /// When the fault was seen to have fired.
    pub fault_proven_us: Option<u64>,
    /// Whether a standby took the order to promote.
    pub promote_accepted: bool,
    /// Where nobody is to take over: when the primary went on.
    pub thawed_us: Option<u64>,
    /// T0 to T6 and what lies between them.
    pub marks: Marks,
    /// Where the new timeline left the old one.
    pub fork: Option<Lsn>,
    /// Where the old timeline ends in the old primary's WAL.
    pub old_end: Option<Lsn>,
    /// How the old primary came back.
    pub rejoin: Option<Rejoin>,
    /// From the begin of that until it streamed.
    pub rejoin_us: Option<u64>,
    /// Somebody outside had its port: whether it can rejoin was not seen.
    pub port_taken: bool,
    /// Standbys that do not stream from the new primary at the end.
    pub not_streaming: Vec<String>,
    /// The raw floor of the same nodes.
    pub floor_us: Option<u64>,
    /// The part of the run that is looked at: from the beginning of this step to that of the next one.
    pub moments: Range<u64>,
    /// The last moment of that in the ledger.
    pub last_us: u64,
    /// The timelines whose writes this takeover puts to the test, and when the outcome of these became known.
    timelines: Range<u32>,
    known: Range<u64>,
}

impl Takeover {
    /// Whether what was expected to follow the fault was begun: a takeover, or that the primary goes on.
    #[must_use]
    pub fn answered(&self) -> bool {
        if self.fault.has_takeover() { self.promote_accepted } else { self.thawed_us.is_some() }
    }

    /// The outage in microseconds, if the fault was proven; only a lower bound, if no new ack came while the load ran.
    #[must_use]
    pub fn outage(&self) -> Option<(u64, OutageKind)> {
        self.fault_proven_us?;
        let at_least = || Some((self.last_us.saturating_sub(self.marks.t1_us?), OutageKind::AtLeast));
        self.marks.outage_us().map(|exact| (exact, OutageKind::Exact)).or_else(at_least)
    }

    /// Whether this is the takeover that could lose a write: the one that ended its timeline. What is newer than the last
    /// takeover, or not known, belongs to the last; or of several faults in a row after which nobody took over, to the one in
    /// whose part of the run its outcome became known.
    #[must_use]
    pub fn tests(&self, write: Option<&Write>) -> bool {
        let timeline = write.and_then(|write| write.timeline).unwrap_or(u32::MAX - 1);
        self.timelines.contains(&timeline) && self.known.contains(&write.map_or(u64::MAX - 1, |write| write.at_us))
    }
}

/// The takeovers of a run, in order.
///
/// # Errors
/// If the steps are not numbered from 1, or one of them does not say what came upon whom.
pub fn takeovers(ledger: &Ledger, events: &[EventRow]) -> Result<Vec<Takeover>> {
    let begun: Vec<&EventRow> = events.iter().filter(|event| event.mark == Mark::StepBegun).collect();
    let mut takeovers: Vec<Takeover> = Vec::new();
    for (index, begins) in begun.iter().enumerate() {
        let step = index as u32 + 1;
        ensure!(begins.step == Some(step), "`step_begun` number {step} is not of step {step}");
        let from_us = if step == 1 { 0 } else { begins.at_us };
        let to_us = begun.get(index + 1).map_or(u64::MAX, |next| next.at_us);
        let own = Own(events.iter().filter(|event| event.step == Some(step)).collect());
        takeovers.push(own.takeover(step, begins, ledger, from_us..to_us)?);
    }
    divide_writes(&mut takeovers);
    Ok(takeovers)
}

/// Says of each takeover which writes it puts to the test.
fn divide_writes(takeovers: &mut [Takeover]) {
    let count = takeovers.len();
    let ended = takeovers.iter().rposition(|takeover| takeover.fault.has_takeover()).map_or(0, |last| last + 1);
    // From this one on they share what is left: the last one, or those at the end after which nobody took over.
    let rest = ended.min(count.saturating_sub(1));
    let mut older = 0;
    for (index, takeover) in takeovers.iter_mut().enumerate() {
        if index >= rest {
            let from_us = if index == rest { 0 } else { takeover.moments.start };
            let to_us = if index + 1 == count { u64::MAX } else { takeover.moments.end };
            (takeover.timelines, takeover.known) = (older..u32::MAX, from_us..to_us);
        } else {
            let end =
                takeover.marks.old_timeline.filter(|_| takeover.fault.has_takeover()).map_or(older, |old| old + 1);
            (takeover.timelines, takeover.known) = (older..end.max(older), 0..u64::MAX);
            older = takeover.timelines.end;
        }
    }
}

/// The events of one step.
struct Own<'a>(Vec<&'a EventRow>);

impl Own<'_> {
    fn all(&self, mark: Mark) -> impl DoubleEndedIterator<Item = &EventRow> {
        self.0.iter().copied().filter(move |event| event.mark == mark)
    }

    fn first_us(&self, mark: Mark) -> Option<u64> {
        self.all(mark).next().map(|event| event.at_us)
    }

    fn has(&self, mark: Mark) -> bool {
        self.first_us(mark).is_some()
    }

    /// From the first of one mark to the first of another.
    fn between_us(&self, from: Mark, to: Mark) -> Option<u64> {
        Some(self.first_us(to)?.saturating_sub(self.first_us(from)?))
    }

    fn lsn(&self, mark: Mark) -> Option<Lsn> {
        self.all(mark).next()?.lsn
    }

    fn takeover(&self, step: u32, begins: &EventRow, ledger: &Ledger, moments: Range<u64>) -> Result<Takeover> {
        let seen = Seen {
            t0_us: self.first_us(Mark::T0),
            out_of_recovery_us: self.first_us(Mark::T3),
            redundant_us: self.first_us(Mark::T6),
            thawed_us: self.first_us(Mark::Thawed),
        };
        let load = ledger.within(&moments);
        let rejoins = |event: &&EventRow| matches!(event.mark, Mark::Rejoined | Mark::RejoinFailed);
        Ok(Takeover {
            step,
            fault: begins.fault.with_context(|| format!("`step_begun` of step {step} names no fault"))?,
            old_primary: begins.node.clone().with_context(|| format!("`step_begun` of step {step} names no node"))?,
            new_primary: self.all(Mark::Chosen).next().and_then(|event| event.node.clone()),
            cut_begun_us: self.first_us(Mark::CutBegun),
            cut_us: self.all(Mark::Cut).next_back().map(|event| event.at_us),
            fault_proven_us: self.first_us(Mark::FaultProven),
            promote_accepted: self.has(Mark::PromoteAccepted),
            thawed_us: seen.thawed_us,
            marks: marks(&load, seen),
            fork: self.lsn(Mark::ForkRead),
            old_end: self.lsn(Mark::OldEndRead),
            rejoin: self.0.iter().copied().find(rejoins).and_then(|event| event.rejoin),
            rejoin_us: self.between_us(Mark::RejoinBegun, Mark::Rejoined),
            port_taken: self.has(Mark::PortTaken),
            not_streaming: self.all(Mark::Defect).filter_map(|event| event.node.clone()).collect(),
            floor_us: self.between_us(Mark::FloorKilled, Mark::FloorAcked).filter(|_| self.has(Mark::FloorDone)),
            last_us: load.last_us,
            moments,
            timelines: 0..0,
            known: 0..0,
        })
    }
}

#[cfg(test)]
#[path = "takeovers_tests.rs"]
pub(crate) mod tests;
