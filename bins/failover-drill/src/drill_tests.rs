//! The order of a drill, played on a twin that only writes down what it is told to do.

use std::cell::RefCell;

use anyhow::anyhow;
use lab::power::{FirstAct, Power, State};

use super::*;
use report::words::Fault;

use crate::faults;
use crate::stage::{Clients, Evidence, Hurt, Manager};

/// Writes down what it is told to do, and fails where it is told to.
#[derive(Default)]
struct Scripted {
    done: RefCell<Vec<String>>,
    fails_at: Option<&'static str>,
}

impl Scripted {
    fn step(&self, name: &str) -> Result<()> {
        self.done.borrow_mut().push(name.to_owned());
        if self.fails_at == Some(name) { Err(anyhow!("{name} failed")) } else { Ok(()) }
    }
}

macro_rules! steps {
    ($($name:ident),*) => {$(
        fn $name(&mut self) -> Result<()> {
            self.step(stringify!($name))
        }
    )*};
}

impl Power for Scripted {
    fn power(&self, node: &str) -> Result<State> {
        self.step(&format!("power {node}")).map(|()| State::On)
    }
    fn start(&self, node: &str) -> Result<()> {
        self.step(&format!("start {node}"))
    }
    fn stop(&self, node: &str) -> Result<()> {
        self.step(&format!("stop {node}"))
    }
    fn kill(&self, node: &str, first_act: FirstAct<'_>) -> Result<()> {
        first_act();
        self.step(&format!("kill {node}"))
    }
    fn freeze(&self, node: &str, first_act: FirstAct<'_>) -> Result<()> {
        first_act();
        self.step(&format!("freeze {node}"))
    }
    fn thaw(&self, node: &str) -> Result<()> {
        self.step(&format!("thaw {node}"))
    }
}

impl Hurt for Scripted {
    steps!(cut_standbys);
    fn inject(&mut self, injection: &Injection) -> Result<()> {
        self.step("inject")?;
        (injection.act)(self, "node1", &mut || self.step("t0").unwrap())
    }
    fn thaw_after(&mut self, _time: Duration) -> Result<()> {
        self.thaw("node1")
    }
    fn fence(&mut self, injection: &Injection) -> Result<()> {
        injection.fence.map_or(Ok(()), |fence| fence(self, "node1"))
    }
}

impl Manager for Scripted {
    steps!(choose, promote, repoint_others, rejoin, restore_sync);
}

impl Clients for Scripted {
    steps!(begin_load, wait_flowing, wait_for_ack, wait_all_well, end_load);
    fn load_for(&mut self, _time: Duration) -> Result<()> {
        self.step("load_for")
    }
}

impl Evidence for Scripted {
    steps!(check, check_again, begin_step, read_old_end, read_divergent, final_read, final_check);
    fn could_not(&mut self, error: &anyhow::Error) {
        self.done.borrow_mut().push(format!("could_not: {error}"));
    }
}

fn plan(cut: Option<Duration>) -> Plan {
    let second = Duration::from_secs(1);
    Plan { before: second, cut, decide: None, stall: None, after: second, rounds: 1 }
}

fn played(fails_at: Option<&'static str>, cut: Option<Duration>) -> (Result<()>, Vec<String>) {
    played_with(injection(Fault::Kill), fails_at, plan(cut))
}

fn injection(fault: Fault) -> &'static Injection {
    faults::ALL.into_iter().find(|injection| injection.fault == fault).unwrap()
}

