//! `bench verify`: verify-replication beside the same work done raw: psql on both nodes at once, each hashing every row of
//! the table the same way, and comparing nothing. The table is `understudy.orders`, seven narrow columns, or with `--wide`
//! one of thirty. With `--truth` or `--honest`, what those modules say.

use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use program::sink::Sink;
use report::bench::VerifyBenchRow;
use report::verdict::Verdict;
use report::verify::VerifyRow;

use super::psql::Server;
use super::{Bed, honest, mid, ports, truth};

/// The database of a lab.
const DATABASE: &str = "understudy";
/// The table that `seed-data` makes, and the one of `--wide`.
const ORDERS: &str = "understudy.orders";
const WIDE: &str = "public.bench_wide";
/// Rows of the wide table that one statement makes.
const WIDE_PART: u64 = 250_000;

/// The raw scan of a table: the bytes of every row, hashed twice.
fn scan_of(table: &str) -> String {
    format!(
        "SELECT count(*), sum(hash_array_extended(ARRAY[r.bytes], 1)), sum(hash_array_extended(ARRAY[r.bytes], 2)) \
         FROM (SELECT record_send(ROW(t.*)) AS bytes FROM {table} AS t OFFSET 0) AS r"
    )
}

/// The wide table: a key, 19 numbers and 10 texts, about 500 bytes a row, with hint bits set.
fn make_wide(server: &Server, rows: u64) -> Result<()> {
    let numbers: String = (1..=19).map(|n| format!(", i * {n} AS n{n}")).collect();
    let texts: String = (1..=10).map(|n| format!(", md5((i * {n})::text) AS t{n}")).collect();
    let of =
        |from: u64, to: u64| format!("SELECT i AS id{numbers}{texts} FROM generate_series({from}::bigint, {to}) AS i");
    server.ask(DATABASE, &format!("CREATE TABLE {WIDE} AS {} WITH NO DATA", of(1, 1)))?;
    // In parts, each well below the deadline of a statement.
    for from in (1..=rows).step_by(WIDE_PART as usize) {
        server.ask(DATABASE, &format!("INSERT INTO {WIDE} {}", of(from, rows.min(from + WIDE_PART - 1))))?;
    }
    server.ask(DATABASE, &format!("ALTER TABLE {WIDE} ADD PRIMARY KEY (id)"))?;
    server.ask(DATABASE, &format!("VACUUM (FREEZE, ANALYZE) {WIDE}"))?;
    Ok(())
}

/// Arguments of `bench verify`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Plant differences and damage of every kind instead, and hold what is found against them
    #[arg(long, conflicts_with = "honest")]
    truth: bool,
    /// Instead, so many comparisons of a standby that is as it should be, under load, rewrites and DDL
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    honest: Option<u64>,
    /// A table of 30 columns, half a kilobyte a row, instead of the seven of `understudy.orders`
    #[arg(long, conflicts_with_all = ["truth", "honest"])]
    wide: bool,
    /// With --truth: the seed of the random choice of what is planted
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// With --truth: some of the types, and one of each damage, for tests
    #[arg(long)]
    small: bool,
    #[command(flatten)]
    pub(super) args: super::Args,
}

impl Args {
    /// What the run's folder is called after.
    pub(super) fn what(&self) -> &'static str {
        match (self.truth, self.honest) {
            (true, _) => "bench-truth",
            (_, Some(_)) => "bench-honest",
            _ => "bench-verify",
        }
    }
}

pub(super) fn run(bed: &Bed<'_>, args: &Args) -> Result<(String, Verdict)> {
    match (args.truth, args.honest) {
        (true, _) => truth::run(bed, args.seed, args.small),
        (_, Some(runs)) => honest::run(bed, runs),
        _ => pairs(bed, args.wide).map(|said| (said, Verdict::Held)),
    }
}

