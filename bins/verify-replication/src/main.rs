//! verify-replication: compares every standby with the primary, row by row, once it has caught up.
//!
//! Equal sums of hashes settle most of a table; where they differ, rows are read and read again until each difference
//! is proven or was only a row on its way. With `--ledger`, every write that a client saw acknowledged is looked for:
//!
//!     write-load --duration 5s --ledger - | verify-replication --ledger -
//!
//! One row on stdout is one table (or sequence, or ledger) on one standby.
//! Exit code: 0 all are equal, 1 something differs, 2 it could not be found out.

mod account;
mod args;
mod at_rest;
mod catalogs;
mod causes;
mod changed;
mod collation;
mod coverage;
mod damage;
mod databases;
mod descent;
mod details;
mod diff;
mod difference;
mod encoding;
mod fingerprint;
mod hindered;
mod indexes;
mod layout;
mod ledger;
mod leftovers;
mod locked;
mod looks;
mod narrow;
mod node;
mod only_there;
mod opened;
mod pace;
mod partitions;
mod prepared;
mod proof;
mod pulse;
mod raw_texts;
mod read_error;
mod reader;
mod recheck;
mod same_server;
mod scan;
mod sequence_state;
mod sequences;
mod spool;
mod subject;
mod table;
mod table_result;
mod tables;
mod text;
mod tid;
mod told;
mod types;
mod values;
mod verify;
mod waiting;

use std::process::ExitCode;

use anyhow::{Context as _, Error, Result};
use program::progress::Progress;
use program::run::Run;
use program::sink::Closed;
use report::verdict::Verdict;

use crate::account::Account;
use crate::args::Args;
use crate::diff::Diff;
use crate::verify::{Scope, Verify};

/// How our sessions call themselves.
const APPLICATION: &str = "verify-replication";

fn main() -> ExitCode {
    program::main(run)
}

fn run() -> Result<Verdict> {
    let args = Args::ask();
    args.check_stdin()?;
    program::stop::listen(args.until_eof)?;
    // The writer's pipeline: what it acknowledged is complete before anybody has to catch up with it.
    let ledger = args.ledger.as_deref().map(ledger::read).transpose()?;
    program::stop::check()?;
    let cluster = args.cluster.open()?;
    let run = Run::current("verify")?.name;
    let diff = args.diff.clone().map(|path| (path, args.show_values));
    let mut account = Account::new(run, Progress::new(args.quiet).in_lines(), diff, args.csv);
    let (options, ledger) = (args.options(), ledger.as_ref());
    let compared = match args.all_databases {
        true => databases::compare(&args, &cluster, options, ledger, &mut account),
        false => {
            let scope = Scope { shared_catalogs: true, other_databases: true };
            Verify::open(&args, &cluster, scope, options, &mut account)
                .and_then(|mut verify| verify.all(&args.table, ledger))
        }
    };
    account.progress.finish();
    // A reader that has gone must not turn what was found into a pass.
    let found = account.verdict.is_some_and(|verdict| verdict != Verdict::Held);
    if !(found && compared.as_ref().is_err_and(Error::is::<Closed>)) {
        compared?;
    }
    let mut verdict = account.verdict.context("there is nothing to compare: no table, no sequence, no ledger")?;
    if let Some(why) = account.diff.as_ref().and_then(Diff::failed) {
        // What was found is found; but whoever asked for all of it by name has not got it.
        account.progress.warn(&format!("--diff is not whole: {why}"));
        verdict = verdict.join(Verdict::Unknown);
    }
    account.progress.conclude(&account.sentence(), verdict);
    Ok(verdict)
}