fn played_with(injection: &Injection, fails_at: Option<&'static str>, plan: Plan) -> (Result<()>, Vec<String>) {
    let mut stage = Scripted { fails_at, ..Scripted::default() };
    let result = play(&mut stage, injection, plan);
    (result, stage.done.into_inner())
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
            "t0",
            "kill node1",
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
    for step in
        ["choose", "promote", "wait_for_ack", "wait_all_well", "read_old_end", "rejoin", "restore_sync", "final_read"]
    {
        let (result, done) = played(Some(step), None);
        result.unwrap();
        for last in ["end_load", "final_read", "final_check"] {
            assert!(place(&done, last) > place(&done, "inject"), "{step}: {last}");
        }
        assert!(done.contains(&format!("could_not: {step} failed")), "{done:?}");
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

/// What is done to the old primary, in order; with the steps around it.
fn done_to_it(fault: Fault, fails_at: Option<&'static str>) -> Vec<String> {
    let (result, done) = played_with(injection(fault), fails_at, plan(None));
    result.unwrap();
    let around = ["t0", "choose", "promote", "wait_all_well", "read_old_end", "rejoin"];
    done.into_iter().filter(|step| step.ends_with(" node1") || around.contains(&step.as_str())).collect()
}

#[test]
fn each_fault_is_timed_before_its_first_act_and_is_over_before_a_standby_is_chosen() {
    let after = ["choose", "promote", "wait_all_well", "read_old_end", "rejoin"];
    assert_eq!(done_to_it(Fault::Kill, None), [&["t0", "kill node1"][..], &after].concat());
    assert_eq!(done_to_it(Fault::Stop, None), [&["t0", "stop node1"][..], &after].concat());
    let (promoted, back) = after.split_at(3);
    let frozen = [&["t0", "freeze node1"][..], promoted, &["kill node1"], back].concat();
    assert_eq!(done_to_it(Fault::Freeze, None), frozen, "it is ended while it is stopped, and never thawed");
}

#[test]
fn who_was_frozen_is_ended_whatever_goes_wrong_after_that() {
    for step in ["choose", "promote", "wait_for_ack", "repoint_others", "wait_all_well"] {
        let done = done_to_it(Fault::Freeze, Some(step));
        assert!(place(&done, "kill node1") > place(&done, "freeze node1"), "{step}: {done:?}");
    }
    let (_, done) = played_with(injection(Fault::Freeze), Some("kill node1"), plan(None));
    assert!(!done.iter().any(|step| step == "rejoin"), "who may still go on is not brought back: {done:?}");
    assert!(done.contains(&"could_not: kill node1 failed".to_owned()));
}

#[test]
fn a_fault_that_fails_promotes_nobody_whichever_it_is() {
    for (fault, act) in [(Fault::Kill, "kill node1"), (Fault::Stop, "stop node1"), (Fault::Freeze, "freeze node1")] {
        let (result, done) = played_with(injection(fault), Some(act), plan(None));
        result.unwrap();
        assert!(
            !done.contains(&"promote".to_owned()) && done.contains(&format!("could_not: {act} failed")),
            "{done:?}"
        );
        assert!(place(&done, "end_load") < place(&done, "final_read"));
    }
}

#[test]
fn rounds_are_played_in_one_run_each_from_a_cluster_that_is_well() {
    let three = |fails_at| played_with(injection(Fault::Kill), fails_at, Plan { rounds: 3, ..plan(None) }).1;
    let count = |done: &[String], name: &str| done.iter().filter(|step| *step == name).count();
    let done = three(None);
    for (step, times) in
        [("check", 1), ("begin_load", 1), ("check_again", 2), ("begin_step", 3), ("t0", 3), ("rejoin", 3)]
    {
        assert_eq!(count(&done, step), times, "{step}: {done:?}");
    }
    assert_eq!((count(&done, "end_load"), count(&done, "final_read")), (1, 1));
    assert!(place(&done, "rejoin") < place(&done, "check_again"));
    // What a takeover is compared with, the load before its fault, is of its own step.
    let again = place(&done, "check_again");
    assert_eq!(done[again + 1..again + 4], ["begin_step", "load_for", "wait_flowing"]);
    let done = three(Some("check_again"));
    assert_eq!((count(&done, "begin_step"), count(&done, "check_again"), count(&done, "end_load")), (1, 1, 1));
    assert!(done.contains(&"could_not: takeover 2 of 3 could not begin".to_owned()), "{done:?}");
    // A round that failed is the last one.
    assert_eq!(count(&three(Some("promote")), "begin_step"), 1);
}

#[test]
fn a_primary_that_stalls_goes_on_and_nobody_is_promoted() {
    let stalls = Plan { stall: Some(Duration::from_secs(1)), ..plan(None) };
    let (_, done) = played_with(injection(Fault::Stall), None, stalls);
    let order =
        ["begin_step", "t0", "freeze node1", "thaw node1", "wait_for_ack", "wait_all_well", "end_load", "final_read"];
    assert!(order.windows(2).all(|pair| place(&done, pair[0]) < place(&done, pair[1])), "{done:?}");
    for step in ["choose", "promote", "kill node1", "rejoin", "restore_sync"] {
        assert!(!done.contains(&step.to_owned()), "{step}");
    }
    let (result, done) = played_with(injection(Fault::Stall), Some("inject"), stalls);
    result.unwrap();
    assert!(!done.contains(&"thaw node1".to_owned()), "what is not frozen is not thawed");
}
