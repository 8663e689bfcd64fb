//! The standby's side: polls for the beats.

use anyhow::{Context as _, Result};
use cluster::server_error::describe;
use program::alarm::Alarm;
use report::timeline::of_wal_file;
use tokio_postgres::{Row, Statement};

use crate::measurement::Measurement;
use crate::pending::PollReply;
use crate::server_stats::ReceiverNames;
use crate::session::Session;
use cluster::sql;

/// How often a standby is asked for the names under which it streams. They change only with its settings.
const RECEIVER_US: u64 = 1_000_000;

/// The questions to a node on one session.
pub(crate) struct Poll {
    poll: Statement,
    takeover: Statement,
    /// When the names will be asked for again.
    receiver_us: u64,
}

impl Poll {
    pub(crate) async fn prepare(session: &Session) -> Result<Poll> {
        let poll = session.prepare(sql!("heartbeat_poll")).await?;
        let takeover = session.prepare(sql!("heartbeat_takeover")).await?;
        Ok(Poll { poll, takeover, receiver_us: 0 })
    }

    /// Polls once, tells the tracker, and pauses for as long as the tracker says, or until a beat is sent.
    pub(crate) async fn next(
        &mut self,
        measurement: &Measurement,
        node: usize,
        session: &Session,
        alarm: &Alarm,
    ) -> Result<()> {
        let (row, mut reply) = ask(measurement, node, session, &self.poll).await?;
        let in_recovery: bool = row.try_get(0).map_err(describe)?;
        reply.beat = beat_of(&row)?;
        if in_recovery {
            measurement.tracker(|tracker| tracker.standby_replied(node, reply));
            self.ask_receiver(measurement, node, session).await?;
        } else {
            self.take_over(measurement, node, session).await?;
        }
        let pause_us = measurement.tracker(|tracker| tracker.pause_us(node, measurement.clock.now_us()));
        tokio::select! {
            biased;
            () = measurement.woken(node) => Ok(()),
            woke = alarm.pause(pause_us) => Ok(woke?),
        }
    }

    /// The node is out of recovery. It is asked once more: the recovery may have ended in the middle of the question,
    /// after its snapshot was taken.
    async fn take_over(&self, measurement: &Measurement, node: usize, session: &Session) -> Result<()> {
        let (row, mut reply) = ask(measurement, node, session, &self.takeover).await?;
        reply.beat = beat_of(&row)?;
        let file: String = row.try_get(0).map_err(describe)?;
        let timeline = of_wal_file(&file).with_context(|| format!("`{file}` is no WAL file's name"))?;
        if measurement.tracker(|tracker| tracker.primary_replied(node, timeline, reply)) {
            let name = measurement.name(node);
            measurement.progress.say(&format!("{name} is the primary, on timeline {timeline}"));
        }
        Ok(())
    }

    /// Asks from time to time for the names under which the standby streams; not while a young beat is pending.
    async fn ask_receiver(&mut self, measurement: &Measurement, node: usize, session: &Session) -> Result<()> {
        let now_us = measurement.clock.now_us();
        if now_us < self.receiver_us || measurement.tracker(|tracker| tracker.is_busy(node, now_us)) {
            return Ok(());
        }
        self.receiver_us = now_us + RECEIVER_US;
        let row = session.row(sql!("standby_names"), &[]).await?;
        let told =
            ReceiverNames { slot: row.try_get(0).map_err(describe)?, application: row.try_get(1).map_err(describe)? };
        measurement.tracker(|tracker| tracker.set_receiver_names(node, told));
        Ok(())
    }
}

/// Asks a question about the run's beat, and takes the times of question and answer.
async fn ask(
    measurement: &Measurement,
    node: usize,
    session: &Session,
    statement: &Statement,
) -> Result<(Row, PollReply)> {
    let sent_us = measurement.clock.now_us();
    measurement.tracker(|tracker| tracker.asked(node, sent_us));
    let row = session.row_of_run(statement, &measurement.run).await?;
    Ok((row, PollReply { sent_us, reply_us: measurement.clock.now_us(), beat: 0 }))
}

/// The second column: the beat that is visible, 0 if there is none.
fn beat_of(row: &Row) -> Result<u64> {
    let beat: Option<i64> = row.try_get(1).map_err(describe)?;
    Ok(beat.map_or(0, i64::unsigned_abs))
}
