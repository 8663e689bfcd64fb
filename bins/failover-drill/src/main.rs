//! failover-drill: runs the load, injects one fault, promotes, measures, judges, rejoins.
//!
//! `failover-drill --out drill > drill.csv`
//!
//! stdout: one row is one takeover (`drill.csv`). In the folder `--out`: `plan.csv`, `events.csv`, `ledger.csv`, `reads.csv`,
//! from which figures and verdict follow, and `load.csv`, `fates.csv`, `settings.csv`, `log/`. Exit code 0: the takeover held;
//! 1: commits were lost beyond `--max-lost`, or something else broke; 2: it could not be found out.

mod check;
mod choice;
mod drill;
mod events;
mod faults;
mod floor;
mod judge;
mod kept;
mod live;
mod load;
mod read;
mod stage;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use clap::Parser;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use cluster::args::{Cluster, ClusterArgs};
use program::progress::Progress;
use program::run::Run;
use program::sink::{Closed, Sink};
use program::{duration, out, stop};
use report::drill::DrillRow;
use report::event::Mark;
use report::verdict::Verdict;

use crate::faults::Injection;
use crate::live::{Asked, Live};
use crate::load::LoadPlan;

/// Kills the primary of a lab under load, promotes a standby, and measures outage and loss.
#[derive(Parser)]
#[command(version, about, after_help = EXAMPLES)]
struct Args {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// What happens to the primary
    #[arg(long, value_name = "FAULT", default_value = "kill", value_parser = fault_parser())]
    fault: &'static Injection,
    /// Writes per second, or `max`
    #[arg(long, value_name = "N|max", default_value = "500", value_parser = parse_rate)]
    rate: String,
    /// Clients
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=5000))]
    clients: u32,
    /// Load before the fault
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration::parse)]
    before: Duration,
    /// Load after the old primary has rejoined
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration::parse)]
    after: Duration,
    /// Cut the standbys off from the primary this long before the fault: asynchronous commits must then get lost
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    cut: Option<Duration>,
    /// How many takeovers, one after the other, back and forth, under one load: each time whoever is primary then is hit
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// With --fault stall: for how long the primary is frozen [default: 2s]
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    stall: Option<Duration>,
    /// Wait this long between fault and promotion, as people or another program would to decide
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    decide: Option<Duration>,
    /// How many acknowledged writes may be lost before the verdict is `broken`
    #[arg(long, value_name = "N", default_value_t = 0)]
    max_lost: u64,
    /// The longest outage of a takeover before the verdict is `broken`
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    max_outage: Option<Duration>,
    /// The fewest writes acknowledged per second before the fault, or the verdict is `broken`
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    min_rate: Option<u64>,
    /// A client gives a write up after this long
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration::parse)]
    op_timeout: Duration,
    /// Time for the promotion, and again for the clients to be well
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration::parse)]
    promotion_timeout: Duration,
    /// A new or empty folder for what is measured [default: a folder named after the run, in this directory]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Measure the raw floor afterwards, on the same nodes: SIGKILL, `pg_ctl promote -w`, first write by a waiting client
    #[arg(long)]
    floor: bool,
    /// Check that the drill could begin, say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Say nothing but warnings and errors
    #[arg(long)]
    quiet: bool,
    /// Rows as CSV on a terminal, too, where else some of their columns are shown with their units
    #[arg(long)]
    csv: bool,
}

const EXAMPLES: &str = "\
Examples:
  failover-drill --out drill                     5 s of load, a crash of the primary, a takeover, 5 s more
  failover-drill --rate 2000 --max-lost 100      with at most 100 lost writes allowed
  failover-drill --fault freeze --op-timeout 1s  a primary that hangs: clients notice by their time-out
  failover-drill --fault stall --stall 2s        a primary that hangs for two seconds: nobody takes over
  failover-drill --max-outage 2s --min-rate 400  broken if a takeover takes longer, or the load was slower
  failover-drill --rounds 3                      three takeovers, back and forth, in one run
  failover-drill --cut 1s                        with asynchronous commits, this must lose about a second of writes

It works on labs that `setup` made, by their cluster file, as their administrator; the load is
the role `application`. Nothing else is ever killed. Exit codes: 0 the takeover held, 1 it did
not, 2 that could not be found out.";

/// For how long a primary stalls if nobody says.
const STALL: Duration = Duration::from_secs(2);

