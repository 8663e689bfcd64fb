//! Fills the tables `customers`, `users` and `orders` of the schema `understudy` with realistic rows.
//!
//! The same `--seed` and `--rows` give the same rows on every machine, however many connections load them. The rows go
//! in over COPY, on several connections at once; the tables are those of `sql/schema.sql`.
//!
//! ```text
//! seed-data --stdout orders --rows 1000 | csvstat        # no server needed
//! setup | seed-data --cluster - --rows 1000000 > seed.csv
//! ```
//!
//! stdout: one row is one table loaded (`report::seed::SeedRow`). With `--stdout TABLE`, one row of that table.
//! Exit codes: 0 the tables hold the rows asked for, 2 they do not (bad usage, no primary, other rows in the way, an
//! error half-way), 130 or 143 interrupted.

mod contents;
mod copy;
mod countries;
mod csv_line;
mod customers;
mod emit;
mod load;
mod orders;
mod ours;
mod rng;
mod rows;
mod table;
mod timestamps;
mod users;
mod worker_pool;

use std::num::NonZero;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Parser;
use cluster::args::ClusterArgs;
use cluster::file::LoginKind;
use cluster::topology;
use program::progress::Progress;
use program::run::Run;
use program::sink::Sink;
use program::stop;
use report::seed::SeedRow;
use report::verdict::Verdict;

use crate::rows::Spec;
use crate::table::{Size, Table};
use crate::worker_pool::WorkerPool;

/// The name that our sessions show in `pg_stat_activity`.
const APPLICATION_NAME: &str = "seed-data";

/// More connections than this do not load faster by default: they wait for the same pages and the same WAL.
const MOST_JOBS: usize = 4;

/// Fills the tables customers, users and orders of the schema understudy with realistic rows
///
/// The rows depend on --seed and --rows alone: not on the machine, the day, or the number of connections. They are
/// loaded over COPY, as the cluster's application role, on the node that is out of recovery. Tables that already hold
/// exactly these rows are left as they are, so a second run changes nothing; tables that hold other rows are refused
/// unless --replace is given. Only tables that bear the mark of sql/schema.sql are read or changed at all.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES)]
struct Args {
    /// Rows of orders, the largest table; users gets a fifth of that and customers a tenth, each at least 1.
    /// With --stdout: rows of that very table
    #[arg(long, value_name = "N", allow_negative_numbers = true, default_value_t = 100_000)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=MOST_ROWS))]
    rows: u64,
    /// Another seed, other rows
    #[arg(long, value_name = "N", allow_negative_numbers = true, default_value_t = 1)]
    seed: u64,
    /// Empty all three tables first (TRUNCATE), whatever they hold; in one transaction with the load up to 200,000 rows
    /// in all. Tables without the mark of sql/schema.sql are never emptied
    #[arg(long, conflicts_with = "stdout")]
    replace: bool,
    /// Connections that load or compare at the same time [default: the number of cores, at most 4]; up to 200,000 rows
    /// are loaded on one
    #[arg(long, value_name = "N", allow_negative_numbers = true, conflicts_with = "stdout")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: Option<u16>,
    /// Write this table to stdout as CSV with a header, and talk to no server
    #[arg(long, value_name = "TABLE", value_enum)]
    stdout: Option<Table>,
    /// No progress, no summary; errors and warnings stay
    #[arg(short, long)]
    quiet: bool,
    /// Rows as CSV on a terminal, too, where else some of their columns are shown with their units
    #[arg(long)]
    csv: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// A hundred billion orders are some 20 TB of CSV: a larger number is a typing error.
const MOST_ROWS: u64 = 100_000_000_000;

const EXAMPLES: &str = "\
Examples:
  A million orders into the lab that `setup` made last:
    seed-data --rows 1000000
  The same amount of other rows:
    seed-data --rows 1000000 --seed 2 --replace
  Into any cluster that has the tables of sql/schema.sql:
    seed-data --primary 'host=db1 dbname=test' --standby 'host=db2 dbname=test'
  Without a server, to have a look or to load by other means:
    seed-data --stdout orders --rows 5
    seed-data --stdout customers --rows 100 | psql -c '\\copy understudy.customers FROM STDIN CSV HEADER'

Stdout: one CSV row per table loaded, with the columns run, table, rows, bytes, elapsed_us,
rows_per_s; the header alone if there was nothing to do.

Up to 200,000 rows in all are one transaction. More are many, on several connections: a load that
ends half-way leaves rows behind, and says so; start it again with --replace.

Exit codes: 0 the tables hold the rows asked for; 2 they do not, and stderr says why; 130 or 143
interrupted.";

fn main() -> ExitCode {
    program::main(run)
}

fn run() -> Result<Verdict> {
    let args = Args::parse();
    stop::listen(false)?;
    match args.stdout {
        Some(table) => emit::table(table, Spec { size: Size::with(table, args.rows), seed: args.seed })?,
        None => fill(&args)?,
    }
    Ok(Verdict::Held)
}

/// Fills the cluster's tables with the rows asked for, unless they hold these rows already.
fn fill(args: &Args) -> Result<()> {
    let run = Run::current("seed")?;
    let progress = Progress::new(args.quiet);
    let cluster = args.cluster.open()?;
    let mut sink = Sink::<SeedRow>::stdout_for_people(args.csv)?;
    let found = topology::ask(&cluster, LoginKind::Application, APPLICATION_NAME)?;
    for (node, error) in &found.unreachable {
        progress.warn(&format!("{} does not answer, the load goes on without it: {error:#}", node.name));
    }
    let (node, session) = found.primary;
    cluster.check_primary(&node)?;

    let spec = Spec { size: Size::with(Table::Orders, args.rows), seed: args.seed };
    let info = cluster.info(&node, LoginKind::Application)?;
    let pool = WorkerPool { info, jobs: jobs(args.jobs), progress: progress.clone() };
    ours::check(&session)?;
    let replace = contents::anything(&session)?;
    if replace && !args.replace {
        if contents::exactly(&pool, &session, spec)? {
            progress.say(&format!("{} holds exactly these rows already: nothing to do", node.name));
            return Ok(());
        }
        bail!(
            "customers, users and orders of the schema understudy hold other rows than those asked for on {}: \
             give --replace to empty all three first, or name another database",
            node.name
        );
    }
    load::everything(&pool, &session, spec, replace, &run, &mut sink)
}

fn jobs(asked: Option<u16>) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, NonZero::get);
    asked.map_or_else(|| cores().min(MOST_JOBS), usize::from)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_arguments_make_sense() {
        super::Args::command().debug_assert();
    }
}
