//! The standbys of a lab: each becomes one that streams from the primary, whatever it was.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use cluster::session::Session;
use cluster::topology::is_primary;

use super::{Data, Job, STREAM_DEADLINE};
use crate::at_once::at_once;
use crate::ports::Taken;
use crate::power::State;
use crate::rejoin::{self, Rejoined};
use crate::roles::DATABASE;
use crate::slots;
use crate::standby::wait_streaming;

impl Job<'_> {
    /// Makes the standbys, several at the same time: each waits for the primary's checkpoint, and for disks.
    pub(super) fn ensure_standbys(
        &self,
        primary: &str,
        on_primary: &Session,
        standbys: &[String],
        data: &BTreeMap<String, Data>,
    ) -> Result<()> {
        let mut left = standbys;
        while !left.is_empty() {
            // A base backup takes two walsenders, one of them for the WAL meanwhile.
            let free: i64 = on_primary.value(cluster::sql!("free_walsenders"), &[])?;
            let (now, later) = left.split_at(left.len().min(usize::try_from(free / 2).unwrap_or(0).max(1)));
            let made = at_once(now, |standby| {
                let on_primary = self.session(primary, DATABASE)?;
                self.ensure_standby(primary, &on_primary, standby, data.get(standby))
                    .with_context(|| format!("node {standby} was not made a standby"))
            });
            let mut failed = made.into_iter().filter_map(Result::err);
            if let Some(error) = failed.next() {
                program::stop::check()?;
                failed.for_each(|error| self.progress.warn(&format!("{error:#}")));
                return Err(error);
            }
            left = later;
        }
        Ok(())
    }

    fn ensure_standby(&self, primary: &str, on_primary: &Session, name: &str, data: Option<&Data>) -> Result<()> {
        let upstream = self.upstream(primary, name)?;
        let open = || self.session(name, "postgres");
        if slots::ensure(on_primary, name)? && data.is_some() {
            self.progress.say(&format!("made the slot of {name} on {primary}"));
        }
        self.site.sync_names(name, "")?;
        self.site.follow(name, Some(&upstream))?;
        let Some(data) = data else {
            self.progress.step(format!("cloning {primary} to {name}"));
            return rejoin::clone(self.site, name, &upstream, on_primary, &open);
        };
        // One that runs and does not answer is not one that streams: rejoining stops it.
        if data.is_standby
            && self.runs(name)?
            && open().and_then(|session| is_primary(&session)).is_ok_and(|it_is| !it_is)
        {
            if wait_streaming(on_primary, open, &upstream, STREAM_DEADLINE).is_ok() {
                self.site.discard_old(name)?;
                return rejoin::drop_slots(&open()?);
            }
            program::stop::check()?;
        }
        self.progress.step(format!("making {name} follow {primary} again"));
        if let Rejoined::Clone { because } = rejoin::rejoin(self.site, name, &upstream, on_primary, &open)? {
            self.progress.say(&format!("{name} was cloned anew, because: {because}"));
        }
        Ok(())
    }

    /// Whether a standby runs; one that does not is started. That it cannot be as it is, is no reason to give up: rejoining
    /// makes it another one.
    fn runs(&self, name: &str) -> Result<bool> {
        if self.site.power(name)? != State::Off {
            return Ok(true);
        }
        self.progress.step(format!("starting {name}"));
        match self.site.start(name) {
            Ok(()) => Ok(true),
            Err(error) if error.is::<Taken>() => Err(error),
            Err(error) => {
                program::stop::check()?;
                let why = format!("{error:#}");
                self.progress
                    .say(&format!("{name} cannot be started as it is: {}", why.lines().next().unwrap_or_default()));
                Ok(false)
            }
        }
    }
}
