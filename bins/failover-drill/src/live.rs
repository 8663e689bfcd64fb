//! A drill on a real lab.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::slice;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use cluster::args::{Cluster, Node};
use cluster::file::Role;
use cluster::session::Session;
use cluster::topology::{self, is_primary};
use cluster::wait::{until, until_true};
use lab::backend::Cut;
use lab::open::OpenLab;
use lab::ports::Taken;
use lab::rejoin::{Rejoined, rejoin};
use lab::standby::{receiver, streams_from, timeline_of};
use lab::{conf, old_timeline, slots};
use program::progress::Progress;
use program::run::Run;
use program::sink::Sink;
use report::event::{EventRow, Mark};
use report::evidence::{PLAN, READS};
use report::lsn::Lsn;
use report::marks::silence_allowed_us;
use report::plan::PlanRow;
use report::reads::{Present, ReadKind, ReadRow};
use report::words::{Fault, Rejoin};

use crate::check;
use crate::events::Events;
use crate::kept::Kept;
use crate::load::{Load, LoadPlan};
use crate::read;
use crate::stage::Stage;

/// How often a standby is asked whether it is promoted: T3 is known to within this.
const ASK_PROMOTED: Duration = Duration::from_micros(500);

/// How often other things are looked at.
const LOOK: Duration = Duration::from_millis(2);

/// Time for a standby's receiver to stop after it has nobody to receive from: it takes the next turn of a loop.
const CUT_DEADLINE: Duration = Duration::from_secs(10);

/// For how long a standby must have received nothing while the primary writes, to count as cut off. On a network that
/// works, WAL arrives within a millisecond or two.
const SILENCE: Duration = Duration::from_millis(100);

/// Time for a standby to stream from its new primary.
const STREAM_DEADLINE: Duration = Duration::from_secs(60);

/// Time for the backends of the load to be gone after the load has ended.
const DRAINED_DEADLINE: Duration = Duration::from_secs(15);

/// Time for the new primary to be back after one of its backends crashed: it replays since its last checkpoint.
const RESTART_DEADLINE: Duration = Duration::from_secs(30);

/// Time for a standby that has just lost its connection to stream again before the fault.
const FIT_DEADLINE: Duration = Duration::from_secs(5);

const SECOND: Duration = Duration::from_secs(1);

/// What is asked of a drill beside its load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) fault: Fault,
    /// Time for the promotion, and again for the clients to be well.
    pub(crate) promotion_limit: Duration,
    /// How many acknowledged writes may be lost.
    pub(crate) max_lost: u64,
}

/// A drill on a lab.
pub(crate) struct Live<'a> {
    pub(crate) lab: &'a OpenLab,
    pub(crate) cluster: &'a Cluster,
    pub(crate) run: &'a Run,
    pub(crate) dir: PathBuf,
    pub(crate) plan: LoadPlan,
    pub(crate) asked: Asked,
    pub(crate) events: Events,
    pub(crate) reads: Kept<ReadRow>,
    pub(crate) progress: Progress,
    pub(crate) standbys: u64,
    pub(crate) old_primary: String,
    /// `None`: nobody was chosen yet.
    pub(crate) new_primary: Option<String>,
    /// Sessions of the administrator, opened before T0, by node.
    sessions: BTreeMap<String, Session>,
    old_timeline: u32,
    load: Option<Load>,
}

