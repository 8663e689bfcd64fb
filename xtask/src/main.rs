//! xtask: the runner. `cargo xtask drill` runs the main job, `cargo xtask test` the tests; `cargo xtask` lists all.
//!
//! It starts the programs, hands on the path that `setup` prints, and reads rows. It never talks to PostgreSQL.

mod bench;
mod build;
mod cargo;
mod compare;
mod drill;
mod drilled;
mod history;
mod image;
mod judge;
mod lab;
mod repetitions;
mod results;
mod run_folder;
mod step;
mod test;
mod watch;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use program::stop;
use report::verdict::Verdict;
use xshell::Shell;

/// Runs pg-understudy.
#[derive(Parser)]
#[command(bin_name = "cargo xtask", version, about)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// A lab, data, load, a crash of the primary, a takeover, and a report of what it cost
    Drill(Box<drill::Args>),
    /// Judges a run again, from the files in its folder alone
    Judge(judge::Args),
    /// Tells a regression from noise: the repetitions of two runs, figure by figure
    Compare(compare::Args),
    /// Benchmarks that leave CSV files: lag, load, verify, outage
    #[command(subcommand)]
    Bench(bench::Bench),
    /// A lab that stays: `setup` with its arguments
    Up(lab::Forwarded),
    /// Takes labs down: all of them, or with --name one; builds nothing
    Down(lab::Forwarded),
    /// Builds an image of PostgreSQL from Debian's packages, where no registry can be reached
    Image(image::Args),
    /// All tests, with real servers
    Test(test::Args),
    /// One of the programs: setup, seed-data, write-load, measure-lag, verify-replication, failover-drill, draw-report
    #[command(external_subcommand)]
    Program(Vec<OsString>),
}

fn main() -> ExitCode {
    let Args { command } = Args::parse();
    program::main(|| run(command))
}

fn run(command: Command) -> Result<Verdict> {
    let sh = Shell::new()?;
    // What the shell runs works in the workspace; the programs that are called by their names, where the caller stands.
    sh.change_dir(cargo::workspace());
    // mmdebstrap and docker, which make an image, are to hear a Ctrl-C as always. All else is ended by us.
    if !matches!(command, Command::Image(_)) {
        stop::listen(false)?;
    }
    match command {
        Command::Drill(args) => drill::drill(&sh, &args),
        Command::Judge(args) => Ok(judge::judge(&args)),
        Command::Compare(args) => compare::compare(&args),
        Command::Bench(bench) => bench::bench(&sh, &bench),
        Command::Up(args) => lab::up(&args),
        Command::Down(args) => lab::down(&args),
        Command::Image(args) => image::image(&sh, &args),
        Command::Test(args) => test::test(&sh, &args),
        Command::Program(words) => lab::forward_program(&words),
    }
}
