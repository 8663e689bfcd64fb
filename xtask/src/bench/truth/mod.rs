//! `bench verify --truth`: differences and damage of every kind are planted, and what verify-replication says is held
//! against what was planted, as it is counted without it.
//!
//! One lab with two standbys. The first one is stopped and its files are changed, then it is compared as a standby; the
//! second one is promoted and changed by SQL, then it is compared at rest.

mod btree;
mod count;
mod damage;
mod data_dir;
mod databases;
mod edit;
mod files;
mod literals;
mod pages;
mod plan;
mod promoted;
mod sequences;
mod sql;
mod subjects;
mod types;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use program::sink::Sink;
use program::{child, tool};
use report::verdict::Verdict;
use report::verify::VerifyRow;

use self::plan::{Class, Plan, Tallies};
use self::subjects::Subject;
use super::dice::{self, Dice};
use super::psql::Server;
use super::{Bed, ports};
use crate::step;

/// Of the whole form: every type, and so many tables for each kind of damage.
const WHOLE: Size = Size { every: 1, copies: 5 };
/// Of the small form, for tests.
const SMALL: Size = Size { every: 20, copies: 1 };

/// Nothing but what is planted changes a page: no vacuum of the server's own; and ours removes all dead rows, also those that
/// a standby may have seen. Else the primary would remove them later, as it reads, and the standby write that over what
/// was planted. Thousands of files are made and soon removed: no disk has to have them.
const QUIET: [&str; 3] = ["autovacuum=off", "hot_standby_feedback=off", "fsync=off"];

/// Rows that are looked up by index where verify-replication cannot read indexes in full.
const SAMPLE: [&str; 2] = ["--sample", "1000"];
/// What makes it read all indexes in full, where it knows of that.
const ALL_INDEXES: [&str; 2] = ["--indexes", "all"];

/// How much is planted.
#[derive(Clone, Copy)]
struct Size {
    /// One in so many types and small databases.
    every: usize,
    /// Tables for each kind of damage.
    copies: u64,
}

/// What is worked on.
struct Nodes<'a> {
    primary: Server,
    dir: &'a Path,
}

/// The whole benchmark; `seed` chooses what is planted.
///
/// # Errors
/// If a server refuses, or a program cannot do its work.
pub(super) fn run(bed: &Bed<'_>, seed: u64, small: bool) -> Result<(String, Verdict)> {
    let size = if small { SMALL } else { WHOLE };
    let mut sink = Sink::create_new(&bed.dir.join("bench-truth.csv"))?;
    let first = ports::nine_free()?;
    bed.progress.step("setting up");
    let port = first.to_string();
    let mut asked = vec!["--port", &port, "--sync", "async", "--standbys", "2"];
    asked.extend(QUIET.iter().flat_map(|setting| ["--set", setting]));
    let cluster = bed.setup(&asked)?;
    let server = |number: u16| Server::of(&cluster, first, number);
    let (standby, copy) = (server(1), server(2));
    let nodes = Nodes { primary: server(0), dir: bed.dir };
    let mut dice = Dice::new(seed);

    bed.progress.step("making tables, sequences and databases");
    let mut left_out = Vec::new();
    let subjects = subjects(&nodes, size, &mut left_out)?;
    let citext = nodes.primary.ask(files::DATABASE, "SELECT count(*) FROM pg_type WHERE typname = 'citext'")? == "1";
    let in_files = files::make(&nodes, &subjects, size.copies, citext)?;
    let by_sql = promoted::make(&nodes, &subjects, size.every, &mut dice)?;

    let mut tallies = Tallies::default();
    let mut wrong = Vec::new();
    let verify = Verify { bed, primary: &nodes.primary, indexes: index_arguments(bed)? };
    bed.progress.step("changing files of a stopped standby");
    let plan = in_files.plant(&nodes, &standby, &mut dice, || bed.setup(&asked).map(drop))?;
    bed.progress.step("comparing the standby");
    wrong.extend(tallies.add(&plan, &verify.run(files::DATABASE, &standby, &[])?));
    by_sql.plant(&nodes, &copy, &mut dice, |database, plan: &Plan| {
        bed.progress.step(format!("comparing {database} at rest"));
        wrong.extend(tallies.add(plan, &verify.run(database, &copy, &["--at-rest"])?));
        Ok(())
    })?;

    for row in tallies.rows(&bed.run.name) {
        sink.row(&row)?;
    }
    std::fs::write(bed.dir.join("not-as-planted.txt"), wrong.join("\n") + "\n")?;
    std::fs::write(bed.dir.join("not-covered.txt"), left_out.join("\n") + "\n")?;
    Ok(summary(&tallies, &verify.indexes, seed, &left_out))
}

