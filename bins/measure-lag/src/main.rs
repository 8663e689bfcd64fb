//! How late is a commit visible on each standby?
//!
//! A heartbeat is committed on the primary and looked for on each standby, by one process on one clock; the server's own
//! figures stand beside it.
//!
//! ```text
//! measure-lag --duration 30s --max-lag 50ms > lag.csv
//! ```
//!
//! One row is one sample of one standby. Exit codes: 0 measured, and within `--max-lag`; 1 beyond it; 2 it could not be
//! found out, for one standby at least; 130 or 143 interrupted.

mod beat;
mod measure;
mod measurement;
mod node_task;
mod node_tracker;
mod pending;
mod poll;
mod server_stats;
mod session;
mod stats_task;
mod summary;
mod tracker;

use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, Error, Result, ensure};
use clap::Parser;
use cluster::args::{Cluster, ClusterArgs};
use cluster::conninfo::Conninfo;
use cluster::file::LoginKind;
use cluster::topology;
use program::progress::Progress;
use program::run::Run;
use program::sink::Closed;
use program::{duration, stop};
use report::verdict::Verdict;

use cluster::sql;
use measure::{measure, microseconds};
use measurement::Measurement;
use session::APPLICATION;
use summary::{Limit, Output};
use tokio_postgres::error::SqlState;
use tracker::LagTracker;

/// Time to connect to a node. Attempts are repeated, and a mute node must not delay the end.
const CONNECT: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let args = Args::parse();
    program::main(|| run(&args))
}