impl Args {
    /// The scenario.
    ///
    /// # Errors
    /// If options do not go together.
    fn plan(&self) -> Result<drill::Plan> {
        let Args { before, cut, decide, after, rounds, .. } = *self;
        let takes_over = self.fault.fault.has_takeover();
        ensure!(self.stall.is_none() || !takes_over, "--stall: that is how long the fault `stall` lasts");
        ensure!(decide.is_none() || takes_over, "--decide: after a stall nobody is promoted");
        ensure!(cut.is_none() || takes_over, "--cut: after a stall nobody is promoted, so nothing could get lost");
        let stall = (!takes_over).then(|| self.stall.unwrap_or(STALL));
        Ok(drill::Plan { before, cut, decide, stall, after, rounds })
    }
}

fn main() -> ExitCode {
    program::main(run)
}

fn run() -> Result<Verdict> {
    let args = Args::parse();
    stop::listen(false)?;
    let run = Run::current("drill")?;
    let cluster = args.cluster.open()?;
    let file = cluster.file.clone().context("a drill needs a cluster file: faults are for labs that `setup` made")?;
    let plan = args.plan()?;
    let lab = lab::open::open(&file)?;
    for node in &file.node {
        lab::ports::claim(node.port); // no set-up elsewhere takes it while its server is dead
    }
    if args.dry_run {
        Sink::<DrillRow>::stdout_for_people(args.csv)?; // the header is there even when no row is
        let fit = check::check(&lab, &cluster)?;
        out_dir_fits(&out_dir(args.out.as_deref(), &run), &run)?;
        say_plan(&file.name, &fit, plan, &args);
        return Ok(Verdict::Held); // it could begin
    }
    let dir = make_out_dir(&out_dir(args.out.as_deref(), &run), &run)?;
    copy_cluster_file(&cluster, &dir)?;
    let mut rows = Rows::open(&dir, args.csv)?;
    let progress = Progress::new(args.quiet);
    let load = LoadPlan {
        cluster_file: lab.own_file()?,
        rate: args.rate.clone(),
        clients: args.clients,
        synchronous_commit: lab.sync.synchronous_commit(),
        op_timeout: args.op_timeout,
    };
    let asked = Asked {
        injection: args.fault,
        scenario: plan,
        promotion_limit: args.promotion_timeout,
        max_lost: args.max_lost,
        max_outage: args.max_outage,
        min_rate: args.min_rate,
    };
    let mut live = Live::new(&lab, &cluster, &run, dir.clone(), load, asked, progress.clone())?;
    let played = drill::play(&mut live, args.fault, plan);
    progress.finish();
    if let Err(error) = played {
        progress.warn(&live.left_behind());
        return Err(error);
    }
    if args.floor {
        floor::measure(&mut live);
        progress.finish();
    }
    let mut judged = judge::judge(&mut live)?;
    if let Err(error) = judge::write_fates(&dir, &judged.fates) {
        judged.could_not(&format!("{error:#}")); // the row must come out all the same: stdout may lead elsewhere
    }
    for reason in &judged.reasons {
        live.events.now(Mark::Verdict, None, &reason.to_string());
    }
    let written = judged.rows.iter().try_for_each(|row| rows.write(row));
    progress.conclude(&report::summary::drills(&judged), judged.verdict);
    if !live.is_whole() {
        progress.warn(&live.left_behind());
    }
    stop::check()?;
    match judged.verdict {
        // A reader that has gone must not turn what was found into a pass.
        Verdict::Held => written.map(|()| Verdict::Held),
        found => Ok(found),
    }
}

/// The faults by their names, each with what it is.
fn fault_parser() -> impl TypedValueParser<Value = &'static Injection> {
    let names = faults::ALL.map(|injection| PossibleValue::new(injection.fault.as_str()).help(injection.what));
    PossibleValuesParser::new(names).try_map(|name| {
        let named = faults::ALL.into_iter().find(|injection| injection.fault.as_str() == name);
        named.ok_or_else(|| format!("there is no fault {name}"))
    })
}

/// Checks a rate that `write-load` will be given.
fn parse_rate(text: &str) -> Result<String, String> {
    let fits = text == "max" || text.parse().is_ok_and(|rate: u64| (1..=1_000_000).contains(&rate));
    if fits { Ok(text.to_owned()) } else { Err("give 1 to 1000000 writes per second, or `max`".to_owned()) }
}

/// Where the row of the drill goes: to stdout and, if that does not lead there already, to `drill.csv` in its folder.
struct Rows {
    /// `None` if its reader has gone before the drill began: that is no reason to leave out a drill that was asked for.
    stdout: Option<Sink<DrillRow>>,
    file: Option<Sink<DrillRow>>,
}

