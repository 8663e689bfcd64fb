//! `bench verify`: verify-replication beside the same work done raw: psql on both nodes at once, each hashing every row of
//! the table the same way, and comparing nothing. The table is `understudy.orders`, seven narrow columns, or with `--wide`
//! one of thirty. With `--reladiff`, that program is the third. With `--truth`, `--honest` or `--coverage`, what those modules say.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use program::sink::Sink;
use program::stop;
use report::bench::VerifyBenchRow;
use report::verdict::Verdict;
use report::verify::VerifyRow;

use super::psql::Server;
use super::reladiff::Reladiff;
use super::{Bed, coverage, honest, mid, ports, rusage, truth};
use crate::step;

/// The database of a lab.
const DATABASE: &str = "understudy";
/// The table that `seed-data` makes, and the one of `--wide`.
const ORDERS: &str = "understudy.orders";
const WIDE: &str = "public.bench_wide";
/// Rows of the wide table that one statement makes.
const WIDE_PART: u64 = 250_000;
/// Time for the standby to replay what was loaded: no slower than it was written.
const REPLAY_DEADLINE: Duration = Duration::from_secs(1_800);
/// How often the memory of verify-replication is looked at: the system keeps its peak.
const LOOK: Duration = Duration::from_millis(5);

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
    /// Instead: is each relation and index of a database compared, or named among what was not?
    #[arg(long, conflicts_with_all = ["truth", "honest"])]
    coverage: bool,
    /// With --coverage: PostgreSQL's source tree, whose regression tests are built, for the database that they leave, too
    #[arg(long, value_name = "DIR", requires = "coverage")]
    regress: Option<PathBuf>,
    /// A table of 30 columns, half a kilobyte a row, instead of the seven of `understudy.orders`
    #[arg(long, conflicts_with_all = ["truth", "honest", "coverage"])]
    wide: bool,
    /// Beside reladiff, too, which must be in the path
    #[arg(long, conflicts_with_all = ["truth", "honest", "coverage"])]
    reladiff: bool,
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
        match (self.truth, self.honest, self.coverage) {
            (true, ..) => "bench-truth",
            (_, Some(_), _) => "bench-honest",
            (.., true) => "bench-coverage",
            _ => "bench-verify",
        }
    }
}

pub(super) fn run(bed: &Bed<'_>, args: &Args) -> Result<(String, Verdict)> {
    match (args.truth, args.honest, args.coverage) {
        (true, ..) => truth::run(bed, args.seed, args.small),
        (_, Some(runs), _) => honest::run(bed, runs),
        (.., true) => coverage::run(bed, args.regress.as_deref()),
        _ => pairs(bed, args).map(|said| (said, Verdict::Held)),
    }
}

fn pairs(bed: &Bed<'_>, args: &Args) -> Result<String> {
    let table = if args.wide { WIDE } else { ORDERS };
    let mut sink = Sink::create_new(&bed.dir.join("bench-verify.csv"))?;
    let port = ports::nine_free()?;
    bed.progress.step("setting up");
    // The load is not measured. With more checkpoints most of what it writes would be whole pages of indexes: 130 GB for 20 million rows.
    let seldom = ["--set", "max_wal_size=8GB", "--set", "checkpoint_timeout=30min"];
    let cluster = bed.setup(&[&["--port", &port.to_string(), "--sync", "async"], &seldom[..]].concat())?;
    let nodes = [0, 1].map(|number| Server::of(&cluster, port, number));
    let peer = args.reladiff.then(|| Reladiff::new(bed.dir, &nodes, DATABASE, table)).transpose()?;
    bed.progress.step(format!("seeding {} rows", bed.args.rows));
    if args.wide {
        make_wide(&nodes[0], bed.args.rows)?;
    } else {
        let rows = bed.args.rows.to_string();
        bed.step("seed-data", &["--cluster", &cluster, "--quiet", "--replace", "--rows", &rows], "seed.csv")?;
    }
    wait_replayed(bed, &nodes)?;
    let mut measured = Measured::default();
    for pair in 0..=bed.args.pairs {
        bed.progress.step(format!("pair {pair} of {}", bed.args.pairs));
        let mut turn = vec![ours(bed, &cluster, table, pair)?, scans(bed, &nodes, table, pair)?];
        // It takes several times as long: it need not warm anything.
        if let (Some(peer), 1..) = (&peer, pair) {
            let (rows, elapsed_us) = peer.compare()?;
            turn.push(figures(bed, pair, "reladiff", rows, elapsed_us));
        }
        if pair == 0 {
            continue; // warms the caches, and sets the hint bits of a table that was just loaded
        }
        turn.iter().try_for_each(|row| sink.row(row))?;
        measured.add(&turn);
    }
    Ok(measured.said())
}

