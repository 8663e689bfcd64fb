//! `bench backends`: the same takeover on local servers and on containers, in pairs.

use std::time::Instant;

use anyhow::{Context as _, Result};
use program::sink::Sink;
use report::bench::BackendBenchRow;
use report::drill::DrillRow;
use report::percentiles::median;
use report::show::us;

use super::Bed;
use crate::step;

const BACKENDS: [&str; 2] = ["local", "compose"];

pub(super) fn run(bed: &Bed<'_>) -> Result<String> {
    let mut sink = Sink::create_new(&bed.dir.join("bench-backends.csv"))?;
    let mut rows = Vec::new();
    for pair in 1..=bed.args.pairs {
        for backend in BACKENDS {
            bed.progress.step(format!("pair {pair} of {}: {backend}", bed.args.pairs));
            let row = measure(bed, backend, pair)?;
            sink.row(&row)?;
            rows.push(row);
        }
    }
    let line = |backend: &str| {
        let mid = |figure: fn(&BackendBenchRow) -> Option<u64>| {
            let figures: Vec<u64> = rows.iter().filter(|row| row.backend == backend).filter_map(figure).collect();
            median(&figures).map_or("-".to_owned(), us)
        };
        format!(
            "{backend:8} up {}, outage {} (raw floor {}), rejoin {}, down {}",
            mid(|row| Some(row.up_us)),
            mid(|row| row.outage_us),
            mid(|row| row.floor_us),
            mid(|row| row.rejoin_us),
            mid(|row| Some(row.down_us))
        )
    };
    Ok(format!("medians of {} each:\n{}", bed.args.pairs, BACKENDS.map(line).join("\n")))
}

/// A lab from nothing to streaming, a drill on it, and its end.
fn measure(bed: &Bed<'_>, backend: &str, pair: u64) -> Result<BackendBenchRow> {
    let micros = |since: Instant| u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX);
    let begun = Instant::now();
    let cluster = bed.setup(&["--backend", backend, "--sync", "on"])?;
    let up_us = micros(begun);
    let half = format!("{}ms", (bed.args.duration.as_millis() / 2).max(1));
    let (out, file) = (bed.dir.join(format!("{backend}-{pair}")), format!("{backend}-{pair}.csv"));
    let out = out.display().to_string();
    let args = ["--cluster", &cluster, "--out", &out, "--before", &half, "--after", &half, "--floor", "--quiet"];
    let run = program::run::Run { name: format!("{}-{backend}-{pair}", bed.run.name), clock: bed.run.clock };
    step::run("failover-drill", &args, &run, bed.dir, &file)?;
    let drill: DrillRow = program::folder::rows(bed.dir, &file)?.pop().context("the drill left no row")?;
    let begun = Instant::now();
    step::down(&bed.lab, &bed.run, Ok(()))?;
    Ok(BackendBenchRow {
        run: bed.run.name.clone(),
        pair,
        backend: backend.to_owned(),
        up_us,
        outage_us: drill.outage_us,
        floor_us: drill.floor_us,
        rejoin_us: drill.rejoin_us,
        down_us: micros(begun),
    })
}
