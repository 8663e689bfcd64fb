//! `bench outage`: takeovers under load, each beside the raw floor of the same nodes.

use anyhow::{Context as _, Result};
use program::sink::Sink;
use report::drill::DrillRow;
use report::percentiles::median;
use report::show::us;

use super::Bed;
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
        let row: DrillRow = step::rows(bed.dir, &file)?.pop().context("the drill left no row")?;
        sink.row(&row)?;
        rows.push(row);
    }
    let outages: Vec<u64> = rows.iter().filter_map(|row| row.outage_us).collect();
    let floors: Vec<u64> = rows.iter().filter_map(|row| row.floor_us).collect();
    let ratios: Vec<f64> = rows.iter().filter_map(|row| Some(row.outage_us? as f64 / row.floor_us? as f64)).collect();
    let mid = |figures: &[u64]| median(figures).map_or("-".to_owned(), us);
    Ok(format!(
        "medians of {} takeovers: outage {}, raw floor {}, ratio of pairs {:.2}; lost in all: {}",
        rows.len(),
        mid(&outages),
        mid(&floors),
        median(&ratios).unwrap_or(0.0),
        rows.iter().map(|row| row.lost.unwrap_or(0)).sum::<u64>()
    ))
}
