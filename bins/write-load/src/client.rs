//! One client: takes its writes as they become due, sends each once, and records what it was told.

use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use cluster::server_error::describe;
use program::alarm::Alarm;
use program::run::Run;
use report::ledger::{Event, Outcome};
use report::payload::payload;
use tokio::sync::watch;
use tokio_postgres::types::ToSql;

use crate::finder::Finder;
use crate::outcome;
use crate::recorder::{Origin, SharedRecorder};
use crate::schedule::Schedule;
use crate::session::{ClientSession, SessionSettings, Unfit, cannot_heal};
use crate::turns::Turns;

/// Pause after an attempt to connect that failed, in microseconds.
const CONNECT_PAUSE_US: u64 = 5_000;

/// After this many time-outs in a row a client pauses: each has left a backend behind that the server still counts.
const TIMEOUTS_IN_A_ROW: u32 = 3;

/// How long a client pauses then, in microseconds.
const TIMEOUT_PAUSE_US: u64 = 1_000_000;

/// How often a client that pauses asks whether there is another primary, in microseconds: if all clients pause, nobody
/// else notices that the old primary is dead.
const ASK_AGAIN_US: u64 = 20_000;

/// Time to look for rows of the run. They are found by the primary key, so this takes as long as a write.
const RUN_DEADLINE: Duration = Duration::from_secs(10);

/// LoadLimits of the load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LoadLimits {
    /// Give a write up after this long.
    pub(crate) op_timeout: Duration,
    /// Do not send a write that has waited this long.
    pub(crate) max_behind: Duration,
}

/// What all clients share.
pub(crate) struct Common {
    pub(crate) run: Run,
    pub(crate) settings: Rc<SessionSettings>,
    pub(crate) finder: Rc<Finder>,
    pub(crate) turns: Rc<Turns>,
    pub(crate) recorder: SharedRecorder,
}

pub(crate) struct LoadClient {
    number: u32,
    common: Rc<Common>,
    alarm: Alarm,
    session: Option<ClientSession>,
    seq: u64,
    timeouts: u32,
    /// The node that the last time-out came from.
    timed_out_on: Option<usize>,
}

impl LoadClient {
    /// A client that has its first session.
    pub(crate) async fn connect(number: u32, common: &Rc<Common>) -> Result<LoadClient> {
        let mut client = LoadClient {
            number,
            common: common.clone(),
            alarm: Alarm::new(common.run.clock)?,
            session: None,
            seq: 0,
            timeouts: 0,
            timed_out_on: None,
        };
        client.reconnect(None).await?;
        Ok(client)
    }

    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// Refuses a run that has written before: keys and fates of two loads would be mixed.
    pub(crate) async fn refuse_a_run_with_rows(&self) -> Result<()> {
        let Some(session) = &self.session else { return Ok(()) };
        let sql = "SELECT EXISTS (SELECT FROM understudy.ledger WHERE run = $1)";
        let values: [&(dyn ToSql + Sync); 1] = [&self.common.run.name];
        let asking = session.client.query_one(sql, &values);
        let row = tokio::time::timeout(RUN_DEADLINE, asking).await.context("is understudy.ledger locked?")?;
        let has_rows: bool = row.map_err(describe)?.try_get(0)?;
        ensure!(
            !has_rows,
            "run {} has rows in understudy.ledger already: a run is one load; give another name (UNDERSTUDY_RUN)",
            self.common.run.name
        );
        Ok(())
    }

    /// Sends writes as they become due until `ending` tells the time of the end. Writes that were due by then are still
    /// sent while the session lives; the others count as skipped.
    pub(crate) async fn run(
        mut self,
        mut schedule: Schedule,
        begin_us: u64,
        limits: LoadLimits,
        mut ending: watch::Receiver<Option<u64>>,
    ) -> Result<()> {
        let mut next = || schedule.next().map(|due| begin_us + due);
        let mut scheduled_us = next();
        loop {
            self.common.recorder.lock().next_due(self.number, scheduled_us);
            tokio::select! {
                biased;
                _ = ending.wait_for(Option::is_some) => break,
                ready = self.ready(scheduled_us) => ready?,
            }
            let now_us = self.common.run.clock.now_us();
            let waited_us = scheduled_us.map_or(0, |due| now_us.saturating_sub(due));
            if u128::from(waited_us) > limits.max_behind.as_micros() {
                self.skip(scheduled_us)?;
            } else {
                self.send(scheduled_us, limits.op_timeout).await?;
            }
            scheduled_us = next();
        }
        // The end is the time that was told, not now: while a write hung beyond the end, writes became due that nobody
        // asked for any more.
        let now_us = self.common.run.clock.now_us();
        let end_us = ending.borrow().unwrap_or(now_us);
        let drained_us = now_us + limits.op_timeout.as_micros() as u64;
        while scheduled_us.is_some_and(|due| due <= end_us) {
            if self.session.is_some() && self.common.run.clock.now_us() < drained_us {
                self.send(scheduled_us, limits.op_timeout).await?;
            } else {
                self.skip(scheduled_us)?;
            }
            scheduled_us = next();
        }
        self.common.recorder.lock().next_due(self.number, None);
        Ok(())
    }

    /// Waits until the write is due and there is a session to send it over.
    async fn ready(&mut self, scheduled_us: Option<u64>) -> Result<()> {
        loop {
            let Some(session) = &self.session else {
                self.reconnect(scheduled_us).await?;
                continue;
            };
            let due = async {
                match scheduled_us {
                    Some(scheduled_us) => self.alarm.until(scheduled_us).await,
                    None => Ok(()),
                }
            };
            tokio::select! {
                biased;
                () = session.closed() => {}
                result = due => return result.context("the alarm clock failed"),
            }
            self.common.recorder.lock().connection(self.origin(session), Event::Disconnected, None)?;
            self.common.finder.lost(session.node);
            self.session = None;
        }
    }

