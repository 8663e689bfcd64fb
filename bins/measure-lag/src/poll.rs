//! The standby's side: looking for the beats.

use anyhow::{Context as _, Result};
use cluster::connect::describe;
use program::alarm::Alarm;
use report::timeline::of_wal_file;
use tokio_postgres::{Row, Statement};

use crate::door::Door;
use crate::figures::Receiver;
use crate::shared::Shared;
use crate::track::Look;
use cluster::sql;

/// How often a standby is asked under which names it streams: they change when its settings do.
const RECEIVER_US: u64 = 1_000_000;

/// Looks on one session.
pub(crate) struct Looks {
    look: Statement,
    takeover: Statement,
    /// When the names are to be asked for.
    receiver_us: u64,
}

impl Looks {
    /// Prepares the looks on a session.
    ///
    /// # Errors
    /// What the server says, or that it said nothing in time.
    pub(crate) async fn prepare(door: &Door) -> Result<Looks> {
        let look = door.prepare(sql!("heartbeat_look")).await?;
        let takeover = door.prepare(sql!("heartbeat_takeover")).await?;
        Ok(Looks { look, takeover, receiver_us: 0 })
    }

    /// Looks once, tells the board, and pauses for as long as it says, or until a beat is sent.
    ///
    /// # Errors
    /// If the node does not answer.
    pub(crate) async fn next(&mut self, shared: &Shared, node: usize, door: &Door, alarm: &Alarm) -> Result<()> {
        let (row, mut look) = ask(shared, node, door, &self.look).await?;
        let in_recovery: bool = row.try_get(0).map_err(describe)?;
        look.beat = beat_of(&row)?;
        if in_recovery {
            shared.board(|board| board.standby_looked(node, look));
            self.ask_receiver(shared, node, door).await?;
        } else {
            self.take_over(shared, node, door).await?;
        }
        let pause_us = shared.board(|board| board.pause_us(node, shared.clock.now_us()));
        tokio::select! {
            biased;
            () = shared.woken(node) => Ok(()),
            woke = alarm.pause(pause_us) => Ok(woke?),
        }
    }

    /// The node is out of recovery. It is asked once more: the recovery may have ended in the middle of the question,
    /// after its snapshot was taken.
    async fn take_over(&self, shared: &Shared, node: usize, door: &Door) -> Result<()> {
        let (row, mut look) = ask(shared, node, door, &self.takeover).await?;
        look.beat = beat_of(&row)?;
        let file: String = row.try_get(0).map_err(describe)?;
        let timeline = of_wal_file(&file).with_context(|| format!("`{file}` is no WAL file's name"))?;
        if shared.board(|board| board.primary_looked(node, timeline, look)) {
            let name = shared.board(|board| board.name(node).to_owned());
            shared.progress.say(&format!("{name} is the primary, on timeline {timeline}"));
        }
        Ok(())
    }

    /// Asks from time to time under which names the standby streams; not while a young beat is looked for.
    async fn ask_receiver(&mut self, shared: &Shared, node: usize, door: &Door) -> Result<()> {
        let now_us = shared.clock.now_us();
        if now_us < self.receiver_us || shared.board(|board| board.is_busy(node, now_us)) {
            return Ok(());
        }
        self.receiver_us = now_us + RECEIVER_US;
        let row = door.row(sql!("lag_receiver"), &[]).await?;
        let told = Receiver { slot: row.try_get(0).map_err(describe)?, application: row.try_get(1).map_err(describe)? };
        shared.board(|board| board.set_receiver(node, told));
        Ok(())
    }
}

/// Asks a question about the run's beat, and takes the times of question and answer.
async fn ask(shared: &Shared, node: usize, door: &Door, statement: &Statement) -> Result<(Row, Look)> {
    let sent_us = shared.clock.now_us();
    shared.board(|board| board.asked(node, sent_us));
    let row = door.look(statement, &shared.run).await?;
    Ok((row, Look { sent_us, reply_us: shared.clock.now_us(), beat: 0 }))
}

/// The second column: the beat that is visible, 0 if there is none.
fn beat_of(row: &Row) -> Result<u64> {
    let beat: Option<i64> = row.try_get(1).map_err(describe)?;
    Ok(beat.map_or(0, i64::unsigned_abs))
}
