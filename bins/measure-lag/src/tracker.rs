//! Who is what, which beats are where, and the rows that follow from it. Pure: every moment is handed in.

use report::lag::{LagRow, LagStatus};

use crate::figures::{Figures, Receiver, of_standby};
use crate::track::{Look, Seen, Track};

/// A standby that has not answered a look at one row for this long does not answer. A loaded machine with two cores
/// answers within tens of milliseconds.
const SILENT_US: u64 = 250_000;

/// A node is looked at this often where no beat is waited for: what a promotion is noticed by.
const IDLE_US: u64 = 20_000;

/// A young beat is looked for almost back to back: this and the look's own time are the error of a sample.
const YOUNG_US: u64 = 150;

/// An older one is looked for every fortieth of its age (2.5 % of error), so that a standby far behind costs no core.
const AGE_SHARE: u64 = 40;

/// But never more seldom than this.
const OLD_US: u64 = 50_000;

/// What the measurement knows of all nodes.
pub(crate) struct Board {
    run: String,
    interval_us: u64,
    nodes: Vec<NodeState>,
    primary: Option<usize>,
    /// The newest timeline that was measured. A primary of an older one is a left-over.
    timeline: u32,
    last_beat: u64,
    flight: Option<Flight>,
    figures: Vec<Figures>,
    figures_us: u64,
    /// Whether the primary has been asked for its figures, with or without success.
    figures_asked: bool,
    beating: bool,
    rows: Vec<LagRow>,
}

/// A beat on its way to the primary.
#[derive(Clone, Copy)]
struct Flight {
    beat: u64,
    sent_us: u64,
}

/// One node.
struct NodeState {
    name: String,
    /// Whether the name is one that the cluster's own file gives, which slots and walsenders bear as well.
    named: bool,
    /// Its open beats, as long as it is a standby.
    track: Option<Track>,
    /// Whether its session stands; `None` before the first attempt has ended.
    connected: Option<bool>,
    /// When the question was sent that it has not answered yet.
    asked_us: Option<u64>,
    receiver: Option<Receiver>,
}

impl NodeState {
    fn answers(&self, now_us: u64) -> bool {
        let waited_us = self.asked_us.map_or(0, |asked_us| now_us.saturating_sub(asked_us));
        self.connected == Some(true) && waited_us < SILENT_US
    }

    /// The bound of an open beat: what the last look proved. By the clock if none was answered since the beat's
    /// acknowledgement, or if the standby does not answer at all: then nobody sees the beat there.
    fn bound_us(&self, acked_us: u64, now_us: u64) -> u64 {
        let proven_us = self.track.as_ref().filter(|_| self.answers(now_us)).map(|track| track.proven_us(acked_us));
        proven_us.filter(|us| *us > 0).unwrap_or_else(|| now_us.saturating_sub(acked_us))
    }
}

impl Board {
    /// The nodes of `run`, of which `primary` is no standby. `named` says that their names are the cluster's own.
    pub(crate) fn new(run: &str, interval_us: u64, names: &[String], named: bool, primary: usize) -> Board {
        let node = |(index, name): (usize, &String)| NodeState {
            name: name.clone(),
            named,
            track: (index != primary).then(Track::default),
            connected: None,
            asked_us: None,
            receiver: None,
        };
        Board {
            run: run.to_owned(),
            interval_us,
            nodes: names.iter().enumerate().map(node).collect(),
            primary: None,
            timeline: 0,
            last_beat: 0,
            flight: None,
            figures: Vec::new(),
            figures_us: 0,
            figures_asked: false,
            beating: false,
            rows: Vec::new(),
        }
    }

    /// The node's name.
    pub(crate) fn name(&self, node: usize) -> &str {
        &self.nodes[node].name
    }

    /// The node that takes the beats.
    pub(crate) fn primary(&self) -> Option<usize> {
        self.primary
    }

