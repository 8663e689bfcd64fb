//! What the tracker makes of beats, replies and takeovers.

use report::lag::LagStatus::{self, AtLeast, BeatLost, NoPrimary, Seen, Unreachable};

use super::LagTracker;
use crate::pending::PollReply;

const MS: u64 = 1_000;

fn reply(at_us: u64, beat: u64) -> PollReply {
    PollReply { sent_us: at_us, reply_us: at_us + 50, beat }
}

/// `a` is the primary of timeline 1, `b` and `c` are its standbys; all answer.
fn tracker() -> LagTracker {
    let names = ["a", "b", "c"].map(str::to_owned);
    let mut tracker = LagTracker::new("r", 100 * MS, &names, true, 0);
    for node in 0..3 {
        tracker.connected(node);
    }
    assert!(tracker.primary_replied(0, 1, reply(0, 0)));
    tracker
}

fn beat(tracker: &mut LagTracker, at_us: u64) {
    let beat = tracker.beat_sent(at_us);
    tracker.beat_acked(beat, at_us + 100);
}

/// Standby, beat, lower bound and status of the rows since the last call.
fn rows(tracker: &mut LagTracker) -> Vec<(String, Option<u64>, Option<u64>, LagStatus)> {
    tracker.take_rows().into_iter().map(|row| (row.standby, row.beat, row.visible_min_us, row.status)).collect()
}

fn row(
    standby: &str,
    beat: Option<u64>,
    min: Option<u64>,
    status: LagStatus,
) -> (String, Option<u64>, Option<u64>, LagStatus) {
    (standby.to_owned(), beat, min, status)
}

#[test]
fn a_tick_is_silent_where_all_is_seen_and_grows_where_it_is_not() {
    let mut tracker = tracker();
    beat(&mut tracker, 100 * MS);
    tracker.standby_replied(1, reply(101 * MS, 1));
    assert_eq!(rows(&mut tracker), [row("b", Some(1), Some(0), Seen)]);
    for at in [200, 300] {
        tracker.standby_replied(2, reply(at * MS, 0));
        tracker.tick(at * MS, at * MS + 10);
        assert_eq!(rows(&mut tracker), [row("c", Some(1), Some((at - 100) * MS - 100), AtLeast)]);
    }
}

#[test]
fn a_standby_that_keeps_a_question_does_not_answer_and_its_bound_goes_by_the_clock() {
    let mut tracker = tracker();
    beat(&mut tracker, 100 * MS);
    tracker.standby_replied(1, reply(101 * MS, 1));
    rows(&mut tracker);
    tracker.asked(2, 101 * MS);
    for (at, status) in [(200, AtLeast), (300, AtLeast), (400, Unreachable), (500, Unreachable)] {
        tracker.tick(at * MS, at * MS);
        assert_eq!(rows(&mut tracker), [row("c", Some(1), Some((at - 100) * MS - 100), status)]);
    }
    tracker.disconnected(2);
    tracker.tick(600 * MS, 600 * MS);
    assert_eq!(rows(&mut tracker), [row("c", Some(1), Some(500 * MS - 100), Unreachable)]);
}

#[test]
fn a_beat_that_nobody_takes_is_told_at_each_tick() {
    let mut tracker = tracker();
    tracker.beat_sent(100 * MS);
    tracker.tick(100 * MS, 100 * MS);
    assert_eq!(rows(&mut tracker), []);
    tracker.tick(200 * MS, 200 * MS);
    assert_eq!(rows(&mut tracker), [row("b", Some(1), None, NoPrimary), row("c", Some(1), None, NoPrimary)]);
    tracker.disconnected(0);
    tracker.tick(300 * MS, 300 * MS);
    assert_eq!(rows(&mut tracker), [row("b", None, None, NoPrimary), row("c", None, None, NoPrimary)]);
}

