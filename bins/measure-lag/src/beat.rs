//! The primary's side: a beat at each tick.

use anyhow::Result;
use program::alarm::Alarm;
use tokio_postgres::Statement;

use crate::measurement::Measurement;
use crate::session::Session;
use cluster::sql;

/// Beats on one session.
pub(crate) struct Beats {
    statement: Statement,
}

impl Beats {
    /// Prepares the statement. On a standby, too, so that a takeover does not wait for it.
    pub(crate) async fn prepare(session: &Session) -> Result<Beats> {
        Ok(Beats { statement: session.prepare(sql!("heartbeat_beat")).await? })
    }

    /// Waits for the next tick and commits a beat. Ticks that pass meanwhile have no beat, so beats do not pile up.
    pub(crate) async fn next(
        &self,
        measurement: &Measurement,
        node: usize,
        session: &Session,
        alarm: &Alarm,
    ) -> Result<()> {
        alarm.until(measurement.next_tick_us()).await?;
        if !measurement.tracker(|tracker| tracker.beats_on(node)) {
            return Ok(());
        }
        // Read before the socket is written to: the time of sending belongs to the upper bound.
        let beat = measurement.tracker(|tracker| tracker.beat_sent(measurement.clock.now_us()));
        measurement.wake_all();
        let number = i64::try_from(beat)?;
        session.execute(&self.statement, &[&measurement.run, &number]).await?;
        let acked_us = measurement.clock.now_us();
        measurement.tracker(|tracker| tracker.beat_acked(beat, acked_us));
        Ok(())
    }
}
