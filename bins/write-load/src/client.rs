//! One client: takes its writes as they become due, sends each once, and records what it was told.

use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use cluster::connect::describe;
use program::alarm::Alarm;
use program::run::Run;
use report::ledger::{Event, Outcome};
use report::payload::payload;
use tokio::sync::watch;
use tokio_postgres::types::ToSql;

use crate::finder::Finder;
use crate::journal::{Held as _, Place, Shared};
use crate::outcome;
use crate::schedule::Schedule;
use crate::session::{Session, Settings, Unfit, cannot_heal};
use crate::turns::Turns;

/// Pause after an attempt to connect that failed, in microseconds.
const CONNECT_PAUSE_US: u64 = 5_000;

/// After this many time-outs in a row a worker pauses: each has left a backend behind that the server still counts.
const TIMEOUTS_IN_A_ROW: u32 = 3;

/// How long a worker pauses then, in microseconds.
const TIMEOUT_PAUSE_US: u64 = 1_000_000;

/// How often it asks meanwhile whether there is another primary, in microseconds: where all workers pause, nobody else
/// notices that the old one is dead.
const ASK_AGAIN_US: u64 = 20_000;

/// Time to look for rows of the run: by the primary key, so it takes as long as a write.
const RUN_DEADLINE: Duration = Duration::from_secs(10);

/// Limits of the load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Give a write up after this long.
    pub(crate) op_timeout: Duration,
    /// Do not send a write that has waited this long.
    pub(crate) max_behind: Duration,
}

/// What all clients share.
pub(crate) struct Common {
    pub(crate) run: Run,
    pub(crate) settings: Rc<Settings>,
    pub(crate) finder: Rc<Finder>,
    pub(crate) turns: Rc<Turns>,
    pub(crate) journal: Shared,
}

/// One client.
pub(crate) struct Worker {
    number: u32,
    common: Rc<Common>,
    alarm: Alarm,
    session: Option<Session>,
    seq: u64,
    timeouts: u32,
    /// The node that the last time-out came from.
    timed_out_on: Option<usize>,
}

impl Worker {
    /// A worker with its first session.
    pub(crate) async fn connect(number: u32, common: &Rc<Common>) -> Result<Worker> {
        let mut worker = Worker {
            number,
            common: common.clone(),
            alarm: Alarm::new(common.run.clock)?,
            session: None,
            seq: 0,
            timeouts: 0,
            timed_out_on: None,
        };
        worker.reconnect(None).await?;
        Ok(worker)
    }

    /// Its number.
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

    /// Takes writes as they become due until `ending` tells the moment of the end. What was due by then is still sent
    /// while the session lives; the rest of it counts as skipped.
    pub(crate) async fn run(
        mut self,
        mut schedule: Schedule,
        begin_us: u64,
        limits: Limits,
        mut ending: watch::Receiver<Option<u64>>,
    ) -> Result<()> {
        let mut next = || schedule.next().map(|due| begin_us + due);
        let mut due_us = next();
        loop {
            self.common.journal.held().next_due(self.number, due_us);
            tokio::select! {
                biased;
                _ = ending.wait_for(Option::is_some) => break,
                ready = self.ready(due_us) => ready?,
            }
            let now_us = self.common.run.clock.now_us();
            let waited_us = due_us.map_or(0, |due| now_us.saturating_sub(due));
            if u128::from(waited_us) > limits.max_behind.as_micros() {
                self.skip(due_us)?;
            } else {
                self.send(due_us, limits.op_timeout).await?;
            }
            due_us = next();
        }
        // Not now: a write that hung beyond the end has let many become due that nobody asked for any more.
        let now_us = self.common.run.clock.now_us();
        let end_us = ending.borrow().unwrap_or(now_us);
        let drained_us = now_us + limits.op_timeout.as_micros() as u64;
        while due_us.is_some_and(|due| due <= end_us) {
            if self.session.is_some() && self.common.run.clock.now_us() < drained_us {
                self.send(due_us, limits.op_timeout).await?;
            } else {
                self.skip(due_us)?;
            }
            due_us = next();
        }
        self.common.journal.held().next_due(self.number, None);
        Ok(())
    }

