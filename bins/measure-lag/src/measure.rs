//! One measurement, from the first session to the last row.

use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Error, Result, anyhow};
use program::alarm::Alarm;
use program::stop::{self, Reason};
use tokio::task::{JoinSet, LocalSet};

use crate::measurement::Measurement;
use crate::node_task::node_task;
use crate::session::Session;
use crate::stats_task::stats_task;
use cluster::sql;

/// Time for all nodes to answer before the first beat. The primary just did; a node that is mute by then is unreachable.
const READY: Duration = Duration::from_secs(3);

/// Time for the last beats to become visible after the end. For a longer lag the row has the bound so far.
const LAST_LOOK: Duration = Duration::from_secs(1);

/// Time to remove the heartbeat row: one session and one statement.
const TIDY: Duration = Duration::from_secs(1);

/// How often a condition of the tracker is checked while something waits for it.
const GLANCE_US: u64 = 1_000;

/// The tasks of a measurement. They never end by themselves.
type Tasks = JoinSet<Result<Infallible>>;

/// Measures until `duration` is over, stdin ends or a signal comes. The last rows are written in any case.
pub(crate) async fn measure(measurement: Rc<Measurement>, duration: Option<Duration>) -> Result<()> {
    let local = LocalSet::new();
    let mut tasks = JoinSet::new();
    for node in 0..measurement.infos.len() {
        tasks.spawn_local_on(node_task(measurement.clone(), node), &local);
    }
    tasks.spawn_local_on(stats_task(measurement.clone()), &local);
    local.run_until(begin_to_end(&measurement, duration, &mut tasks)).await
}

async fn begin_to_end(measurement: &Measurement, duration: Option<Duration>, tasks: &mut Tasks) -> Result<()> {
    let alarm = Alarm::new(measurement.clock)?;
    wait(measurement, &alarm, READY, || measurement.tracker(|tracker| tracker.is_ready())).await?;
    measurement.tracker(|tracker| tracker.set_beating(true));
    let result = tokio::select! {
        biased;
        error = measurement.failed() => Err(error),
        _ = stop::stopped() => Ok(()),
        error = broken(tasks) => Err(error),
        result = sleep(&alarm, duration) => result,
        result = tick(measurement) => result,
    };
    measurement.tracker(|tracker| tracker.set_beating(false));
    let result = match result {
        Ok(()) => finish(measurement, &alarm).await,
        failed => failed,
    };
    let _ = tokio::time::timeout(TIDY, tidy(measurement)).await; // a row left behind harms nobody
    result
}

/// Waits until a task that should run for ever has ended: by an error of the system, or a panic, which goes on here.
async fn broken(tasks: &mut Tasks) -> Error {
    match tasks.join_next().await {
        Some(Ok(Err(error))) => error,
        Some(Err(ended)) if ended.is_panic() => std::panic::resume_unwind(ended.into_panic()),
        _ => anyhow!("a task of the measurement has ended"),
    }
}

/// Writes the rows of each tick, for ever.
async fn tick(measurement: &Measurement) -> Result<()> {
    let alarm = Alarm::new(measurement.clock)?;
    loop {
        let due_us = measurement.next_tick_us();
        alarm.until(due_us).await?;
        measurement.tracker(|tracker| tracker.tick(due_us, measurement.clock.now_us()));
    }
}

async fn sleep(alarm: &Alarm, duration: Option<Duration>) -> Result<()> {
    match duration {
        Some(duration) => Ok(alarm.pause(microseconds(duration)).await?),
        None => std::future::pending().await,
    }
}

/// Waits a bounded time for the beats that are still pending, unless a signal came; then the last rows are written.
async fn finish(measurement: &Measurement, alarm: &Alarm) -> Result<()> {
    wait(measurement, alarm, LAST_LOOK, || {
        measurement.tracker(|tracker| tracker.nothing_pending(measurement.clock.now_us()))
    })
    .await?;
    measurement.tracker(|tracker| tracker.finish(measurement.clock.now_us()));
    measurement.check()
}

/// Waits until `is_so`, at most `limit` long and not beyond a signal.
async fn wait(
    measurement: &Measurement,
    alarm: &Alarm,
    limit: Duration,
    mut is_so: impl FnMut() -> bool,
) -> Result<()> {
    let end_us = measurement.clock.now_us() + microseconds(limit);
    while !is_so() && measurement.clock.now_us() < end_us && !matches!(stop::reason(), Some(Reason::Signal(_))) {
        alarm.pause(GLANCE_US).await?;
    }
    Ok(())
}

/// Removes the run's heartbeat row.
async fn tidy(measurement: &Measurement) -> Result<()> {
    if let Some(primary) = measurement.tracker(|tracker| tracker.primary()) {
        let session = Session::open(&measurement.infos[primary]).await?;
        let statement = session.prepare(sql!("heartbeat_end")).await?;
        session.execute(&statement, &[&measurement.run]).await?;
    }
    Ok(())
}

/// In microseconds. A duration that does not fit is as good as infinite.
pub(crate) fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
