//! Which node is the primary, which beats each standby has shown, and the rows that follow from that.
//!
//! Pure: the caller hands in every time, in microseconds.

use std::collections::BTreeMap;

use report::lag::{LagRow, LagStatus};

use crate::node_tracker::{NodeTracker, SILENT_US};
use crate::pending::{PendingBeats, PollReply, SeenBeat};
use crate::server_stats::{ReceiverNames, ServerStats, of_standby};

/// What the measurement knows of all nodes.
pub(crate) struct LagTracker {
    run: String,
    interval_us: u64,
    nodes: Vec<NodeTracker>,
    primary: Option<usize>,
    /// The newest timeline that was measured. A node out of recovery on an older one was left behind by a takeover.
    timeline: u32,
    last_beat: u64,
    in_flight: Option<InFlight>,
    stats: Vec<ServerStats>,
    stats_us: u64,
    /// Whether the primary has been asked for its statistics, with or without success.
    stats_asked: bool,
    beating: bool,
    rows: Vec<LagRow>,
}

/// A beat on its way to the primary.
#[derive(Clone, Copy)]
struct InFlight {
    beat: u64,
    sent_us: u64,
}

impl LagTracker {
    /// `primary` is the index of the node that is no standby. `named`: the names are those of a cluster file.
    pub(crate) fn new(run: &str, interval_us: u64, names: &[String], named: bool, primary: usize) -> LagTracker {
        let node = |(index, name): (usize, &String)| NodeTracker::new(name, named, index != primary);
        LagTracker {
            run: run.to_owned(),
            interval_us,
            nodes: names.iter().enumerate().map(node).collect(),
            primary: None,
            timeline: 0,
            last_beat: 0,
            in_flight: None,
            stats: Vec::new(),
            stats_us: 0,
            stats_asked: false,
            beating: false,
            rows: Vec::new(),
        }
    }

    pub(crate) fn name(&self, node: usize) -> &str {
        &self.nodes[node].name
    }

    /// The nodes that are standbys now, and since when each is, in microseconds.
    pub(crate) fn standbys_since_us(&self) -> BTreeMap<String, u64> {
        let standbys = self.nodes.iter().filter(|node| node.pending.is_some());
        standbys.map(|node| (node.name.clone(), node.since_us)).collect()
    }

    pub(crate) fn primary(&self) -> Option<usize> {
        self.primary
    }

    /// Whether beats are due on this node.
    pub(crate) fn beats_on(&self, node: usize) -> bool {
        self.beating && self.primary == Some(node)
    }

    pub(crate) fn set_beating(&mut self, beating: bool) {
        self.beating = beating;
    }

    /// Whether the first sample can be taken: there is a primary, it has been asked for its statistics, and each node has
    /// answered or failed to.
    pub(crate) fn is_ready(&self) -> bool {
        self.primary.is_some() && self.stats_asked && self.nodes.iter().all(|node| node.connected.is_some())
    }

    /// Whether no beat is in flight, nor pending on any standby that answers.
    pub(crate) fn nothing_pending(&self, now_us: u64) -> bool {
        self.in_flight.is_none() && self.nodes.iter().all(|node| !node.answers(now_us) || node.age_us(now_us).is_none())
    }

    /// The rows since the last call.
    pub(crate) fn take_rows(&mut self) -> Vec<LagRow> {
        std::mem::take(&mut self.rows)
    }

    /// How long to pause before this node is asked again.
    pub(crate) fn pause_us(&self, node: usize, now_us: u64) -> u64 {
        self.nodes[node].pause_us(now_us, self.interval_us, self.primary.is_some())
    }

    /// Whether a young beat is pending on this node, so that nothing else should be asked there.
    pub(crate) fn is_busy(&self, node: usize, now_us: u64) -> bool {
        self.nodes[node].is_busy(now_us)
    }

    /// A question is on its way to this node.
    pub(crate) fn asked(&mut self, node: usize, at_us: u64) {
        self.nodes[node].asked_us = Some(at_us);
    }

    /// The node's session stands; returns whether that is news.
    pub(crate) fn connected(&mut self, node: usize) -> bool {
        self.nodes[node].connected.replace(true) == Some(false)
    }

    /// The node's session is gone, or there was none to be had; returns whether that is news.
    pub(crate) fn disconnected(&mut self, node: usize) -> bool {
        self.nodes[node].asked_us = None;
        let news = self.nodes[node].connected.replace(false) != Some(false);
        if self.primary == Some(node) {
            self.primary = None;
            self.stats.clear();
            self.abandon_in_flight();
        }
        news
    }

    pub(crate) fn set_receiver_names(&mut self, node: usize, told: ReceiverNames) {
        self.nodes[node].set_receiver_names(told);
    }

    pub(crate) fn stats_asked(&mut self) {
        self.stats_asked = true;
    }

    pub(crate) fn set_stats(&mut self, stats: Vec<ServerStats>, at_us: u64) {
        (self.stats, self.stats_us) = (stats, at_us);
    }

    /// The next beat leaves for the primary now; returns its number.
    pub(crate) fn beat_sent(&mut self, at_us: u64) -> u64 {
        self.last_beat += 1;
        self.in_flight = Some(InFlight { beat: self.last_beat, sent_us: at_us });
        for pending in self.nodes.iter_mut().filter_map(|node| node.pending.as_mut()) {
            pending.sent(self.last_beat, at_us);
        }
        self.last_beat
    }

    /// The primary acknowledged a beat. The acknowledgement of a beat that was abandoned before promises nothing.
    pub(crate) fn beat_acked(&mut self, beat: u64, at_us: u64) {
        if self.in_flight.take_if(|in_flight| in_flight.beat == beat).is_some() {
            self.close_with(|pending| pending.acked(beat, at_us));
        }
    }

