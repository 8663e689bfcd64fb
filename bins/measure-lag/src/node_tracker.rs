//! What is known of one node: its session, the question that it has not answered yet, and its pending beats.

use crate::pending::PendingBeats;
use crate::server_stats::ReceiverNames;

/// A standby that has not answered a question about one row for this long counts as unreachable. A loaded machine with
/// two cores answers within tens of milliseconds.
pub(crate) const SILENT_US: u64 = 250_000;

/// How often a node is asked while no beat is pending there. A promotion is noticed this soon.
const IDLE_US: u64 = 20_000;

/// Pause between two questions about a young beat. This pause and the time of the question are the error of a sample.
const YOUNG_US: u64 = 150;

/// The pause for an older beat is a fortieth of its age (2.5 % of error), so that a standby far behind costs no core.
const AGE_SHARE: u64 = 40;

/// The longest pause while a beat is pending.
const OLD_US: u64 = 50_000;

pub(crate) struct NodeTracker {
    pub(crate) name: String,
    /// Whether the name is from a cluster file: then the node's slot and its walsender bear the same name.
    pub(crate) named: bool,
    /// Its pending beats, as long as it is a standby.
    pub(crate) pending: Option<PendingBeats>,
    /// Since when it is a standby again, in microseconds; 0: from the beginning.
    pub(crate) since_us: u64,
    /// Whether its session stands; `None` before the first attempt has ended.
    pub(crate) connected: Option<bool>,
    /// When the question was sent that it has not answered yet.
    pub(crate) asked_us: Option<u64>,
    pub(crate) receiver: Option<ReceiverNames>,
}

impl NodeTracker {
    pub(crate) fn new(name: &str, named: bool, is_standby: bool) -> NodeTracker {
        NodeTracker {
            name: name.to_owned(),
            named,
            pending: is_standby.then(PendingBeats::default),
            since_us: 0,
            connected: None,
            asked_us: None,
            receiver: None,
        }
    }

    pub(crate) fn answers(&self, now_us: u64) -> bool {
        let waited_us = self.asked_us.map_or(0, |asked_us| now_us.saturating_sub(asked_us));
        self.connected == Some(true) && waited_us < SILENT_US
    }

    /// The age of its oldest pending beat; `None` if no beat is pending.
    pub(crate) fn age_us(&self, now_us: u64) -> Option<u64> {
        self.pending.as_ref().and_then(|pending| pending.age_us(now_us))
    }

    /// The lower bound of a pending beat's lag: what the last answered question proved. If no question was answered since
    /// the beat's acknowledgement, or the standby does not answer at all, the bound is the time since then: nobody can
    /// have seen the beat there.
    pub(crate) fn bound_us(&self, acked_us: u64, now_us: u64) -> u64 {
        let proven_us =
            self.pending.as_ref().filter(|_| self.answers(now_us)).and_then(|pending| pending.proven_us(acked_us));
        proven_us.filter(|us| *us > 0).unwrap_or_else(|| now_us.saturating_sub(acked_us))
    }

    /// Whether a young beat is pending, so that nothing else should be asked of this node.
    pub(crate) fn is_busy(&self, now_us: u64) -> bool {
        self.age_us(now_us).is_some_and(|age_us| age_us < IDLE_US)
    }

    /// How long to pause before the next question. Without a primary a takeover may be near: pauses stay short.
    pub(crate) fn pause_us(&self, now_us: u64, interval_us: u64, has_primary: bool) -> u64 {
        let longest_us = if has_primary { OLD_US } else { IDLE_US };
        match self.age_us(now_us) {
            None => IDLE_US,
            Some(age_us) if age_us < IDLE_US => YOUNG_US,
            Some(age_us) => (age_us / AGE_SHARE).clamp(YOUNG_US, longest_us.min(interval_us.max(YOUNG_US))),
        }
    }

    /// What the standby says of its walreceiver. While that is down, its last name holds.
    pub(crate) fn set_receiver_names(&mut self, told: ReceiverNames) {
        let known = self.receiver.take().unwrap_or_default();
        self.receiver = Some(ReceiverNames { slot: told.slot, application: told.application.or(known.application) });
    }
}
