//! The rows on stdout, and the summary and verdict at the end.

use std::collections::BTreeMap;

use anyhow::Result;
use program::duration::show_us;
use program::progress::Progress;
use program::sink::Sink;
use report::lag::{LagRow, LagStatus, LagSummary};
use report::verdict::Verdict;

pub(crate) struct Output {
    sink: Sink<LagRow>,
    standbys: Vec<StandbySummary>,
    limit: Limit,
    interval_us: u64,
}

/// What a measurement is held to.
#[derive(Clone, Copy)]
pub(crate) struct Limit {
    /// `--max-lag`, in microseconds.
    pub(crate) max_lag_us: Option<u64>,
    /// Takeovers are part of it: a standby that is promoted is measured until then.
    pub(crate) takeovers: bool,
}

/// The summary of one standby's rows.
#[derive(Default)]
struct StandbySummary {
    name: String,
    summary: LagSummary,
    /// The bounds of the beats that are still pending. Percentiles below the shortest bound are exact.
    open: BTreeMap<u64, u64>,
    lost: u64,
    seen: u64,
    /// When the last beat was seen.
    last_seen_us: u64,
    longest_us: Option<u64>,
}

impl Output {
    /// Rows to stdout, beginning with their header.
    pub(crate) fn new(limit: Limit, interval_us: u64, csv: bool) -> Result<Output> {
        Ok(Output { sink: Sink::stdout_for_people(csv)?, standbys: Vec::new(), limit, interval_us })
    }

    /// Writes rows, and takes them into the summary.
    pub(crate) fn write(&mut self, rows: &[LagRow]) -> Result<()> {
        for row in rows {
            match self.standbys.iter_mut().find(|standby| standby.name == row.standby) {
                Some(standby) => standby.add(row),
                None => {
                    let mut standby = StandbySummary { name: row.standby.clone(), ..StandbySummary::default() };
                    standby.add(row);
                    self.standbys.push(standby);
                }
            }
            self.sink.row_unflushed(row)?;
        }
        if rows.is_empty() { Ok(()) } else { self.sink.flush() }
    }

    /// Whether a lag came to more than `--max-lag`.
    pub(crate) fn is_broken(&self) -> bool {
        self.standbys.iter().any(|standby| standby.verdict(self.limit.max_lag_us).0 == Verdict::Broken)
    }

    /// Prints the summary of a measurement that ended at `ended_us`, and says what it means: broken beyond `--max-lag`,
    /// unknown where no lag was seen, or with `--max-lag` not to the end. `since_us` has the nodes that are standbys
    /// then, and since when.
    pub(crate) fn conclude(&self, progress: &Progress, ended_us: u64, since_us: &BTreeMap<String, u64>) -> Verdict {
        if self.standbys.iter().all(|standby| standby.longest_us.is_none() && standby.lost == 0) {
            progress.warn("nothing was measured: no standby was looked at while a beat was there to be seen");
            return Verdict::Unknown;
        }
        progress.say(HEADER);
        self.standbys.iter().for_each(|standby| progress.say(&standby.line()));
        self.standbys.iter().fold(Verdict::Held, |all, standby| {
            let (mut verdict, mut reason) = standby.verdict(self.limit.max_lag_us);
            let blind_us = match (self.limit.max_lag_us, since_us.get(&standby.name)) {
                (Some(limit), since) if since.is_some() || !self.limit.takeovers => {
                    standby.blind_us(since.copied().unwrap_or(0), ended_us, self.interval_us, limit)
                }
                _ => None,
            };
            if let (Verdict::Held, Some(blind_us)) = (verdict, blind_us) {
                reason = Some(format!("no beat was seen there in the last {}", show_us(blind_us)));
                verdict = Verdict::Unknown;
            }
            reason.iter().for_each(|reason| progress.warn(&format!("{}: {reason}", standby.name)));
            all.join(verdict)
        })
    }
}

