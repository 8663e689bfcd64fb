//! We manage the cluster ourselves: choose, promote, point the others at the new primary, bring the old one back.

use std::slice;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use cluster::args::Cluster;
use cluster::file::LoginKind;
use cluster::session::{ANSWER, Session};
use cluster::topology::is_primary;
use cluster::wait::until;
use lab::at_once::at_once;
use lab::ports::Taken;
use lab::rejoin::{Rejoined, rejoin};
use lab::standby::{receiver, timeline_of};
use lab::{conf, slots};
use report::event::{EventRow, Mark};
use report::lsn::Lsn;
use report::words::Rejoin;

use super::{LOOK, Live};
use crate::check;
use crate::choice::{Asking, SILENT, choose};
use crate::stage::{Evidence as _, Manager};

/// How often a standby is asked whether it is promoted: T3 is known to within this.
const ASK_PROMOTED: Duration = Duration::from_micros(500);

/// Time for a standby's receiver to stop after it has nobody to receive from: it takes the next turn of a loop.
const CUT_DEADLINE: Duration = Duration::from_secs(10);

/// Time for the new primary to be back after one of its backends crashed: it replays since its last checkpoint.
const RESTART_DEADLINE: Duration = Duration::from_secs(30);

impl Manager for Live<'_> {
    fn choose(&mut self) -> Result<()> {
        let others = self.others();
        let told = self.ask(&others);
        program::stop::check()?;
        let choice = choose(others.into_iter().zip(told));
        for (standby, error) in choice.left_out {
            self.could_not(&error.context(format!("{standby} was left out when the standby to promote was chosen")));
        }
        let (has, chosen) = choice.chosen.context("there is no standby to promote")?;
        self.put_lsn(Mark::Chosen, &chosen, has, &format!("it had WAL up to {has}"));
        self.new_primary = Some(chosen);
        self.keep_last_words();
        Ok(())
    }

    fn promote(&mut self) -> Result<()> {
        let chosen = self.new_primary()?;
        self.progress.step(format!("promoting {chosen}"));
        self.events.now(Mark::PromoteCalled, Some(&chosen), "");
        let limit = self.asked.promotion_limit;
        // Not waited for: the function itself polls every 100 ms, and would tell up to that much too late.
        let accepted: bool = self.session(&chosen)?.value("SELECT pg_promote(false)", &[])?;
        ensure!(accepted, "{chosen} did not take the order to promote");
        self.events.now(Mark::PromoteAccepted, Some(&chosen), "");
        let session = self.session(&chosen)?;
        until(&format!("{chosen} to be promoted"), limit, ASK_PROMOTED, || {
            Ok(match is_primary(session)? {
                true => cluster::wait::Attempt::Done(()),
                false => cluster::wait::Attempt::NotYet("in recovery".to_owned()),
            })
        })?;
        self.events.now(Mark::T3, Some(&chosen), "");
        Ok(())
    }

    fn repoint_others(&mut self) -> Result<()> {
        let new = self.new_primary()?;
        let others = self.others();
        for standby in &others {
            self.progress.step(format!("pointing {standby} at {new}"));
            slots::ensure(self.session(&new)?, standby)?;
            self.events.now(Mark::SlotCreated, Some(standby), "");
            self.lab.backend.follow(standby, Some(&self.lab.upstream(&new, standby)?))?;
            self.events.now(Mark::Repointed, Some(standby), "");
        }
        let missing = self.wait_redundant(&others)?;
        ensure!(missing.is_empty(), "{} did not come to stream from {new}", missing.join(" and "));
        Ok(())
    }

    fn rejoin(&mut self) -> Result<()> {
        let (old, new) = (self.old_primary.clone(), self.new_primary()?);
        self.progress.step(format!("making {old} a standby of {new}"));
        self.events.now(Mark::RejoinBegun, Some(&old), "");
        let upstream = self.lab.upstream(&new, &old)?;
        let node = self.cluster.node(&old)?;
        let try_once =
            |primary: &Session| rejoin(self.lab.backend.as_ref(), &old, &upstream, primary, &|| self.open(node));
        let mut primary = self.open_when_back(&new)?;
        let mut rejoined = try_once(&primary);
        let begun = Instant::now();
        // A backend that crashed takes all sessions with it, also one that was just opened.
        while primary.has_ended() && begun.elapsed() < RESTART_DEADLINE {
            program::stop::check()?;
            primary = self.open_when_back(&new)?;
            rejoined = try_once(&primary);
        }
        let rejoined = rejoined.and_then(|how| {
            let missing = self.wait_redundant(slice::from_ref(&old))?;
            ensure!(missing.is_empty(), "after a {} it does not stream from {new}", how.word());
            Ok(how)
        });
        match rejoined {
            Ok(how) => {
                let mut detail = how.word().to_string();
                if let Rejoined::Clone { because } = &how {
                    self.progress.warn(&format!("{old} needed a fresh base backup: {because}"));
                    detail += &format!(": {because}");
                }
                self.put_rejoin(Mark::Rejoined, how.word(), &detail);
                self.keep_last_words();
            }
            Err(error) => {
                program::stop::check()?;
                self.progress.warn(&format!("{old} could not rejoin: {error:#}"));
                self.put_rejoin(Mark::RejoinFailed, Rejoin::Failed, &format!("{error:#}"));
                if error.is::<Taken>() {
                    self.events.now(Mark::PortTaken, Some(&old), "");
                    self.could_not(&error.context(format!("whether {old} can rejoin was not seen")));
                }
            }
        }
        Ok(())
    }

    fn restore_sync(&mut self) -> Result<()> {
        let new = self.new_primary()?;
        let session = self.open_when_back(&new)?;
        self.sessions.insert(new.clone(), session);
        let restored = self.restore_sync_on(&new);
        // A single standby was promoted as it was: it follows nobody any more, and its settings are to say so.
        let told = self.lab.backend.follow(&new, None);
        restored.and(told)
    }
}