    /// Waits until the write is due and there is a session to send it over.
    async fn ready(&mut self, due_us: Option<u64>) -> Result<()> {
        loop {
            let Some(session) = &self.session else {
                self.reconnect(due_us).await?;
                continue;
            };
            let due = async {
                match due_us {
                    Some(due_us) => self.alarm.until(due_us).await,
                    None => Ok(()),
                }
            };
            tokio::select! {
                biased;
                () = session.closed() => {}
                result = due => return result.context("the alarm clock failed"),
            }
            self.common.journal.held().connection(self.place(session), Event::Disconnected, None)?;
            self.common.finder.lost(session.node);
            self.session = None;
        }
    }

    /// Gets a session on the primary, however long that takes; `due_us`: when it will be needed.
    async fn reconnect(&mut self, due_us: Option<u64>) -> Result<()> {
        if let Some(node) = self.timed_out_on.filter(|_| self.timeouts >= TIMEOUTS_IN_A_ROW) {
            self.pause_for(node).await?;
        }
        loop {
            let turn = self.common.turns.take(due_us, self.number).await?;
            let node = self.common.finder.find().await;
            let begun_us = self.common.run.clock.now_us();
            let opened = Session::open(&self.common.settings, node).await;
            drop(turn);
            match opened {
                Ok(session) => {
                    let took_us = self.common.run.clock.now_us() - begun_us;
                    self.common.journal.held().connected(self.place(&session), took_us)?;
                    self.session = Some(session);
                    return Ok(());
                }
                Err(error) if matches!(error.downcast_ref(), Some(Unfit::Setting(_))) => return Err(error),
                // Before the first ack there is nothing to live through: what cannot heal is said at once.
                Err(error) if cannot_heal(&error) && self.common.journal.held().acks() == 0 => return Err(error),
                Err(error) => {
                    let name = &self.common.settings.nodes[node].0;
                    let place = Place { worker: self.number, node: name, timeline: None };
                    let sqlstate = cluster::connect::sqlstate(&error).map(tokio_postgres::error::SqlState::code);
                    self.common.journal.held().connection(place, Event::ConnectFailed, sqlstate)?;
                    self.common.finder.said(node, format!("{error:#}"));
                    self.common.finder.lost(node);
                    self.alarm.pause(CONNECT_PAUSE_US).await?;
                }
            }
        }
    }

    /// Lets `node` end the backends that the time-outs have left behind. Another primary has none of them: the pause would
    /// only look like an outage there.
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
    async fn send(&mut self, due_us: Option<u64>, op_timeout: Duration) -> Result<()> {
        let Some(session) = self.session.take() else { return Ok(()) };
        self.seq += 1;
        let seq = self.seq;
        let text = payload(&self.common.run.name, self.number, seq);
        let sent_us = self.common.journal.held().sent(self.place(&session), seq, due_us)?;
        let (worker, key) = (i32::try_from(self.number)?, i64::try_from(seq)?);
        let values: [&(dyn ToSql + Sync); 4] = [&self.common.run.name, &worker, &key, &text];
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
        let from_us = due_us.unwrap_or(sent_us);
        let place = self.place(&session);
        self.common.journal.held().outcome(place, seq, due_us, from_us, outcome, sqlstate.as_deref())?;
        if lives {
            self.session = Some(session);
        } else {
            self.common.finder.lost(session.node);
        }
        Ok(())
    }

    fn skip(&mut self, due_us: Option<u64>) -> Result<()> {
        self.seq += 1;
        let place = Place { worker: self.number, node: "", timeline: None };
        let from_us = due_us.unwrap_or_else(|| self.common.run.clock.now_us());
        self.common.journal.held().outcome(place, self.seq, due_us, from_us, Outcome::Skipped, None)
    }

    fn place<'a>(&'a self, session: &Session) -> Place<'a> {
        Place {
            worker: self.number,
            node: &self.common.settings.nodes[session.node].0,
            timeline: Some(session.timeline),
        }
    }
}

/// Whether ReadyForQuery follows the error: only then has the server gone on, with the transaction rolled back.
async fn still_lives(session: &Session, limit: Duration) -> bool {
    matches!(tokio::time::timeout(limit, session.client.batch_execute("")).await, Ok(Ok(())))
}
