//! The beats that one standby has not shown yet. Pure bookkeeping: the caller hands in every time, in microseconds.

use std::collections::VecDeque;

/// A node's reply to the question which beat is visible.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PollReply {
    /// Just before the question was handed to the socket.
    pub(crate) sent_us: u64,
    /// Just after the answer had come.
    pub(crate) reply_us: u64,
    /// The beat that was visible; 0 if the row was not there.
    pub(crate) beat: u64,
}

/// A beat that was seen, and the bounds of its lag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SeenBeat {
    pub(crate) beat: u64,
    /// From the commit's acknowledgement to the sending of the last poll that did not see it.
    pub(crate) min_us: u64,
    /// From the sending of the commit to the reply of the first poll that saw it.
    pub(crate) max_us: u64,
    /// When that reply came.
    pub(crate) at_us: u64,
}

/// A beat that has not been reported as seen yet.
#[derive(Clone, Copy, Debug)]
struct Open {
    beat: u64,
    sent_us: u64,
    /// When the primary acknowledged it; `None` while it is in flight.
    acked_us: Option<u64>,
    seen: Option<FirstSeen>,
}

/// When a standby first showed a beat. That can be before the primary's acknowledgement has reached us.
#[derive(Clone, Copy, Debug)]
struct FirstSeen {
    unseen_us: Option<u64>,
    reply_us: u64,
}

/// The open beats of one standby, oldest first.
#[derive(Debug, Default)]
pub(crate) struct PendingBeats {
    open: VecDeque<Open>,
    /// When the last answered poll was sent: it saw none of the pending beats.
    unseen_us: Option<u64>,
}

impl PendingBeats {
    /// A beat is on its way to the primary.
    pub(crate) fn sent(&mut self, beat: u64, at_us: u64) {
        self.open.push_back(Open { beat, sent_us: at_us, acked_us: None, seen: None });
    }

    /// The primary acknowledged it; returns it if it has been seen already.
    pub(crate) fn acked(&mut self, beat: u64, at_us: u64) -> Option<SeenBeat> {
        let open = self.open.iter_mut().rfind(|open| open.beat == beat)?;
        open.acked_us = Some(at_us);
        self.close_seen().pop()
    }

    /// The primary never acknowledged it, so nothing was promised and nobody waits for it. It counts if it was seen.
    pub(crate) fn unacknowledged(&mut self, beat: u64) -> Option<SeenBeat> {
        let at = self.open.iter().rposition(|open| open.beat == beat)?;
        self.open.remove(at).and_then(Open::close)
    }

    /// Takes in a reply; returns all beats that it is the first to show.
    pub(crate) fn replied(&mut self, reply: PollReply) -> Vec<SeenBeat> {
        let first = FirstSeen { unseen_us: self.unseen_us, reply_us: reply.reply_us };
        for open in self.open.iter_mut().take_while(|open| open.beat <= reply.beat) {
            open.seen.get_or_insert(first);
        }
        self.unseen_us = Some(reply.sent_us);
        self.close_seen()
    }

    /// Takes out the beats after `survived`, which were lost with their timeline.
    pub(crate) fn lose_after(&mut self, survived: u64) -> Vec<u64> {
        let from = self.open.partition_point(|open| open.beat <= survived);
        self.open.split_off(from).into_iter().map(|open| open.beat).collect()
    }

    /// The oldest acknowledged beat that was sent before `before_us` and not seen, and when it was acknowledged.
    pub(crate) fn oldest(&self, before_us: u64) -> Option<(u64, u64)> {
        self.acknowledged().next().filter(|(open, _)| open.sent_us < before_us).map(|(open, acked)| (open.beat, acked))
    }

    /// All acknowledged beats that are not seen, and when each was acknowledged.
    pub(crate) fn all(&self) -> Vec<(u64, u64)> {
        self.acknowledged().map(|(open, acked)| (open.beat, acked)).collect()
    }

    /// The proven lag of a pending beat that was acknowledged at `acked_us`: up to the last poll that did not see it. `None` if
    /// no poll has been sent since.
    pub(crate) fn proven_us(&self, acked_us: u64) -> Option<u64> {
        self.unseen_us?.checked_sub(acked_us)
    }

    /// The age of the oldest beat that is not seen; `None` if there is none.
    pub(crate) fn age_us(&self, now_us: u64) -> Option<u64> {
        let oldest = self.open.iter().find(|open| open.seen.is_none())?;
        Some(now_us.saturating_sub(oldest.sent_us))
    }

    fn acknowledged(&self) -> impl Iterator<Item = (&Open, u64)> {
        self.open.iter().filter(|open| open.seen.is_none()).filter_map(|open| Some((open, open.acked_us?)))
    }

    /// Takes out the beats that are both acknowledged and seen. A poll sees everything up to a beat, so these are the oldest.
    fn close_seen(&mut self) -> Vec<SeenBeat> {
        let done = self.open.iter().take_while(|open| open.acked_us.is_some() && open.seen.is_some()).count();
        self.open.drain(..done).filter_map(Open::close).collect()
    }
}

