//! write-load: writes that live through a failover, and the ledger of each.
//!
//! `write-load --duration 5s --ledger - | verify-replication --ledger -`
//!
//! stdout: one row is one second of load (`load.csv`); with `--ledger -` one row is one event of the ledger instead.
//! Exit code 0: writes were acknowledged; 1: fewer than `--min-rate`; 2: none was, or the ledger could not be kept. 130/143:
//! interrupted, the ledger is complete all the same.

mod client;
mod finder;
mod outcome;
mod recorder;
mod schedule;
mod session;
mod turns;

use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, Error, Result, bail, ensure};
use clap::Parser;
use cluster::args::{Cluster, ClusterArgs, Node};
use cluster::file::LoginKind;
use cluster::own::is_pooled;
use cluster::session::Session;
use cluster::topology;
use futures_util::future::try_join_all;
use program::alarm::Alarm;
use program::run::Run;
use program::sink::{Closed, Sink};
use program::stop;
use program::{duration, progress::Progress};
use report::verdict::Verdict;

use crate::client::{Common, LoadClient};
use crate::finder::Finder;
use crate::recorder::{Recorder, SharedRecorder};
use crate::schedule::{Arrivals, Rate};
use crate::turns::Turns;

/// Writes one row per transaction at a fixed rate, goes on through failovers, and keeps a ledger of what it was told.
#[derive(Parser)]
#[command(version, about, after_help = EXAMPLES)]
struct Args {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Writes per second, due at fixed times whatever the servers do (open loop); or `max`: as fast as they answer
    #[arg(long, value_name = "N|max", default_value = "500")]
    rate: Rate,
    /// Clients, each with a connection of its own
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=5000))]
    clients: u32,
    /// How long to write [default: until a signal, or with --until-eof the end of stdin]
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    duration: Option<Duration>,
    /// Keep the ledger in this new file; `-`: on stdout, instead of the rows per second
    #[arg(long, value_name = "FILE|-")]
    ledger: Option<PathBuf>,
    /// Whether writes are due evenly or at random (Poisson)
    #[arg(long, value_enum, default_value_t = Arrivals::Uniform)]
    arrivals: Arrivals,
    /// Seed of the random arrivals
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Set synchronous_commit in each session, and see that it holds [default: as the server has it]
    #[arg(long, value_name = "VALUE", value_parser = ["off", "local", "remote_write", "on", "remote_apply"])]
    synchronous_commit: Option<String>,
    /// Give a write up after this long; its outcome is then unknown and its connection is dropped
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration::parse)]
    op_timeout: Duration,
    /// Do not send a write any more that has waited this long; it counts as skipped
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration::parse)]
    max_behind: Duration,
    /// The fewest writes acknowledged per second, over the whole load, or it is broken (exit code 1)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    min_rate: Option<u64>,
    /// Finish normally when stdin ends
    #[arg(long)]
    until_eof: bool,
    /// Say nothing but warnings and errors
    #[arg(long)]
    quiet: bool,
    /// Rows as CSV on a terminal, too, where else some of their columns are shown with their units
    #[arg(long)]
    csv: bool,
}

const EXAMPLES: &str = "\
Examples:
  write-load --rate 200 --duration 10s                  a row for each second
  write-load --duration 5s --ledger ledger.csv          and the ledger in a file
  write-load --duration 5s --ledger - | verify-replication --ledger -
  write-load --rate max --clients 32 --duration 10s     as fast as the server acknowledges
  write-load --duration 1m --min-rate 450               at least 450 of 500 writes a second, or exit code 1

It uses the role `application`, looks for the node that is out of recovery among all nodes, and does so again when
that one is gone. Exit codes: 0 writes were acknowledged, 1 fewer than --min-rate, 2 none was or the ledger could not be kept.";

/// Time to find a primary and connect all clients at the start.
const BEGIN_DEADLINE: Duration = Duration::from_secs(30);

/// How long writes in flight may take after a signal.
const HURRY: Duration = Duration::from_millis(500);

/// Length of a row of load, in microseconds.
const SECOND_US: u64 = 1_000_000;

fn main() -> ExitCode {
    program::main(run)
}

fn run() -> Result<Verdict> {
    let args = Args::parse();
    stop::listen(args.until_eof)?;
    let run = Run::current("load")?;
    let cluster = args.cluster.open()?;
    let ledger_on_stdout = args.ledger.as_deref().is_some_and(|path| path.as_os_str() == "-");
    let ledger = match &args.ledger {
        Some(_) if ledger_on_stdout => Some(Sink::stdout()?),
        Some(path) => Some(Sink::create_new(path).context("--ledger")?),
        None => None,
    };
    let seconds = if ledger_on_stdout { None } else { Some(Sink::stdout_for_people(args.csv)?) };
    refuse_what_cannot_be_loaded(&cluster)?;
    let recorder = SharedRecorder::new(Recorder::new(run.clone(), ledger, seconds, args.clients));
    let parked = recorder.clone();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .on_thread_park(move || parked.lock().flush_when_idle())
        .build()?;
    let result = tokio::task::LocalSet::new().block_on(&runtime, load(&args, &run, &cluster, &recorder));
    let finished = recorder.lock().finish();
    let ended = result.and(finished);
    // A reader that has gone must not turn a load that nobody acknowledged into a pass.
    if !(recorder.lock().is_in_vain() && ended.as_ref().is_err_and(Error::is::<Closed>)) {
        ended?;
    }
    let (progress, recorder) = (Progress::new(args.quiet), recorder.lock());
    progress.say(&recorder.summary());
    stop::check()?;
    ensure!(recorder.acks() > 0, "no write was acknowledged");
    Ok(match args.min_rate.and_then(|min| recorder.slower_than(min)) {
        Some(why) => {
            progress.warn(&why);
            Verdict::Broken
        }
        None => Verdict::Held,
    })
}

