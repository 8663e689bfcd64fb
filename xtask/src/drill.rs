//! `cargo xtask drill`: up, seed, lag in the background, drill, verify, summary.

mod runs;

use std::iter;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use clap::Parser as _;
use program::judged::{JudgedRun, PROGRAMS};
use program::progress::Progress;
use program::run::Run;
use program::sink::{self, Closed, Sink};
use program::{duration, folder};
use report::drill::DrillRow;
use report::programs::ProgramRow;
use report::seal::Seal;
use report::verdict::Verdict;
use report::words::Fault;
use xshell::Shell;

use crate::cargo::explain_interrupt;
use crate::results::{self, Asked, Begun, Results};
use crate::watch::Watch;
use crate::{build, history, judge, repetitions, run_folder, step};

/// Time for `measure-lag` to finish: one last look at each standby.
const LAG_GRACE: Duration = Duration::from_secs(10);

const AFTER_HELP: &str = "\
Examples:
  cargo xtask drill                                  a lab, a crash, a takeover, a report
  cargo xtask drill --standbys 2 --sync remote_apply
  cargo xtask drill --fault stop --rounds 2          a switchover, there and back
  cargo xtask drill --runs 20 --max-outage 2s        twenty of them; the first that takes longer is the last
  cargo xtask drill --max-outage 2s --max-lag 500ms --min-rate 450 --junit drill.xml --json drill.json
  cargo xtask drill --openmetrics /var/lib/prometheus/node-exporter/failover.prom

A figure that equals its limit keeps it; one that was not measured is never a pass. Exit codes: 0 all promises were kept,
1 one was not, 2 it could not be found out, 130 or 143 interrupted. docs/ci.md has pipelines.";

/// Arguments of `drill`.
#[derive(clap::Args)]
#[command(after_long_help = AFTER_HELP)]
pub(crate) struct Args {
    /// Rows of seed data in the largest table
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..))]
    rows: u64,
    /// Writes per second, or `max`
    #[arg(long, value_name = "N|max", default_value = "500", value_parser = parse_rate)]
    rate: String,
    /// Clients
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=5000))]
    clients: u32,
    /// Length of the load without the takeover: half of it before the fault, half after
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration::parse)]
    duration: Duration,
    /// Standbys
    #[arg(long, value_name = "N", default_value_t = 1)]
    standbys: u32,
    /// How commits wait for standbys: async, remote_write, on, remote_apply
    #[arg(long, value_name = "MODE", default_value = "on", value_parser = ["async", "remote_write", "on", "remote_apply"])]
    sync: String,
    /// What happens to the primary
    #[arg(long, default_value = "kill", value_parser = Fault::ALL.map(Fault::as_str))]
    fault: String,
    /// With --fault stall: for how long the primary is frozen [default: 2s]
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    stall: Option<Duration>,
    /// How many takeovers, one after the other: each time whoever is primary then is hit
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// How many drills, one after the other in one lab, each with a ledger, a folder and a verdict of its own; the first `broken`
    /// one is the last
    #[arg(long, value_name = "N", conflicts_with = "rounds", value_parser = clap::value_parser!(u32).range(1..=100))]
    runs: Option<u32>,
    /// With --runs: how many more are held before them, and kept, but not counted [default: 1]
    #[arg(long, value_name = "K", requires = "runs", value_parser = clap::value_parser!(u32).range(0..=20))]
    warm_up: Option<u32>,
    /// With --runs: go on after a `broken` one
    #[arg(long, requires = "runs")]
    keep_going: bool,
    /// How the nodes are run
    #[arg(long, default_value = "auto", value_parser = ["auto", "local", "compose"])]
    backend: String,
    /// Cut the standbys off this long before the fault: asynchronous commits must then get lost
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    cut: Option<Duration>,
    /// How many acknowledged writes may be lost before the verdict is `broken`
    #[arg(long, value_name = "N", default_value_t = 0)]
    max_lost: u64,
    /// The longest outage of a takeover before the verdict is `broken`
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    max_outage: Option<Duration>,
    /// The longest time until a commit is visible on a standby before the verdict is `broken`
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    max_lag: Option<Duration>,
    /// The fewest writes acknowledged per second before the fault, or the verdict is `broken`
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    min_rate: Option<u64>,
    /// Seed of the data
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// With --backend compose: the image of the nodes
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,
    /// Where PostgreSQL's programs are
    #[arg(long, value_name = "DIR")]
    pg_bin: Option<PathBuf>,
    /// Which major version of PostgreSQL
    #[arg(long, value_name = "MAJOR")]
    pg_version: Option<u32>,
    /// A server setting. Repeatable
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// Leave the lab running; `cargo xtask down` removes it
    #[arg(long)]
    keep: bool,
    /// Say nothing but warnings and errors
    #[arg(long)]
    quiet: bool,
    #[command(flatten)]
    results: results::Args,
}

