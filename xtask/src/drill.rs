//! `cargo xtask drill`: up, seed, lag in the background, drill, verify, summary.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail};
use program::judged::{JudgedRun, PROGRAMS};
use program::progress::Progress;
use program::run::Run;
use program::sink::{self, Sink};
use program::{duration, folder};
use report::drill::DrillRow;
use report::programs::ProgramRow;
use report::seal::Seal;
use report::verdict::Verdict;
use report::words::Fault;
use xshell::Shell;

use crate::cargo::explain_interrupt;
use crate::{build, run_folder, step};

/// Time for `measure-lag` to finish: one last look at each standby.
const LAG_GRACE: Duration = Duration::from_secs(10);

/// Arguments of `drill`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Rows of seed data in the largest table
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..))]
    rows: u64,
    /// Writes per second, or `max`
    #[arg(long, value_name = "N|max", default_value = "500", value_parser = parse_rate)]
    rate: String,
    /// Clients
    #[arg(long, value_name = "N", default_value_t = 8)]
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
    #[arg(long, value_name = "N", default_value_t = 1)]
    rounds: u32,
    /// How the nodes are run
    #[arg(long, default_value = "auto", value_parser = ["auto", "local", "compose"])]
    backend: String,
    /// Cut the standbys off this long before the fault: asynchronous commits must then get lost
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    cut: Option<Duration>,
    /// How many acknowledged writes may be lost before the verdict is `broken`
    #[arg(long, value_name = "N", default_value_t = 0)]
    max_lost: u64,
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
}

impl Args {
    fn which_postgresql(&self) -> Vec<String> {
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
        let half = format!("{}ms", (self.duration.as_millis() / 2).max(1));
        let mut args = words(&["--cluster", cluster, "--out", &dir.display().to_string(), "--fault", &self.fault]);
        args.extend(words(&["--rate", &self.rate, "--clients", &self.clients.to_string(), "--floor"]));
        args.extend(words(&["--before", &half, "--after", &half, "--max-lost", &self.max_lost.to_string()]));
        args.extend(["--rounds".to_owned(), self.rounds.to_string()]);
        args.extend(self.stall.iter().flat_map(|time| ["--stall".to_owned(), format!("{}ms", time.as_millis())]));
        args.extend(self.cut.iter().flat_map(|time| ["--cut".to_owned(), format!("{}ms", time.as_millis())]));
        args
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

/// Holds a drill and returns its verdict. The lab is taken down whatever happens, unless it is to be kept.
pub(crate) fn drill(sh: &Shell, args: &Args) -> Result<Verdict> {
    let progress = Progress::new(args.quiet);
    build::programs()?;
    build::ensure_postgresql(&args.which_postgresql())?; // or an image
    let (run, dir) = run_folder::make(sh, "drill", None)?;
    let lab = step::own_lab("drill");
    let held = hold(args, &lab, &run, &dir, &progress);
    let held = if args.keep {
        progress.say(&format!("the lab {lab} is kept: `cargo xtask down --name {lab}` removes it"));
        let state =
            format!("the lab {lab} is left as it was: `cargo xtask up --name {lab}` mends what a node of it lacks");
        explain_interrupt(held, &state)
    } else {
        progress.step("taking the lab down");
        step::down(&lab, &run, held)
    };
    progress.finish();
    let verdict =
        held.inspect_err(|_| progress.warn(&format!("what there is of the run is in {}", run_folder::shown(&dir))))?;
    // What anybody will find who judges these files later.
    let again = JudgedRun::read(&dir);
    progress.say(&again.said());
    step::leave_report(&run, &dir, &again.said()).unwrap_or_else(|error| progress.warn(&format!("{error:#}")));
    progress.say("\nthe run's folder (reports/latest points to it; report.html has the pictures, reports/README.md explains each column):");
    sink::print_line(&run_folder::shown(&dir))?;
    Ok(verdict.join(again.verdict()))
}

fn hold(args: &Args, lab: &str, run: &Run, dir: &Path, progress: &Progress) -> Result<Verdict> {
    progress.step("setting up a primary and its standbys");
    let cluster = step::setup(&args.setup(lab), run, dir)?;
    let on = |more: &[&str]| {
        [&["--cluster", &cluster, "--quiet"], more].concat().into_iter().map(str::to_owned).collect::<Vec<_>>()
    };

    let mut ended = Ended { sink: Sink::create_new(&dir.join(PROGRAMS))?, run, dir };
    progress.step("seeding data");
    let (rows, seed) = (args.rows.to_string(), args.seed.to_string());
    let seeded = step::run("seed-data", &on(&["--replace", "--rows", &rows, "--seed", &seed]), run, dir, "seed.csv")?;
    ended.note("seed-data", seeded, "seed.csv")?;

    progress.step(format!("drilling: load, {} of the primary, and what follows", args.fault));
    let mut lag = step::start("measure-lag", &on(&[]), run, dir, "lag.csv")?;
    let drilled = step::judge("failover-drill", &args.drill(&cluster, dir), run, dir, "drill.csv");
    let lag_ended = lag.finish(LAG_GRACE)?;
    let drilled = drilled?;
    ended.note("failover-drill", drilled, "drill.csv")?;
    ended.note("measure-lag", Verdict::from_exit_code(lag_ended.code()), "lag.csv")?;
    if folder::rows::<DrillRow>(dir, "drill.csv")?.is_empty() {
        bail!("failover-drill could not begin: {}", step::log_tail(dir, "failover-drill"));
    }
    if !lag_ended.success() {
        progress.warn(&format!("measure-lag ended with {lag_ended}: {}", step::log_tail(dir, "measure-lag")));
    }

    progress.step("comparing the standbys with the new primary");
    let verified = step::judge("verify-replication", &on(&[]), run, dir, "verify.csv")?;
    ended.note("verify-replication", verified, "verify.csv")?;
    if verified == Verdict::Unknown {
        progress.warn(&format!("verify-replication could not find out: {}", step::log_tail(dir, "verify-replication")));
    }
    Ok(drilled.join(verified))
}

/// Notes how each program of the run ended, and what its rows are.
struct Ended<'a> {
    sink: Sink<ProgramRow>,
    run: &'a Run,
    dir: &'a Path,
}

impl Ended<'_> {
    fn note(&mut self, program: &str, verdict: Verdict, file: &str) -> Result<()> {
        let Seal { lines, md5 } = folder::seal(self.dir, file)?;
        let (run, program, file) = (self.run.name.clone(), program.to_owned(), file.to_owned());
        self.sink.row(&ProgramRow { run, program, verdict, file, count: lines, md5 })
    }
}
