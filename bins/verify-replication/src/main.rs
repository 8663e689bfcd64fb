//! verify-replication: compares every standby with the primary, row by row, once it has caught up.
//!
//! Equal sums of hashes settle most of a table; where they differ, rows are read and read again until each difference
//! is proven or was only a row on its way. With `--ledger`, every write that a client saw acknowledged is looked for:
//!
//!     write-load --duration 5s --ledger - | verify-replication --ledger -
//!
//! One row on stdout is one table (or sequence, or ledger) on one standby.
//! Exit code: 0 all are equal, 1 something differs, 2 it could not be found out.

mod catalogs;
mod collation;
mod coverage;
mod damage;
mod descent;
mod details;
mod diff;
mod difference;
mod fingerprint;
mod found;
mod indexes;
mod layout;
mod ledger;
mod leftovers;
mod localise;
mod looks;
mod narrow;
mod node;
mod reader;
mod recheck;
mod scan;
mod sequence_state;
mod sequences;
mod spool;
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
use cluster::session::Session;
use cluster::topology;
use program::duration;
use program::progress::Progress;
use program::run::Run;
use program::sink::{Closed, Sink};
use report::ledger::Ledger;
use report::verdict::Verdict;
use report::verify::{Descent, Equal, VerifyRow};

use crate::coverage::Coverage;
use crate::diff::Diff;
use crate::indexes::{Draw, Indexes};
use crate::node::{Node, Standby};
use crate::recheck::Limits;
use crate::subject::Subjects;
use crate::table::{Finding, Options};
use crate::types::Types;

/// How our sessions call themselves.
const APPLICATION: &str = "verify-replication";

fn main() -> ExitCode {
    program::main(run)
}

/// Compares every standby with the primary, row by row, once it has caught up; also while both are written to.
///
/// Each standby has to be proven to follow this very primary first. Sequences, catalogs and large objects are compared,
/// too; at the end stands what was not, and why.
///
/// Connects as the role `monitor` (pg_monitor and pg_read_all_data) and changes nothing. One row of CSV is one table,
/// sequence or ledger, or all catalogs, on one standby. Exit code: 0 all are equal, 1 something differs, 2 it could not be
/// found out.
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
    /// Compare the nodes as they stand, whatever their roles, on your word that nobody writes to them: promoted copies,
    /// restored backups
    #[arg(long)]
    at_rest: bool,
    /// Write all that differs to a new file, as CSV: table, kind, key, places, and which columns; no values but the key
    #[arg(long, value_name = "FILE")]
    diff: Option<PathBuf>,
    /// Write into that file what the differing columns hold, too: everything, secrets included
    #[arg(long, requires = "diff")]
    show_values: bool,
    /// Time for a standby to catch up, and to be proven to follow this primary
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration::parse)]
    catch_up_timeout: Duration,
    /// How much of each index of a standby to read
    #[arg(long, value_enum, value_name = "HOW", default_value_t = Indexes::Sample)]
    indexes: Indexes,
    /// Rows of each table to look up by each of its indexes
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    sample: u32,
    /// Seed of the random choice of those rows [default: another one each time; it is said at the end]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
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
    // The writer's pipeline: what it acknowledged is complete before anybody has to catch up with it.
    let ledger = args.ledger.as_deref().map(ledger::read).transpose()?;
    program::stop::check()?;
    let mut verify = Verify::open(&args, &args.cluster.open()?)?;
    let subjects = subject::find(&verify.primary.door, &mut verify.primary.readers[0], &args.table)?;
    let compared = verify.all(&subjects, args.table.is_empty(), ledger.as_ref());
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
        let limits = Limits { catch_up: self.catch_up_timeout, retries: self.retries, patience: self.recheck_for };
        let draw =
            Draw { rows: self.sample as usize, seed: self.seed.unwrap_or_else(|| rand::random_range(0..1_000_000)) };
        let (indexes, all_differences) = (self.indexes, self.diff.is_some());
        Options { chunk_blocks: self.chunk_blocks.into(), indexes, draw, limits, all_differences }
    }
}

/// One execution.
struct Verify {
    run: String,
    database: String,
    options: Options,
    progress: Progress,
    primary: Node,
    standbys: Vec<Standby>,
    coverage: Coverage,
    diff: Option<Diff>,
    verdict: Option<Verdict>,
}