    /// Whether beats are due on this node.
    pub(crate) fn beats_on(&self, node: usize) -> bool {
        self.beating && self.primary == Some(node)
    }

    /// Begins or ends the sending of beats.
    pub(crate) fn set_beating(&mut self, beating: bool) {
        self.beating = beating;
    }

    /// Whether all is known that the first sample needs: a primary and its figures, and of each node whether it answers.
    pub(crate) fn is_ready(&self) -> bool {
        self.primary.is_some() && self.figures_asked && self.nodes.iter().all(|node| node.connected.is_some())
    }

    /// Whether nothing is left to be seen, but where nobody answers.
    pub(crate) fn is_settled(&self, now_us: u64) -> bool {
        let settled = |node: &NodeState| {
            !node.answers(now_us) || node.track.as_ref().is_none_or(|track| track.age_us(now_us).is_none())
        };
        self.flight.is_none() && self.nodes.iter().all(settled)
    }

    /// The rows that have come up since the last call.
    pub(crate) fn take_rows(&mut self) -> Vec<LagRow> {
        std::mem::take(&mut self.rows)
    }

    /// How long to pause before the next look at this node.
    pub(crate) fn pause_us(&self, node: usize, now_us: u64) -> u64 {
        let longest_us = if self.primary.is_some() { OLD_US } else { IDLE_US };
        match self.nodes[node].track.as_ref().and_then(|track| track.age_us(now_us)) {
            None => IDLE_US,
            Some(age_us) if age_us < IDLE_US => YOUNG_US,
            Some(age_us) => (age_us / AGE_SHARE).clamp(YOUNG_US, longest_us.min(self.interval_us.max(YOUNG_US))),
        }
    }

