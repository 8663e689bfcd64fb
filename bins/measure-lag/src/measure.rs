//! One measurement, from the first session to the last row.

use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Error, Result, anyhow};
use program::alarm::Alarm;
use program::stop::{self, Reason};
use tokio::task::{JoinSet, LocalSet};

use crate::attend::attend;
use crate::door::Door;
use crate::gauge::gauge;
use crate::shared::Shared;
use cluster::sql;

/// Time for all nodes to answer before the first beat. The primary just did; who is mute by then is unreachable.
const READY: Duration = Duration::from_secs(3);

/// Time for the last beats to become visible after the end; a lag beyond this is told by its bound.
const LAST_LOOK: Duration = Duration::from_secs(1);

/// Time to remove the heartbeat row: one session and one statement.
const TIDY: Duration = Duration::from_secs(1);

/// How often a state of the board is looked at where something waits for it.
const GLANCE_US: u64 = 1_000;

/// The tasks of a measurement. They never end by themselves.
type Tasks = JoinSet<Result<Infallible>>;

/// Measures until `duration` is over, stdin ends or a signal comes. The last rows are written in any case.
///
/// # Errors
/// [`stop::Interrupted`], or that a row could not be written.
pub(crate) async fn measure(shared: Rc<Shared>, duration: Option<Duration>) -> Result<()> {
    let local = LocalSet::new();
    let mut tasks = JoinSet::new();
    for node in 0..shared.infos.len() {
        tasks.spawn_local_on(attend(shared.clone(), node), &local);
    }
    tasks.spawn_local_on(gauge(shared.clone()), &local);
    local.run_until(begin_to_end(&shared, duration, &mut tasks)).await
}

async fn begin_to_end(shared: &Shared, duration: Option<Duration>, tasks: &mut Tasks) -> Result<()> {
    let alarm = Alarm::new(shared.clock)?;
    wait(shared, &alarm, READY, || shared.board(|board| board.is_ready())).await?;
    shared.board(|board| board.set_beating(true));
    let result = tokio::select! {
        biased;
        error = shared.failed() => Err(error),
        _ = stop::stopped() => Ok(()),
        error = broken(tasks) => Err(error),
        result = sleep(&alarm, duration) => result,
        result = tick(shared) => result,
    };
    shared.board(|board| board.set_beating(false));
    let result = match result {
        Ok(()) => finish(shared, &alarm).await,
        failed => failed,
    };
    let _ = tokio::time::timeout(TIDY, tidy(shared)).await; // a row left behind harms nobody
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
async fn tick(shared: &Shared) -> Result<()> {
    let alarm = Alarm::new(shared.clock)?;
    loop {
        let due_us = shared.next_tick_us();
        alarm.until(due_us).await?;
        shared.board(|board| board.tick(due_us, shared.clock.now_us()));
    }
}

async fn sleep(alarm: &Alarm, duration: Option<Duration>) -> Result<()> {
    match duration {
        Some(duration) => Ok(alarm.pause(microseconds(duration)).await?),
        None => std::future::pending().await,
    }
}

/// A bounded last look at what is still open, unless a signal came; then the last rows.
async fn finish(shared: &Shared, alarm: &Alarm) -> Result<()> {
    wait(shared, alarm, LAST_LOOK, || shared.board(|board| board.is_settled(shared.clock.now_us()))).await?;
    shared.board(|board| board.finish(shared.clock.now_us()));
    shared.check()
}

/// Waits until it is so, at most `limit` long and not beyond a signal.
async fn wait(shared: &Shared, alarm: &Alarm, limit: Duration, mut is_so: impl FnMut() -> bool) -> Result<()> {
    let end_us = shared.clock.now_us() + microseconds(limit);
    while !is_so() && shared.clock.now_us() < end_us && !matches!(stop::reason(), Some(Reason::Signal(_))) {
        alarm.pause(GLANCE_US).await?;
    }
    Ok(())
}

/// Removes the run's heartbeat row.
async fn tidy(shared: &Shared) -> Result<()> {
    if let Some(primary) = shared.board(|board| board.primary()) {
        let door = Door::open(&shared.infos[primary]).await?;
        let statement = door.prepare(sql!("heartbeat_end")).await?;
        door.execute(&statement, &[&shared.run]).await?;
    }
    Ok(())
}

/// Microseconds; more than fit are as good as for ever.
pub(crate) fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