impl Args {
    /// Those that `cargo xtask drill` makes of these words.
    ///
    /// # Errors
    /// What it says of words that cannot be, in one line.
    pub(crate) fn of(words: &[String]) -> Result<Args> {
        #[derive(clap::Parser)]
        struct Drill {
            #[command(flatten)]
            args: Args,
        }
        let parsed = Drill::try_parse_from(iter::once("drill").chain(words.iter().map(String::as_str)));
        let said = |error: clap::Error| {
            // Below comes how to ask for help, which is of another command.
            let lines = error.to_string();
            let lines: Vec<&str> = lines.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
            anyhow!("{}", lines.join(" ").trim_start_matches("error: "))
        };
        parsed.map(|drill| drill.args).map_err(said)
    }

    pub(crate) fn which_postgresql(&self) -> Vec<String> {
        let dir = self.pg_bin.iter().flat_map(|dir| ["--pg-bin".to_owned(), dir.display().to_string()]);
        let major = self.pg_version.iter().flat_map(|major| ["--pg-version".to_owned(), major.to_string()]);
        let image = self.image.iter().flat_map(|image| ["--image".to_owned(), image.clone()]);
        words(&["--backend", &self.backend]).into_iter().chain(dir).chain(major).chain(image).collect()
    }

    fn setup(&self, lab: &str) -> Vec<String> {
        let mut args = words(&["--name", lab, "--sync", &self.sync]);
        args.extend(["--standbys".to_owned(), self.standbys.to_string()]);
        args.extend(self.which_postgresql());
        args.extend(self.set.iter().flat_map(|setting| ["--set".to_owned(), setting.clone()]));
        args
    }

    fn drill(&self, cluster: &str, dir: &Path) -> Vec<String> {
        let half = format!("{}us", (self.duration.as_micros() / 2).max(1));
        let mut args = words(&["--cluster", cluster, "--out", &dir.display().to_string(), "--fault", &self.fault]);
        args.extend(words(&["--rate", &self.rate, "--clients", &self.clients.to_string(), "--floor"]));
        args.extend(words(&["--before", &half, "--after", &half, "--max-lost", &self.max_lost.to_string()]));
        args.extend(["--rounds".to_owned(), self.rounds.to_string()]);
        args.extend(self.stall.iter().flat_map(|time| ["--stall".to_owned(), format!("{}us", time.as_micros())]));
        args.extend(
            self.max_outage.iter().flat_map(|time| ["--max-outage".to_owned(), format!("{}us", time.as_micros())]),
        );
        args.extend(self.min_rate.iter().flat_map(|rate| ["--min-rate".to_owned(), rate.to_string()]));
        args.extend(self.cut.iter().flat_map(|time| ["--cut".to_owned(), format!("{}us", time.as_micros())]));
        args
    }