    /// Whether a young beat is looked for on this node, so that nothing else should be asked there.
    pub(crate) fn is_busy(&self, node: usize, now_us: u64) -> bool {
        let age_us = self.nodes[node].track.as_ref().and_then(|track| track.age_us(now_us));
        age_us.is_some_and(|age_us| age_us < IDLE_US)
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
            self.figures.clear();
            self.abandon_flight();
        }
        news
    }

    /// What a standby says of its walreceiver. While that is down, its last name holds.
    pub(crate) fn set_receiver(&mut self, node: usize, told: Receiver) {
        let known = self.nodes[node].receiver.take().unwrap_or_default();
        let application = told.application.or(known.application);
        self.nodes[node].receiver = Some(Receiver { slot: told.slot, application });
    }

    /// The primary has been asked for its figures, whatever came of it.
    pub(crate) fn figures_asked(&mut self) {
        self.figures_asked = true;
    }

    /// What the primary says of its standbys.
    pub(crate) fn set_figures(&mut self, figures: Vec<Figures>, at_us: u64) {
        (self.figures, self.figures_us) = (figures, at_us);
    }

    /// The next beat leaves for the primary now; returns its number.
    pub(crate) fn beat_sent(&mut self, at_us: u64) -> u64 {
        self.last_beat += 1;
        self.flight = Some(Flight { beat: self.last_beat, sent_us: at_us });
        for track in self.nodes.iter_mut().filter_map(|node| node.track.as_mut()) {
            track.sent(self.last_beat, at_us);
        }
        self.last_beat
    }

    /// The primary acknowledged a beat. One that was abandoned by then is nobody's promise any more.
    pub(crate) fn beat_acked(&mut self, beat: u64, at_us: u64) {
        if self.flight.take_if(|flight| flight.beat == beat).is_some() {
            self.close_with(|track| track.acked(beat, at_us));
        }
    }

    /// A node in recovery answered: a standby. One that was none before is measured from the next beat on.
    pub(crate) fn standby_looked(&mut self, node: usize, look: Look) {
        self.nodes[node].asked_us = None;
        let seen = self.nodes[node].track.get_or_insert_default().looked(look);
        self.report_seen(node, seen);
    }

    /// A node out of recovery answered. Returns whether it has become the primary of the measurement just now: it is on
    /// a newer timeline than ever measured, or comes back on the newest. `look.beat` is the last one that survived there.
    pub(crate) fn primary_looked(&mut self, node: usize, timeline: u32, look: Look) -> bool {
        self.nodes[node].asked_us = None;
        let comes_back = self.primary.is_none() && timeline == self.timeline;
        if timeline <= self.timeline && !comes_back {
            return false;
        }
        (self.primary, self.timeline) = (Some(node), timeline);
        self.figures.clear();
        self.abandon_flight();
        if self.nodes[node].track.is_some() {
            self.standby_looked(node, look);
        }
        for index in 0..self.nodes.len() {
            let lost = self.nodes[index].track.as_mut().map(|track| track.lose_after(look.beat)).unwrap_or_default();
            for beat in lost {
                self.report(index, LagStatus::BeatLost, Some(beat), None, None, look.reply_us);
            }
        }
        self.nodes[node].track = None;
        true
    }

    /// A tick, due at `due_us`: one row for each standby that has something to tell but no beat seen.
    pub(crate) fn tick(&mut self, due_us: u64, now_us: u64) {
        let waiting = self.flight.filter(|flight| flight.sent_us < due_us);
        for index in 0..self.nodes.len() {
            let node = &self.nodes[index];
            let Some(track) = &node.track else { continue };
            let (beat, bound) = match track.oldest(due_us) {
                Some((beat, acked_us)) => (Some(beat), Some(node.bound_us(acked_us, now_us))),
                None => (None, None),
            };
            if !node.answers(now_us) {
                self.report(index, LagStatus::Unreachable, beat, bound, None, now_us);
            } else if self.primary.is_none() || waiting.is_some() {
                let beat = beat.or(waiting.map(|flight| flight.beat));
                self.report(index, LagStatus::NoPrimary, beat, bound, None, now_us);
            } else if beat.is_some() {
                self.report(index, LagStatus::AtLeast, beat, bound, None, now_us);
            }
        }
    }

    /// The end: a last row for each beat that is still open.
    pub(crate) fn finish(&mut self, now_us: u64) {
        self.abandon_flight();
        for index in 0..self.nodes.len() {
            let node = &self.nodes[index];
            let status = if node.answers(now_us) { LagStatus::AtLeast } else { LagStatus::Unreachable };
            let open = node.track.as_ref().map(Track::all).unwrap_or_default();
            let bounds: Vec<_> = open.iter().map(|(beat, acked)| (*beat, node.bound_us(*acked, now_us))).collect();
            for (beat, bound_us) in bounds {
                self.report(index, status, Some(beat), Some(bound_us), None, now_us);
            }
        }
    }

    fn abandon_flight(&mut self) {
        if let Some(Flight { beat, .. }) = self.flight.take() {
            self.close_with(|track| track.unacknowledged(beat));
        }
    }

    fn close_with(&mut self, close: impl Fn(&mut Track) -> Option<Seen>) {
        for index in 0..self.nodes.len() {
            let seen = self.nodes[index].track.as_mut().and_then(&close);
            self.report_seen(index, seen);
        }
    }

    fn report_seen(&mut self, node: usize, seen: impl IntoIterator<Item = Seen>) {
        for seen in seen {
            let Seen { beat, min_us, max_us, at_us } = seen;
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
        let NodeState { name, named, receiver, .. } = &self.nodes[node];
        // Figures are asked for once in an interval; older ones are no figures of this sample.
        let fresh = at_us < self.figures_us + 3 * self.interval_us + SILENT_US;
        let known = if fresh { &self.figures[..] } else { &[] };
        let own_name = named.then_some(name.as_str());
        let figures = of_standby(known, own_name, receiver.as_ref()).cloned().unwrap_or_default();
        self.rows.push(LagRow {
            run: self.run.clone(),
            at_us,
            standby: name.clone(),
            beat,
            visible_min_us,
            visible_max_us,
            write_lag_us: figures.write_lag_us,
            flush_lag_us: figures.flush_lag_us,
            replay_lag_us: figures.replay_lag_us,
            sent_gap_bytes: figures.sent_gap_bytes,
            write_gap_bytes: figures.write_gap_bytes,
            flush_gap_bytes: figures.flush_gap_bytes,
            replay_gap_bytes: figures.replay_gap_bytes,
            slot_kept_bytes: figures.slot_kept_bytes,
            state: figures.state,
            sync_state: figures.sync_state,
            status,
        });
    }
}

