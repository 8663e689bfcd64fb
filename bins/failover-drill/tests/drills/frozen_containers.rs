//! Drills in which a container is frozen, to their end and interrupted: then it is ended, or goes on, before the drill ends.

use std::process::Command;
use std::time::Duration;

use cluster::wait::{Attempt, until};
use lab::conf::SyncMode;
use rustix::process::Signal;

use crate::faults::lost_by_hand;
use crate::held::check_held;
use crate::interrupted::interrupt;
use crate::support::{LOOK, Lab, SOON};

/// What the engine says of a node's container: `running`, `paused`, `exited`.
fn state(lab: &Lab, node: &str) -> String {
    let (dir, service) = (lab.dir.display(), format!("label=com.docker.compose.service={node}"));
    let mut docker = Command::new("docker");
    docker.args(["ps", "--all", "--format", "{{.State}}", "--filter", &service]);
    let said = docker.args(["--filter", &format!("label=pg-understudy.dir={dir}")]).output().unwrap();
    String::from_utf8(said.stdout).unwrap().trim().to_owned()
}

/// Interrupts a drill once `mark` is set, and returns what it said.
fn interrupted_at(lab: &Lab, mark: &str, signal: Signal, more: &[&str]) -> String {
    let node = lab.primary();
    let mut drill = lab.start(&[&["--before", "1s", "--op-timeout", "500ms"], more].concat());
    drill.wait_for(mark);
    if mark == "fault_proven" {
        assert_eq!(state(lab, &node), "paused");
    }
    let done = interrupt(drill, signal);
    assert_eq!((done.code, done.signal), (Some(128 + signal.as_raw()), None), "{}", done.stderr);
    done.stderr
}

/// The engine puts a killed container away a moment after its processes are gone.
fn wait_ended(lab: &Lab, node: &str) {
    let ended = until("the container to have ended", SOON, Duration::from_millis(50), || {
        let state = state(lab, node);
        Ok(if state == "exited" { Attempt::Done(()) } else { Attempt::NotYet(state) })
    });
    ended.unwrap();
}

#[test]
#[ignore = "needs a Docker engine: `cargo xtask test` runs it where one answers"]
fn what_a_frozen_container_loses_agrees_with_a_count_by_hand() {
    for sync in [SyncMode::On, SyncMode::Async] {
        let lab = Lab::of_containers(1, sync);
        let limits = ["--fault", "freeze", "--op-timeout", "500ms", "--decide", "1s", "--max-lost", "1000000"];
        let done = lab.drill(&limits);
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        let judged = done.judged(&lab);
        assert_eq!((judged.row["verdict"].as_str(), judged.row["fault"].as_str()), ("held", "freeze"));
        assert_eq!(judged.figure("lost"), lost_by_hand(&lab, &judged, &done.run));
        let at = |mark: &str| judged.events.first_us(mark).unwrap();
        assert!(at("t3") < at("fenced") && at("fenced") < at("rejoin_begun"), "{:?}", judged.events);
        let late = at("fault_proven") + 50_000;
        assert_eq!(judged.ledger.acks.iter().filter(|ack| ack.timeline == 1 && ack.at_us > late).count(), 0);
        lab.check_redundant(&judged.row["new_primary"]);
        if sync == SyncMode::On {
            check_held(&judged, &lab);
        }
    }
}

#[test]
#[ignore = "needs a Docker engine: `cargo xtask test` runs it where one answers"]
fn a_container_that_stalls_is_out_for_as_long_as_it_was_frozen() {
    let lab = Lab::of_containers(1, SyncMode::On);
    let old = lab.primary();
    let done = lab.drill(&["--fault", "stall", "--stall", "2s"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let (row, ledger, thawed) = (done.row(), done.ledger(), done.events().first_us("thawed").unwrap());
    let acks = || ledger.acks.iter().map(|ack| ack.at_us);
    let (last, first) = (acks().filter(|at| *at < thawed).max().unwrap(), acks().find(|at| *at >= thawed).unwrap());
    assert!(first - last >= 1_900_000, "{last} to {first}");
    assert_eq!((row["verdict"].as_str(), row["outage_us"].parse::<u64>().ok()), ("held", Some(first - last)));
    assert_eq!(lab.primary(), old);
    let present = lab.present(&old, &done.run);
    assert!(ledger.with("acked").iter().all(|key| present.contains_key(key)));
    lab.check_redundant(&old);
}

#[test]
#[ignore = "needs a Docker engine: `cargo xtask test` runs it where one answers"]
fn interrupted_while_the_primary_is_frozen_the_container_is_ended() {
    let lab = Lab::of_containers(1, SyncMode::On);
    let primary = lab.primary();
    // Nobody is promoted yet, so it stays the only primary.
    let said = interrupted_at(&lab, "fault_proven", Signal::INT, &["--fault", "freeze", "--decide", "60s"]);
    wait_ended(&lab, &primary);
    assert!(said.contains("was frozen and then ended") && !said.contains("may still serve"), "{said}");
}

/// At once after the order to freeze: what the engine was still at is not left behind either.
#[test]
#[ignore = "needs a Docker engine: `cargo xtask test` runs it where one answers"]
fn interrupted_while_it_is_being_frozen_the_container_does_not_stay_frozen() {
    let lab = Lab::of_containers(1, SyncMode::Async);
    let primary = lab.primary();
    let mut drill = lab.start(&["--before", "1s", "--fault", "freeze", "--decide", "60s"]);
    drill.wait_for("step_begun");
    let paused = until("the container to be frozen", SOON, LOOK, || {
        let state = state(&lab, &primary);
        Ok(if state == "paused" { Attempt::Done(()) } else { Attempt::NotYet(state) })
    });
    paused.unwrap();
    let done = interrupt(drill, Signal::TERM);
    assert_eq!(done.code, Some(143), "{}", done.stderr);
    wait_ended(&lab, &primary);
}

#[test]
#[ignore = "needs a Docker engine: `cargo xtask test` runs it where one answers"]
fn interrupted_while_the_primary_stalls_the_container_goes_on() {
    let lab = Lab::of_containers(1, SyncMode::On);
    let primary = lab.primary();
    let said = interrupted_at(&lab, "fault_proven", Signal::TERM, &["--fault", "stall", "--stall", "60s"]);
    assert_eq!(state(&lab, &primary), "running");
    assert!(said.contains("was frozen and goes on"), "{said}");
    // It is the same server, and its standby follows.
    assert_eq!(lab.primary(), primary);
    let streams = until("the standby to stream", SOON, LOOK, || {
        let sql = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'";
        Ok(match lab.session(&primary).value::<i64>(sql, &[])? {
            1 => Attempt::Done(()),
            other => Attempt::NotYet(format!("{other} stream")),
        })
    });
    streams.unwrap();
}
