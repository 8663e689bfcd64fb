//! What is done to the primary and to the links of its standbys, and the last look before that.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use cluster::topology::is_primary;
use cluster::wait::until_true;
use lab::link::Cut;
use lab::standby::receiver;
use report::event::Mark;
use report::lsn::Lsn;

use super::{LOOK, Live};
use crate::check;
use crate::faults::Injection;
use crate::stage::{Clients as _, Hurt};

/// Time for a standby's receiver to stop after it has nobody to receive from: it takes the next turn of a loop.
const CUT_DEADLINE: Duration = Duration::from_secs(10);

/// For how long a standby must have received nothing while the primary writes, to count as cut off. On a network that
/// works, WAL arrives within a millisecond or two.
const SILENCE: Duration = Duration::from_millis(100);

/// Time for a standby that has just lost its connection to stream again before the fault.
const FIT_DEADLINE: Duration = Duration::from_secs(5);

impl Hurt for Live<'_> {
    fn cut_standbys(&mut self) -> Result<()> {
        self.progress.step("cutting the standbys off");
        for standby in self.others() {
            self.events.now(Mark::CutBegun, Some(&standby), "");
            self.keep_last_words();
            let cut = self.lab.backend.cut(&standby)?;
            self.wait_cut(&standby, cut)?;
            self.events.now(Mark::Cut, Some(&standby), "it receives no more WAL");
        }
        Ok(())
    }

    fn inject(&mut self, injection: &Injection) -> Result<()> {
        let node = self.old_primary.clone();
        if let Some(why) = self.events.failure() {
            bail!("{why}; nothing was done to it");
        }
        self.wait_still_fit(&node)?;
        program::stop::check()?; // the last moment at which a signal finds the cluster whole
        self.progress.step(format!("{} {node}", injection.doing));
        self.keep_last_words_of(&format!("{} {node}", injection.doing));
        let (clock, mut t0_us) = (self.run.clock, None);
        let fired = (injection.act)(self.lab.backend.as_ref(), &node, &mut || t0_us = Some(clock.now_us()));
        if let Some(at_us) = t0_us {
            self.events.at(at_us, Mark::T0, Some(&node), injection.fault.as_str());
        }
        self.keep_last_words();
        fired?;
        self.events.now(Mark::FaultProven, Some(&node), injection.proof);
        self.keep_last_words();
        self.sessions.remove(&node);
        Ok(())
    }

    fn thaw_after(&mut self, time: Duration) -> Result<()> {
        let node = self.old_primary.clone();
        let begun_us = self.events.first_us(Mark::T0).context("it was not frozen")?;
        let end_us = begun_us + time.as_micros() as u64;
        let loaded = self.load_for(Duration::from_micros(end_us.saturating_sub(self.run.clock.now_us())));
        // Before it: what is acknowledged from here on may be a new ack.
        let at_us = self.run.clock.now_us();
        self.lab.backend.thaw(&node).with_context(|| format!("{node} was not seen to go on"))?;
        self.events.at(at_us, Mark::Thawed, Some(&node), "");
        self.keep_last_words();
        self.count_anew();
        loaded
    }

    fn fence(&mut self, injection: &Injection) -> Result<()> {
        let (Some(fence), node) = (injection.fence, self.old_primary.clone()) else { return Ok(()) };
        self.progress.step(format!("fencing {node}"));
        fence(self.lab.backend.as_ref(), &node)
            .with_context(|| format!("{node} was not seen to be ended, and may still serve whoever talks to it"))?;
        self.events.now(Mark::Fenced, Some(&node), "it was ended before it could go on");
        self.keep_last_words();
        Ok(())
    }
}

impl Live<'_> {
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
        waited.context("somebody changed the cluster meanwhile; nothing was done to it; `setup` mends it")
    }
}
