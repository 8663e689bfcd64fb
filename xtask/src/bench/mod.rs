//! Benchmarks: each leaves a run's folder with one CSV file.

mod backends;
mod coverage;
mod dice;
mod honest;
mod lag;
mod load;
mod modes;
mod outage;
mod ports;
mod psql;
mod reladiff;
mod rusage;
mod truth;
mod verify;
mod witness;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use program::progress::Progress;
use program::run::Run;
use program::{duration, sink};
use report::percentiles::median;
use report::verdict::Verdict;
use xshell::Shell;

use crate::{build, run_folder, step};

/// Which benchmark.
#[derive(clap::Subcommand)]
pub(crate) enum Bench {
    /// Lag and latency by sync mode and write rate
    Lag(Args),
    /// write-load as fast as it goes, beside pgbench with the same INSERT, in pairs
    Load(Args),
    /// verify-replication beside the same work done raw by psql on both nodes, in pairs; with --truth, --honest or --coverage:
    /// whether it finds what is planted, and nothing else, and passes nothing over
    Verify(verify::Args),
    /// Takeovers, each beside the raw floor of the same nodes
    Outage(Args),
    /// Takeovers beside an independent writer: outage and loss must agree
    Witness(Args),
    /// The same takeover on local servers and on containers, in pairs
    Backends(Args),
    /// The price list: a matrix of sync modes, standbys, load, settings and versions, each combination drilled again and again
    #[command(after_help = modes::EXAMPLES)]
    Modes(modes::Args),
}

/// Arguments of all benchmarks.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Length of one timed workload
    #[arg(long, value_name = "TIME", default_value = "4s", value_parser = duration::parse)]
    duration: Duration,
    /// Pairs, or repetitions
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=100))]
    pairs: u64,
    /// Rows of the table that `verify` compares
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    rows: u64,
    /// Where the run's folder is made [default: reports/runs]
    #[arg(long, value_name = "DIR")]
    runs: Option<PathBuf>,
    /// Arguments for `setup`, after `--`: --pg-version, --set, …
    #[arg(last = true)]
    setup: Vec<String>,
}

/// What a benchmark works with.
struct Bed<'a> {
    args: &'a Args,
    lab: String,
    run: Run,
    dir: &'a Path,
    progress: Progress,
}

impl Bed<'_> {
    /// Converges the lab and returns its cluster file.
    fn setup(&self, more: &[&str]) -> Result<String> {
        let mut words = ["--name", &self.lab].map(str::to_owned).to_vec();
        if !more.contains(&"--backend") {
            words.extend(["--backend", "local"].map(str::to_owned));
        }
        words.extend(more.iter().map(|word| (*word).to_owned()));
        words.extend(self.args.setup.iter().cloned());
        step::setup(&words, &self.run, self.dir)
    }

    /// Runs a program whose rows go to a file of their own below `rows/`.
    fn step(&self, name: &str, args: &[&str], rows: &str) -> Result<Verdict> {
        std::fs::create_dir_all(self.dir.join("rows"))?;
        step::run(name, args, &self.run, self.dir, &format!("rows/{rows}"))
    }
}

/// The median of some figures as `show` writes it; `-` where there are none.
fn mid<T: Copy + PartialOrd>(figures: &[T], show: impl FnOnce(T) -> String) -> String {
    median(figures).map_or("-".to_owned(), show)
}

/// Runs a benchmark.
pub(crate) fn bench(sh: &Shell, bench: &Bench) -> Result<Verdict> {
    let figures = |what: &str, args: &Args, run: fn(&Bed<'_>) -> Result<String>| {
        on_a_bed(sh, what, args, |bed| Ok((run(bed)?, Verdict::Held)))
    };
    match bench {
        Bench::Lag(args) => figures("bench-lag", args, lag::run),
        Bench::Load(args) => figures("bench-load", args, load::run),
        Bench::Verify(args) => on_a_bed(sh, args.what(), &args.args, |bed| verify::run(bed, args)),
        Bench::Outage(args) => figures("bench-outage", args, outage::run),
        Bench::Witness(args) => figures("bench-witness", args, witness::run),
        Bench::Backends(args) => figures("bench-backends", args, backends::run),
        Bench::Modes(args) => modes::bench(sh, args),
    }
}

/// Measures in one lab, which goes when it is done, and says what was found.
fn on_a_bed(
    sh: &Shell,
    what: &str,
    args: &Args,
    measure: impl FnOnce(&Bed<'_>) -> Result<(String, Verdict)>,
) -> Result<Verdict> {
    let progress = Progress::new(false);
    build::programs()?;
    build::ensure_postgresql(&["--backend".to_owned(), "local".to_owned()])?;
    let (run, dir) = run_folder::make(sh, what, args.runs.as_deref())?;
    let bed = Bed { args, lab: step::own_lab("bench"), run, dir: &dir, progress: progress.clone() };
    let done = step::down(&bed.lab, &bed.run, measure(&bed));
    progress.finish();
    let (said, verdict) = done?;
    progress.say(&said);
    sink::print_line(&run_folder::shown(&dir))?;
    Ok(verdict)
}
