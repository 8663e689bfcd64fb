//! The order of a drill. It reads as the scenario that it is.

use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::faults::Injection;
use crate::stage::Stage;

/// How long the parts of a drill take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Load before the fault.
    pub(crate) before: Duration,
    /// How long before the fault the standbys are cut off; `None`: they are not.
    pub(crate) cut: Option<Duration>,
    /// Time between the fault and the promotion: how long people, or another program, would take to decide.
    pub(crate) decide: Option<Duration>,
    /// For how long the primary is frozen, where nobody is to take over from it.
    pub(crate) stall: Option<Duration>,
    /// Load after all clients are well again.
    pub(crate) after: Duration,
    /// How many takeovers: whoever is primary is the next one's victim.
    pub(crate) rounds: u32,
}

/// Plays a drill.
///
/// # Errors
/// If it could not begin, or a signal came. Whatever goes wrong from T0 on is noted, and the load is still ended and
/// read back: a takeover that fails has the most to tell.
pub(crate) fn play(stage: &mut dyn Stage, injection: &Injection, plan: Plan) -> Result<()> {
    stage.check()?;
    stage.begin_load()?;
    stage.load_for(plan.before)?;
    for round in 1..=plan.rounds {
        if let Err(error) = play_round(stage, injection, plan, round) {
            program::stop::check()?;
            stage.could_not(&error);
            break; // the next one would begin on a cluster that is not well
        }
    }
    stage.end_load()?;
    go_on(stage, |stage| stage.final_read())?;
    go_on(stage, |stage| stage.final_check())
}

fn play_round(stage: &mut dyn Stage, injection: &Injection, plan: Plan, round: u32) -> Result<()> {
    if round > 1 {
        stage.check_again().with_context(|| format!("takeover {round} of {} could not begin", plan.rounds))?;
    }
    stage.begin_step()?;
    if round > 1 {
        // In the step: what came before a fault, and who was there then, is read from the takeover's own part of the run.
        stage.load_for(plan.before)?;
    }
    cut_and_take_over(stage, injection, plan)
}

fn cut_and_take_over(stage: &mut dyn Stage, injection: &Injection, plan: Plan) -> Result<()> {
    stage.wait_flowing()?;
    if let Some(time) = plan.cut {
        stage.cut_standbys()?;
        stage.load_for(time)?;
    }
    match plan.stall {
        None => take_over(stage, injection, plan),
        Some(time) => stall(stage, injection, plan, time),
    }
}

fn stall(stage: &mut dyn Stage, injection: &Injection, plan: Plan, time: Duration) -> Result<()> {
    stage.inject(injection)?;
    stage.thaw_after(time)?;
    go_on(stage, |stage| stage.wait_for_ack())?;
    go_on(stage, |stage| stage.wait_all_well())?;
    go_on(stage, |stage| stage.load_for(plan.after))
}

fn take_over(stage: &mut dyn Stage, injection: &Injection, plan: Plan) -> Result<()> {
    stage.inject(injection)?;
    let promoted = promote(stage, plan);
    // Whatever came of that, a signal too: an old primary that still can go on would serve whoever talks to it.
    let fenced = stage.fence(injection);
    promoted?;
    fenced?;
    bring_back(stage, plan)
}

/// From here on nothing that only measures may keep the cluster from getting its primary and its standbys back.
fn promote(stage: &mut dyn Stage, plan: Plan) -> Result<()> {
    if let Some(time) = plan.decide {
        go_on(stage, |stage| stage.load_for(time))?;
    }
    stage.choose()?;
    stage.promote()?;
    go_on(stage, |stage| stage.wait_for_ack())?;
    // Before the drill measures anything else: until then there is no standby.
    go_on(stage, |stage| stage.repoint_others())?;
    go_on(stage, |stage| stage.wait_all_well())
}

fn bring_back(stage: &mut dyn Stage, plan: Plan) -> Result<()> {
    // Before anything is started over the old primary's data directory: every recovery adds WAL of its own.
    go_on(stage, |stage| stage.read_old_end())?;
    go_on(stage, |stage| stage.read_divergent())?;
    go_on(stage, |stage| stage.rejoin())?;
    go_on(stage, |stage| stage.restore_sync())?;
    go_on(stage, |stage| stage.load_for(plan.after))
}

/// Takes a step; a failure is noted, and does not keep the next step from being taken.
fn go_on(stage: &mut dyn Stage, step: impl FnOnce(&mut dyn Stage) -> Result<()>) -> Result<()> {
    if let Err(error) = step(stage) {
        program::stop::check()?;
        stage.could_not(&error);
    }
    Ok(())
}

#[cfg(test)]
#[path = "drill_tests.rs"]
mod tests;