/// Waits until the standby has replayed all that was loaded: after tens of millions of rows it is minutes behind, longer than
/// verify-replication would wait for it.
fn wait_replayed(bed: &Bed<'_>, nodes: &[Server; 2]) -> Result<()> {
    bed.progress.step("waiting for the standby to replay it");
    let wrote = nodes[0].ask(DATABASE, "SELECT pg_current_wal_flush_lsn()")?;
    let replayed = format!("SELECT pg_last_wal_replay_lsn() >= '{}'::pg_lsn", wrote.trim());
    let end = Instant::now() + REPLAY_DEADLINE;
    while nodes[1].ask(DATABASE, &replayed)?.trim() != "t" {
        ensure!(Instant::now() < end, "the standby did not replay up to {} in time", wrote.trim());
        stop::pause(Duration::from_secs(1))?;
    }
    Ok(())
}

/// The figures of all pairs.
#[derive(Default)]
struct Measured {
    ours_per_s: Vec<u64>,
    scans_per_s: Vec<u64>,
    /// Our time to that of the raw scans.
    to_scans: Vec<f64>,
    /// reladiff's time to ours.
    reladiff_to_ours: Vec<f64>,
    peak_kib: Vec<u64>,
}

impl Measured {
    /// Adds a pair: ours, the raw scans, and perhaps reladiff.
    fn add(&mut self, turn: &[VerifyBenchRow]) {
        let ([ours, scans], peer) = ([&turn[0], &turn[1]], turn.get(2));
        self.ours_per_s.push(ours.rows_per_s);
        self.scans_per_s.push(scans.rows_per_s);
        self.to_scans.push(ours.elapsed_us as f64 / scans.elapsed_us as f64);
        self.reladiff_to_ours.extend(peer.map(|peer| peer.elapsed_us as f64 / ours.elapsed_us as f64));
        self.peak_kib.extend(ours.peak_kib);
    }

    fn said(&self) -> String {
        let mut said = format!(
            "medians: verify-replication {} rows/s with {} MiB of memory at most, the same work raw {} rows/s; time in pairs × {}",
            mid(&self.ours_per_s, |per_s| per_s.to_string()),
            self.peak_kib.iter().max().map_or("-".to_owned(), |kib| format!("{:.1}", *kib as f64 / 1024.0)),
            mid(&self.scans_per_s, |per_s| per_s.to_string()),
            mid(&self.to_scans, |ratio| format!("{ratio:.2}"))
        );
        if !self.reladiff_to_ours.is_empty() {
            said += &format!("; reladiff takes × {}", mid(&self.reladiff_to_ours, |ratio| format!("{ratio:.2}")));
        }
        said
    }
}

fn ours(bed: &Bed<'_>, cluster: &str, table: &str, pair: u64) -> Result<VerifyBenchRow> {
    let file = format!("rows/verify-{pair}.csv");
    std::fs::create_dir_all(bed.dir.join("rows"))?;
    let args = ["--cluster", cluster, "--quiet", "--table", table, "--indexes", "none"];
    let mut program = step::start("verify-replication", &args, &bed.run, bed.dir, &file)?;
    let mut peak_kib = None;
    let status = loop {
        if let Some(status) = program.ended()? {
            break status;
        }
        peak_kib = rusage::peak_kib(program.pid()).or(peak_kib);
        stop::pause(LOOK)?;
    };
    ensure!(status.success(), "verify-replication did not hold: {}", step::log_tail(bed.dir, "verify-replication"));
    let rows: Vec<VerifyRow> = program::folder::rows(bed.dir, &file)?;
    let (counted, elapsed_us) = compared(&rows, table)?;
    Ok(VerifyBenchRow { peak_kib, ..figures(bed, pair, "verify-replication", counted, elapsed_us) })
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
        peak_kib: None,
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
