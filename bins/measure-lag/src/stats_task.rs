//! The task that asks the primary for its own figures, on a session of its own: a beat never waits for them.

use std::convert::Infallible;
use std::rc::Rc;

use anyhow::Result;
use cluster::server_error::describe;
use program::alarm::Alarm;
use tokio_postgres::Statement;

use crate::measurement::Measurement;
use crate::server_stats::ServerStats;
use crate::session::Session;
use crate::tracker::LagTracker;
use cluster::sql;

/// How often the task checks at the start whether there is a primary.
const FIRST_US: u64 = 1_000;

/// A session on the primary.
struct StatsSession {
    node: usize,
    session: Session,
    statement: Statement,
}

/// Asks once in an interval, half an interval away from the beats, until the task is dropped.
pub(crate) async fn stats_task(measurement: Rc<Measurement>) -> Result<Infallible> {
    let alarm = Alarm::new(measurement.clock)?;
    let mut gauge = None;
    let mut warned = false;
    while measurement.tracker(|tracker| tracker.primary().is_none()) {
        alarm.pause(FIRST_US).await?;
    }
    loop {
        // A failure is not reported here: the node's own task meets it, too, and reports it.
        gauge = ask(&measurement, gauge, &mut warned).await.unwrap_or_default();
        measurement.tracker(LagTracker::stats_asked);
        alarm.until(measurement.next_tick_us() + measurement.interval_us / 2).await?;
    }
}

async fn ask(
    measurement: &Measurement,
    gauge: Option<StatsSession>,
    warned: &mut bool,
) -> Result<Option<StatsSession>> {
    let Some(primary) = measurement.tracker(|tracker| tracker.primary()) else { return Ok(None) };
    let gauge = match gauge.filter(|gauge| gauge.node == primary) {
        Some(gauge) => gauge,
        None => open(measurement, primary, warned).await?,
    };
    let rows = gauge.session.rows(&gauge.statement).await?;
    let stats = rows.iter().map(ServerStats::read).collect::<Result<_>>()?;
    measurement.tracker(|tracker| {
        if tracker.primary() == Some(primary) {
            tracker.set_stats(stats, measurement.clock.now_us());
        }
    });
    Ok(Some(gauge))
}

async fn open(measurement: &Measurement, node: usize, warned: &mut bool) -> Result<StatsSession> {
    let session = Session::open(&measurement.infos[node]).await?;
    let may: bool = session.row(sql!("may_monitor"), &[]).await?.try_get(0).map_err(describe)?;
    if !may && !std::mem::replace(warned, true) {
        let user = &measurement.infos[node].user;
        measurement.progress.warn(&format!(
            "{user} may not see the server's own figures, so their columns stay empty: GRANT pg_monitor TO {}",
            cluster::ident::quote(user)
        ));
    }
    let statement = session.prepare(sql!("lag_server_stats")).await?;
    Ok(StatsSession { node, session, statement })
}
