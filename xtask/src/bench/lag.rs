//! `bench lag`: what each sync mode costs, and how late a standby is, at different write rates.

use std::time::Duration;

use anyhow::{Context as _, Result};
use program::sink::Sink;
use report::bench::LagBenchRow;
use report::lag::{LagRow, LagSummary};
use report::ledger::Outcome;
use report::percentiles::Percentiles;
use report::show::us;

use super::Bed;
use crate::step;

/// The sync modes, weakest first.
const MODES: [&str; 4] = ["async", "remote_write", "on", "remote_apply"];

/// The write rates.
const RATES: [&str; 3] = ["100", "1000", "max"];

/// Clients writing.
const CLIENTS: u64 = 8;

/// Time for `measure-lag` to finish: one last look at each standby.
const GRACE: Duration = Duration::from_secs(10);

pub(super) fn run(bed: &Bed<'_>) -> Result<String> {
    let mut sink = Sink::create_new(&bed.dir.join("bench-lag.csv"))?;
    let mut lines = vec![format!(
        "{:<13} {:>5}  {:>8}  {:>18}  {:>28}  {:>10}",
        "sync", "rate", "acked/s", "commit p50 / p99", "visible p50 / p99 / max", "gap max"
    )];
    for mode in MODES {
        bed.progress.step(format!("setting sync to {mode}"));
        let cluster = bed.setup(&["--sync", mode])?;
        for rate in RATES {
            bed.progress.step(format!("sync {mode}, {rate} writes/s"));
            let row = one(bed, &cluster, mode, rate)?;
            sink.row(&row)?;
            lines.push(line(&row, rate));
        }
    }
    Ok(lines.join("\n"))
}

fn one(bed: &Bed<'_>, cluster: &str, mode: &str, rate: &str) -> Result<LagBenchRow> {
    let name = |what: &str| format!("{what}-{mode}-{rate}.csv");
    std::fs::create_dir_all(bed.dir.join("rows"))?;
    let lag_args = ["--cluster", cluster, "--quiet", "--interval", "20ms"];
    // A run of its own: two measurements of one run would share a heartbeat.
    let run = program::run::Run { name: format!("{}-{mode}-{rate}", bed.run.name), clock: bed.run.clock };
    let mut lag = step::start("measure-lag", &lag_args, &run, bed.dir, &format!("rows/{}", name("lag")))?;
    let duration = format!("{}ms", bed.args.duration.as_millis());
    let ledger = bed.dir.join("rows").join(name("ledger"));
    let (clients, ledger_arg) = (CLIENTS.to_string(), ledger.display().to_string());
    let load_args = [
        "--cluster",
        cluster,
        "--quiet",
        "--rate",
        rate,
        "--clients",
        &clients,
        "--duration",
        &duration,
        "--ledger",
        &ledger_arg,
    ];
    step::run("write-load", &load_args, &run, bed.dir, &format!("rows/{}", name("load")))?;
    lag.finish(GRACE)?;
    let ledger = report::ledger::Ledger::read(std::io::BufReader::new(std::fs::File::open(&ledger)?))?;
    let lag_rows: Vec<LagRow> = program::folder::rows(bed.dir, &format!("rows/{}", name("lag")))?;
    let mut summary = LagSummary::default();
    lag_rows.iter().for_each(|row| summary.add(row));
    let (visible, _) = summary.finish();
    let (commit, elapsed_us) = commit_times(bed, &name("ledger"))?;
    let acked = ledger.count(Outcome::Acked);
    let elapsed_us = elapsed_us.with_context(|| {
        format!("sync {mode}, {rate} writes/s: not one write was acknowledged; see the log in the run's folder")
    })?;
    Ok(LagBenchRow {
        run: bed.run.name.clone(),
        sync: mode.to_owned(),
        rate_per_s: rate.parse().ok(),
        clients: CLIENTS,
        elapsed_us,
        acked_per_s: acked * 1_000_000 / elapsed_us.max(1),
        commit_p50_us: commit.at(50.0),
        commit_p99_us: commit.at(99.0),
        visible_p50_us: visible.at(50.0),
        visible_p99_us: visible.at(99.0),
        visible_max_us: visible.max(),
        replay_gap_max_bytes: lag_rows.iter().filter_map(|row| row.replay_gap_bytes).max(),
    })
}

/// Commit latencies of a ledger, and the time from its first `sent` to its last ack, if there are both.
fn commit_times(bed: &Bed<'_>, ledger: &str) -> Result<(Percentiles, Option<u64>)> {
    let mut commit = Percentiles::default();
    let (mut first, mut last) = (None, None);
    let file = std::fs::File::open(bed.dir.join("rows").join(ledger))?;
    report::ledger_file::each_row(std::io::BufReader::new(file), |row| {
        match row.event {
            report::ledger::Event::Sent => drop(first.get_or_insert(row.at_us)),
            report::ledger::Event::Acked => {
                last = last.max(Some(row.at_us));
                row.latency_us.into_iter().for_each(|us| commit.record(us));
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok((commit, first.zip(last).map(|(first, last)| last - first)))
}

fn line(row: &LagBenchRow, rate: &str) -> String {
    let seen = |time: Option<u64>| time.map_or("-".to_owned(), us);
    let commit = format!("{} / {}", seen(row.commit_p50_us), seen(row.commit_p99_us));
    let visible = format!("{} / {} / {}", seen(row.visible_p50_us), seen(row.visible_p99_us), seen(row.visible_max_us));
    let gap = row.replay_gap_max_bytes.map_or("-".to_owned(), |bytes| format!("{} kB", bytes / 1024));
    format!("{:<13} {rate:>5}  {:>8}  {commit:>18}  {visible:>28}  {gap:>10}", row.sync, row.acked_per_s)
}