/// How long before the end the last beat may have been seen, in microseconds, beyond the interval and the limit. A takeover
/// or a busy machine delays a poll by less.
const BLIND_US: u64 = 2_000_000;

const HEADER: &str = "standby         beats         p50         p95         p99         max     lost";

impl StandbySummary {
    fn add(&mut self, row: &LagRow) {
        self.summary.add(row);
        self.longest_us = self.longest_us.max(row.visible_max_us).max(row.visible_min_us);
        let Some(beat) = row.beat else { return };
        match (row.status, row.visible_min_us) {
            (LagStatus::Seen, _) => {
                self.open.remove(&beat);
                self.seen += 1;
                self.last_seen_us = self.last_seen_us.max(row.at_us);
            }
            (LagStatus::BeatLost, _) => {
                self.open.remove(&beat);
                self.lost += 1;
            }
            (LagStatus::AtLeast | LagStatus::Unreachable, Some(bound_us)) => drop(self.open.insert(beat, bound_us)),
            _ => {}
        }
    }

    /// The verdict, and the reason if it is not `held`. A bound can prove that the lag is more, never that it is less.
    fn verdict(&self, max_lag_us: Option<u64>) -> (Verdict, Option<String>) {
        if let (Some(limit), Some(longest)) = (max_lag_us, self.longest_us)
            && longest > limit
        {
            let why = format!("a beat's lag came to {}, --max-lag is {}", show_us(longest), show_us(limit));
            return (Verdict::Broken, Some(why));
        }
        if self.seen == 0 {
            return (Verdict::Unknown, Some("not one beat was seen there".to_owned()));
        }
        if let (Some(limit), Some(open)) = (max_lag_us, self.open.values().max().copied()) {
            let (open, limit) = (show_us(open), show_us(limit));
            let why = format!("a beat was not seen to the end, after {open}: that may come to more than {limit}");
            return (Verdict::Unknown, Some(why));
        }
        (Verdict::Held, None)
    }

    /// How long before the end the last beat was seen, in microseconds, if that is longer than a beat within the limit may
    /// take. A standby that was promoted, for example, has no beats any more that could be late; one that is a standby again is
    /// looked at from then on.
    fn blind_us(&self, since_us: u64, ended_us: u64, interval_us: u64, max_lag_us: u64) -> Option<u64> {
        let blind_us = ended_us.saturating_sub(self.last_seen_us.max(since_us));
        (blind_us > BLIND_US + 2 * interval_us + max_lag_us).then_some(blind_us)
    }

    /// Its line under [`HEADER`]. `≥` marks figures that would grow if the pending beats were seen later.
    fn line(&self) -> String {
        let (percentiles, longest_open_us) = self.summary.clone().finish();
        let shortest_open_us = self.open.values().min().copied();
        let show = |us: Option<u64>, open_us: Option<u64>| match us {
            None => "-".to_owned(),
            Some(us) if open_us.is_some_and(|open_us| us >= open_us) => format!("≥ {}", show_us(us)),
            Some(us) => show_us(us),
        };
        let [p50, p95, p99] = [50.0, 95.0, 99.0].map(|percent| show(percentiles.at(percent), shortest_open_us));
        let max = show(percentiles.max(), longest_open_us);
        format!("{:12} {:>8} {p50:>11} {p95:>11} {p99:>11} {max:>11} {:>8}", self.name, percentiles.count(), self.lost)
    }
}

#[cfg(test)]
mod tests {
    use report::lag::{LagRow, LagStatus};

    use report::verdict::Verdict;

    use super::{HEADER, StandbySummary};

    fn row(beat: u64, status: LagStatus, min: u64, max: Option<u64>) -> LagRow {
        LagRow {
            run: "r".into(),
            at_us: 0,
            standby: "node2".into(),
            beat: Some(beat),
            visible_min_us: Some(min),
            visible_max_us: max,
            write_lag_us: None,
            flush_lag_us: None,
            replay_lag_us: None,
            sent_gap_bytes: None,
            write_gap_bytes: None,
            flush_gap_bytes: None,
            replay_gap_bytes: None,
            slot_kept_bytes: None,
            state: None,
            sync_state: None,
            status,
        }
    }