impl Open {
    fn close(self) -> Option<SeenBeat> {
        let FirstSeen { unseen_us, reply_us } = self.seen?;
        let min_us = match (unseen_us, self.acked_us) {
            (Some(unseen), Some(acked)) => unseen.saturating_sub(acked),
            _ => 0,
        };
        Some(SeenBeat { beat: self.beat, min_us, max_us: reply_us.saturating_sub(self.sent_us), at_us: reply_us })
    }
}

#[cfg(test)]
mod tests {
    use super::{PendingBeats, PollReply, SeenBeat};

    /// A pending with beats 1, 2, 3, sent at 1000, 2000, 3000 and each acknowledged 100 later.
    fn three() -> PendingBeats {
        let mut pending = PendingBeats::default();
        for beat in 1..=3 {
            pending.sent(beat, beat * 1000);
            assert_eq!(pending.acked(beat, beat * 1000 + 100), None);
        }
        pending
    }

    fn reply(sent_us: u64, beat: u64) -> PollReply {
        PollReply { sent_us, reply_us: sent_us + 50, beat }
    }

    #[test]
    fn bounds_are_taken_from_the_last_look_without_and_the_first_look_with() {
        let mut pending = PendingBeats::default();
        pending.sent(1, 1000);
        pending.acked(1, 1100);
        assert_eq!(pending.replied(reply(1200, 0)), []);
        assert_eq!(pending.replied(reply(1400, 0)), []);
        assert_eq!(pending.replied(reply(1600, 1)), [SeenBeat { beat: 1, min_us: 300, max_us: 650, at_us: 1650 }]);
        assert_eq!(pending.age_us(2000), None);
    }

    #[test]
    fn both_bounds_are_floored_at_nothing() {
        let mut pending = PendingBeats::default();
        pending.sent(1, 1000);
        pending.acked(1, 1100);
        // No look before this one; then one whose question left before the acknowledgement.
        assert_eq!(pending.replied(reply(1200, 1)), [SeenBeat { beat: 1, min_us: 0, max_us: 250, at_us: 1250 }]);
        pending.sent(2, 2000);
        pending.replied(reply(2010, 1));
        pending.acked(2, 2100);
        assert_eq!(pending.replied(reply(2150, 2))[0].min_us, 0);
    }

    #[test]
    fn one_look_closes_all_beats_up_to_the_one_it_sees() {
        let mut pending = three();
        pending.replied(reply(3500, 0));
        let seen = pending.replied(reply(4000, 2));
        assert_eq!(
            seen.iter().map(|s| (s.beat, s.min_us, s.max_us)).collect::<Vec<_>>(),
            [(1, 2400, 3050), (2, 1400, 2050)]
        );
        assert_eq!(pending.all(), [(3, 3100)]);
    }

    #[test]
    fn a_standby_faster_than_the_acknowledgement_is_reported_with_it() {
        let mut pending = PendingBeats::default();
        pending.sent(1, 1000);
        assert_eq!(pending.replied(reply(1100, 1)), []);
        assert_eq!(pending.age_us(1200), None, "there is nothing left to look for");
        assert_eq!(pending.acked(1, 1300), Some(SeenBeat { beat: 1, min_us: 0, max_us: 150, at_us: 1150 }));
        assert_eq!(pending.acked(1, 1300), None);
    }

    #[test]
    fn a_beat_without_acknowledgement_counts_only_if_it_was_seen() {
        let mut pending = PendingBeats::default();
        pending.sent(1, 1000);
        assert_eq!(pending.unacknowledged(1), None);
        pending.sent(2, 2000);
        pending.replied(reply(2100, 2));
        assert_eq!(pending.unacknowledged(2), Some(SeenBeat { beat: 2, min_us: 0, max_us: 150, at_us: 2150 }));
        assert_eq!(pending.all(), []);
    }

    #[test]
    fn the_bound_of_an_open_beat_grows_with_each_look_that_does_not_see_it() {
        let mut pending = three();
        assert_eq!(pending.oldest(1000), None, "it was not sent before that");
        let mut bounds = Vec::new();
        for at in [5000, 6000, 7000] {
            pending.replied(reply(at, 0));
            let (beat, acked) = pending.oldest(at).unwrap();
            assert_eq!(beat, 1);
            bounds.push(pending.proven_us(acked).unwrap());
        }
        assert_eq!(bounds, [3900, 4900, 5900]);
        assert_eq!(pending.age_us(7000), Some(6000));
    }

    #[test]
    fn beats_after_the_survivor_are_lost_and_the_others_stay_open() {
        let mut pending = three();
        assert_eq!(pending.lose_after(1), [2, 3]);
        assert_eq!(pending.all(), [(1, 1100)]);
        assert_eq!(pending.lose_after(1), [0_u64; 0]);
    }
}
