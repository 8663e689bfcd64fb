//! The task of one node: it keeps a session there, sends the beats if the node is the primary, looks for them if not.

use std::convert::Infallible;
use std::rc::Rc;

use anyhow::{Error, Result};
use program::alarm::Alarm;

use crate::door::Door;
use crate::shared::Shared;
use crate::{beat, poll};

/// The first pause before a node is tried again, and every pause while there is no primary: a takeover is not missed.
const RETRY_US: u64 = 20_000;

/// The longest pause; each is twice the one before. It adds to the upper bound of what a restarted standby shows.
const RETRY_LONGEST_US: u64 = 100_000;

/// Attends to a node until the task is dropped.
pub(crate) async fn attend(shared: Rc<Shared>, node: usize) -> Result<Infallible> {
    let alarm = Alarm::new(shared.clock)?;
    let mut retry_us = RETRY_US;
    loop {
        let mut answered = false;
        let Err(error) = serve(&shared, node, &alarm, &mut answered).await;
        disconnected(&shared, node, &error);
        let urgent = answered || shared.board(|board| board.primary().is_none());
        retry_us = if urgent { RETRY_US } else { (retry_us * 2).min(RETRY_LONGEST_US) };
        alarm.pause(retry_us).await?;
    }
}

/// One session on the node, until it breaks.
async fn serve(shared: &Shared, node: usize, alarm: &Alarm, answered: &mut bool) -> Result<Infallible> {
    let door = Door::open(&shared.infos[node]).await?;
    let beats = beat::Beats::prepare(&door).await?;
    let mut looks = poll::Looks::prepare(&door).await?;
    loop {
        if shared.board(|board| board.beats_on(node)) {
            beats.next(shared, node, &door, alarm).await?;
        } else {
            looks.next(shared, node, &door, alarm).await?;
        }
        if !*answered {
            *answered = true;
            connected(shared, node);
        }
    }
}

fn connected(shared: &Shared, node: usize) {
    if shared.board(|board| board.connected(node)) {
        shared.progress.say(&format!("{} answers", shared.board(|board| board.name(node).to_owned())));
    }
}

fn disconnected(shared: &Shared, node: usize, error: &Error) {
    if shared.board(|board| board.disconnected(node)) {
        let name = shared.board(|board| board.name(node).to_owned());
        shared.progress.say(&format!("{name} does not answer: {error:#}"));
    }
}
