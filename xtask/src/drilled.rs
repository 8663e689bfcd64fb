//! One drill as a pipeline is told of it: what follows from the files in its folder, and nothing else.

use program::judged::{Drill, JudgedRun, Standbys};
use report::drill::DrillRow;
use report::lag::{LagRow, LagSummary};
use report::reasons::Reason;
use report::verdict::Verdict;
use report::verify::VerifyRow;
use serde::Serialize;

/// A folder that was judged.
pub(crate) struct Judged {
    /// In words.
    pub(crate) said: String,
    /// The verdict on all of it.
    pub(crate) verdict: Verdict,
    /// The drills in it, as `draw-report` takes them.
    pub(crate) folders: Vec<String>,
    /// What each of them found.
    pub(crate) drills: Vec<Drilled>,
    /// Why the verdict is not `held`, beside what they say.
    pub(crate) reasons: Vec<Reason>,
}

/// A drill that was judged.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Drilled {
    /// Which of the repetitions it is; `None`: there is but this one.
    pub(crate) number: Option<u64>,
    /// Whether it counts among the figures: a warm-up does not.
    pub(crate) counted: bool,
    pub(crate) verdict: Verdict,
    #[serde(skip)]
    pub(crate) reasons: Vec<Reason>,
    /// From its origin to the last thing that happened, in microseconds.
    pub(crate) took_us: Option<u64>,
    pub(crate) limits: Option<Limits>,
    /// As in `drill.csv`.
    pub(crate) takeovers: Vec<DrillRow>,
    /// `None`: it could not be read.
    pub(crate) lag: Option<Vec<Lag>>,
    /// `None`: there is none, or it could not be read.
    pub(crate) comparison: Option<Comparison>,
    /// In words.
    #[serde(skip)]
    pub(crate) said: String,
}

/// What was allowed; `None`: anything.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Limits {
    max_lost: u64,
    max_outage_us: Option<u64>,
    max_lag_us: Option<u64>,
    min_rate_per_s: Option<u64>,
}

/// The visible lag of one standby, by the upper bound of each beat.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Lag {
    pub(crate) standby: String,
    /// How many beats it was measured by.
    pub(crate) beats: u64,
    /// How many went with their timeline.
    pub(crate) beats_lost: u64,
    pub(crate) p50_us: Option<u64>,
    pub(crate) p99_us: Option<u64>,
    pub(crate) max_us: Option<u64>,
    /// The longest bound of a beat that was never seen: the figures above count it as if it were its lag. `None`: all were seen.
    pub(crate) open_us: Option<u64>,
}

/// The comparison of the standbys with their primary: sums over its rows. `None`: one of them has no such figure.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Comparison {
    pub(crate) verdict: Verdict,
    /// Rows of tables of the primary that were compared, once for each standby.
    pub(crate) rows: Option<u64>,
    pub(crate) missing: Option<u64>,
    pub(crate) extra: Option<u64>,
    pub(crate) different: Option<u64>,
    pub(crate) corrupt: Option<u64>,
    pub(crate) index_faults: Option<u64>,
    /// As in `verify.csv`.
    tables: Vec<VerifyRow>,
}

impl Drilled {
    /// Takes from a folder that was judged what a pipeline is told.
    pub(crate) fn of(judged: &JudgedRun, number: Option<u64>, counted: bool) -> Drilled {
        let drill = judged.drill.as_ref().ok();
        Drilled {
            number,
            counted,
            verdict: judged.verdict(),
            reasons: judged.reasons(),
            took_us: drill.and_then(|drill| drill.evidence.events.last()).map(|event| event.at_us),
            limits: drill.map(|drill| limits(drill, judged)),
            takeovers: drill.map(|drill| drill.judged.rows.clone()).unwrap_or_default(),
            lag: judged.lag.as_ref().and_then(|lag| lag.as_ref().ok()).map(|rows| lag(rows)),
            comparison: judged.standbys.as_ref().and_then(|found| found.as_ref().ok()).map(comparison),
            said: judged.said(),
        }
    }
}

fn limits(drill: &Drill, judged: &JudgedRun) -> Limits {
    let plan = &drill.evidence.plan;
    Limits {
        max_lost: plan.max_lost,
        max_outage_us: plan.max_outage_us,
        max_lag_us: judged.lag_limit.as_ref().map(|limit| limit.max_us),
        min_rate_per_s: plan.min_rate_per_s,
    }
}

fn lag(rows: &[LagRow]) -> Vec<Lag> {
    let of = |(standby, summary): (&str, LagSummary)| {
        let beats_lost = summary.lost();
        let (beats, open_us) = summary.finish();
        Lag {
            standby: standby.to_owned(),
            beats: beats.count(),
            beats_lost,
            p50_us: beats.at(50.0),
            p99_us: beats.at(99.0),
            max_us: beats.max(),
            open_us,
        }
    };
    LagSummary::by_standby(rows).into_iter().map(of).collect()
}

fn comparison(found: &Standbys) -> Comparison {
    let sum = |figure: fn(&VerifyRow) -> Option<u64>| {
        let tables = found.rows.iter().filter(|row| row.is_table()).map(figure);
        tables.sum::<Option<u64>>().filter(|_| !found.rows.is_empty())
    };
    Comparison {
        verdict: found.verdict,
        rows: sum(|row| row.rows_standby.and(row.rows_primary)),
        missing: sum(|row| row.missing),
        extra: sum(|row| row.extra),
        different: sum(|row| row.different),
        corrupt: sum(|row| row.corrupt),
        index_faults: sum(|row| row.index_faults),
        tables: found.rows.clone(),
    }
}