    /// A node in recovery answered. If it was no standby before, it is measured from the next beat on.
    pub(crate) fn standby_replied(&mut self, node: usize, reply: PollReply) {
        let standby = &mut self.nodes[node];
        standby.asked_us = None;
        if standby.pending.is_none() {
            standby.since_us = reply.reply_us;
        }
        let seen = standby.pending.get_or_insert_default().replied(reply);
        self.report_seen(node, seen);
    }

    /// A node out of recovery answered. Returns whether this makes it the primary of the measurement: it is on a newer
    /// timeline than any measured before, or it is the primary that comes back on the newest one. `reply.beat` is the
    /// last beat that it has.
    pub(crate) fn primary_replied(&mut self, node: usize, timeline: u32, reply: PollReply) -> bool {
        self.nodes[node].asked_us = None;
        let comes_back = self.primary.is_none() && timeline == self.timeline;
        if timeline <= self.timeline && !comes_back {
            return false;
        }
        (self.primary, self.timeline) = (Some(node), timeline);
        self.stats.clear();
        self.abandon_in_flight();
        if self.nodes[node].pending.is_some() {
            self.standby_replied(node, reply);
        }
        for index in 0..self.nodes.len() {
            let lost =
                self.nodes[index].pending.as_mut().map(|pending| pending.lose_after(reply.beat)).unwrap_or_default();
            for beat in lost {
                self.report(index, LagStatus::BeatLost, Some(beat), None, None, reply.reply_us);
            }
        }
        self.nodes[node].pending = None;
        true
    }

    /// A tick, due at `due_us`: one row for each standby that is unreachable, has no primary, or has not shown a beat yet.
    pub(crate) fn tick(&mut self, due_us: u64, now_us: u64) {
        let waiting = self.in_flight.filter(|in_flight| in_flight.sent_us < due_us);
        for index in 0..self.nodes.len() {
            let node = &self.nodes[index];
            let Some(pending) = &node.pending else { continue };
            let (beat, bound) = match pending.oldest(due_us) {
                Some((beat, acked_us)) => (Some(beat), Some(node.bound_us(acked_us, now_us))),
                None => (None, None),
            };
            if !node.answers(now_us) {
                self.report(index, LagStatus::Unreachable, beat, bound, None, now_us);
            } else if self.primary.is_none() || waiting.is_some() {
                let beat = beat.or(waiting.map(|in_flight| in_flight.beat));
                self.report(index, LagStatus::NoPrimary, beat, bound, None, now_us);
            } else if beat.is_some() {
                self.report(index, LagStatus::AtLeast, beat, bound, None, now_us);
            }
        }
    }

    /// The end of the measurement: a last row for each pending beat.
    pub(crate) fn finish(&mut self, now_us: u64) {
        self.abandon_in_flight();
        for index in 0..self.nodes.len() {
            let node = &self.nodes[index];
            let status = if node.answers(now_us) { LagStatus::AtLeast } else { LagStatus::Unreachable };
            let open = node.pending.as_ref().map(PendingBeats::all).unwrap_or_default();
            let bounds: Vec<_> = open.iter().map(|(beat, acked)| (*beat, node.bound_us(*acked, now_us))).collect();
            for (beat, bound_us) in bounds {
                self.report(index, status, Some(beat), Some(bound_us), None, now_us);
            }
        }
    }

    fn abandon_in_flight(&mut self) {
        if let Some(InFlight { beat, .. }) = self.in_flight.take() {
            self.close_with(|pending| pending.unacknowledged(beat));
        }
    }

    fn close_with(&mut self, close: impl Fn(&mut PendingBeats) -> Option<SeenBeat>) {
        for index in 0..self.nodes.len() {
            let seen = self.nodes[index].pending.as_mut().and_then(&close);
            self.report_seen(index, seen);
        }
    }

    fn report_seen(&mut self, node: usize, seen: impl IntoIterator<Item = SeenBeat>) {
        for seen in seen {
            let SeenBeat { beat, min_us, max_us, at_us } = seen;
            self.report(node, LagStatus::Seen, Some(beat), Some(min_us), Some(max_us), at_us);
        }
    }

    fn report(
        &mut self,
        node: usize,
        status: LagStatus,
        beat: Option<u64>,
        visible_min_us: Option<u64>,
        visible_max_us: Option<u64>,
        at_us: u64,
    ) {
        let NodeTracker { name, named, receiver, .. } = &self.nodes[node];
        // The primary is asked once in an interval. Older statistics do not belong to this sample.
        let fresh = at_us < self.stats_us + 3 * self.interval_us + SILENT_US;
        let known = if fresh { &self.stats[..] } else { &[] };
        let own_name = named.then_some(name.as_str());
        let stats = of_standby(known, own_name, receiver.as_ref()).cloned().unwrap_or_default();
        self.rows.push(LagRow {
            run: self.run.clone(),
            at_us,
            standby: name.clone(),
            beat,
            visible_min_us,
            visible_max_us,
            write_lag_us: stats.write_lag_us,
            flush_lag_us: stats.flush_lag_us,
            replay_lag_us: stats.replay_lag_us,
            sent_gap_bytes: stats.sent_gap_bytes,
            write_gap_bytes: stats.write_gap_bytes,
            flush_gap_bytes: stats.flush_gap_bytes,
            replay_gap_bytes: stats.replay_gap_bytes,
            slot_kept_bytes: stats.slot_kept_bytes,
            state: stats.state,
            sync_state: stats.sync_state,
            status,
        });
    }
}

#[cfg(test)]
#[path = "tracker_tests.rs"]
mod tests;
