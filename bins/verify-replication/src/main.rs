//! verify-replication: compares every standby with the primary, row by row, behind a fence.
//!
//! Equal sums of hashes settle most of a table; where they differ, rows are read and read again until each difference
//! is proven or was only a row on its way. With `--ledger`, every write that a client saw acknowledged is looked for:
//!
//!     write-load --duration 5s --ledger - | verify-replication --ledger -
//!
//! One row on stdout is one table (or sequence, or ledger) on one standby.
//! Exit code: 0 all are equal, 1 something differs, 2 it could not be found out.

mod collation;
mod fingerprint;
mod index_sample;
mod layout;
mod ledger;
mod localise;
mod looks;
mod node;
mod reader;
mod recheck;
mod scan;
mod sequences;
mod subject;
mod table;
mod tid;
mod types;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Error, Result, ensure};
use clap::Parser;
use cluster::args::{Cluster, ClusterArgs};
use cluster::file::Role;
use cluster::topology;
use program::duration;
use program::progress::Progress;
use program::run::Run;
use program::sink::{Closed, Sink};
use report::ledger::Ledger;
use report::verdict::Verdict;
use report::verify::VerifyRow;

use crate::node::{Node, Standby};
use crate::recheck::Limits;
use crate::subject::Subjects;
use crate::table::Options;
use crate::types::Types;

/// How our sessions call themselves.
const APPLICATION: &str = "verify-replication";

fn main() -> ExitCode {
    program::main(run)
}

/// Compares every standby with the primary, row by row, behind a fence; also while both are written to.
///
/// Connects as the role `monitor` (pg_monitor and pg_read_all_data) and changes nothing. One row of CSV is one table,
/// sequence or ledger on one standby. Exit code: 0 all are equal, 1 something differs, 2 it could not be found out.
#[derive(Parser)]
#[command(version)]
struct Args {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Compare only this table, materialized view or sequence (repeatable; of a partitioned table its partitions)
    #[arg(long, value_name = "NAME")]
    table: Vec<String>,
    /// Look for every write that this ledger of `write-load` calls acked; `-` reads stdin to its end first
    #[arg(long, value_name = "FILE")]
    ledger: Option<PathBuf>,
    /// Time for a standby to replay up to a fence
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration::parse)]
    fence_timeout: Duration,
    /// Rows of each table to look up by index as well; 0: none
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(..=100_000))]
    sample: u32,
    /// Blocks that are compared by one sum
    #[arg(long, value_name = "N", default_value_t = 16_384, value_parser = clap::value_parser!(u32).range(1..))]
    chunk_blocks: u32,
    /// Sessions that read on each node
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: u16,
    /// Further looks at rows that were on their way
    #[arg(long, value_name = "N", default_value_t = 100)]
    retries: u32,
    /// Time for all such further looks at one table on one standby
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = duration::parse_or_zero)]
    recheck_for: Duration,
    /// Finish normally when stdin ends (for a program that starts this one)
    #[arg(long)]
    until_eof: bool,
    /// Say nothing but warnings
    #[arg(long)]
    quiet: bool,
}

fn run() -> Result<Verdict> {
    let args = Args::parse();
    args.check_stdin()?;
    program::stop::listen(args.until_eof)?;
    // The writer's pipeline: what it acknowledged is complete before the fence is raised.
    let ledger = args.ledger.as_deref().map(ledger::read).transpose()?;
    program::stop::check()?;
    let mut verify = Verify::open(&args, &args.cluster.open()?)?;
    let subjects = subject::find(&verify.primary.door, &mut verify.primary.readers[0], &args.table, &verify.progress)?;
    let compared = verify.all(&subjects, ledger.as_ref());
    verify.progress.finish();
    // A reader that has gone must not turn what was found into a pass.
    let found = verify.verdict.is_some_and(|verdict| verdict != Verdict::Held);
    if !(found && compared.as_ref().is_err_and(Error::is::<Closed>)) {
        compared?;
    }
    ensure!(verify.verdict.is_some(), "there is nothing to compare: no table, no sequence, no ledger");
    Ok(verify.verdict.unwrap_or(Verdict::Unknown))
}

impl Args {
    /// Only one of those who may want stdin can have it.
    fn check_stdin(&self) -> Result<()> {
        let is_stdin = |path: &Option<PathBuf>| path.as_deref() == Some(Path::new("-"));
        let (ledger, cluster) = (is_stdin(&self.ledger), is_stdin(&self.cluster.cluster));
        ensure!(!(ledger && self.until_eof), "--until-eof and --ledger -: both want stdin");
        ensure!(!(ledger && cluster), "--cluster - and --ledger -: both want stdin");
        ensure!(!(cluster && self.until_eof), "--until-eof and --cluster -: both want stdin");
        Ok(())
    }

