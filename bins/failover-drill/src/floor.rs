//! The raw floor under a takeover: SIGKILL, `pg_ctl promote -w`, first write by a waiting client.
//!
//! No load, no choosing, no routing: what PostgreSQL itself needs on this machine. Measured on the nodes of the drill,
//! right after it, and then the killed node is brought back. It is found in the events, as every figure is.

use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use cluster::file::LoginKind;
use cluster::session::Session;
use lab::rejoin::rejoin;
use lab::standby::streams_from;
use report::event::Mark;

use crate::live::Live;

/// Time for the promotion and the first write.
const DEADLINE: Duration = Duration::from_secs(60);

/// Measures the floor; says so if it cannot be measured.
pub(crate) fn measure(live: &mut Live<'_>) {
    if live.standbys > 1 {
        return live.progress.say("the raw floor is measured with one standby only: nobody has to be chosen there");
    }
    if !live.asked.injection.fault.has_takeover() {
        return; // there is nothing to compare it with
    }
    live.progress.step("measuring the raw floor on the same nodes");
    live.events.now(Mark::FloorBegun, None, "");
    match try_measure(live) {
        Ok(()) => {
            live.events.now(Mark::FloorDone, None, "");
            live.keep_last_words();
        }
        Err(error) => live.progress.warn(&format!("the raw floor was not measured: {error:#}")),
    }
}

fn try_measure(live: &mut Live<'_>) -> Result<()> {
    let primary = live.new_primary.clone().context("nobody was promoted")?;
    let standby = live.old_primary.clone();
    let open = |name: &str| -> Result<Session> {
        Session::open(name, &live.cluster.info(live.cluster.node(name)?, LoginKind::Admin)?, "understudy floor")
    };
    anyhow::ensure!(
        streams_from(&open(&primary)?, &open(&standby)?, &live.lab.upstream(&primary, &standby)?, None)?,
        "{standby} does not stream"
    );
    let (clock, backend) = (live.run.clock, live.lab.backend.as_ref());
    let client = open(&standby)?;
    let (written, first_write) = mpsc::channel();
    let mut killed_us = None;
    // The client waits as a polling application would, on a session that outlives the promotion.
    let waiting = std::thread::spawn(move || {
        let end = std::time::Instant::now() + DEADLINE;
        let insert = "INSERT INTO understudy.heartbeat VALUES ('floor', 0) ON CONFLICT (run) DO UPDATE SET beat = 0";
        while std::time::Instant::now() < end {
            if client.execute(insert, &[]).is_ok() {
                return written.send(clock.now_us()).is_ok();
            }
            if program::stop::pause(Duration::from_micros(500)).is_err() {
                return false;
            }
        }
        false
    });
    let killed = backend.kill(&primary, &mut || killed_us = Some(clock.now_us()));
    if let Some(at_us) = killed_us {
        live.events.at(at_us, Mark::FloorKilled, Some(&primary), "");
        live.keep_last_words();
    }
    killed?;
    backend.pg_ctl_promote(&standby, DEADLINE)?;
    let written_us = first_write.recv_timeout(DEADLINE).map_err(|_| anyhow!("no write came through"))?;
    live.events.at(written_us, Mark::FloorAcked, Some(&standby), "");
    let _ = waiting.join();
    let on_new = open(&standby)?;
    on_new.script("DELETE FROM understudy.heartbeat WHERE run = 'floor'")?;
    // Leave the lab as the drill left it but for the roles.
    let upstream = live.lab.upstream(&standby, &primary)?;
    rejoin(backend, &primary, &upstream, &on_new, &|| open(&primary))?;
    live.restore_sync_on(&standby)
}
