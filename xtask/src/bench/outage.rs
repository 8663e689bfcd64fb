//! `bench outage`: takeovers under load, each beside the raw floor of the same nodes.

use anyhow::{Context as _, Result};
use program::sink::Sink;
use report::drill::DrillRow;
use report::show::us;

use super::{Bed, mid};
use crate::step;

pub(super) fn run(bed: &Bed<'_>) -> Result<String> {
    let mut sink = Sink::create_new(&bed.dir.join("bench-outage.csv"))?;
    bed.progress.step("setting up");
    let cluster = bed.setup(&["--sync", "on"])?;
    let half = format!("{}ms", (bed.args.duration.as_millis() / 2).max(1));
    let mut rows = Vec::new();
    for pair in 1..=bed.args.pairs {
        bed.progress.step(format!("takeover {pair} of {}", bed.args.pairs));
        let out = bed.dir.join(format!("drill-{pair}"));
        let out_arg = out.display().to_string();
        let args =
            ["--cluster", &cluster, "--out", &out_arg, "--before", &half, "--after", &half, "--floor", "--quiet"];
        // Each takeover is a run of its own: its ledger must not meet the rows of the last one.
        let run = program::run::Run { name: format!("{}-{pair}", bed.run.name), clock: bed.run.clock };
        let file = format!("drill-{pair}.csv");
        step::run("failover-drill", &args, &run, bed.dir, &file)?;
        let row: DrillRow = program::folder::rows(bed.dir, &file)?.pop().context("the drill left no row")?;
        sink.row(&row)?;
        rows.push(row);
    }
    Ok(summary(&rows))
}

/// The medians, of the takeovers that have the figure, and what was lost in all.
fn summary(rows: &[DrillRow]) -> String {
    let outages: Vec<u64> = rows.iter().filter_map(|row| row.outage_us).collect();
    let floors: Vec<u64> = rows.iter().filter_map(|row| row.floor_us).collect();
    let ratios: Vec<f64> = rows.iter().filter_map(|row| Some(row.outage_us? as f64 / row.floor_us? as f64)).collect();
    format!(
        "medians of {} takeovers: outage {}, raw floor {}, ratio of pairs {}; lost in all: {}",
        rows.len(),
        mid(&outages, us),
        mid(&floors, us),
        mid(&ratios, |ratio| format!("{ratio:.2}")),
        lost_in_all(&rows.iter().map(|row| row.lost).collect::<Vec<_>>())
    )
}

/// A sum only if every takeover has the figure. One that could not be judged may have lost anything.
fn lost_in_all(lost: &[Option<u64>]) -> String {
    let known: Vec<u64> = lost.iter().flatten().copied().collect();
    match (known.iter().sum::<u64>(), lost.len() - known.len()) {
        (sum, 0) => sum.to_string(),
        (sum, unknown) => format!("unknown ({sum} in {}, {unknown} could not be judged)", known.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::{lost_in_all, mid};

    #[test]
    fn what_was_not_judged_is_not_counted_as_nothing_lost() {
        assert_eq!(lost_in_all(&[Some(0), Some(3)]), "3");
        assert_eq!(lost_in_all(&[Some(0), None, Some(0)]), "unknown (0 in 2, 1 could not be judged)");
        assert_eq!(lost_in_all(&[None]), "unknown (0 in 0, 1 could not be judged)");
    }

    #[test]
    fn no_figures_have_no_median() {
        assert_eq!(mid(&[] as &[u64], |us| us.to_string()), "-");
        assert_eq!(mid(&[3, 1, 2], |us| us.to_string()), "2");
    }
}