    /// Opens a session on the primary, however long that takes. `scheduled_us`: when the session will be needed.
    async fn reconnect(&mut self, scheduled_us: Option<u64>) -> Result<()> {
        if let Some(node) = self.timed_out_on.filter(|_| self.timeouts >= TIMEOUTS_IN_A_ROW) {
            self.pause_for(node).await?;
        }
        loop {
            let turn = self.common.turns.take(scheduled_us, self.number).await?;
            let node = self.common.finder.find().await;
            let begun_us = self.common.run.clock.now_us();
            let opened = ClientSession::open(&self.common.settings, node).await;
            drop(turn);
            match opened {
                Ok(session) => {
                    let took_us = self.common.run.clock.now_us() - begun_us;
                    self.common.recorder.lock().connected(self.origin(&session), took_us)?;
                    self.session = Some(session);
                    return Ok(());
                }
                Err(error) if matches!(error.downcast_ref(), Some(Unfit::Setting(_))) => return Err(error),
                // Before the first ack no outage is measured: an error that cannot heal ends the load at once.
                Err(error) if cannot_heal(&error) && self.common.recorder.lock().acks() == 0 => return Err(error),
                Err(error) => {
                    let name = &self.common.settings.nodes[node].0;
                    let origin = Origin { client: self.number, node: name, timeline: None };
                    let sqlstate = cluster::server_error::sqlstate(&error).map(tokio_postgres::error::SqlState::code);
                    self.common.recorder.lock().connection(origin, Event::ConnectFailed, sqlstate)?;
                    self.common.finder.said(node, format!("{error:#}"));
                    self.common.finder.lost(node);
                    self.alarm.pause(CONNECT_PAUSE_US).await?;
                }
            }
        }
    }

    /// Lets `node` end the backends that the time-outs have left behind. Another primary has no such backends, so the pause
    /// ends when there is one: it would only look like an outage there.
    async fn pause_for(&mut self, node: usize) -> Result<()> {
        let end_us = self.common.run.clock.now_us() + TIMEOUT_PAUSE_US;
        while self.common.run.clock.now_us() < end_us {
            self.common.finder.lost(node);
            tokio::select! {
                paused = self.alarm.pause(ASK_AGAIN_US) => paused?,
                () = self.common.finder.found_beside(node) => {
                    self.timeouts = 0;
                    break;
                }
            }
        }
        Ok(())
    }

    /// Sends one write, once, and records its outcome.
    async fn send(&mut self, scheduled_us: Option<u64>, op_timeout: Duration) -> Result<()> {
        let Some(session) = self.session.take() else { return Ok(()) };
        self.seq += 1;
        let seq = self.seq;
        let text = payload(&self.common.run.name, self.number, seq);
        let sent_us = self.common.recorder.lock().sent(self.origin(&session), seq, scheduled_us)?;
        let (client, key) = (i32::try_from(self.number)?, i64::try_from(seq)?);
        let values: [&(dyn ToSql + Sync); 4] = [&self.common.run.name, &client, &key, &text];
        // `execute` returns at ReadyForQuery: CommandComplete alone is no ack.
        let answer = tokio::time::timeout(op_timeout, session.client.execute(&session.insert, &values)).await;
        self.timeouts = if answer.is_err() { self.timeouts + 1 } else { 0 };
        self.timed_out_on = Some(session.node).filter(|_| answer.is_err());
        let (outcome, sqlstate, lives) = match answer {
            Ok(Ok(1)) => (outcome::of_answer(session.take_gave_up_sync_wait()), None, true),
            Ok(Ok(_)) => (Outcome::Failed, None, true), // committed, but somebody's trigger kept the row out
            Ok(Err(error)) => {
                let lives = still_lives(&session, op_timeout).await;
                let sqlstate = error.code().map(|code| code.code().to_owned());
                (outcome::of_error(error.as_db_error(), lives), sqlstate, lives)
            }
            Err(_) => (Outcome::Unknown, None, false),
        };
        let from_us = scheduled_us.unwrap_or(sent_us);
        let origin = self.origin(&session);
        self.common.recorder.lock().outcome(origin, seq, scheduled_us, from_us, outcome, sqlstate.as_deref())?;
        if lives {
            self.session = Some(session);
        } else {
            self.common.finder.lost(session.node);
        }
        Ok(())
    }

    fn skip(&mut self, scheduled_us: Option<u64>) -> Result<()> {
        self.seq += 1;
        let origin = Origin { client: self.number, node: "", timeline: None };
        let from_us = scheduled_us.unwrap_or_else(|| self.common.run.clock.now_us());
        self.common.recorder.lock().outcome(origin, self.seq, scheduled_us, from_us, Outcome::Skipped, None)
    }

    fn origin<'a>(&'a self, session: &ClientSession) -> Origin<'a> {
        Origin {
            client: self.number,
            node: &self.common.settings.nodes[session.node].0,
            timeline: Some(session.timeline),
        }
    }
}

/// Whether ReadyForQuery follows the error: only then is the transaction rolled back and the session alive.
async fn still_lives(session: &ClientSession, limit: Duration) -> bool {
    matches!(tokio::time::timeout(limit, session.client.batch_execute("")).await, Ok(Ok(())))
}
