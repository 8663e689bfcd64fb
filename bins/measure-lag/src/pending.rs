//! The beats that one standby has not shown yet. Pure bookkeeping: every moment is handed in, in microseconds.

use std::collections::VecDeque;

/// One answer to the question which beat is visible.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    /// Just before the question was handed to the socket.
    pub(crate) sent_us: u64,
    /// Just after the answer had come.
    pub(crate) reply_us: u64,
    /// The beat that was visible; 0 if the row was not there.
    pub(crate) beat: u64,
}

/// A beat that was seen, and the bounds of its lag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) beat: u64,
    /// From the commit's acknowledgement to the sending of the last look that did not see it.
    pub(crate) min_us: u64,
    /// From the sending of the commit to the reply of the first look that saw it.
    pub(crate) max_us: u64,
    /// When that reply came.
    pub(crate) at_us: u64,
}

/// A beat that has not been reported as seen.
#[derive(Clone, Copy, Debug)]
struct Open {
    beat: u64,
    sent_us: u64,
    /// When the primary acknowledged it; not yet, for the one that is on its way.
    acked_us: Option<u64>,
    seen: Option<FirstSight>,
}

/// The standby can be faster than the primary's acknowledgement is to reach us.
#[derive(Clone, Copy, Debug)]
struct FirstSight {
    unseen_us: Option<u64>,
    reply_us: u64,
}

/// The open beats of one standby, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Track {
    open: VecDeque<Open>,
    /// When the last look that was answered had been sent: it saw none of those still open.
    unseen_us: Option<u64>,
}

impl Track {
    /// A beat is on its way to the primary.
    pub(crate) fn sent(&mut self, beat: u64, at_us: u64) {
        self.open.push_back(Open { beat, sent_us: at_us, acked_us: None, seen: None });
    }

    /// The primary acknowledged it; returns it if it has been seen already.
    pub(crate) fn acked(&mut self, beat: u64, at_us: u64) -> Option<Seen> {
        let open = self.open.iter_mut().rfind(|open| open.beat == beat)?;
        open.acked_us = Some(at_us);
        self.close_seen().pop()
    }

    /// The primary never acknowledged it: nothing was promised, so it is not waited for. It counts if it was seen.
    pub(crate) fn unacknowledged(&mut self, beat: u64) -> Option<Seen> {
        let at = self.open.iter().rposition(|open| open.beat == beat)?;
        self.open.remove(at).and_then(Open::close)
    }

    /// Takes in what the standby answered; returns all beats that this look was the first to see.
    pub(crate) fn looked(&mut self, look: Look) -> Vec<Seen> {
        let sight = FirstSight { unseen_us: self.unseen_us, reply_us: look.reply_us };
        for open in self.open.iter_mut().take_while(|open| open.beat <= look.beat) {
            open.seen.get_or_insert(sight);
        }
        self.unseen_us = Some(look.sent_us);
        self.close_seen()
    }

    /// Takes out the beats after `survived`: their timeline is gone.
    pub(crate) fn lose_after(&mut self, survived: u64) -> Vec<u64> {
        let from = self.open.partition_point(|open| open.beat <= survived);
        self.open.split_off(from).into_iter().map(|open| open.beat).collect()
    }

    /// The oldest acknowledged beat that was sent before `before_us` and is not seen, with its acknowledgement.
    pub(crate) fn oldest(&self, before_us: u64) -> Option<(u64, u64)> {
        self.acknowledged().next().filter(|(open, _)| open.sent_us < before_us).map(|(open, acked)| (open.beat, acked))
    }

    /// All acknowledged beats that are not seen, each with its acknowledgement.
    pub(crate) fn all(&self) -> Vec<(u64, u64)> {
        self.acknowledged().map(|(open, acked)| (open.beat, acked)).collect()
    }

    /// The lag that is proven of a beat acknowledged at `acked_us` and still open: the last look answered without it.
    pub(crate) fn proven_us(&self, acked_us: u64) -> u64 {
        self.unseen_us.unwrap_or(0).saturating_sub(acked_us)
    }

    /// How long the oldest beat has been looked for; `None` if there is none to look for.
    pub(crate) fn age_us(&self, now_us: u64) -> Option<u64> {
        let oldest = self.open.iter().find(|open| open.seen.is_none())?;
        Some(now_us.saturating_sub(oldest.sent_us))
    }

    fn acknowledged(&self) -> impl Iterator<Item = (&Open, u64)> {
        self.open.iter().filter(|open| open.seen.is_none()).filter_map(|open| Some((open, open.acked_us?)))
    }

