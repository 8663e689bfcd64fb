//! The primary's side: a beat at each tick.

use anyhow::Result;
use program::alarm::Alarm;
use tokio_postgres::Statement;

use crate::door::Door;
use crate::shared::Shared;
use cluster::sql;

/// Beats on one session.
pub(crate) struct Beats {
    statement: Statement,
}

impl Beats {
    /// Prepares the beats on a session. A standby prepares them too, so that a takeover costs no time for it.
    ///
    /// # Errors
    /// What the server says, or that it said nothing in time.
    pub(crate) async fn prepare(door: &Door) -> Result<Beats> {
        Ok(Beats { statement: door.prepare(sql!("heartbeat_beat")).await? })
    }

    /// Waits for the next tick and commits a beat. Ticks that pass meanwhile have none: beats do not pile up.
    ///
    /// # Errors
    /// If the node does not take it: it is no primary any more, or does not answer.
    pub(crate) async fn next(&self, shared: &Shared, node: usize, door: &Door, alarm: &Alarm) -> Result<()> {
        alarm.until(shared.next_tick_us()).await?;
        if !shared.board(|board| board.beats_on(node)) {
            return Ok(());
        }
        // The moment before the socket: what the send itself takes belongs to the upper bound.
        let beat = shared.board(|board| board.beat_sent(shared.clock.now_us()));
        shared.wake_all();
        let number = i64::try_from(beat)?;
        door.execute(&self.statement, &[&shared.run, &number]).await?;
        let acked_us = shared.clock.now_us();
        shared.board(|board| board.beat_acked(beat, acked_us));
        Ok(())
    }
}