    fn lag(&self, cluster: &str) -> Vec<String> {
        let of = |time: &Duration| words(&["--takeovers", "--max-lag", &format!("{}us", time.as_micros())]);
        let limit = self.max_lag.iter().flat_map(of);
        on(cluster, &[]).into_iter().chain(limit).collect()
    }
}

/// Checks a rate before anything is built or made.
fn parse_rate(text: &str) -> Result<String, String> {
    let fits = text == "max" || text.parse().is_ok_and(|rate: u64| (1..=1_000_000).contains(&rate));
    if fits { Ok(text.to_owned()) } else { Err("give 1 to 1000000 writes per second, or `max`".to_owned()) }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Holds a drill, leaves what pipelines read of it, and returns its verdict.
pub(crate) fn drill(sh: &Shell, args: &Args) -> Result<Verdict> {
    let asked = Asked { fault: args.fault.clone(), sync: args.sync.clone(), standbys: args.standbys };
    let results = Results::begin(&args.results, asked)?;
    let mut begun = None;
    let held = conclude(sh, args, &mut begun);
    results.end(begun, held)
}

/// Holds a drill and says what came of it. The lab is taken down whatever happens, unless it is to be kept.
fn conclude(sh: &Shell, args: &Args, begun: &mut Option<Begun>) -> Result<Verdict> {
    let progress = Progress::new(args.quiet);
    build::programs()?;
    build::ensure_postgresql(&args.which_postgresql())?; // or an image
    let (run, dir) = run_folder::make(sh, "drill", None)?;
    let begun = begun.insert(Begun { run: run.clone(), dir: dir.clone(), judged: None });
    let lab = step::own_lab("drill");
    let held = match args.runs {
        None => hold(args, &lab, &run, &dir, &progress),
        Some(count) => runs::hold(sh, args, count, &lab, &run, &dir, &progress),
    };
    let held = if args.keep {
        progress.say(&format!("the lab {lab} is kept: `cargo xtask down --name {lab}` removes it"));
        let state =
            format!("the lab {lab} is left as it was: `cargo xtask up --name {lab}` mends what a node of it lacks");
        explain_interrupt(held, &state)
    } else {
        progress.say(&format!("{:>7.2} s  taking the lab down", run.clock.now_us() as f64 / 1e6));
        step::down(&lab, &run, held)
    };
    let verdict = match held {
        Ok(verdict) => verdict,
        Err(error) => {
            progress.warn(&format!("what there is of the run is in {}", run_folder::shown(&dir)));
            if args.runs.is_some() {
                let _ = step::leave_report(&run, &dir, &judge::read(&dir)); // of the drills that were held before
            }
            let _ = sink::print_line(&run_folder::shown(&dir)); // whoever asked for it by `$(…)` has it, too
            return Err(error);
        }
    };
    // What anybody will find who judges these files later.
    let again = judge::read(&dir);
    let drawn = step::leave_report(&run, &dir, &again);
    let with = if drawn.is_ok() { ", with report.html" } else { "" };
    drawn.unwrap_or_else(|error| progress.warn(&format!("{error:#}")));
    if args.runs.is_none() {
        let judged = JudgedRun::read(&dir);
        let beside = repetitions::row(&run.name, 1, true, &dir, &judged);
        history::note(sh, &run, &judged, &beside).unwrap_or_else(|error| progress.warn(&format!("{error:#}")));
    }
    progress.say(&format!("\nthe run's folder (reports/latest points to it){with}:"));
    let printed = sink::print_line(&run_folder::shown(&dir));
    // Last, whatever became of stdout: nobody is to miss the verdict.
    progress.conclude(&format!("\n{}", again.said), again.verdict);
    let verdict = verdict.join(again.verdict);
    begun.judged = Some(again);
    match printed {
        // Its reader has gone, and the verdict is nevertheless what it is.
        Err(error) if !error.is::<Closed>() => Err(error),
        _ => Ok(verdict),
    }
}

/// The drill itself, in a folder that is there; whoever calls it takes the lab down.
///
/// # Errors
/// If it could not begin, or a program of it could not do its work.
pub(crate) fn hold(args: &Args, lab: &str, run: &Run, dir: &Path, progress: &Progress) -> Result<Verdict> {
    let watch = Watch::of(dir, run.clock, progress);
    let (cluster, mut ended) = begin(args, lab, run, dir, &watch)?;
    once(args, &cluster, &mut ended, (progress, &watch))
}

/// A lab with data in it.
fn begin<'a>(args: &Args, lab: &str, run: &'a Run, dir: &'a Path, watch: &Watch) -> Result<(String, Ended<'a>)> {
    watch.phase("setting up a primary and its standbys");
    let cluster = step::setup(&args.setup(lab), run, dir)?;
    let mut ended = Ended::new(run, dir)?;
    watch.phase("seeding data");
    let (rows, seed) = (args.rows.to_string(), args.seed.to_string());
    let seeded =
        step::run("seed-data", &on(&cluster, &["--replace", "--rows", &rows, "--seed", &seed]), run, dir, "seed.csv")?;
    ended.note("seed-data", seeded, "seed.csv", None)?;
    Ok((cluster, ended))
}