#[cfg(test)]
mod tests {
    use report::lag::LagStatus::{self, AtLeast, BeatLost, NoPrimary, Seen, Unreachable};

    use super::Board;
    use crate::track::Look;

    const MS: u64 = 1_000;

    fn look(at_us: u64, beat: u64) -> Look {
        Look { sent_us: at_us, reply_us: at_us + 50, beat }
    }

    /// `a` is the primary of timeline 1, `b` and `c` are its standbys; all answer.
    fn board() -> Board {
        let names = ["a", "b", "c"].map(str::to_owned);
        let mut board = Board::new("r", 100 * MS, &names, true, 0);
        for node in 0..3 {
            board.connected(node);
        }
        assert!(board.primary_looked(0, 1, look(0, 0)));
        board
    }

    fn beat(board: &mut Board, at_us: u64) {
        let beat = board.beat_sent(at_us);
        board.beat_acked(beat, at_us + 100);
    }

    /// Standby, beat, lower bound and status of the rows since the last call.
    fn rows(board: &mut Board) -> Vec<(String, Option<u64>, Option<u64>, LagStatus)> {
        board.take_rows().into_iter().map(|row| (row.standby, row.beat, row.visible_min_us, row.status)).collect()
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
        let mut board = board();
        beat(&mut board, 100 * MS);
        board.standby_looked(1, look(101 * MS, 1));
        assert_eq!(rows(&mut board), [row("b", Some(1), Some(0), Seen)]);
        for at in [200, 300] {
            board.standby_looked(2, look(at * MS, 0));
            board.tick(at * MS, at * MS + 10);
            assert_eq!(rows(&mut board), [row("c", Some(1), Some((at - 100) * MS - 100), AtLeast)]);
        }
    }

    #[test]
    fn a_standby_that_keeps_a_question_does_not_answer_and_its_bound_goes_by_the_clock() {
        let mut board = board();
        beat(&mut board, 100 * MS);
        board.standby_looked(1, look(101 * MS, 1));
        rows(&mut board);
        board.asked(2, 101 * MS);
        for (at, status) in [(200, AtLeast), (300, AtLeast), (400, Unreachable), (500, Unreachable)] {
            board.tick(at * MS, at * MS);
            assert_eq!(rows(&mut board), [row("c", Some(1), Some((at - 100) * MS - 100), status)]);
        }
        board.disconnected(2);
        board.tick(600 * MS, 600 * MS);
        assert_eq!(rows(&mut board), [row("c", Some(1), Some(500 * MS - 100), Unreachable)]);
    }

    #[test]
    fn a_beat_that_nobody_takes_is_told_at_each_tick() {
        let mut board = board();
        board.beat_sent(100 * MS);
        board.tick(100 * MS, 100 * MS);
        assert_eq!(rows(&mut board), []);
        board.tick(200 * MS, 200 * MS);
        assert_eq!(rows(&mut board), [row("b", Some(1), None, NoPrimary), row("c", Some(1), None, NoPrimary)]);
        board.disconnected(0);
        board.tick(300 * MS, 300 * MS);
        assert_eq!(rows(&mut board), [row("b", None, None, NoPrimary), row("c", None, None, NoPrimary)]);
    }