/// Refuses two nodes out of recovery: whichever of them the load took, its ledger would hold half of what happens. Refuses
/// a pooler before a node: what is set for our session would stay for other clients.
fn refuse_what_cannot_be_loaded(cluster: &Cluster) -> Result<()> {
    let is_primary = |node: &Node| -> Result<bool> {
        let info = cluster.info(node, LoginKind::Application)?;
        topology::is_primary(&Session::open_first(&node.name, &info, "understudy write-load")?)
    };
    // All are asked at once, or a node that does not answer would hold up the others. A node that cannot be asked now is
    // left to the finder.
    let answers: Vec<_> = std::thread::scope(|scope| {
        let asking: Vec<_> = cluster.nodes.iter().map(|node| scope.spawn(move || is_primary(node))).collect();
        asking.into_iter().filter_map(|asking| asking.join().ok()).collect()
    });
    let mut primaries = Vec::new();
    for (node, answer) in cluster.nodes.iter().zip(answers) {
        match answer {
            Ok(true) => primaries.push(node.name.as_str()),
            Err(error) if is_pooled(&error) => return Err(error),
            Ok(false) | Err(_) => {}
        }
    }
    ensure!(primaries.len() < 2, "{} are all out of recovery: which of them is the primary?", primaries.join(" and "));
    Ok(())
}

async fn load(args: &Args, run: &Run, cluster: &Cluster, recorder: &SharedRecorder) -> Result<()> {
    let application_name = format!("understudy {}", run.name);
    let nodes = cluster
        .nodes
        .iter()
        .map(|node| Ok((node.name.clone(), cluster.info(node, LoginKind::Application)?)))
        .collect::<Result<Vec<_>>>()?;
    let settings = Rc::new(session::SessionSettings {
        application_name,
        synchronous_commit: args.synchronous_commit.clone(),
        nodes,
    });
    let finder = Finder::start(&settings, run.clock)?;
    let turns = Turns::start(&finder);
    let common = Rc::new(Common { run: run.clone(), settings, finder, turns, recorder: recorder.clone() });
    let progress = Progress::new(args.quiet);
    progress.step(format!("connecting {} clients", args.clients));
    let begin = async { try_join_all((0..args.clients).map(|number| LoadClient::connect(number, &common))).await };
    let clients = tokio::select! {
        begun = tokio::time::timeout(BEGIN_DEADLINE, begin) => match begun {
            Ok(connected) => connected?,
            Err(_) => bail!(
                "no primary within {BEGIN_DEADLINE:?} that takes all {} clients: {}",
                args.clients,
                common.finder.last_seen()
            ),
        },
        () = common.finder.all_closed() => bail!("no node lets the load in: {}", common.finder.last_seen()),
        _ = stop::stopped() => return Ok(()),
    };
    if let Some(client) = clients.first() {
        client.refuse_a_run_with_rows().await?;
    }
    progress.finish();
    write(args, run, clients, recorder).await
}

/// Runs all clients until it is time to stop, with a row for each second.
async fn write(args: &Args, run: &Run, clients: Vec<LoadClient>, recorder: &SharedRecorder) -> Result<()> {
    let begin_us = run.clock.now_us();
    let (end_now, ending) = tokio::sync::watch::channel(None);
    let mut tasks = tokio::task::JoinSet::new();
    for client in clients {
        let schedule = schedule::Schedule::new(args.rate, args.arrivals, args.seed, client.number(), args.clients);
        let limits = client::LoadLimits { op_timeout: args.op_timeout, max_behind: args.max_behind };
        tasks.spawn_local(client.run(schedule, begin_us, limits, ending.clone()));
    }
    let mut due = schedule::DueCounter::new(args.rate, args.arrivals, args.seed, args.clients);
    let end_us = args.duration.map(|duration| begin_us + duration.as_micros() as u64);
    let mut tick_us = begin_us;
    let tick = Alarm::new(run.clock)?;
    loop {
        tick_us = (tick_us + SECOND_US).min(end_us.unwrap_or(u64::MAX));
        tokio::select! {
            ticked = tick.until(tick_us) => {
                ticked?;
                recorder.lock().end_second(due.until(tick_us - begin_us))?;
                if end_us.is_some_and(|end| tick_us >= end) {
                    break;
                }
            }
            _ = stop::stopped() => break,
            Some(ended) = tasks.join_next() => {
                // A client ends by itself only if something is wrong on our side: the ledger or the settings.
                ended??;
                bail!("a client ended before it was told to");
            }
        }
    }
    let end_us = run.clock.now_us().min(end_us.unwrap_or(u64::MAX));
    let due_last = due.until(end_us - begin_us);
    recorder.lock().lasted(end_us - begin_us);
    end_now.send_replace(Some(end_us));
    let drained = async {
        while let Some(ended) = tasks.join_next().await {
            ended??;
        }
        recorder.lock().end_last_second(due_last)
    };
    tokio::select! {
        drained = drained => drained,
        // A write that is still in flight then has no outcome in the ledger, so it is unknown.
        () = hurried() => Ok(()),
    }
}

/// Completes shortly after a signal: whoever sent it does not want to wait for answers.
async fn hurried() {
    stop::signalled().await;
    tokio::time::sleep(HURRY).await;
}
