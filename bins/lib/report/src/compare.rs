//! Two sets of repetitions compared: is the later one worse, or is it noise?

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::percentiles::median;
use crate::rank_test::{holm, p_larger, shift};
use crate::runs::{FIGURES, Figure, Repetition};
use crate::verdict::Verdict::{self, Broken, Held, Unknown};

/// How often a regression may be found where none is, in all figures together.
const ALPHA: f64 = 0.05;

/// Fewer repetitions than these can hardly tell: of 4 and 4 no order at all is significant after the correction.
const FEWEST: usize = 5;

/// One figure of two runs: what `cargo xtask compare` prints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CompareRow {
    /// The later run.
    pub run: String,
    /// The earlier run.
    pub before: String,
    /// The figure.
    pub figure: String,
    /// In how many repetitions of the earlier run it was seen.
    pub before_count: u64,
    /// In how many of the later run.
    pub after_count: u64,
    /// Its median in the earlier run.
    pub before_median: Option<f64>,
    /// Its median in the later run.
    pub after_median: Option<f64>,
    /// The shift (Hodges and Lehmann) in the figure's own unit.
    pub change: Option<f64>,
    /// The lower end of its 95 % interval.
    pub change_low: Option<f64>,
    /// The upper end.
    pub change_high: Option<f64>,
    /// The chance of ranks as bad as these if nothing has changed (Mann and Whitney, exact, one-sided).
    pub p_worse: Option<f64>,
    /// The same after Holm's correction over all figures.
    pub p_corrected: Option<f64>,
    /// `broken`: worse; `held`: no regression was found; `unknown`: it could not be told.
    pub verdict: Verdict,
}

/// What was found.
pub struct Compared {
    /// A row for each figure that one of them has.
    pub rows: Vec<CompareRow>,
    /// What has to be known beside the rows.
    pub warnings: Vec<String>,
    /// The verdict on all.
    pub verdict: Verdict,
}

/// Compares the counted repetitions of two runs. Worse is what is significant and, beside that, at least `at_least` percent of the
/// earlier median.
#[must_use]
pub fn compare(names: (&str, &str), before: &[Repetition], after: &[Repetition], at_least: f64) -> Compared {
    let mut warnings = differences(before, after);
    let mut rows: Vec<CompareRow> = FIGURES
        .iter()
        .filter_map(|figure| {
            row(names, figure, before, after).or_else(|| {
                warnings.push(format!("{} is in neither run: not compared", figure.name));
                None
            })
        })
        .collect();
    let tested: Vec<usize> = (0..rows.len()).filter(|index| rows[*index].p_worse.is_some()).collect();
    let corrected = holm(&tested.iter().filter_map(|index| rows[*index].p_worse).collect::<Vec<_>>());
    for (index, p) in tested.into_iter().zip(corrected) {
        rows[index].p_corrected = Some(p);
        let worse =
            FIGURES.iter().any(|figure| figure.name == rows[index].figure && is_worse(figure, &rows[index], at_least));
        if worse {
            rows[index].verdict = Broken;
        }
    }
    let verdict = rows.iter().map(|row| row.verdict).max().unwrap_or(Unknown);
    let verdict = verdict.join(verdicts(before, after, &mut warnings));
    Compared { rows, warnings, verdict }
}

/// A figure's row before the correction; `None` if neither run has it.
fn row(names: (&str, &str), figure: &Figure, before: &[Repetition], after: &[Repetition]) -> Option<CompareRow> {
    let seen = |runs: &[Repetition]| runs.iter().filter_map(figure.of).map(|value| value as f64).collect::<Vec<_>>();
    let (a, b) = (seen(before), seen(after));
    if a.is_empty() && b.is_empty() {
        return None;
    }
    let enough = a.len() >= FEWEST && b.len() >= FEWEST;
    // A bound has no rank, and a figure that is missing might be any.
    let open = figure.name == "outage_us" && before.iter().chain(after).any(Repetition::is_open);
    let whole = a.len() == before.len() && b.len() == after.len() && !open;
    let shift = shift(&a, &b);
    let p = if figure.more_is_better { p_larger(&b, &a) } else { p_larger(&a, &b) };
    Some(CompareRow {
        run: names.1.to_owned(),
        before: names.0.to_owned(),
        figure: figure.name.to_owned(),
        before_count: a.len() as u64,
        after_count: b.len() as u64,
        before_median: median(&a),
        after_median: median(&b),
        change: shift.map(|shift| shift.middle),
        change_low: shift.map(|shift| shift.low),
        change_high: shift.map(|shift| shift.high),
        p_worse: (enough && whole).then_some(p),
        p_corrected: None,
        verdict: if enough && whole { Held } else { Unknown },
    })
}