fn on(cluster: &str, more: &[&str]) -> Vec<String> {
    words(&[&["--cluster", cluster, "--quiet"], more].concat())
}

/// One drill on a lab that is well, and the comparison of its standbys.
fn once(args: &Args, cluster: &str, ended: &mut Ended<'_>, told: (&Progress, &Watch)) -> Result<Verdict> {
    let ((progress, watch), (run, dir)) = (told, (ended.run, ended.dir));
    watch.phase(&format!("drilling: load, {} of the primary, and what follows", args.fault));
    let mut lag = step::start("measure-lag", &args.lag(cluster), run, dir, "lag.csv")?;
    let drilled = step::judge("failover-drill", &args.drill(cluster, dir), run, dir, "drill.csv");
    let lag_ended = lag.finish(LAG_GRACE)?;
    let drilled = drilled?;
    ended.note("failover-drill", drilled, "drill.csv", None)?;
    ended.note("measure-lag", Verdict::from_exit_code(lag_ended.code()), "lag.csv", args.max_lag)?;
    if folder::rows::<DrillRow>(dir, "drill.csv")?.is_empty() {
        bail!("failover-drill could not begin: {}", step::why(dir, "failover-drill"));
    }
    if !lag_ended.success() {
        progress.warn(&format!("measure-lag ended with {lag_ended}: {}", step::why(dir, "measure-lag")));
    }

    watch.phase("comparing the standbys with the new primary");
    let verified = step::judge("verify-replication", &on(cluster, &[]), run, dir, "verify.csv")?;
    ended.note("verify-replication", verified, "verify.csv", None)?;
    if verified == Verdict::Unknown {
        progress.warn(&format!("verify-replication could not find out: {}", step::why(dir, "verify-replication")));
    }
    Ok(drilled.join(verified))
}

/// Notes how each program of the run ended, and what its rows are.
struct Ended<'a> {
    sink: Sink<ProgramRow>,
    run: &'a Run,
    dir: &'a Path,
}

impl<'a> Ended<'a> {
    fn new(run: &'a Run, dir: &'a Path) -> Result<Self> {
        Ok(Ended { sink: Sink::create_new(&dir.join(PROGRAMS))?, run, dir })
    }

    fn note(&mut self, program: &str, verdict: Verdict, file: &str, max_lag: Option<Duration>) -> Result<()> {
        let Seal { lines, md5 } = folder::seal(self.dir, file)?;
        let (run, program, file) = (self.run.name.clone(), program.to_owned(), file.to_owned());
        let max_lag_us = max_lag.map(|time| time.as_micros() as u64);
        self.sink.row(&ProgramRow { run, program, verdict, file, count: lines, md5, max_lag_us })
    }
}
