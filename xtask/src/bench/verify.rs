//! `bench verify`: verify-replication beside a raw hash scan of the same table on the primary.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result};
use program::sink::Sink;
use report::bench::VerifyBenchRow;
use report::percentiles::median;
use report::verify::VerifyRow;
use xshell::{Shell, cmd};

use super::{Bed, load};
use crate::step;

/// The raw scan: every row hashed once, nothing compared.
const SCAN: &str = "SELECT count(*), sum(hash_record_extended(t, 0)) FROM orders t";

pub(super) fn run(sh: &Shell, bed: &Bed<'_>) -> Result<String> {
    let mut sink = Sink::create_new(&bed.dir.join("bench-verify.csv"))?;
    let port = load::free_port()?;
    bed.progress.step("setting up");
    let cluster = bed.setup(&["--port", &port, "--sync", "async"])?;
    bed.progress.step(format!("seeding {} rows", bed.args.rows));
    let rows = bed.args.rows.to_string();
    bed.step("seed-data", &["--cluster", &cluster, "--quiet", "--replace", "--rows", &rows], "seed.csv")?;
    let passfile = Path::new(&cluster).with_file_name("passfile");
    let (mut ratios, mut ours_per_s, mut scans_per_s) = (vec![], vec![], vec![]);
    for pair in 0..=bed.args.pairs {
        bed.progress.step(format!("pair {pair} of {}", bed.args.pairs));
        let ours = ours(bed, &cluster, pair)?;
        let scan = scan(sh, bed, &port, &passfile, pair)?;
        if pair == 0 {
            continue; // warms the caches, and sets the hint bits of a table that was just loaded
        }
        sink.row(&ours)?;
        sink.row(&scan)?;
        ratios.push(ours.elapsed_us as f64 / scan.elapsed_us as f64);
        ours_per_s.push(ours.rows_per_s);
        scans_per_s.push(scan.rows_per_s);
    }
    Ok(format!(
        "medians: verify-replication {} rows/s, raw scan of one node {} rows/s; time in pairs × {:.2}",
        median(&ours_per_s).unwrap_or(0),
        median(&scans_per_s).unwrap_or(0),
        median(&ratios).unwrap_or(0.0)
    ))
}

fn ours(bed: &Bed<'_>, cluster: &str, pair: u64) -> Result<VerifyBenchRow> {
    let file = format!("verify-{pair}.csv");
    bed.step("verify-replication", &["--cluster", cluster, "--quiet", "--table", "orders", "--sample", "0"], &file)?;
    let rows: Vec<VerifyRow> = step::rows(bed.dir, &format!("rows/{file}"))?;
    let row = rows.iter().find(|row| row.table.ends_with("orders")).context("orders was not compared")?;
    Ok(figures(bed, pair, "verify-replication", row.rows_primary.unwrap_or(0), row.elapsed_us))
}

fn scan(sh: &Shell, bed: &Bed<'_>, port: &str, passfile: &Path, pair: u64) -> Result<VerifyBenchRow> {
    let command = cmd!(
        sh,
        "psql --no-psqlrc --quiet --tuples-only --no-align --host 127.0.0.1 --port {port} --username understudy_app
         --command {SCAN} understudy"
    );
    let begun = Instant::now();
    let said = command.env("PGPASSFILE", passfile).quiet().read().context("psql failed")?;
    let elapsed_us = begun.elapsed().as_micros() as u64;
    let rows = said.split('|').next().and_then(|count| count.parse().ok()).context("psql printed no count")?;
    Ok(figures(bed, pair, "raw scan", rows, elapsed_us))
}

fn figures(bed: &Bed<'_>, pair: u64, program: &str, rows: u64, elapsed_us: u64) -> VerifyBenchRow {
    VerifyBenchRow {
        run: bed.run.name.clone(),
        pair,
        program: program.to_owned(),
        rows,
        elapsed_us,
        rows_per_s: rows * 1_000_000 / elapsed_us.max(1),
    }
}
