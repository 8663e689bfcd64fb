//! The task of one node: it keeps a session there. If the node is the primary, it sends the beats, else it polls for them.

use std::convert::Infallible;
use std::rc::Rc;

use anyhow::{Error, Result};
use program::alarm::Alarm;

use crate::measurement::Measurement;
use crate::session::Session;
use crate::{beat, poll};

/// The first pause before a node is tried again, and every pause while there is no primary: a takeover is not missed.
const RETRY_US: u64 = 20_000;

/// The longest pause; each is twice the one before. The pause adds to the upper bound of beats on a restarted standby.
const RETRY_LONGEST_US: u64 = 100_000;

/// Runs until the task is dropped.
pub(crate) async fn node_task(measurement: Rc<Measurement>, node: usize) -> Result<Infallible> {
    let alarm = Alarm::new(measurement.clock)?;
    let mut retry_us = RETRY_US;
    loop {
        let mut answered = false;
        let Err(error) = serve(&measurement, node, &alarm, &mut answered).await;
        disconnected(&measurement, node, &error);
        let urgent = answered || measurement.tracker(|tracker| tracker.primary().is_none());
        retry_us = if urgent { RETRY_US } else { (retry_us * 2).min(RETRY_LONGEST_US) };
        alarm.pause(retry_us).await?;
    }
}

/// One session on the node, until it breaks.
async fn serve(measurement: &Measurement, node: usize, alarm: &Alarm, answered: &mut bool) -> Result<Infallible> {
    let session = Session::open(&measurement.infos[node]).await?;
    let beats = beat::Beats::prepare(&session).await?;
    let mut poll = poll::Poll::prepare(&session).await?;
    loop {
        if measurement.tracker(|tracker| tracker.beats_on(node)) {
            beats.next(measurement, node, &session, alarm).await?;
        } else {
            poll.next(measurement, node, &session, alarm).await?;
        }
        if !*answered {
            *answered = true;
            connected(measurement, node);
        }
    }
}

fn connected(measurement: &Measurement, node: usize) {
    if measurement.tracker(|tracker| tracker.connected(node)) {
        measurement.progress.say(&format!("{} answers", measurement.name(node)));
    }
}

fn disconnected(measurement: &Measurement, node: usize, error: &Error) {
    if measurement.tracker(|tracker| tracker.disconnected(node)) {
        measurement.progress.say(&format!("{} does not answer: {error:#}", measurement.name(node)));
    }
}