    #[test]
    fn what_the_new_primary_does_not_have_is_lost_and_the_beats_go_on() {
        let mut board = board();
        for at in [100, 200, 300] {
            beat(&mut board, at * MS);
        }
        board.standby_looked(1, look(301 * MS, 1));
        board.disconnected(0);
        rows(&mut board);
        assert!(board.primary_looked(1, 2, look(400 * MS, 2)));
        assert_eq!(
            rows(&mut board),
            [
                row("b", Some(2), Some(100_900), Seen),
                row("b", Some(3), None, BeatLost),
                row("c", Some(3), None, BeatLost),
            ]
        );
        assert_eq!(board.beat_sent(500 * MS), 4);
        board.beat_acked(4, 500 * MS + 100);
        board.standby_looked(2, look(501 * MS, 4));
        let seen: Vec<_> = rows(&mut board).into_iter().map(|(standby, beat, ..)| (standby, beat)).collect();
        assert_eq!(seen, [1, 2, 4].map(|beat| ("c".to_owned(), Some(beat))));
    }

    #[test]
    fn an_old_primary_is_a_standby_only_once_it_is_in_recovery() {
        let mut board = board();
        board.disconnected(0);
        assert!(board.primary_looked(1, 2, look(400 * MS, 0)));
        board.connected(0);
        assert!(!board.primary_looked(0, 1, look(410 * MS, 9)), "two are out of recovery: the newer timeline counts");
        assert_eq!(board.primary(), Some(1));
        beat(&mut board, 500 * MS);
        board.standby_looked(2, look(501 * MS, 1));
        rows(&mut board);
        board.tick(600 * MS, 600 * MS);
        assert_eq!(rows(&mut board), []);
        board.standby_looked(0, look(650 * MS, 0));
        beat(&mut board, 700 * MS);
        board.standby_looked(0, look(701 * MS, 2));
        assert_eq!(rows(&mut board), [row("a", Some(2), Some(0), Seen)]);
    }

    #[test]
    fn an_acknowledgement_after_the_takeover_is_no_promise() {
        let mut board = board();
        let beat = board.beat_sent(100 * MS);
        assert!(board.primary_looked(1, 2, look(150 * MS, 0)));
        board.beat_acked(beat, 200 * MS);
        board.finish(300 * MS);
        assert_eq!(rows(&mut board), []);
    }

    #[test]
    fn the_same_primary_may_come_back_and_an_older_timeline_may_not() {
        let mut board = board();
        board.disconnected(0);
        assert!(board.primary_looked(0, 1, look(100 * MS, 0)));
        board.disconnected(0);
        assert!(board.primary_looked(1, 2, look(200 * MS, 0)));
        board.disconnected(1);
        assert!(!board.primary_looked(0, 1, look(300 * MS, 0)));
    }

    #[test]
    fn the_end_has_a_row_for_each_open_beat() {
        let mut board = board();
        beat(&mut board, 100 * MS);
        beat(&mut board, 200 * MS);
        board.standby_looked(1, look(250 * MS, 2));
        board.standby_looked(2, look(300 * MS, 0));
        rows(&mut board);
        assert!(!board.is_settled(300 * MS));
        board.finish(300 * MS);
        let (first, second) = (Some(200 * MS - 100), Some(100 * MS - 100));
        assert_eq!(rows(&mut board), [row("c", Some(1), first, AtLeast), row("c", Some(2), second, AtLeast)]);
    }

    #[test]
    fn looks_slow_down_with_the_age_of_the_beat() {
        let mut board = board();
        assert_eq!(board.pause_us(1, 0), 20 * MS);
        beat(&mut board, 100 * MS);
        assert_eq!(board.pause_us(1, 101 * MS), 150);
        assert_eq!(board.pause_us(1, 300 * MS), 5 * MS);
        assert_eq!(board.pause_us(1, 60_000 * MS), 50 * MS);
        board.disconnected(0);
        assert_eq!(board.pause_us(1, 60_000 * MS), 20 * MS);
    }
}
