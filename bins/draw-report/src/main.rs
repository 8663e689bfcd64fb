//! Draws a run's folder as one HTML page: verdict, figures, a time line of each takeover, lag, latency, loss. It needs no
//! server, no network and no scripts, and the page needs none either.
//!
//! ```text
//! draw-report reports/latest > report.html
//! draw-report reports/runs/*-drill > runs.html       # side by side, with their spread
//! ```
//!
//! stdout: the page. Every figure on it is computed from the CSV files of the run, by the function that `cargo xtask judge`
//! calls, and never taken over from somewhere.
//! Exit codes: 0 the page was drawn, whatever its verdict; 2 it was not.

mod bins;
mod chart;
mod html;
mod page;
mod run;
mod section;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use program::{folder, sink, stop};
use report::verdict::Verdict;

use crate::run::Run;

/// Draws a run's folder, or several side by side, as one HTML page
///
/// The page holds its pictures and styles and links to the files of the run; it has no scripts and asks for nothing from a
/// network. Its links lead from the directory in which draw-report runs, so the page belongs there.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES)]
struct Args {
    /// Folders of runs, such as reports/latest
    #[arg(value_name = "RUN", required_unless_present_any = ["history", "modes"])]
    runs: Vec<PathBuf>,
    /// Draw the outages of a history over time instead, such as of reports/history.csv
    #[arg(long, value_name = "FILE", conflicts_with = "runs")]
    history: Option<PathBuf>,
    /// Draw the price list of `cargo xtask bench modes` instead: its modes.csv
    #[arg(long, value_name = "FILE", conflicts_with_all = ["runs", "history"])]
    modes: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  The newest run:
    draw-report reports/latest > report.html
  Ten drills side by side, with the spread of their figures:
    draw-report reports/runs/20261128T*-drill > runs.html
  All drills of a checkout over time:
    draw-report --history reports/history.csv > history.html
  What each sync mode costs, and what it buys:
    draw-report --modes reports/latest/modes.csv > modes.html

Stdout: one HTML page.

Exit codes: 0 the page was drawn, whatever its verdict (`cargo xtask judge RUN` exits by the verdict);
2 it was not, and stderr says why; 130 or 143 interrupted.";

fn main() -> ExitCode {
    program::main(run)
}

fn run() -> Result<Verdict> {
    let args = Args::parse();
    stop::listen(false)?;
    if let Some(file) = &args.history {
        let rows = folder::rows_of(file)?;
        sink::print_line(&page::history(&rows)?)?;
        return Ok(Verdict::Held);
    }
    if let Some(file) = &args.modes {
        let rows = folder::rows_of(file)?;
        sink::print_line(&page::modes(&rows)?)?;
        return Ok(Verdict::Held);
    }
    let runs = args.runs.iter().map(|dir| Run::read(dir)).collect::<Result<Vec<_>>>()?;
    sink::print_line(&page::page(&runs)?)?;
    Ok(Verdict::Held)
}
