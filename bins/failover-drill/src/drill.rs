//! The order of a drill. It reads as the scenario that it is.

use std::time::Duration;

use anyhow::Result;

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
    /// Load after all clients are well again.
    pub(crate) after: Duration,
}

/// Plays a drill with the fault `kill`.
///
/// # Errors
/// If it could not begin, or a signal came. Whatever goes wrong from T0 on is noted, and the load is still ended and
/// read back: a takeover that fails has the most to tell.
pub(crate) fn play(stage: &mut dyn Stage, plan: Plan) -> Result<()> {
    stage.check()?;
    stage.begin_load()?;
    stage.load_for(plan.before)?;
    if let Err(error) = cut_and_take_over(stage, plan) {
        program::stop::check()?;
        stage.could_not(&error);
    }
    stage.end_load()?;
    go_on(stage, |stage| stage.final_read())?;
    go_on(stage, |stage| stage.final_check())
}

fn cut_and_take_over(stage: &mut dyn Stage, plan: Plan) -> Result<()> {
    stage.begin_step()?;
    stage.wait_flowing()?;
    if let Some(time) = plan.cut {
        stage.cut_standbys()?;
        stage.load_for(time)?;
    }
    take_over(stage, plan)
}

fn take_over(stage: &mut dyn Stage, plan: Plan) -> Result<()> {
    stage.inject()?;
    // From here on nothing that only measures may keep the cluster from getting its primary and its standbys back.
    if let Some(time) = plan.decide {
        go_on(stage, |stage| stage.load_for(time))?;
    }
    stage.choose()?;
    stage.promote()?;
    go_on(stage, |stage| stage.wait_for_ack())?;
    // Before the drill measures anything else: until then there is no standby.
    go_on(stage, |stage| stage.repoint_others())?;
    go_on(stage, |stage| stage.wait_all_well())?;
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
mod tests {
    use super::*;
    use anyhow::anyhow;

    /// Writes down what it is told to do, and fails where it is told to.
    #[derive(Default)]
    struct Scripted {
        done: Vec<String>,
        fails_at: Option<&'static str>,
    }

    impl Scripted {
        fn step(&mut self, name: &'static str) -> Result<()> {
            self.done.push(name.to_owned());
            if self.fails_at == Some(name) { Err(anyhow!("{name} failed")) } else { Ok(()) }
        }
    }

    impl Stage for Scripted {
        fn check(&mut self) -> Result<()> {
            self.step("check")
        }
        fn begin_load(&mut self) -> Result<()> {
            self.step("begin_load")
        }
        fn load_for(&mut self, _time: Duration) -> Result<()> {
            self.step("load_for")
        }
        fn begin_step(&mut self) -> Result<()> {
            self.step("begin_step")
        }
        fn wait_flowing(&mut self) -> Result<()> {
            self.step("wait_flowing")
        }
        fn cut_standbys(&mut self) -> Result<()> {
            self.step("cut_standbys")
        }
        fn inject(&mut self) -> Result<()> {
            self.step("inject")
        }
        fn choose(&mut self) -> Result<()> {
            self.step("choose")
        }
        fn promote(&mut self) -> Result<()> {
            self.step("promote")
        }
        fn wait_for_ack(&mut self) -> Result<()> {
            self.step("wait_for_ack")
        }
        fn wait_all_well(&mut self) -> Result<()> {
            self.step("wait_all_well")
        }
        fn read_old_end(&mut self) -> Result<()> {
            self.step("read_old_end")
        }
        fn repoint_others(&mut self) -> Result<()> {
            self.step("repoint_others")
        }
        fn read_divergent(&mut self) -> Result<()> {
            self.step("read_divergent")
        }
        fn rejoin(&mut self) -> Result<()> {
            self.step("rejoin")
        }
        fn restore_sync(&mut self) -> Result<()> {
            self.step("restore_sync")
        }
        fn end_load(&mut self) -> Result<()> {
            self.step("end_load")
        }
        fn final_read(&mut self) -> Result<()> {
            self.step("final_read")
        }
        fn final_check(&mut self) -> Result<()> {
            self.step("final_check")
        }
        fn could_not(&mut self, error: &anyhow::Error) {
            self.done.push(format!("could_not: {error}"));
        }
    }

    fn plan(cut: Option<Duration>) -> Plan {
        Plan { before: Duration::from_secs(1), cut, decide: None, after: Duration::from_secs(1) }
    }

    fn played(fails_at: Option<&'static str>, cut: Option<Duration>) -> (Result<()>, Vec<String>) {
        let mut stage = Scripted { fails_at, ..Scripted::default() };
        let result = play(&mut stage, plan(cut));
        (result, stage.done)
    }

    fn place(done: &[String], name: &str) -> usize {
        done.iter().position(|step| step == name).unwrap_or_else(|| panic!("{name} was not done: {done:?}"))
    }

    #[test]
    fn the_whole_order() {
        let (result, done) = played(None, None);
        result.unwrap();
        assert_eq!(
            done,
            [
                "check",
                "begin_load",
                "load_for",
                "begin_step",
                "wait_flowing",
                "inject",
                "choose",
                "promote",
                "wait_for_ack",
                "repoint_others",
                "wait_all_well",
                "read_old_end",
                "read_divergent",
                "rejoin",
                "restore_sync",
                "load_for",
                "end_load",
                "final_read",
                "final_check"
            ]
        );
    }

    #[test]
    fn the_cut_comes_before_the_fault() {
        let (_, done) = played(None, Some(Duration::from_secs(1)));
        assert!(place(&done, "cut_standbys") < place(&done, "inject"));
    }

    #[test]
    fn the_old_end_is_read_before_anything_starts_over_the_old_primary() {
        let (_, done) = played(None, None);
        for later in ["read_divergent", "rejoin"] {
            assert!(place(&done, "read_old_end") < place(&done, later));
        }
    }

    #[test]
    fn a_fault_that_did_not_fire_promotes_nobody() {
        let (result, done) = played(Some("inject"), None);
        result.unwrap();
        assert!(!done.contains(&"promote".to_owned()));
        assert!(done.contains(&"could_not: inject failed".to_owned()));
        assert!(place(&done, "end_load") < place(&done, "final_read"));
    }

    #[test]
    fn whatever_fails_after_t0_the_load_is_ended_and_read_back() {
        for step in [
            "choose",
            "promote",
            "wait_for_ack",
            "wait_all_well",
            "read_old_end",
            "rejoin",
            "restore_sync",
            "final_read",
        ] {
            let (result, done) = played(Some(step), None);
            result.unwrap();
            for last in ["end_load", "final_read", "final_check"] {
                assert!(place(&done, last) > place(&done, "inject"), "{step}: {last}");
            }
        }
    }

    #[test]
    fn a_load_that_dies_or_a_figure_that_cannot_be_read_does_not_leave_the_cluster_without_a_standby() {
        for step in ["wait_for_ack", "repoint_others", "wait_all_well", "read_old_end", "read_divergent"] {
            let (_, done) = played(Some(step), None);
            assert!(place(&done, "rejoin") > place(&done, "promote"), "{step}");
            assert!(place(&done, "restore_sync") > place(&done, "promote"), "{step}");
        }
    }

    #[test]
    fn a_load_that_does_not_flow_is_not_cut_off_and_nobody_is_killed() {
        let (result, done) = played(Some("wait_flowing"), Some(Duration::from_secs(1)));
        result.unwrap();
        assert!(!done.iter().any(|step| step == "cut_standbys" || step == "inject"), "{done:?}");
        assert!(place(&done, "end_load") < place(&done, "final_read"));
    }

    #[test]
    fn a_cluster_that_is_not_fit_is_not_touched() {
        let (result, done) = played(Some("check"), None);
        assert!(result.is_err());
        assert_eq!(done, ["check"]);
    }
}