fn is_worse(figure: &Figure, row: &CompareRow, at_least: f64) -> bool {
    let (Some(change), Some(median), Some(p)) = (row.change, row.before_median, row.p_corrected) else { return false };
    let worse = if figure.more_is_better { -change } else { change };
    p <= ALPHA && worse > figure.rounded_by as f64 && 100.0 * worse >= at_least * median
}

/// What the verdicts of the repetitions say: a promise that is newly broken, or so much more often that it is no chance, is worse,
/// whatever the figures are.
fn verdicts(before: &[Repetition], after: &[Repetition], warnings: &mut Vec<String>) -> Verdict {
    let verdict = |run: &Repetition| {
        run.beside.as_ref().map_or(run.drill.verdict, |beside| beside.verdict.join(run.drill.verdict))
    };
    let count = |runs: &[Repetition], wanted| runs.iter().filter(|run| verdict(run) == wanted).count();
    let broken =
        |runs: &[Repetition]| runs.iter().map(|run| f64::from(u8::from(verdict(run) == Broken))).collect::<Vec<_>>();
    let (was, is) = (count(before, Broken), count(after, Broken));
    if was + is > 0 {
        warnings.push(format!("broken: {was} of {} before, {is} of {} after", before.len(), after.len()));
    }
    let unknown = count(before, Unknown) + count(after, Unknown);
    if unknown > 0 {
        warnings.push(format!("the verdict of {unknown} repetitions is unknown"));
    }
    match () {
        () if was == 0 && is > 0 => Broken,
        () if p_larger(&broken(before), &broken(after)) <= ALPHA => Broken,
        () if unknown > 0 || before.is_empty() || after.is_empty() => Unknown,
        () if is * before.len() > was * after.len() => Unknown, // a larger share, and it may be chance
        () => Held,
    }
}

/// What one repetition says of something.
type Of = fn(&Repetition) -> String;

/// What the runs have not in common: apples and pears.
fn differences(before: &[Repetition], after: &[Repetition]) -> Vec<String> {
    let of = |runs: &[Repetition], what: Of| runs.iter().map(what).collect::<BTreeSet<_>>();
    let joined = |values: BTreeSet<String>| values.into_iter().collect::<Vec<_>>().join(", ");
    let same: [(&str, Of); 8] = [
        ("fault", |run| run.drill.fault.to_string()),
        ("sync", |run| run.drill.sync.to_string()),
        ("backend", |run| run.drill.backend.to_string()),
        ("pg_version", |run| run.drill.pg_version.clone()),
        ("standbys", |run| run.drill.standbys.to_string()),
        ("clients", |run| run.drill.clients.to_string()),
        ("rate_per_s", |run| run.drill.rate_per_s.map_or("max".to_owned(), |rate| rate.to_string())),
        ("settings_md5", |run| {
            run.beside.as_ref().and_then(|beside| beside.settings_md5.clone()).unwrap_or("-".to_owned())
        }),
    ];
    let mut told = Vec::new();
    for (name, what) in same {
        let (a, b) = (of(before, what), of(after, what));
        if a != b {
            told.push(format!("{name} differs: {} before, {} after", joined(a), joined(b)));
        }
    }
    told
}

#[cfg(test)]
#[path = "compare_tests.rs"]
mod tests;