#[test]
fn what_the_new_primary_does_not_have_is_lost_and_the_beats_go_on() {
    let mut tracker = tracker();
    for at in [100, 200, 300] {
        beat(&mut tracker, at * MS);
    }
    tracker.standby_replied(1, reply(301 * MS, 1));
    tracker.disconnected(0);
    rows(&mut tracker);
    assert!(tracker.primary_replied(1, 2, reply(400 * MS, 2)));
    assert_eq!(
        rows(&mut tracker),
        [row("b", Some(2), Some(100_900), Seen), row("b", Some(3), None, BeatLost), row("c", Some(3), None, BeatLost),]
    );
    assert_eq!(tracker.beat_sent(500 * MS), 4);
    tracker.beat_acked(4, 500 * MS + 100);
    tracker.standby_replied(2, reply(501 * MS, 4));
    let seen: Vec<_> = rows(&mut tracker).into_iter().map(|(standby, beat, ..)| (standby, beat)).collect();
    assert_eq!(seen, [1, 2, 4].map(|beat| ("c".to_owned(), Some(beat))));
}

#[test]
fn an_old_primary_is_a_standby_only_once_it_is_in_recovery() {
    let mut tracker = tracker();
    tracker.disconnected(0);
    assert!(tracker.primary_replied(1, 2, reply(400 * MS, 0)));
    tracker.connected(0);
    assert!(!tracker.primary_replied(0, 1, reply(410 * MS, 9)), "two are out of recovery: the newer timeline counts");
    assert_eq!(tracker.primary(), Some(1));
    beat(&mut tracker, 500 * MS);
    tracker.standby_replied(2, reply(501 * MS, 1));
    rows(&mut tracker);
    tracker.tick(600 * MS, 600 * MS);
    assert_eq!(rows(&mut tracker), []);
    tracker.standby_replied(0, reply(650 * MS, 0));
    beat(&mut tracker, 700 * MS);
    tracker.standby_replied(0, reply(701 * MS, 2));
    assert_eq!(rows(&mut tracker), [row("a", Some(2), Some(0), Seen)]);
}

#[test]
fn an_acknowledgement_after_the_takeover_is_no_promise() {
    let mut tracker = tracker();
    let beat = tracker.beat_sent(100 * MS);
    assert!(tracker.primary_replied(1, 2, reply(150 * MS, 0)));
    tracker.beat_acked(beat, 200 * MS);
    tracker.finish(300 * MS);
    assert_eq!(rows(&mut tracker), []);
}

#[test]
fn the_same_primary_may_come_back_and_an_older_timeline_may_not() {
    let mut tracker = tracker();
    tracker.disconnected(0);
    assert!(tracker.primary_replied(0, 1, reply(100 * MS, 0)));
    tracker.disconnected(0);
    assert!(tracker.primary_replied(1, 2, reply(200 * MS, 0)));
    tracker.disconnected(1);
    assert!(!tracker.primary_replied(0, 1, reply(300 * MS, 0)));
}

#[test]
fn the_end_has_a_row_for_each_open_beat() {
    let mut tracker = tracker();
    beat(&mut tracker, 100 * MS);
    beat(&mut tracker, 200 * MS);
    tracker.standby_replied(1, reply(250 * MS, 2));
    tracker.standby_replied(2, reply(300 * MS, 0));
    rows(&mut tracker);
    assert!(!tracker.nothing_pending(300 * MS));
    tracker.finish(300 * MS);
    let (first, second) = (Some(200 * MS - 100), Some(100 * MS - 100));
    assert_eq!(rows(&mut tracker), [row("c", Some(1), first, AtLeast), row("c", Some(2), second, AtLeast)]);
}

#[test]
fn polls_slow_down_with_the_age_of_the_beat() {
    let mut tracker = tracker();
    assert_eq!(tracker.pause_us(1, 0), 20 * MS);
    beat(&mut tracker, 100 * MS);
    assert_eq!(tracker.pause_us(1, 101 * MS), 150);
    assert_eq!(tracker.pause_us(1, 300 * MS), 5 * MS);
    assert_eq!(tracker.pause_us(1, 60_000 * MS), 50 * MS);
    tracker.disconnected(0);
    assert_eq!(tracker.pause_us(1, 60_000 * MS), 20 * MS);
}
