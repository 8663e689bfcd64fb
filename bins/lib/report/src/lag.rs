//! `lag.csv`: how late a commit is visible on a standby.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::percentiles::Percentiles;

/// One sample of one standby.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LagRow {
    /// The run that this row belongs to.
    pub run: String,
    /// When the sample was taken, in microseconds since the run's origin.
    pub at_us: u64,
    /// The standby's name.
    pub standby: String,
    /// The heartbeat that was looked for: a number that counts up from 1; empty if there is none to look for.
    pub beat: Option<u64>,
    /// The commit became visible no earlier than this after it was acknowledged, in microseconds.
    /// With `at_least`, the bound so far.
    pub visible_min_us: Option<u64>,
    /// The commit became visible no later than this after it was sent, in microseconds; empty while it is not seen.
    pub visible_max_us: Option<u64>,
    /// `write_lag` of `pg_stat_replication`, in microseconds; empty when NULL.
    pub write_lag_us: Option<u64>,
    /// `flush_lag` of the same.
    pub flush_lag_us: Option<u64>,
    /// `replay_lag` of the same.
    pub replay_lag_us: Option<u64>,
    /// WAL that the primary has and has not sent, in bytes.
    pub sent_gap_bytes: Option<u64>,
    /// WAL that the primary has and the standby has not written, in bytes.
    pub write_gap_bytes: Option<u64>,
    /// WAL that the primary has and the standby has not flushed, in bytes.
    pub flush_gap_bytes: Option<u64>,
    /// WAL that the primary has and the standby has not replayed, in bytes.
    pub replay_gap_bytes: Option<u64>,
    /// WAL that the standby's slot keeps on the primary, in bytes.
    pub slot_kept_bytes: Option<u64>,
    /// `state` of `pg_stat_replication`; empty when the primary has no walsender for this standby.
    pub state: Option<String>,
    /// `sync_state` of the same.
    pub sync_state: Option<String>,
    /// What the sample is.
    pub status: LagStatus,
}

/// What one sample of lag says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LagStatus {
    /// The beat was seen: the lag lies between `visible_min_us` and `visible_max_us`.
    Seen,
    /// The beat is still not seen: the lag is at least `visible_min_us`, and grows.
    AtLeast,
    /// The beat's timeline is gone: it will never be seen.
    BeatLost,
    /// The standby does not answer.
    Unreachable,
    /// No node takes the beat.
    NoPrimary,
}

/// The visible lag of one standby over a run: each beat counts once, an open one by its bound.
#[derive(Clone, Debug, Default)]
pub struct LagSummary {
    percentiles: Percentiles,
    longest_open_us: Option<u64>,
    open: BTreeMap<u64, u64>,
    lost: u64,
}

impl LagSummary {
    /// A summary for each standby of these rows, which must come in the order in which they were written.
    #[must_use]
    pub fn by_standby(rows: &[LagRow]) -> BTreeMap<&str, LagSummary> {
        let mut standbys: BTreeMap<&str, LagSummary> = BTreeMap::new();
        rows.iter().for_each(|row| standbys.entry(&row.standby).or_default().add(row));
        standbys
    }

    /// Takes one row in. Rows must come in the order in which they were written.
    pub fn add(&mut self, row: &LagRow) {
        let Some(beat) = row.beat else { return };
        match row.status {
            LagStatus::Seen => {
                self.open.remove(&beat);
                row.visible_max_us.into_iter().for_each(|us| self.percentiles.record(us));
            }
            LagStatus::AtLeast | LagStatus::Unreachable => {
                if let Some(bound) = row.visible_min_us {
                    self.open.insert(beat, bound);
                }
            }
            LagStatus::BeatLost => {
                self.open.remove(&beat);
                self.lost += 1;
            }
            LagStatus::NoPrimary => {}
        }
    }

    /// How many beats went with their timeline: they are in no percentile.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// The lag that `percent` of the beats did not exceed. A beat that was never seen is later than all others; if it would have to
    /// be one of those, `None`: a bound is no figure to compare with.
    #[must_use]
    pub fn at(&self, percent: f64) -> Option<u64> {
        self.percentiles.at_among(percent, self.open.len() as u64)
    }

    /// The longest of what [`LagSummary::at`] says of these standbys; `None` if it is not known of one of them. Of one that was
    /// never looked for a beat on there is nothing to know.
    #[must_use]
    pub fn longest_at<'a>(standbys: impl IntoIterator<Item = &'a LagSummary>, percent: f64) -> Option<u64> {
        let with_beats = standbys.into_iter().filter(|one| one.percentiles.count() + one.open.len() as u64 > 0);
        with_beats.map(|one| one.at(percent)).collect::<Option<Vec<u64>>>()?.into_iter().max()
    }

    /// Percentiles of the upper bound of each beat, and the longest bound of a beat that was never seen.
    #[must_use]
    pub fn finish(mut self) -> (Percentiles, Option<u64>) {
        for bound in self.open.values().copied() {
            self.percentiles.record(bound);
            self.longest_open_us = self.longest_open_us.max(Some(bound));
        }
        (self.percentiles, self.longest_open_us)
    }
}

#[cfg(test)]
mod tests {
    use super::{LagRow, LagStatus, LagSummary};

    fn row(beat: u64, status: LagStatus, min: Option<u64>, max: Option<u64>) -> LagRow {
        LagRow {
            run: "r".into(),
            at_us: 0,
            standby: "node2".into(),
            beat: Some(beat),
            visible_min_us: min,
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

    #[test]
    fn a_beat_counts_once_and_an_open_one_by_its_bound() {
        let mut summary = LagSummary::default();
        summary.add(&row(1, LagStatus::AtLeast, Some(100), None));
        summary.add(&row(1, LagStatus::Seen, Some(150), Some(200)));
        summary.add(&row(2, LagStatus::AtLeast, Some(100), None));
        summary.add(&row(2, LagStatus::AtLeast, Some(900), None));
        assert_eq!((summary.at(50.0), summary.at(99.0)), (Some(200), None), "of the other one no figure is known");
        let mut seen = LagSummary::default();
        seen.add(&row(1, LagStatus::Seen, Some(150), Some(250)));
        let longest = |percent| LagSummary::longest_at([&summary, &seen, &LagSummary::default()], percent);
        assert_eq!((longest(50.0), longest(99.0)), (Some(250), None));
        let (percentiles, open) = summary.finish();
        assert_eq!(percentiles.count(), 2);
        assert_eq!(percentiles.max(), Some(900));
        assert_eq!(open, Some(900));
    }

    #[test]
    fn a_lost_beat_is_no_lag() {
        let mut summary = LagSummary::default();
        summary.add(&row(1, LagStatus::AtLeast, Some(100), None));
        summary.add(&row(1, LagStatus::BeatLost, None, None));
        assert_eq!(summary.finish().0.count(), 0);
    }
}