impl Verify {
    /// Opens all sessions. A standby that cannot be reached is kept, with why.
    fn open(args: &Args, cluster: &Cluster) -> Result<Verify> {
        let progress = Progress::new(args.quiet);
        let (jobs, at_rest) = (args.jobs.into(), args.at_rest);
        let found = match at_rest {
            true => topology::as_they_stand(cluster, Role::Monitor, APPLICATION)?,
            false => topology::ask(cluster, Role::Monitor, APPLICATION)?,
        };
        if !at_rest {
            cluster.check_primary(&found.primary.0)?;
        }
        let (node, door) = found.primary;
        let primary = Node::open(cluster, &node, door, jobs, at_rest)?;
        let mut standbys = Vec::new();
        let database = database(&primary.door)?;
        for (node, door) in found.standbys {
            check_database(&database, &primary.door, &door)?;
            let opened = Node::open(cluster, &node, door, jobs, at_rest);
            if let Ok(node) = &opened {
                collation::check(node, &progress);
            }
            standbys.push(Standby::new(node.name, opened));
        }
        for (node, error) in found.unreachable {
            standbys.push(Standby::new(node.name, Err(error)));
        }
        ensure!(!standbys.is_empty(), "there is no standby to compare with {}", primary.name);
        // Tables come in the order of the cluster file whoever answered.
        standbys.sort_by_key(|standby| cluster.nodes.iter().position(|node| node.name == standby.name));
        let (run, options) = (Run::current("verify")?.name, args.options());
        let coverage = Coverage::new(options.draw.seed);
        let diff =
            args.diff.as_deref().map(|path| Diff::create(path, &run, &database, args.show_values)).transpose()?;
        Ok(Verify { run, database, options, progress, primary, standbys, coverage, diff, verdict: None })
    }

    /// Compares all there is; with `whole` not only what was named.
    fn all(&mut self, subjects: &Subjects, whole: bool, ledger: Option<&Ledger>) -> Result<()> {
        let mut sink = Sink::stdout()?;
        self.descent()?;
        self.coverage.left_out.clone_from(&subjects.left_out);
        self.tables(subjects, &mut sink)?;
        self.sequences(subjects, &mut sink)?;
        if whole {
            self.catalogs(&mut sink)?;
        }
        self.ledger(ledger, &mut sink)?;
        self.progress.finish();
        self.coverage.lines().iter().for_each(|line| self.progress.say(line));
        Ok(())
    }

    /// Proves that each standby follows this primary, or gives it up.
    fn descent(&mut self) -> Result<()> {
        if self.primary.at_rest {
            for standby in self.standbys.iter_mut().filter(|standby| standby.node.is_ok()) {
                standby.descent = Some(Descent::AtRest);
            }
        } else {
            descent::prove(&self.primary, &mut self.standbys, self.options.limits.catch_up)?;
        }
        self.give_up_lost();
        Ok(())
    }

    fn tables(&mut self, subjects: &Subjects, sink: &mut Sink<VerifyRow>) -> Result<()> {
        let mut types = Types::default();
        for table in &subjects.tables {
            let (primary, standbys) = (&mut self.primary, &mut self.standbys);
            let findings = looks::compare(primary, standbys, table, &mut types, self.options, &self.progress);
            program::stop::check()?; // what a signal cut short is no finding
            let dropped = findings.iter().any(Finding::is_unknown) && table.is_dropped(&self.primary.door);
            if dropped {
                self.coverage.left_out.push(format!("{} (dropped meanwhile)", table.title()));
            }
            let mut rows = Vec::new();
            for (standby, mut finding) in self.standbys.iter_mut().zip(findings) {
                if dropped && finding.is_unknown() {
                    continue;
                }
                finding.tell(&table.title(), &standby.name, &self.progress);
                self.coverage.read_indexes(&standby.name, finding.tally());
                rows.push(finding.row(&self.run, &table.title(), &standby.name));
                if let Some(diff) = &mut self.diff {
                    diff.write(&mut finding.found, table, &mut self.primary, standby)?;
                }
            }
            self.emit(rows, sink)?;
        }
        Ok(())
    }

    fn sequences(&mut self, subjects: &Subjects, sink: &mut Sink<VerifyRow>) -> Result<()> {
        if subjects.sequences.is_empty() {
            return Ok(());
        }
        let (limit, sequences) = (self.options.limits.catch_up, &subjects.sequences);
        let rows =
            sequences::compare(&mut self.primary, &mut self.standbys, sequences, limit, &self.run, &self.progress);
        program::stop::check()?;
        self.emit(rows, sink)
    }

