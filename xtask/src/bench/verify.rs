//! `bench verify`: verify-replication beside a raw hash scan of the same table on the primary.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result};
use program::sink::Sink;
use report::bench::VerifyBenchRow;
use report::verify::VerifyRow;
use xshell::{Shell, cmd};

use super::{Bed, load, mid};
use crate::step;

/// The raw scan: every row hashed once, nothing compared.
const SCAN: &str = "SELECT count(*), sum(hash_record_extended(t, 0)) FROM understudy.orders t";

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
        "medians: verify-replication {} rows/s, raw scan of one node {} rows/s; time in pairs × {}",
        mid(&ours_per_s, |per_s| per_s.to_string()),
        mid(&scans_per_s, |per_s| per_s.to_string()),
        mid(&ratios, |ratio| format!("{ratio:.2}"))
    ))
}

fn ours(bed: &Bed<'_>, cluster: &str, pair: u64) -> Result<VerifyBenchRow> {
    let file = format!("verify-{pair}.csv");
    bed.step(
        "verify-replication",
        &["--cluster", cluster, "--quiet", "--table", "understudy.orders", "--sample", "0"],
        &file,
    )?;
    let rows: Vec<VerifyRow> = step::rows(bed.dir, &format!("rows/{file}"))?;
    let (counted, elapsed_us) = compared(&rows)?;
    Ok(figures(bed, pair, "verify-replication", counted, elapsed_us))
}

/// How many rows of the table were compared, and in which time. What was not compared has no count, and is no figure.
fn compared(rows: &[VerifyRow]) -> Result<(u64, u64)> {
    let row = rows.iter().find(|row| row.table.ends_with(".orders")).context("orders was not compared")?;
    let counted =
        row.rows_primary.context("verify-replication did not count orders: see its log in the run's folder")?;
    Ok((counted, row.elapsed_us))
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

#[cfg(test)]
mod tests {
    use super::compared;

    const HEADER: &str = "run,table,standby,rows_primary,rows_standby,missing,extra,different,corrupt,chunks,rechecked,\
                          elapsed_us,rows_per_s,verdict\n";

    #[test]
    fn a_table_that_was_not_compared_is_no_figure() {
        let read = |line: &str| report::rows::read(format!("{HEADER}{line}\n").as_bytes()).unwrap();
        let counted = read("r,understudy.orders,node2,20,20,0,0,0,0,1,0,9597,2083,held");
        assert_eq!(compared(&counted).unwrap(), (20, 9597));
        let not_counted = read("r,understudy.orders,node2,,,,,,,0,0,9597,0,unknown");
        assert!(compared(&not_counted).unwrap_err().to_string().contains("did not count"));
        assert!(compared(&[]).is_err());
    }
}