impl<'a> Live<'a> {
    pub(crate) fn new(
        lab: &'a OpenLab,
        cluster: &'a Cluster,
        run: &'a Run,
        dir: PathBuf,
        plan: LoadPlan,
        asked: Asked,
        progress: Progress,
    ) -> Result<Live<'a>> {
        Ok(Live {
            events: Events::create(&dir, run)?,
            reads: Kept::create(&dir, READS)?,
            lab,
            cluster,
            run,
            dir,
            plan,
            asked,
            progress,
            standbys: 0,
            old_primary: String::new(),
            new_primary: None,
            sessions: BTreeMap::new(),
            old_timeline: 0,
            load: None,
        })
    }

    fn open(&self, node: &Node) -> Result<Session> {
        Session::open(&node.name, &self.cluster.info(node, Role::Admin)?, "understudy failover-drill")
    }

    /// The session on a node; a new one if the old one is gone.
    fn session(&mut self, name: &str) -> Result<&Session> {
        if self.sessions.get(name).is_none_or(Session::has_ended) {
            let session = self.open(self.cluster.node(name)?)?;
            self.sessions.insert(name.to_owned(), session);
        }
        self.sessions.get(name).with_context(|| format!("no session on {name}"))
    }

    fn new_primary(&self) -> Result<String> {
        self.new_primary.clone().context("nobody was promoted")
    }

    /// The nodes that are neither the old nor the new primary.
    fn others(&self) -> Vec<String> {
        let names = self.cluster.nodes.iter().map(|node| node.name.clone());
        names.filter(|n| *n != self.old_primary && Some(n) != self.new_primary.as_ref()).collect()
    }

    fn load(&mut self) -> Result<&mut Load> {
        self.load.as_mut().context("the load does not run")
    }

    /// Waits until all `standbys` stream from the new primary on its timeline, and returns those that do not in time. The
    /// first one is T6.
    fn wait_redundant(&mut self, standbys: &[String]) -> Result<Vec<String>> {
        let new = self.new_primary()?;
        let timeline = timeline_of(self.session(&new)?)?;
        let (mut missing, mut first) = (standbys.to_vec(), None);
        let what = format!("{} to stream from {new} on timeline {timeline}", standbys.join(" and "));
        let waited = until_true(&what, STREAM_DEADLINE, LOOK, || {
            let mut looked = Ok(());
            for standby in missing.clone() {
                match self.streams_from(&new, &standby, timeline) {
                    Ok(true) => {
                        first.get_or_insert((self.run.clock.now_us(), standby.clone()));
                        missing.retain(|other| *other != standby);
                    }
                    Ok(false) => {}
                    Err(error) => looked = Err(error), // the others are looked at all the same
                }
            }
            looked.map(|()| missing.is_empty())
        });
        if let (false, Some((at_us, standby))) = (self.events.has(Mark::T6), first) {
            self.events.at(at_us, Mark::T6, Some(&standby), "");
        }
        if let Err(error) = waited {
            program::stop::check()?;
            self.events.now(Mark::Note, None, &format!("{error:#}"));
        }
        Ok(missing)
    }

    fn streams_from(&mut self, primary: &str, standby: &str, timeline: u32) -> Result<bool> {
        let upstream = self.lab.upstream(primary, standby)?;
        self.session(primary)?;
        self.session(standby)?;
        streams_from(&self.sessions[primary], &self.sessions[standby], &upstream, Some(timeline))
    }

    /// Waits until `standby` is seen to receive nothing more: it has no receiver, or after a cut of the network the
    /// primary is ahead and what has been received stays the same.
    fn wait_cut(&mut self, standby: &str, cut: Cut) -> Result<()> {
        let (primary, mut before) = (self.old_primary.clone(), None);
        let pause = if cut == Cut::Network { SILENCE } else { LOOK };
        until_true(&format!("{standby} to be cut off"), CUT_DEADLINE, pause, || {
            let on_standby = self.session(standby)?;
            if receiver(on_standby)?.is_none() || cut == Cut::Receiver {
                return Ok(receiver(on_standby)?.is_none());
            }
            let has: Lsn = on_standby.value::<String>(cluster::sql!("received"), &[])?.parse()?;
            let wrote: String = self.session(&primary)?.value("SELECT pg_current_wal_flush_lsn()::text", &[])?;
            let silent = before.replace(has) == Some(has) && wrote.parse::<Lsn>()? > has;
            Ok(silent)
        })
    }

    /// Waits until a standby that was told to follow nobody receives no more, and asks how much WAL it has.
    fn stopped_at(&mut self, standby: &str) -> Result<Lsn> {
        let session = self.session(standby)?;
        until_true(&format!("{standby} to stop receiving"), CUT_DEADLINE, ASK_PROMOTED, || {
            Ok(receiver(session)?.is_none())
        })?;
        session.value::<String>(cluster::sql!("received"), &[])?.parse()
    }

    fn wait_quorum(&mut self, primary: &str) -> Result<()> {
        let lab = self.lab;
        check::wait_quorum(lab, || self.session(primary)?.value(cluster::sql!("quorum"), &[]))
    }

    /// Sees once more, now that it matters, that the primary is one and the only one, and that a standby follows it, if they
    /// were not cut off: else the drill would tell of what somebody else did in between.
    fn wait_still_fit(&mut self, primary: &str) -> Result<()> {
        let (lab, cut) = (self.lab, self.events.has(Mark::CutBegun));
        let waited = until_true("the cluster to be what it was when the drill began", FIT_DEADLINE, LOOK, || {
            let on_primary = self.session(primary)?;
            let mut fit = is_primary(on_primary)?;
            if check::is_sync(lab) && !cut {
                fit &= on_primary.value::<i64>(cluster::sql!("quorum"), &[])? >= i64::from(lab.quorum);
            }
            let mut following = 0;
            for standby in self.others() {
                // One of several that is gone is a case for the choice of the one to promote.
                fit &= !self.session(&standby).and_then(is_primary).unwrap_or(false);
                following += u32::from(self.streams_from(primary, &standby, self.old_timeline).unwrap_or(false));
            }
            Ok(fit && (cut || following > 0))
        });
        waited.context("somebody changed the cluster meanwhile; nothing was killed; `setup` mends it")
    }

    /// The rate in writes per second; `None` for `max`.
    fn rate_per_s(&self) -> Option<u64> {
        self.plan.rate.parse().ok()
    }
}