    /// Takes out what is both acknowledged and seen. A look sees everything up to a beat: these are the oldest.
    fn close_seen(&mut self) -> Vec<Seen> {
        let done = self.open.iter().take_while(|open| open.acked_us.is_some() && open.seen.is_some()).count();
        self.open.drain(..done).filter_map(Open::close).collect()
    }
}

impl Open {
    fn close(self) -> Option<Seen> {
        let FirstSight { unseen_us, reply_us } = self.seen?;
        let min_us = match (unseen_us, self.acked_us) {
            (Some(unseen), Some(acked)) => unseen.saturating_sub(acked),
            _ => 0,
        };
        Some(Seen { beat: self.beat, min_us, max_us: reply_us.saturating_sub(self.sent_us), at_us: reply_us })
    }
}

#[cfg(test)]
mod tests {
    use super::{Look, Seen, Track};

    /// A track with beats 1, 2, 3, sent at 1000, 2000, 3000 and each acknowledged 100 later.
    fn three() -> Track {
        let mut track = Track::default();
        for beat in 1..=3 {
            track.sent(beat, beat * 1000);
            assert_eq!(track.acked(beat, beat * 1000 + 100), None);
        }
        track
    }

    fn look(sent_us: u64, beat: u64) -> Look {
        Look { sent_us, reply_us: sent_us + 50, beat }
    }

    #[test]
    fn bounds_are_taken_from_the_last_look_without_and_the_first_look_with() {
        let mut track = Track::default();
        track.sent(1, 1000);
        track.acked(1, 1100);
        assert_eq!(track.looked(look(1200, 0)), []);
        assert_eq!(track.looked(look(1400, 0)), []);
        assert_eq!(track.looked(look(1600, 1)), [Seen { beat: 1, min_us: 300, max_us: 650, at_us: 1650 }]);
        assert_eq!(track.age_us(2000), None);
    }

    #[test]
    fn both_bounds_are_floored_at_nothing() {
        let mut track = Track::default();
        track.sent(1, 1000);
        track.acked(1, 1100);
        // No look before this one; then one whose question left before the acknowledgement.
        assert_eq!(track.looked(look(1200, 1)), [Seen { beat: 1, min_us: 0, max_us: 250, at_us: 1250 }]);
        track.sent(2, 2000);
        track.looked(look(2010, 1));
        track.acked(2, 2100);
        assert_eq!(track.looked(look(2150, 2))[0].min_us, 0);
    }

    #[test]
    fn one_look_closes_all_beats_up_to_the_one_it_sees() {
        let mut track = three();
        track.looked(look(3500, 0));
        let seen = track.looked(look(4000, 2));
        assert_eq!(
            seen.iter().map(|s| (s.beat, s.min_us, s.max_us)).collect::<Vec<_>>(),
            [(1, 2400, 3050), (2, 1400, 2050)]
        );
        assert_eq!(track.all(), [(3, 3100)]);
    }

    #[test]
    fn a_standby_faster_than_the_acknowledgement_is_reported_with_it() {
        let mut track = Track::default();
        track.sent(1, 1000);
        assert_eq!(track.looked(look(1100, 1)), []);
        assert_eq!(track.age_us(1200), None, "there is nothing left to look for");
        assert_eq!(track.acked(1, 1300), Some(Seen { beat: 1, min_us: 0, max_us: 150, at_us: 1150 }));
        assert_eq!(track.acked(1, 1300), None);
    }

    #[test]
    fn a_beat_without_acknowledgement_counts_only_if_it_was_seen() {
        let mut track = Track::default();
        track.sent(1, 1000);
        assert_eq!(track.unacknowledged(1), None);
        track.sent(2, 2000);
        track.looked(look(2100, 2));
        assert_eq!(track.unacknowledged(2), Some(Seen { beat: 2, min_us: 0, max_us: 150, at_us: 2150 }));
        assert_eq!(track.all(), []);
    }

    #[test]
    fn the_bound_of_an_open_beat_grows_with_each_look_that_does_not_see_it() {
        let mut track = three();
        assert_eq!(track.oldest(1000), None, "it was not sent before that");
        let mut bounds = Vec::new();
        for at in [5000, 6000, 7000] {
            track.looked(look(at, 0));
            let (beat, acked) = track.oldest(at).unwrap();
            assert_eq!(beat, 1);
            bounds.push(track.proven_us(acked));
        }
        assert_eq!(bounds, [3900, 4900, 5900]);
        assert_eq!(track.age_us(7000), Some(6000));
    }

    #[test]
    fn beats_after_the_survivor_are_lost_and_the_others_stay_open() {
        let mut track = three();
        assert_eq!(track.lose_after(1), [2, 3]);
        assert_eq!(track.all(), [(1, 1100)]);
        assert_eq!(track.lose_after(1), [0_u64; 0]);
    }
}
