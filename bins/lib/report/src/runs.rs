//! `runs.csv`: the repetitions of one drill, and the spread of their figures.

use serde::{Deserialize, Serialize};

use crate::drill::DrillRow;
use crate::percentiles::median;
use crate::show::us;
use crate::verdict::Verdict;
use crate::words::OutageKind;

/// One repetition: a whole drill in a folder of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRow {
    /// The run of the repetition, as in `drill.csv`.
    pub run: String,
    /// Which of the folders beside this file is its own: `run-1` for 1.
    pub number: u64,
    /// Whether it counts: a warm-up does not.
    pub counted: bool,
    /// The verdict on all of it: the drill, the standbys, and whether the files are whole.
    pub verdict: Verdict,
    /// 99th percentile of the visible lag of the standby that has the longest, by its upper bound; none if it falls upon a
    /// beat that was never seen.
    pub lag_p99_us: Option<u64>,
    /// 99th percentile of the time from when a write was due to its ack, of those acknowledged before the first fault.
    pub commit_p99_us: Option<u64>,
    /// MD5 of what the figures depend on: `plan.csv` without its run, names and values of `settings.csv`, and how many rows the
    /// tables had.
    pub settings_md5: Option<String>,
}

/// A repetition with its row in `drill.csv`. A takeover of `--rounds` has nothing beside that row.
#[derive(Clone, Debug)]
pub struct Repetition {
    /// The row of `drill.csv`.
    pub drill: DrillRow,
    /// The row of `runs.csv`.
    pub beside: Option<RunRow>,
}

/// A figure of which several drills have a spread.
pub struct Figure {
    /// Its name: the column's.
    pub name: &'static str,
    /// Whether more of it is better.
    pub more_is_better: bool,
    /// By how much it may be less than what was measured: a change of that much is none.
    pub rounded_by: u64,
    /// Where it stands; `None` where it was not seen.
    pub of: fn(&Repetition) -> Option<u64>,
    /// How people read it.
    pub show: fn(u64) -> String,
}

/// Those of a takeover, in the order of interest.
pub const FIGURES: [Figure; 9] = [
    less("outage_us", |run| run.drill.outage_us, us),
    less("promotion_us", |run| run.drill.promotion_us, us),
    less("reroute_us", |run| run.drill.reroute_us, us),
    less("redundancy_us", |run| run.drill.redundancy_us, us),
    less("rejoin_us", |run| run.drill.rejoin_us, us),
    less("lost", |run| run.drill.lost, |lost| lost.to_string()),
    less("lag_p99_us", |run| run.beside.as_ref()?.lag_p99_us, us),
    less("commit_p99_us", |run| run.beside.as_ref()?.commit_p99_us, us),
    Figure {
        name: "acked_before_per_s",
        more_is_better: true,
        rounded_by: 1,
        of: |run| run.drill.acked_before_per_s,
        show: |rate| format!("{rate}/s"),
    },
];

const fn less(name: &'static str, of: fn(&Repetition) -> Option<u64>, show: fn(u64) -> String) -> Figure {
    Figure { name, more_is_better: false, rounded_by: 0, of, show }
}

impl Repetition {
    /// Whether the outage has no end: its figure is a lower bound.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.drill.outage_kind == Some(OutageKind::AtLeast)
    }
}

/// Width of the longest bar.
const BAR: u64 = 20;

/// The spread of each figure, a bar for each of min, median, p95 and max: all within 80 columns.
#[must_use]
pub fn spread(runs: &[Repetition]) -> String {
    let mut lines = Vec::new();
    for figure in &FIGURES {
        let mut found: Vec<u64> = runs.iter().filter_map(figure.of).collect();
        found.sort_unstable();
        let (Some(least), Some(middle), Some(most)) = (found.first(), median(&found), found.last()) else {
            lines.push(format!("{:<20}(not seen)", figure.name));
            continue;
        };
        let open = figure.name == "outage_us" && runs.iter().any(Repetition::is_open);
        // The least figure that 95 % of them do not exceed.
        let p95 = found[(found.len() * 95).div_ceil(100) - 1];
        for (index, (name, value)) in
            [("min", *least), ("median", middle), ("p95", p95), ("max", *most)].into_iter().enumerate()
        {
            let bar = "█".repeat(usize::try_from((value * BAR).div_ceil((*most).max(1))).unwrap_or(0));
            let shown = if open { format!("≥ {}", (figure.show)(value)) } else { (figure.show)(value) };
            let (head, seen) = match index {
                0 => (figure.name, format!("{} of {}", found.len(), runs.len())),
                _ => ("", String::new()),
            };
            lines.push(format!("{head:<20}{name:<7}{shown:>13} {bar:<20} {seen}").trim_end().to_owned());
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::{FIGURES, Repetition, spread};

    #[test]
    fn the_spread_is_right_and_within_eighty_columns() {
        let files = crate::evidence::tests::Files::of_a_drill_that_held();
        let row = crate::judge::judge(&files.read().unwrap()).unwrap().rows.remove(0);
        let run = |outage| {
            let mut drill = row.clone();
            drill.outage_us = Some(outage);
            Repetition { drill, beside: None }
        };
        let runs: Vec<Repetition> = (1..=20).map(|number| run(number * 1_000)).collect();
        let said = spread(&runs);
        let outage: Vec<&str> = said.lines().take(4).collect();
        for (line, figure, bar) in [(0, "1.00 ms", 1), (1, "10.00 ms", 10), (2, "19.00 ms", 19), (3, "20.00 ms", 20)] {
            assert!(outage[line].contains(figure), "{said}");
            assert_eq!(outage[line].matches('█').count(), bar, "{said}");
        }
        assert!(outage[0].ends_with("20 of 20") && said.contains("(not seen)"), "{said}");
        assert!(said.lines().all(|line| line.chars().count() <= 80), "{said}");
        assert!(
            FIGURES.iter().all(|figure| said.contains(&format!("{} ", figure.name))),
            "a name without a space:\n{said}"
        );
        let mut open = runs;
        open[3].drill.outage_kind = Some(crate::words::OutageKind::AtLeast);
        assert!(spread(&open).contains("≥ 20.00 ms"));
    }
}