    /// Catalogs and large objects; a row for all of each on one standby.
    fn catalogs(&mut self, sink: &mut Sink<VerifyRow>) -> Result<()> {
        let at_rest = self.primary.at_rest;
        if self.nobody_left() {
            return self.no_catalogs(sink);
        }
        let Ok(found) = catalogs::find(self.primary.reader(), at_rest) else {
            return self.no_catalogs(sink);
        };
        self.coverage.left_out.extend(found.left_out);
        self.coverage.catalogs = found.schema.len() as u64;
        for (title, some) in [(VerifyRow::CATALOGS, &found.schema), (VerifyRow::LARGE_OBJECTS, &found.large_objects)] {
            let (primary, standbys) = (&mut self.primary, &mut self.standbys);
            let (title, diff) = ((&*self.run, title), self.diff.as_mut());
            let rows = catalogs::compare(primary, standbys, some, title, self.options, &self.progress, diff)?;
            program::stop::check()?;
            self.emit(rows, sink)?;
        }
        Ok(())
    }

    /// The rows for catalogs of which not even a list could be read.
    fn no_catalogs(&mut self, sink: &mut Sink<VerifyRow>) -> Result<()> {
        program::stop::check()?;
        let none = Finding::unread(None);
        let rows =
            self.standbys.iter().map(|standby| none.row(&self.run, VerifyRow::CATALOGS, &standby.name)).collect();
        self.emit(rows, sink)
    }

    fn ledger(&mut self, ledger: Option<&Ledger>, sink: &mut Sink<VerifyRow>) -> Result<()> {
        let Some(ledger) = ledger else { return Ok(()) };
        let limit = self.options.limits.catch_up;
        let rows = ledger::compare(&mut self.primary, &mut self.standbys, ledger, limit, &self.run, &self.progress);
        program::stop::check()?;
        self.emit(rows, sink)
    }

    /// Whether every standby is given up: then the primary need not be read, which may be gone itself.
    fn nobody_left(&self) -> bool {
        self.standbys.iter().all(|standby| standby.node.is_err())
    }

    /// Gives up who has gone while it was read, and says of each once why. With the primary all go, in one line.
    fn give_up_lost(&mut self) {
        let primary_gone = self.primary.is_gone();
        for standby in &mut self.standbys {
            let gone = standby.node.as_ref().ok().filter(|node| node.is_gone()).map(Node::why_gone);
            if let Some(why) = gone {
                standby.node = Err(why);
            }
            if let Err(why) = &standby.node
                && !standby.told
                && !primary_gone
            {
                self.progress.warn(&format!("{} is unknown from here on: {why}", standby.name));
                standby.told = true;
            }
        }
        if primary_gone && self.standbys.iter().any(|standby| !standby.told) {
            let why = self.primary.why_gone();
            self.progress.warn(&format!("{} is gone, and all is unknown from here on: {why}", self.primary.name));
            for standby in &mut self.standbys {
                standby.node = Err(why.clone());
                standby.told = true;
            }
        }
    }

    /// Writes rows, joins their verdicts, and notes who is gone.
    fn emit(&mut self, rows: Vec<VerifyRow>, sink: &mut Sink<VerifyRow>) -> Result<()> {
        self.give_up_lost();
        for mut row in rows {
            row.descent = self.standbys.iter().find(|standby| standby.name == row.standby).and_then(|s| s.descent);
            row.database = Some(self.database.clone());
            row.equal = Some(Equal::Bytes);
            self.verdict = Some(self.verdict.map_or(row.verdict, |so_far| so_far.join(row.verdict)));
            self.coverage.add(&row);
            sink.row(&row)?;
        }
        Ok(())
    }
}

/// Two databases of one cluster have nothing in common.
fn check_database(here: &str, primary: &Session, standby: &Session) -> Result<()> {
    let there = database(standby)?;
    ensure!(
        here == there,
        "{} leads to the database {here}, {} to {there}: they have to be the same",
        primary.node(),
        standby.node()
    );
    Ok(())
}

fn database(session: &Session) -> Result<String> {
    session.value("SELECT pg_catalog.current_database()::text", &[])
}