    fn words(standby: &StandbySummary) -> Vec<String> {
        let line = standby.line().replace("≥ ", "≥").replace(" µs", "µs").replace(" ms", "ms");
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn an_open_bound_marks_the_percentiles_it_reaches_and_no_others() {
        let mut standby = StandbySummary { name: "node2".into(), ..StandbySummary::default() };
        for beat in 1..=9 {
            standby.add(&row(beat, LagStatus::Seen, 100, Some(400)));
        }
        standby.add(&row(10, LagStatus::AtLeast, 500_000, None));
        standby.add(&row(10, LagStatus::AtLeast, 512_000, None));
        assert_eq!(words(&standby), ["node2", "10", "400µs", "≥512.00ms", "≥512.00ms", "≥512.00ms", "0"]);
        assert_eq!(standby.longest_us, Some(512_000));
        standby.add(&row(10, LagStatus::BeatLost, 0, None));
        assert_eq!(words(&standby), ["node2", "9", "400µs", "400µs", "400µs", "400µs", "1"]);
    }

    #[test]
    fn a_standby_without_beats_at_the_end_was_not_measured_to_the_end() {
        let mut standby = StandbySummary::default();
        standby.add(&LagRow { at_us: 1_000_000, ..row(1, LagStatus::Seen, 100, Some(400)) });
        assert_eq!(standby.blind_us(0, 3_100_000, 50_000, 0), None);
        assert_eq!(standby.blind_us(0, 3_100_001, 50_000, 0), Some(2_100_001));
        assert_eq!(standby.blind_us(0, 3_600_000, 50_000, 500_000), None);
        // A standby again, with another node's beats in between.
        assert_eq!(standby.blind_us(6_900_000, 9_000_000, 50_000, 0), None);
        assert_eq!(standby.blind_us(6_899_999, 9_000_000, 50_000, 0), Some(2_100_001));
    }

    #[test]
    fn a_bound_is_no_proof_that_the_lag_is_within_the_limit() {
        let of = |rows: &[LagRow], limit| {
            let mut standby = StandbySummary::default();
            rows.iter().for_each(|row| standby.add(row));
            standby.verdict(limit).0
        };
        let seen = row(1, LagStatus::Seen, 100, Some(400));
        let open = |us| row(2, LagStatus::AtLeast, us, None);
        let away = row(2, LagStatus::Unreachable, 600, None);
        assert_eq!(of(std::slice::from_ref(&seen), Some(400)), Verdict::Held);
        assert_eq!(of(std::slice::from_ref(&seen), Some(399)), Verdict::Broken);
        // Never seen: not within any limit, and not measured without one.
        for limit in [None, Some(1_000)] {
            assert_eq!(of(std::slice::from_ref(&away), limit), Verdict::Unknown);
        }
        assert_eq!(of(std::slice::from_ref(&away), Some(500)), Verdict::Broken);
        // Seen before, and cut off at the end.
        assert_eq!(of(&[seen.clone(), open(900)], Some(1_000)), Verdict::Unknown);
        assert_eq!(of(&[seen.clone(), open(900)], Some(800)), Verdict::Broken);
        assert_eq!(of(&[seen.clone(), open(900)], None), Verdict::Held);
        assert_eq!(of(&[seen, open(900), row(2, LagStatus::Seen, 900, Some(950))], Some(1_000)), Verdict::Held);
    }

    #[test]
    fn the_columns_stand_under_their_names() {
        let standby = StandbySummary { name: "node2".into(), ..StandbySummary::default() };
        assert_eq!(standby.line().chars().count(), HEADER.chars().count());
    }
}