impl Live<'_> {
    /// In a sync mode: lets commits on `primary` wait for the others, and sees that enough of them count.
    pub(crate) fn restore_sync_on(&mut self, primary: &str) -> Result<()> {
        if !check::is_sync(self.lab) {
            return Ok(());
        }
        let mut standbys: Vec<String> = self.cluster.nodes.iter().map(|node| node.name.clone()).collect();
        standbys.retain(|name| name != primary);
        let timeline = timeline_of(self.session(primary)?)?;
        let streaming =
            standbys.iter().filter(|name| self.streams_from(primary, name, timeline).unwrap_or(false)).count();
        ensure!(
            streaming >= self.lab.quorum as usize,
            "synchronous_standby_names was not set on {primary}: {streaming} of {} standbys stream, {} must, and every commit \
             would hang",
            standbys.len(),
            self.lab.quorum
        );
        let names = conf::sync_names(self.lab.sync, self.lab.quorum, &standbys);
        self.lab.backend.sync_names(primary, &names)?;
        if let Err(error) = self.wait_quorum(primary) {
            program::stop::check()?;
            // Or every commit would hang from here on, and the load could not be drained and read back.
            self.lab.backend.sync_names(primary, "")?;
            return Err(error.context(format!("{primary} does not wait for its standbys")));
        }
        self.events.now(Mark::SyncRestored, Some(primary), &names);
        Ok(())
    }

    /// A session on a server that takes sessions, or will within a second: one whose backend crashed is restarting.
    fn open_when_back(&self, name: &str) -> Result<Session> {
        let node = self.cluster.node(name)?;
        until(&format!("{name} to take sessions"), RESTART_DEADLINE, LOOK, || {
            Ok(cluster::wait::Attempt::Done(self.open(node)?))
        })
    }

    fn wait_quorum(&mut self, primary: &str) -> Result<()> {
        let lab = self.lab;
        check::wait_quorum(lab, || self.session(primary)?.value(cluster::sql!("quorum"), &[]))
    }

    /// Asks each of `standbys` how much WAL it has. Several follow nobody from here on, and are asked once they receive no more:
    /// else one could overtake the one that is chosen. A single one is no choice: its promotion ends its receiver and replays
    /// what that has written, and what the drill did before would be outage of its own making.
    fn ask(&mut self, standbys: &[String]) -> Vec<Result<Lsn>> {
        self.answer_within(standbys, SILENT);
        let is_choice = standbys.len() > 1;
        let (backend, asking) = (self.lab.backend.as_ref(), Asking::new(CUT_DEADLINE));
        let (cluster, sessions) = (self.cluster, &self.sessions);
        let told = at_once(standbys, |standby| {
            if is_choice {
                backend.follow(standby, None)?;
            }
            let has = if is_choice { has_if_stopped } else { has_by_now };
            let mut anew = None;
            asking.until_told(standby, || {
                if let Some(session) = sessions.get(standby) {
                    match has(session) {
                        Err(_) if session.is_closed() => {} // the server may be there all the same
                        told => return told,
                    }
                }
                has(open_anew(&mut anew, cluster, standby)?)
            })
        });
        self.answer_within(standbys, ANSWER);
        told
    }

    fn answer_within(&mut self, nodes: &[String], limit: Duration) {
        for (node, session) in &mut self.sessions {
            if nodes.contains(node) {
                session.answer_within(limit);
            }
        }
    }

    fn put_rejoin(&mut self, mark: Mark, rejoin: Rejoin, detail: &str) {
        self.events.put(EventRow { rejoin: Some(rejoin), ..self.events.row(mark, Some(&self.old_primary), detail) });
    }
}

/// How much WAL a standby has; `None`: it receives still.
fn has_if_stopped(standby: &Session) -> Result<Option<Lsn>> {
    match receiver(standby)? {
        Some(_) => Ok(None),
        None => has_by_now(standby),
    }
}

fn has_by_now(standby: &Session) -> Result<Option<Lsn>> {
    standby.value::<String>(cluster::sql!("received"), &[])?.parse().map(Some)
}

/// A session in the place of one that is gone.
fn open_anew<'a>(kept: &'a mut Option<Session>, cluster: &Cluster, standby: &str) -> Result<&'a Session> {
    if kept.as_ref().is_none_or(Session::is_closed) {
        let mut info = cluster.info(cluster.node(standby)?, LoginKind::Admin)?;
        info.connect_timeout = SILENT;
        let mut session = Session::open(standby, &info, "understudy failover-drill")?;
        session.answer_within(SILENT);
        *kept = Some(session);
    }
    kept.as_ref().context("it was opened")
}