impl Rows {
    fn open(dir: &Path, csv: bool) -> Result<Rows> {
        let path = dir.join("drill.csv");
        // Whoever made the folder for this run has sent our stdout there.
        let file = if path.exists() { None } else { Some(Sink::create_new(&path)?) };
        let stdout = match Sink::stdout_for_people(csv) {
            Err(error) if error.is::<Closed>() => None,
            other => Some(other?),
        };
        Ok(Rows { stdout, file })
    }

    /// Writes the row to both, also if one of them cannot take it.
    fn write(&mut self, row: &DrillRow) -> Result<()> {
        let kept = self.file.as_mut().map_or(Ok(()), |file| file.row(row));
        self.stdout.as_mut().map_or(Ok(()), |stdout| stdout.row(row)).and(kept)
    }
}

/// The folder for what is measured.
fn out_dir(asked: Option<&Path>, run: &Run) -> PathBuf {
    asked.map_or_else(|| PathBuf::from(&run.name), Path::to_owned)
}

/// Sees that nobody else could change what will be in the folder, and that nothing is in it, if it exists, or that somebody
/// made it for this very run (the runner does) and no file of a drill is in it.
fn out_dir_fits(dir: &Path, run: &Run) -> Result<()> {
    out::check(dir).context("--out")?;
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries.with_context(|| format!("--out {}", dir.display()))?,
    };
    let names = entries.map(|entry| Ok(entry?.file_name())).collect::<std::io::Result<Vec<_>>>();
    let names = names.with_context(|| format!("--out {}", dir.display()))?;
    let of_this_run = out::is_of_run(dir, &run.name);
    let ours =
        ["cluster.toml", "plan.csv", "events.csv", "ledger.csv", "reads.csv", "load.csv", "fates.csv", "settings.csv"];
    let taken = names.iter().find(|name| !of_this_run || ours.iter().any(|ours| name == ours));
    if let Some(name) = taken {
        let (dir, name) = (dir.display(), name.display());
        bail!("--out {dir}: {name} is in it already, and nothing is ever mixed or overwritten: name a new folder");
    }
    Ok(())
}

fn make_out_dir(dir: &Path, run: &Run) -> Result<PathBuf> {
    out_dir_fits(dir, run)?;
    out::make(dir).context("--out")
}

/// The cluster as the load is told of it. It holds no secret, and says later what was drilled; nothing reads it.
fn copy_cluster_file(cluster: &Cluster, dir: &Path) -> Result<()> {
    let path = dir.join("cluster.toml");
    let text = cluster.file.as_ref().context("no cluster file")?.render()?;
    let mut file = std::fs::File::create_new(&path).with_context(|| format!("cannot make {}", path.display()))?;
    std::io::Write::write_all(&mut file, text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))
}

/// Says what a drill would do.
fn say_plan(lab: &str, fit: &check::Fit, plan: drill::Plan, args: &Args) {
    let (rate, clients, does) = (&args.rate, args.clients, args.fault.does);
    let (primary, standbys) = (&fit.primary, fit.standbys.join(" and "));
    let cut = plan.cut.map_or(String::new(), |time| format!("cut {standbys} off and write for {time:?} more; "));
    let decide = plan.decide.map_or(String::new(), |time| format!("wait {time:?}; "));
    let promote = match &fit.standbys[..] {
        [only] => format!("promote {only}"),
        _ => format!("promote the one of {standbys} with the most WAL and point the others at it"),
    };
    let fence = if args.fault.fence.is_some() { format!("kill {primary}; ") } else { String::new() };
    let then = match plan.stall {
        Some(time) => format!("let it go on after {time:?}"),
        None => format!("{decide}{promote}; {fence}bring {primary} back by pg_rewind, else by a base backup"),
    };
    let again = match plan.rounds {
        1 => String::new(),
        rounds => format!(" (all of this {rounds} times, each time to whoever is primary then)"),
    };
    let stream = if fit.standbys.len() == 1 { "streams" } else { "stream" };
    program::progress::tell(&format!(
        "the drill could begin on lab {lab}: {primary} is the primary (PostgreSQL {}), {standbys} {stream} from it.\n\
         It would write at {rate} per second with {clients} clients for {:?}; {cut}{does} {primary}; \
         {then}; write for {:?} more{again}; read everything back and judge it. Nothing was done.",
        fit.server_version, plan.before, plan.after
    ));
}