/// How late is a commit visible on each standby?
///
/// At each interval a heartbeat, a number that counts up from 1, is committed on the primary (with
/// synchronous_commit=local, so that a standby that is cut off cannot hang it) and looked for on each standby, by one
/// process on one clock. stdout is CSV, one sample of one standby in a row: when did the commit become visible, no
/// earlier than visible_min_us and no later than visible_max_us, and what says the primary's pg_stat_replication beside
/// it. A standby that is cut off or paused shows a bound that grows.
#[derive(Parser)]
#[command(version, after_long_help = AFTER_HELP)]
struct Args {
    /// Time from beat to beat
    #[arg(long, value_name = "DURATION", default_value = "100ms", value_parser = interval)]
    interval: Duration,
    /// How long to measure; without it until a signal comes, or with --until-eof until stdin ends
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    duration: Option<Duration>,
    /// Fail (exit code 1) if the lag of any one beat comes to more than this: its upper bound where it was seen, the
    /// bound so far where it was not
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    max_lag: Option<Duration>,
    /// Takeovers are part of it: with --max-lag, a standby that is promoted is held to it until then
    #[arg(long, requires = "max_lag")]
    takeovers: bool,
    /// Finish normally when stdin ends
    #[arg(long)]
    until_eof: bool,
    /// Say nothing on stderr but warnings and errors
    #[arg(long)]
    quiet: bool,
    /// Rows as CSV on a terminal, too, where else some of their columns are shown with their units
    #[arg(long)]
    csv: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

const AFTER_HELP: &str = "\
What a row says (its `status`):
  seen         The beat was seen. The commit became visible no earlier than
               visible_min_us after its acknowledgement and no later than
               visible_max_us after its sending. The error of this sample is
               their difference: the time of the commit itself, and 0.25 ms or so
               between two looks at a young beat, 2.5 % of the lag (at most
               50 ms) at an old one.
  at_least     At a later tick the oldest beat is still not seen: its lag is at
               least visible_min_us.
  unreachable  The standby does not answer. visible_min_us is what has passed
               since the acknowledgement of its oldest open beat.
  no_primary   No node has taken a beat since the last tick.
  beat_lost    The standby that took over does not have this beat: its timeline
               is gone.
A beat that was never acknowledged is not waited for.

After a takeover the node on the newest timeline is the primary. The others are
measured as standbys as soon as they are in recovery, the old primary as well.
The numbers of the beats go on.

The server's own figures are read once in an interval, on a session of their
own. A standby is found in pg_stat_replication by the slot that it names;
without a slot by the application_name that its walreceiver gives, if no other
walsender bears the same. What is NULL there, or not found, stays empty: it is
never 0.

Role: monitor. It needs pg_monitor for the figures, and may SELECT, INSERT,
UPDATE and DELETE on understudy.heartbeat: one small table, which
sql/heartbeat.sql makes, and which is all that is needed. The run's row there is
removed at the end.

Exit codes: 0 measured; 1 beyond --max-lag; 2 it could not be found out: not
one beat was seen on a standby, or (with --max-lag) not all to the end;
130 or 143 interrupted (rows so far and summary are kept).

Examples:
  measure-lag --duration 30s > lag.csv
      Half a minute of the lab that `setup` made last; the summary is on stderr.
  measure-lag --primary 'host=db1 user=monitor dbname=app' \\
              --standby 'host=db2 user=monitor dbname=app' \\
              --duration 10s --max-lag 50ms > lag.csv
      An installation of yours: is every commit on the standby within 50 ms?
  measure-lag | awk -F, '$17 == \"seen\" && $6 > 5000'
      The beats that took longer than 5 ms, as they come.
";

fn run(args: &Args) -> Result<Verdict> {
    let cluster = args.cluster.open()?;
    let stdin_is_taken = args.cluster.cluster.as_ref().is_some_and(|path| path.as_os_str() == "-");
    ensure!(!(args.until_eof && stdin_is_taken), "--until-eof waits for the end of stdin, which --cluster - has read");
    ensure!(cluster.nodes.len() > 1, "the cluster has one node: there is no standby to measure");
    stop::listen(args.until_eof)?;
    let progress = Progress::new(args.quiet);
    let Run { name: run, clock } = Run::current("lag")?;
    let primary = claim(&cluster, &run)?;

    let names: Vec<_> = cluster.nodes.iter().map(|node| node.name.clone()).collect();
    let interval_us = microseconds(args.interval);
    let tracker = LagTracker::new(&run, interval_us, &names, cluster.file.is_some(), primary);
    let limit = Limit { max_lag_us: args.max_lag.map(microseconds), takeovers: args.takeovers };
    let output = Output::new(limit, interval_us, args.csv)?;
    let measurement = Measurement::new((run, clock, interval_us), infos(&cluster)?, tracker, output, progress.clone());
    let measurement = Rc::new(measurement);

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(measure(measurement.clone(), args.duration));
    runtime.shutdown_background(); // does not wait for a host name that is still being looked up
    // If the reader of stdout has gone, a lag that was found is still no pass.
    if !(measurement.output().is_broken() && result.as_ref().is_err_and(Error::is::<Closed>)) {
        result?;
    }
    let since_us = measurement.tracker(|tracker| tracker.standbys_since_us());
    let verdict = measurement.output().conclude(&progress, clock.now_us(), &since_us);
    stop::check()?;
    Ok(verdict)
}

/// Makes the run's heartbeat row on the primary; returns which node that is.
fn claim(cluster: &Cluster, run: &str) -> Result<usize> {
    let topology = topology::ask(cluster, LoginKind::Monitor, APPLICATION)?;
    let (primary, session) = &topology.primary;
    cluster.check_primary(primary)?;
    session.script("BEGIN; SET LOCAL synchronous_commit = local")?;
    let info = cluster.info(primary, LoginKind::Monitor)?;
    let claimed = session.execute(sql!("heartbeat_claim"), &[&run]);
    let rows = claimed.map_err(|error| {
        let advice = heartbeat_is_refused(&error, &info);
        error.context(advice)
    })?;
    session.script("COMMIT")?;
    ensure!(
        rows == 1,
        "run {run} is being measured already; if that is long gone: DELETE FROM understudy.heartbeat WHERE run = {}",
        cluster::ident::literal(run)
    );
    cluster.nodes.iter().position(|node| node.name == primary.name).context("the primary is not of this cluster")
}

/// Advice if the heartbeat cannot be written: measure-lag needs one small table, and the right to write to it.
fn heartbeat_is_refused(error: &Error, info: &Conninfo) -> String {
    let (dbname, user) = (&info.dbname, cluster::ident::quote(&info.user));
    match cluster::server_error::sqlstate(error).map(SqlState::code) {
        Some("42P01" | "3F000") => format!(
            "there is no table understudy.heartbeat in {dbname}: as an administrator, on the primary, run \
             psql -d {dbname} -f sql/heartbeat.sql (it makes this one table, and shows what {user} is to be granted)"
        ),
        Some("42501") => format!(
            "{user} may not write to understudy.heartbeat: as an administrator, on the primary, run \
             GRANT USAGE ON SCHEMA understudy TO {user}; \
             GRANT SELECT, INSERT, UPDATE, DELETE ON understudy.heartbeat TO {user}"
        ),
        _ => "cannot write to understudy.heartbeat (sql/heartbeat.sql makes it)".to_owned(),
    }
}

/// How to reach each node, within [`CONNECT`].
fn infos(cluster: &Cluster) -> Result<Vec<Conninfo>> {
    let info = |node| -> Result<Conninfo> {
        let info = cluster.info(node, LoginKind::Monitor)?;
        Ok(Conninfo { connect_timeout: info.connect_timeout.min(CONNECT), ..info })
    };
    cluster.nodes.iter().map(info).collect()
}

/// Polls are 0.15 ms apart, so a shorter interval than 1 ms measures nothing; a longer one than 1 h does not fit into a run.
fn interval(text: &str) -> Result<Duration, String> {
    let interval = duration::parse(text)?;
    match interval >= Duration::from_millis(1) && interval <= Duration::from_secs(3600) {
        true => Ok(interval),
        false => Err("must be between 1ms and 1h".to_owned()),
    }
}