    fn options(&self) -> Options {
        let limits = Limits { fence: self.fence_timeout, retries: self.retries, patience: self.recheck_for };
        Options { chunk_blocks: self.chunk_blocks.into(), sample: self.sample as usize, limits }
    }
}

/// One execution.
struct Verify {
    run: String,
    options: Options,
    progress: Progress,
    primary: Node,
    standbys: Vec<Standby>,
    verdict: Option<Verdict>,
}

impl Verify {
    /// Opens all sessions. A standby that cannot be reached is kept, with why.
    fn open(args: &Args, cluster: &Cluster) -> Result<Verify> {
        let progress = Progress::new(args.quiet);
        let jobs = args.jobs.into();
        let found = topology::ask(cluster, Role::Monitor, APPLICATION)?;
        cluster.check_primary(&found.primary.0)?;
        let (node, door) = found.primary;
        let primary = Node::open(cluster, &node, door, jobs)?;
        let mut standbys = Vec::new();
        for (node, door) in found.standbys {
            let name = node.name.clone();
            let opened = Node::open(cluster, &node, door, jobs);
            if let Ok(node) = &opened {
                collation::check(node, &progress);
            }
            standbys.push(Standby { name, node: opened.map_err(|error| format!("{error:#}")), told: false });
        }
        for (node, error) in found.unreachable {
            standbys.push(Standby { name: node.name, node: Err(format!("{error:#}")), told: false });
        }
        ensure!(!standbys.is_empty(), "there is no standby to compare with {}", primary.name);
        // Tables come in the order of the cluster file whoever answered.
        standbys.sort_by_key(|standby| cluster.nodes.iter().position(|node| node.name == standby.name));
        Ok(Verify {
            run: Run::current("verify")?.name,
            options: args.options(),
            progress,
            primary,
            standbys,
            verdict: None,
        })
    }

    fn all(&mut self, subjects: &Subjects, ledger: Option<&Ledger>) -> Result<()> {
        let mut sink = Sink::stdout()?;
        self.tables(subjects, &mut sink)?;
        self.sequences(subjects, &mut sink)?;
        self.ledger(ledger, &mut sink)
    }

    fn tables(&mut self, subjects: &Subjects, sink: &mut Sink<VerifyRow>) -> Result<()> {
        let mut types = Types::default();
        for table in &subjects.tables {
            let (primary, standbys) = (&mut self.primary, &mut self.standbys);
            let findings = looks::compare(primary, standbys, table, &mut types, self.options, &self.progress);
            program::stop::check()?; // what a signal cut short is no finding
            self.tell_given_up();
            for (standby, finding) in self.standbys.iter().zip(findings) {
                finding.tell(&table.title(), &standby.name, &self.progress);
                let row = finding.row(&self.run, &table.title(), &standby.name);
                emit(sink, &row, &mut self.verdict)?;
            }
        }
        Ok(())
    }

    /// Says once of each standby that is given up why it is.
    fn tell_given_up(&mut self) {
        for standby in self.standbys.iter_mut().filter(|standby| !standby.told) {
            if let Err(why) = &standby.node {
                self.progress.warn(&format!("{} is unknown from here on: {why}", standby.name));
                standby.told = true;
            }
        }
    }

    fn sequences(&mut self, subjects: &Subjects, sink: &mut Sink<VerifyRow>) -> Result<()> {
        if subjects.sequences.is_empty() {
            return Ok(());
        }
        let (fence, sequences) = (self.options.limits.fence, &subjects.sequences);
        let rows =
            sequences::compare(&mut self.primary, &mut self.standbys, sequences, fence, &self.run, &self.progress);
        program::stop::check()?;
        self.tell_given_up();
        rows.iter().try_for_each(|row| emit(sink, row, &mut self.verdict))
    }

    fn ledger(&mut self, ledger: Option<&Ledger>, sink: &mut Sink<VerifyRow>) -> Result<()> {
        let Some(ledger) = ledger else { return Ok(()) };
        let fence = self.options.limits.fence;
        let rows = ledger::compare(&mut self.primary, &mut self.standbys, ledger, fence, &self.run, &self.progress);
        program::stop::check()?;
        self.tell_given_up();
        rows.iter().try_for_each(|row| emit(sink, row, &mut self.verdict))
    }
}

/// Writes a row and joins its verdict.
fn emit(sink: &mut Sink<VerifyRow>, row: &VerifyRow, verdict: &mut Option<Verdict>) -> Result<()> {
    *verdict = Some(verdict.map_or(row.verdict, |so_far| so_far.join(row.verdict)));
    sink.row(row)
}