impl Stage for Live<'_> {
    fn check(&mut self) -> Result<()> {
        self.progress.step("checking the cluster");
        let fit = check::check(self.lab, self.cluster)?;
        self.old_timeline = fit.timeline;
        self.standbys = fit.standbys.len() as u64;
        self.old_primary = fit.primary;
        self.sessions = fit.sessions;
        self.write_plan(fit.server_version)?;
        read::settings(&self.dir, self.run, &self.sessions)
    }

    fn begin_load(&mut self) -> Result<()> {
        self.progress.step(format!("writing at {} per second with {} clients", self.plan.rate, self.plan.clients));
        self.events.now(Mark::LoadStarted, None, &format!("rate {}", self.plan.rate));
        self.load = Some(Load::begin(&self.dir, &self.plan, self.run)?);
        self.events.now(Mark::Steady, None, "first ack");
        Ok(())
    }

    fn load_for(&mut self, time: Duration) -> Result<()> {
        let dir = self.dir.clone();
        self.load()?.run_for(time, &dir)
    }

    fn begin_step(&mut self) -> Result<()> {
        self.events.begin_step(self.asked.fault, &self.old_primary);
        Ok(())
    }

    fn wait_flowing(&mut self) -> Result<()> {
        self.progress.step("seeing that the load flows");
        let (dir, clock, rate) = (self.dir.clone(), self.run.clock, self.rate_per_s());
        self.load()?.wait_flowing(clock, silence_allowed_us(rate), &dir)
    }

    fn cut_standbys(&mut self) -> Result<()> {
        self.progress.step("cutting the standbys off");
        for standby in self.others() {
            self.events.now(Mark::CutBegun, Some(&standby), "");
            let cut = self.lab.backend.cut(&standby)?;
            self.wait_cut(&standby, cut)?;
            self.events.now(Mark::Cut, Some(&standby), "it receives no more WAL");
        }
        Ok(())
    }

    fn inject(&mut self) -> Result<()> {
        let node = self.old_primary.clone();
        if let Some(why) = self.events.failure() {
            bail!("{why}; nothing was killed");
        }
        self.wait_still_fit(&node)?;
        program::stop::check()?; // the last moment at which a signal finds the cluster whole
        self.progress.step(format!("killing {node}"));
        let (clock, mut t0_us) = (self.run.clock, None);
        let killed = self.lab.backend.kill(&node, &mut || t0_us = Some(clock.now_us()));
        if let Some(at_us) = t0_us {
            self.events.at(at_us, Mark::T0, Some(&node), "kill");
        }
        killed?;
        self.events.now(Mark::FaultProven, Some(&node), "none of its processes is left");
        self.sessions.remove(&node);
        Ok(())
    }

    fn choose(&mut self) -> Result<()> {
        let (mut best, others): (Option<(Lsn, String)>, _) = (None, self.others());
        let backend = self.lab.backend.as_ref();
        // All at once: with containers each takes some 30 ms, and the clients are waiting.
        let stopped: Vec<Result<()>> = std::thread::scope(|scope| {
            let stopping: Vec<_> =
                others.iter().map(|standby| scope.spawn(move || backend.follow(standby, None))).collect();
            stopping.into_iter().map(|stopping| stopping.join().map_err(|_| anyhow!("a panic"))?).collect()
        });
        for (standby, stopped) in others.into_iter().zip(stopped) {
            match stopped.and_then(|()| self.stopped_at(&standby)) {
                Ok(has) if best.as_ref().is_none_or(|(most, _)| has > *most) => best = Some((has, standby)),
                Ok(_) => {}
                Err(error) => {
                    program::stop::check()?;
                    self.could_not(
                        &error.context(format!("{standby} was left out when the standby to promote was chosen")),
                    );
                }
            }
        }
        let (has, chosen) = best.context("there is no standby to promote")?;
        self.put_lsn(Mark::Chosen, &chosen, has, &format!("it has WAL up to {has}"));
        self.new_primary = Some(chosen);
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
                true => cluster::wait::Look::Done(()),
                false => cluster::wait::Look::NotYet("in recovery".to_owned()),
            })
        })?;
        self.events.now(Mark::T3, Some(&chosen), "");
        Ok(())
    }

    fn wait_for_ack(&mut self) -> Result<()> {
        self.progress.step("waiting for the clients");
        let (dir, limit, old) = (self.dir.clone(), self.asked.promotion_limit, self.old_timeline);
        self.load()?.wait_for_timeline(old, limit, &dir)
    }

    fn wait_all_well(&mut self) -> Result<()> {
        let (dir, limit, old) = (self.dir.clone(), self.asked.promotion_limit, self.old_timeline);
        if self.load()?.newest_timeline() <= old {
            return Ok(()); // no ack came in time: that was said, and one time of waiting for it is enough
        }
        // Five acks each take five turns of all clients.
        let turns = self.plan.rate.parse().map_or(Duration::ZERO, |rate: u32| self.plan.clients * 5 * SECOND / rate);
        self.load()?.wait_all_well(limit + turns, &dir)
    }

    fn read_old_end(&mut self) -> Result<()> {
        let old = self.old_primary.clone();
        // Unreadable: the column stays empty; the takeover does not depend on it.
        if let Err(error) = self.try_read_old_end(&old) {
            program::stop::check()?;
            self.note(Mark::Note, &old, &format!("the end of its WAL was not read: {error:#}"));
        }
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

    fn read_divergent(&mut self) -> Result<()> {
        let old = self.old_primary.clone();
        self.progress.step(format!("reading what {old} had"));
        let rows = read::alone(self.lab.backend.as_ref(), &old, self.cluster, self.run);
        match rows {
            Ok(rows) => self.put_read(Mark::DivergentRead, ReadKind::OldPrimary, &old, &rows),
            // Not read: the column stays empty.
            Err(error) => self.note(Mark::Note, &old, &format!("its rows were not read: {error:#}")),
        }
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
        let mut primary = self.open(self.cluster.node(&new)?)?;
        let mut rejoined = try_once(&primary);
        let begun = Instant::now();
        // A backend that crashed takes all sessions with it, also one that was just opened, and the server is back within a
        // second.
        while primary.has_ended() && begun.elapsed() < RESTART_DEADLINE {
            program::stop::check()?;
            primary = until(&format!("{new} to be back"), RESTART_DEADLINE, LOOK, || {
                Ok(cluster::wait::Look::Done(self.open(self.cluster.node(&new)?)?))
            })?;
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
        self.restore_sync_on(&new)
    }

    fn end_load(&mut self) -> Result<()> {
        self.progress.step("ending the load");
        if self.load.as_mut().is_none_or(|load| !load.lives()) {
            self.events.now(Mark::LoadDied, None, "");
        }
        self.events.now(Mark::LoadEnding, None, "");
        if let Some(load) = &mut self.load {
            let ended = load.end();
            program::stop::check()?;
            if let Err(error) = ended {
                self.could_not(&error);
            }
        }
        self.events.now(Mark::LoadEnded, None, "");
        Ok(())
    }

    fn final_read(&mut self) -> Result<()> {
        self.progress.step("reading back what is there");
        let asked = topology::ask(self.cluster, Role::Admin, "understudy failover-drill");
        self.put_count(Mark::PrimariesCounted, None, count_primaries(self.cluster), "");
        let (primary, session) = asked?.primary;
        let writers = format!("understudy {}", self.run.name);
        let drained = until_true("the load's backends to be gone", DRAINED_DEADLINE, LOOK, || {
            Ok(session.value::<i64>(cluster::sql!("writers_left"), &[&writers])? == 0)
        });
        if let Err(error) = drained {
            program::stop::check()?;
            // What is acknowledged and gone stays gone, so the losses are counted all the same; but a row may still come.
            self.could_not(&error);
        }
        self.events.now(Mark::FinalRead, Some(&primary.name), "");
        let present = read::present(&session, self.run)?;
        self.put_read(Mark::FinalReadDone, ReadKind::Final, &primary.name, &present);
        Ok(())
    }

    fn final_check(&mut self) -> Result<()> {
        let Some(new) = self.new_primary.clone() else { return Ok(()) };
        // The old primary: if it did not rejoin that is said already, and if that was not tried it says nothing.
        let mut standbys = self.others();
        if self.events.has(Mark::Rejoined) {
            standbys.push(self.old_primary.clone());
        }
        for standby in self.wait_redundant(&standbys)? {
            self.note(Mark::Defect, &standby, &format!("it does not stream from {new}"));
        }
        Ok(())
    }

    fn could_not(&mut self, error: &anyhow::Error) {
        self.events.now(Mark::CouldNot, None, &format!("{error:#}"));
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

    /// Whether the lab is as it was before: nobody was hurt, or whoever was killed is a standby now.
    pub(crate) fn is_whole(&self) -> bool {
        match self.events.has(Mark::T0) {
            true => self.events.has(Mark::Rejoined),
            false => !self.events.has(Mark::CutBegun),
        }
    }

    /// What state the drill leaves, and what to type next.
    pub(crate) fn left_behind(&self) -> String {
        let (old, name) = (&self.old_primary, self.cluster.file.as_ref().map_or("", |file| file.name.as_str()));
        let state = match (self.events.has(Mark::T0), &self.new_primary) {
            (true, Some(new)) => format!("{old} was killed and {new} was to take over"),
            (true, None) => format!("{old} was killed and nobody was promoted"),
            (false, _) if self.events.has(Mark::CutBegun) => "the standbys were cut off".to_owned(),
            (false, _) => return format!("nothing was done to lab {name} yet"),
        };
        format!(
            "lab {name} is left as it is: {state}; `setup --name {name}` mends it, `setup --name {name} --down` removes it"
        )
    }

    fn try_read_old_end(&mut self, old: &str) -> Result<()> {
        let new = self.new_primary()?;
        let old_timeline = self.old_timeline;
        let session = self.session(&new)?;
        let timeline = i32::try_from(timeline_of(session)?)?;
        let history: String = session.value(cluster::sql!("timeline_history"), &[&timeline])?;
        let fork = report::timeline::fork_lsn(&history, old_timeline);
        let fork = fork.with_context(|| format!("timeline {timeline} does not descend from {old_timeline}"))?;
        self.put_lsn(Mark::ForkRead, &new, fork, &format!("timeline {timeline} left {old_timeline} at {fork}"));
        let end = old_timeline::end(self.lab.backend.as_ref(), old, old_timeline, fork)?;
        self.put_lsn(Mark::OldEndRead, old, end, &format!("it ends at {end}"));
        Ok(())
    }

    /// Writes `plan.csv`.
    fn write_plan(&self, pg_version: String) -> Result<()> {
        Sink::create_new(&self.dir.join(PLAN))?.row(&PlanRow {
            run: self.run.name.clone(),
            backend: self.lab.backend.name(),
            pg_version,
            sync: self.lab.sync,
            standbys: self.standbys,
            clients: u64::from(self.plan.clients),
            rate_per_s: self.rate_per_s(),
            op_timeout_us: self.plan.op_timeout.as_micros() as u64,
            max_lost: self.asked.max_lost,
        })
    }

    fn put_lsn(&mut self, mark: Mark, node: &str, lsn: Lsn, detail: &str) {
        self.events.put(EventRow { lsn: Some(lsn), ..self.events.row(mark, Some(node), detail) });
    }

    fn put_count(&mut self, mark: Mark, node: Option<&str>, count: u64, detail: &str) {
        self.events.put(EventRow { count: Some(count), ..self.events.row(mark, node, detail) });
    }

    fn put_rejoin(&mut self, mark: Mark, rejoin: Rejoin, detail: &str) {
        self.events.put(EventRow { rejoin: Some(rejoin), ..self.events.row(mark, Some(&self.old_primary), detail) });
    }

    /// What a read found, and then that it is done.
    fn put_read(&mut self, mark: Mark, read: ReadKind, node: &str, found: &Present) {
        self.reads.extend(found.to_rows(&self.run.name, read, node, self.events.step()));
        self.put_count(mark, Some(node), found.len() as u64, &format!("{} rows of this run", found.len()));
    }

    fn note(&mut self, mark: Mark, node: &str, detail: &str) {
        self.events.now(mark, Some(node), detail);
    }
}

/// How many nodes are out of recovery.
fn count_primaries(cluster: &Cluster) -> u64 {
    let out_of_recovery = |node: &&Node| -> Result<bool> {
        let info = cluster.info(node, Role::Admin)?;
        is_primary(&Session::open(&node.name, &info, "understudy failover-drill")?)
    };
    cluster.nodes.iter().filter(|node| out_of_recovery(node).unwrap_or(false)).count() as u64
}