/// The tables that differences are planted in; the databases for them are made.
fn subjects(nodes: &Nodes<'_>, size: Size, left_out: &mut Vec<String>) -> Result<Vec<Subject>> {
    let primary = &nodes.primary;
    for database in [files::DATABASE, promoted::TABLES] {
        primary.ask("postgres", &format!("CREATE DATABASE {database}"))?;
        let missing = types::make(primary, database)?;
        if database == files::DATABASE {
            left_out.extend(missing);
        }
    }
    let covered = types::all(primary, files::DATABASE, size.every)?;
    left_out.extend(covered.left_out);
    let lz4 = "SELECT 'lz4' = ANY (enumvals) FROM pg_settings WHERE name = 'default_toast_compression'";
    let lz4 = primary.ask(files::DATABASE, lz4)? == "t";
    if !lz4 {
        left_out.push("compression by lz4 (the server has none)".to_owned());
    }
    Ok([subjects::shapes(lz4), covered.subjects].concat())
}

/// What has verify-replication look at indexes as closely as it can.
fn index_arguments(bed: &Bed<'_>) -> Result<[&'static str; 2]> {
    let mut help = Command::new(child::path("verify-replication")?);
    help.arg("--help");
    let help = tool::run(help, Duration::from_secs(10))?;
    let all = help.contains(ALL_INDEXES[0]);
    if !all {
        bed.progress.say("verify-replication cannot read indexes in full here: what it misses in them does not count");
    }
    Ok(if all { ALL_INDEXES } else { SAMPLE })
}

/// verify-replication, as it is started here.
struct Verify<'a> {
    bed: &'a Bed<'a>,
    primary: &'a Server,
    indexes: [&'static str; 2],
}

impl Verify<'_> {
    fn run(&self, database: &str, other: &Server, more: &[&str]) -> Result<Vec<VerifyRow>> {
        let [primary, other] = [self.primary, other].map(|server| server.conninfo(database, "understudy_monitor"));
        let mut args = vec!["--primary", &primary, "--standby", &other, "--seed", "1", "--quiet"];
        args.extend(self.indexes);
        args.extend(more);
        let file = PathBuf::from(format!("rows/verify-{database}.csv"));
        std::fs::create_dir_all(self.bed.dir.join("rows"))?;
        let file = file.to_string_lossy();
        step::judge("verify-replication", &args, &self.bed.run, self.bed.dir, &file)?;
        let rows: Vec<VerifyRow> = program::folder::rows(self.bed.dir, &file)?;
        anyhow::ensure!(!rows.is_empty(), "{database}: {}", step::log_tail(self.bed.dir, "verify-replication"));
        Ok(rows)
    }
}

fn summary(tallies: &Tallies, indexes: &[&str; 2], seed: u64, left_out: &[String]) -> (String, Verdict) {
    let mut lines = Vec::new();
    let mut verdict = Verdict::Held;
    for (class, what, counts) in [
        (Class::Rows, "rows, sequences, catalogs, large objects", true),
        (Class::Index, "indexes and visibility maps", *indexes == ALL_INDEXES),
    ] {
        let (planted, found, invented) = tallies.sum(class);
        lines.push(format!("{what}: {found} of {planted} found, {invented} invented ({})", indexes.join(" ")));
        if counts && found < planted || invented > 0 {
            verdict = Verdict::Broken;
        }
    }
    let short = tallies.rows("").into_iter().filter(|row| row.verdict != Verdict::Held);
    let short = short.map(|row| {
        format!("  {}: {} of {} found, {} invented: {}", row.kind, row.found, row.planted, row.invented, row.verdict)
    });
    lines.extend(short);
    lines.push(format!("seed {seed}; not covered: {} (not-covered.txt)", left_out.len()));
    (lines.join("\n"), verdict)
}
