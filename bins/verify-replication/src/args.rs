//! What `verify-replication` is asked for.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, ValueEnum};
use cluster::args::ClusterArgs;
use program::duration;
use report::verify::Equal;

use crate::indexes::{Draw, Indexes};
use crate::node::Opening;
use crate::pace::blocks;
use crate::recheck::RecheckLimits;
use crate::table::Options;

/// Compares every standby with the primary, row by row, once it has caught up; also while both are written to.
///
/// Each standby has to be proven to follow this very primary first. Sequences, catalogs and large objects are compared,
/// too; at the end stands what was not, and why.
///
/// Connects as the role `monitor` (pg_monitor and pg_read_all_data) and changes nothing. One row of CSV is one table,
/// sequence or ledger, or all catalogs, on one standby. Exit code: 0 all are equal, 1 something differs, 2 it could not be
/// found out.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
    /// Compare only this table, materialized view or sequence (repeatable; of a partitioned table its partitions)
    #[arg(long, value_name = "NAME")]
    pub(crate) table: Vec<String>,
    /// Compare each database of the cluster that allows connections, one after another, the one that was named first
    #[arg(long, conflicts_with = "table")]
    pub(crate) all_databases: bool,
    /// Look for every write that this ledger of `write-load` calls acked; `-` reads stdin to its end first
    #[arg(long, value_name = "FILE")]
    pub(crate) ledger: Option<PathBuf>,
    /// Compare the nodes as they stand, whatever their roles, on your word that nobody writes to them: promoted copies,
    /// restored backups
    #[arg(long)]
    pub(crate) at_rest: bool,
    /// What makes two rows equal
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = Meaning::Bytes)]
    equal: Meaning,
    /// Write all that differs to a new file, as CSV: table, kind, key, places, and which columns; no values but the key
    #[arg(long, value_name = "FILE")]
    pub(crate) diff: Option<PathBuf>,
    /// Write into that file what the differing columns hold, too: everything, secrets included
    #[arg(long, requires = "diff")]
    pub(crate) show_values: bool,
    /// Time for a standby to catch up, and to be proven to follow this primary
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration::parse)]
    pub(crate) catch_up_timeout: Duration,
    /// How much of each index of a standby to read
    #[arg(long, value_enum, value_name = "HOW", default_value_t = Indexes::Sample)]
    pub(crate) indexes: Indexes,
    /// Rows of each table to look up by each of its indexes
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) sample: u32,
    /// Seed of the random choice of those rows [default: another one each time; it is said at the end]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Blocks that are compared by one sum
    #[arg(long, value_name = "N", default_value_t = 16_384, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) chunk_blocks: u32,
    /// Sessions that read on each node
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) jobs: u16,
    /// Rows of tables to read per second on each node at most, over all its sessions, in chunks of no more than a second's
    /// rows; a ledger, and what amcheck reads, is read at once [default: as fast as it goes]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_rows_per_s: Option<u32>,
    /// Further looks at rows that were on their way
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) retries: u32,
    /// Time for all such further looks at one table on one standby
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = duration::parse_or_zero)]
    pub(crate) recheck_for: Duration,
    /// Finish normally when stdin ends (for a program that starts this one)
    #[arg(long)]
    pub(crate) until_eof: bool,
    /// Say nothing but warnings
    #[arg(long)]
    pub(crate) quiet: bool,
    /// Rows as CSV on a terminal, too, where else some of their columns are shown with their units
    #[arg(long)]
    pub(crate) csv: bool,
}

/// What makes two rows equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Meaning {
    /// Their bytes: what a physical copy has
    Bytes,
    /// The equality of each column's type, wherever the rows lie: for copies by logical replication, a dump, an upgrade; needs
    /// --at-rest
    Values,
}

/// What says how something is read that a comparison by value does not look at.
const OF_BYTES: [(&str, &str); 5] = [
    ("indexes", "--equal values compares no index"),
    ("sample", "--equal values compares no index"),
    ("seed", "--equal values compares no index, and chooses nothing at random"),
    ("retries", "with --equal values nobody writes, and nothing is on its way"),
    ("recheck_for", "with --equal values nobody writes, and nothing is on its way"),
];

/// Examples for `--help`.
const EXAMPLES: &str = "\
Examples:
  verify-replication                                     the lab that `setup` made last
  verify-replication --primary 'host=db1 dbname=app user=monitor' --standby 'host=db2 dbname=app user=monitor'
  verify-replication --at-rest --equal values --primary 'host=old dbname=app user=monitor' \\
      --standby 'host=new dbname=app user=monitor'       an upgrade by dump or logical replication, before it takes over";

impl Args {
    /// Reads the command line. Ends the program where that cannot be.
    pub(crate) fn ask() -> Args {
        let mut command = Args::command();
        let matches = command.clone().get_matches();
        let args = Args::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
        if args.equal == Meaning::Values {
            if !args.at_rest {
                let why = "--equal values needs --at-rest: nobody may write to either side, since two servers without a WAL in \
                           common have no moment in common";
                command.error(ErrorKind::MissingRequiredArgument, why).exit();
            }
            let given = |name: &str| matches.value_source(name) == Some(ValueSource::CommandLine);
            if let Some((name, why)) = OF_BYTES.iter().find(|(name, _)| given(name)) {
                let option = name.replace('_', "-");
                command.error(ErrorKind::ArgumentConflict, format!("--{option}: {why}")).exit();
            }
        }
        args
    }

    /// What makes two rows equal.
    pub(crate) fn equal(&self) -> Equal {
        match self.equal {
            Meaning::Bytes => Equal::Bytes,
            Meaning::Values => Equal::Values,
        }
    }

    /// Only one of those who may want stdin can have it.
    pub(crate) fn check_stdin(&self) -> Result<()> {
        let is_stdin = |path: &Option<PathBuf>| path.as_deref() == Some(Path::new("-"));
        let (ledger, cluster) = (is_stdin(&self.ledger), is_stdin(&self.cluster.cluster));
        ensure!(!(ledger && self.until_eof), "--until-eof and --ledger -: both want stdin");
        ensure!(!(ledger && cluster), "--cluster - and --ledger -: both want stdin");
        ensure!(!(cluster && self.until_eof), "--until-eof and --cluster -: both want stdin");
        Ok(())
    }

    pub(crate) fn options(&self) -> Options {
        let limits =
            RecheckLimits { catch_up: self.catch_up_timeout, retries: self.retries, patience: self.recheck_for };
        let draw =
            Draw { rows: self.sample as usize, seed: self.seed.unwrap_or_else(|| rand::random_range(0..1_000_000)) };
        let chunk_blocks = u64::from(self.chunk_blocks);
        let chunk_blocks = self.max_rows_per_s.map_or(chunk_blocks, |most| chunk_blocks.min(blocks(most, self.jobs)));
        Options { chunk_blocks, indexes: self.indexes, draw, limits, all_differences: self.diff.is_some() }
    }

    pub(crate) fn opening(&self) -> Opening {
        Opening {
            jobs: self.jobs,
            at_rest: self.at_rest,
            max_rows_per_s: self.max_rows_per_s,
            limit: self.catch_up_timeout,
        }
    }
}
