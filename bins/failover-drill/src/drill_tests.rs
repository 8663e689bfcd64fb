//! The order of a drill, played on a twin that only writes down what it is told to do.

use std::cell::RefCell;

use anyhow::anyhow;
use lab::power::{FirstAct, Power, State};

use super::*;
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
}

impl Hurt for Scripted {
    steps!(cut_standbys);
    fn inject(&mut self, injection: &Injection) -> Result<()> {
        self.step("inject")?;
        (injection.act)(self, "node1", &mut || self.step("t0").unwrap())
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
    steps!(check, begin_step, read_old_end, read_divergent, final_read, final_check);
    fn could_not(&mut self, error: &anyhow::Error) {
        self.done.borrow_mut().push(format!("could_not: {error}"));
    }
}

fn plan(cut: Option<Duration>) -> Plan {
    Plan { before: Duration::from_secs(1), cut, decide: None, after: Duration::from_secs(1) }
}

fn played(fails_at: Option<&'static str>, cut: Option<Duration>) -> (Result<()>, Vec<String>) {
    let mut stage = Scripted { fails_at, ..Scripted::default() };
    let result = play(&mut stage, faults::ALL[0], plan(cut));
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
