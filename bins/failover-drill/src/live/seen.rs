//! What a drill writes down of a lab: what it began on, what the old primary had, and what is there in the end.

use anyhow::{Context as _, Result, ensure};
use cluster::file::LoginKind;
use cluster::topology::{self, is_primary};
use cluster::wait::{Attempt, until, until_true};
use lab::old_timeline;
use lab::power::State;
use lab::standby::timeline_of;
use program::sink::Sink;
use report::event::Mark;
use report::evidence::PLAN;
use report::plan::PlanRow;
use report::reads::{Present, ReadKind};
use std::time::Duration;

use super::{LOOK, Live, STREAM_DEADLINE};
use crate::load::Load;
use crate::stage::Evidence;
use crate::{check, read};

/// How often the whole cluster is looked at: each look opens sessions.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Time for the backends of the load to be gone after the load has ended.
const DRAINED_DEADLINE: Duration = Duration::from_secs(15);

impl Evidence for Live<'_> {
    fn check(&mut self) -> Result<()> {
        self.progress.step("checking the cluster");
        let fit = check::check(self.lab, self.cluster)?;
        self.standbys = fit.standbys.len() as u64;
        let version = self.begin_on(fit);
        self.write_plan(version)?;
        read::settings(&self.dir, self.run, &self.sessions)
    }

    fn check_again(&mut self) -> Result<()> {
        self.progress.step("waiting until all is well again");
        ensure!(self.load.as_mut().is_some_and(Load::lives), "the load has ended");
        let what = "the cluster to be fit for the next takeover";
        let fit =
            until(what, STREAM_DEADLINE, LOOK_AGAIN, || Ok(Attempt::Done(check::check(self.lab, self.cluster)?)))?;
        self.begin_on(fit);
        Ok(())
    }

    fn begin_step(&mut self) -> Result<()> {
        self.events.begin_step(self.asked.injection.fault, &self.old_primary);
        Ok(())
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

    fn final_read(&mut self) -> Result<()> {
        self.progress.step("reading back what is there");
        let asked = topology::ask(self.cluster, LoginKind::Admin, "understudy failover-drill");
        let primaries = self.count_primaries();
        self.put_count(Mark::PrimariesCounted, None, primaries, "");
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
        let Some(new) = self.new_primary.clone() else { return self.still_follow() };
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
    /// The next takeover is of this cluster, whoever is primary in it now; its server's version.
    fn begin_on(&mut self, fit: check::Fit) -> String {
        self.old_timeline = fit.timeline;
        self.old_primary = fit.primary;
        self.new_primary = None;
        self.sessions = fit.sessions;
        fit.server_version
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

    /// After a stall: whether the standbys stream from the primary that went on.
    fn still_follow(&mut self) -> Result<()> {
        let (primary, timeline) = (self.old_primary.clone(), self.old_timeline);
        for standby in self.others().into_iter().filter(|_| self.events.has(Mark::Thawed)).collect::<Vec<_>>() {
            let what = format!("{standby} to stream from {primary}");
            let waited = until_true(&what, STREAM_DEADLINE, LOOK, || self.streams_from(&primary, &standby, timeline));
            if waited.is_err() {
                program::stop::check()?;
                self.note(Mark::Defect, &standby, &format!("it does not stream from {primary}"));
            }
        }
        Ok(())
    }

    /// Writes `plan.csv`.
    fn write_plan(&self, pg_version: String) -> Result<()> {
        let (asked, scenario) = (&self.asked, self.asked.scenario);
        let us = |time: Duration| time.as_micros() as u64;
        Sink::create_new(&self.dir.join(PLAN))?.row(&PlanRow {
            run: self.run.name.clone(),
            backend: self.lab.backend.name(),
            pg_version,
            sync: self.lab.sync,
            standbys: self.standbys,
            clients: u64::from(self.plan.clients),
            rate_per_s: self.rate_per_s(),
            op_timeout_us: us(self.plan.op_timeout),
            max_lost: asked.max_lost,
            max_outage_us: asked.max_outage.map(us),
            min_rate_per_s: asked.min_rate,
            before_us: Some(us(scenario.before)),
            after_us: Some(us(scenario.after)),
            cut_us: scenario.cut.map(us),
            stall_us: scenario.stall.map(us),
            decide_us: scenario.decide.map(us),
            rounds: Some(u64::from(scenario.rounds)),
        })
    }

    /// How many nodes are out of recovery. A server that runs and does not say is none of them, and it is noted: clients may
    /// know a way to it.
    fn count_primaries(&mut self) -> u64 {
        let mut primaries = 0;
        for node in &self.cluster.nodes {
            match self.open(node).and_then(|session| is_primary(&session)) {
                Ok(primary) => primaries += u64::from(primary),
                Err(error) => match self.lab.backend.power(&node.name) {
                    Ok(State::Off) => {}
                    Ok(State::On | State::Frozen) => {
                        self.could_not(&error.context(format!("whether {} is a primary was not seen", node.name)));
                    }
                    Err(power) => self.could_not(&power.context(format!("whether {} runs was not seen", node.name))),
                },
            }
        }
        primaries
    }

    /// What a read found, and then that it is done.
    fn put_read(&mut self, mark: Mark, read: ReadKind, node: &str, found: &Present) {
        self.reads.extend(found.to_rows(&self.run.name, read, node, self.events.step()));
        self.put_count(mark, Some(node), found.len() as u64, &format!("{} rows of this run", found.len()));
    }
}