fn pairs(bed: &Bed<'_>, wide: bool) -> Result<String> {
    let table = if wide { WIDE } else { ORDERS };
    let mut sink = Sink::create_new(&bed.dir.join("bench-verify.csv"))?;
    let port = ports::nine_free()?;
    bed.progress.step("setting up");
    let cluster = bed.setup(&["--port", &port.to_string(), "--sync", "async"])?;
    bed.progress.step(format!("seeding {} rows", bed.args.rows));
    let nodes = [0, 1].map(|number| Server::of(&cluster, port, number));
    if wide {
        make_wide(&nodes[0], bed.args.rows)?;
    } else {
        let rows = bed.args.rows.to_string();
        bed.step("seed-data", &["--cluster", &cluster, "--quiet", "--replace", "--rows", &rows], "seed.csv")?;
    }
    let (mut ratios, mut ours_per_s, mut scans_per_s) = (vec![], vec![], vec![]);
    for pair in 0..=bed.args.pairs {
        bed.progress.step(format!("pair {pair} of {}", bed.args.pairs));
        let ours = ours(bed, &cluster, table, pair)?;
        let scan = scans(bed, &nodes, table, pair)?;
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
        "medians: verify-replication {} rows/s, the same work raw {} rows/s; time in pairs × {}",
        mid(&ours_per_s, |per_s| per_s.to_string()),
        mid(&scans_per_s, |per_s| per_s.to_string()),
        mid(&ratios, |ratio| format!("{ratio:.2}"))
    ))
}

fn ours(bed: &Bed<'_>, cluster: &str, table: &str, pair: u64) -> Result<VerifyBenchRow> {
    let file = format!("verify-{pair}.csv");
    bed.step("verify-replication", &["--cluster", cluster, "--quiet", "--table", table, "--indexes", "none"], &file)?;
    let rows: Vec<VerifyRow> = program::folder::rows(bed.dir, &format!("rows/{file}"))?;
    let (counted, elapsed_us) = compared(&rows, table)?;
    Ok(figures(bed, pair, "verify-replication", counted, elapsed_us))
}

/// How many rows of the table were compared, and in which time. What was not compared has no count, and is no figure.
fn compared(rows: &[VerifyRow], table: &str) -> Result<(u64, u64)> {
    let row = rows.iter().find(|row| row.table == table).with_context(|| format!("{table} was not compared"))?;
    let counted = row
        .rows_primary
        .with_context(|| format!("verify-replication did not count {table}: see its log in the run's folder"))?;
    Ok((counted, row.elapsed_us))
}

/// The raw scan of both nodes at once; the time is that of the slower one.
fn scans(bed: &Bed<'_>, nodes: &[Server], table: &str, pair: u64) -> Result<VerifyBenchRow> {
    let scan = scan_of(table);
    let mut psqls = Vec::new();
    for node in nodes {
        let mut psql = node.psql(DATABASE)?;
        psql.args(["--command", &scan]).stdout(Stdio::piped());
        psqls.push(psql);
    }
    let begun = Instant::now();
    let scanning: Vec<_> = psqls.iter_mut().map(Command::spawn).collect();
    let mut counts = Vec::new();
    for scan in scanning {
        let said = scan.and_then(Child::wait_with_output).context("psql cannot be run")?;
        ensure!(said.status.success(), "psql failed");
        counts
            .push(String::from_utf8_lossy(&said.stdout).split('|').next().and_then(|count| count.parse::<u64>().ok()));
    }
    let elapsed_us = begun.elapsed().as_micros() as u64;
    let rows = counts[0].context("psql printed no count")?;
    ensure!(counts.iter().all(|count| *count == Some(rows)), "the two nodes have not as many rows");
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
    use super::{ORDERS, compared};

    const HEADER: &str = "run,table,standby,rows_primary,rows_standby,missing,extra,different,corrupt,chunks,rechecked,\
                          elapsed_us,rows_per_s,verdict\n";

    #[test]
    fn a_table_that_was_not_compared_is_no_figure() {
        let read = |line: &str| report::rows::read(format!("{HEADER}{line}\n").as_bytes()).unwrap();
        let counted = read("r,understudy.orders,node2,20,20,0,0,0,0,1,0,9597,2083,held");
        assert_eq!(compared(&counted, ORDERS).unwrap(), (20, 9597));
        let not_counted = read("r,understudy.orders,node2,,,,,,,0,0,9597,0,unknown");
        assert!(compared(&not_counted, ORDERS).unwrap_err().to_string().contains("did not count"));
        assert!(compared(&[], ORDERS).is_err());
    }
}
