//! The clients of a drill: `write-load`, and what its ledger says so far.

use std::time::Duration;

use anyhow::{Context as _, Result};
use report::event::Mark;
use report::marks::silence_allowed_us;

use super::Live;
use crate::load::Load;
use crate::stage::{Clients, Evidence as _};

const SECOND: Duration = Duration::from_secs(1);

impl Clients for Live<'_> {
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

    fn wait_flowing(&mut self) -> Result<()> {
        self.progress.step("seeing that the load flows");
        let (dir, clock, rate) = (self.dir.clone(), self.run.clock, self.rate_per_s());
        // A later takeover is judged by acks of its own part of the run.
        let since_us = self.events.first_us(Mark::StepBegun).filter(|_| self.events.step() > Some(1)).unwrap_or(0);
        self.load()?.wait_flowing(clock, since_us, silence_allowed_us(rate), &dir)
    }

    fn wait_for_ack(&mut self) -> Result<()> {
        self.progress.step("waiting for the clients");
        let (dir, limit, old) = (self.dir.clone(), self.asked.promotion_limit, self.old_timeline);
        match self.events.first_us(Mark::Thawed) {
            Some(thawed_us) => self.load()?.wait_for_ack_since(thawed_us, limit, &dir),
            None => self.load()?.wait_for_timeline(old, limit, &dir),
        }
    }

    fn wait_all_well(&mut self) -> Result<()> {
        let (dir, limit, old) = (self.dir.clone(), self.asked.promotion_limit, self.old_timeline);
        if !self.events.has(Mark::Thawed) && self.load()?.newest_timeline() <= old {
            return Ok(()); // no ack came in time: that was said, and one time of waiting for it is enough
        }
        // Five acks each take five turns of all clients.
        let turns = self.plan.rate.parse().map_or(Duration::ZERO, |rate: u32| self.plan.clients * 5 * SECOND / rate);
        self.load()?.wait_all_well(limit + turns, &dir)
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
}

impl Live<'_> {
    /// From here on every client has to be well anew.
    pub(super) fn count_anew(&mut self) {
        if let Some(load) = &mut self.load {
            load.count_anew();
        }
    }

    fn load(&mut self) -> Result<&mut Load> {
        self.load.as_mut().context("the load does not run")
    }
}
