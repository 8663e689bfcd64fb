//! Somebody takes the port of the killed primary while nobody listens there.

use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;

use lab::conf::SyncMode;

use crate::support::{Drill, Lab};

/// Whatever is on `port` by then: the drill must not say that the cluster is broken.
fn not_broken(lab: &Lab, drill: Drill<'_>, port: u16, thief: &str) {
    let done = drill.end();
    let (row, why) = (done.row(), done.events().all("verdict")[0]["detail"].clone());
    assert_eq!((row["verdict"].as_str(), done.code), ("unknown", Some(2)), "{}", done.stderr);
    for words in [format!("port {port} of node1 was taken"), thief.to_owned()] {
        assert!(why.contains(&words) && done.stderr.contains(&words), "{words}: {why}: {}", done.stderr);
    }
    assert_eq!((row["lost"].as_str(), row["rejoin"].as_str()), ("0", "failed"), "{}", done.stderr);
    assert_eq!(lab.primary_of(&["node2"]), "node2");
}

/// `setup`, which is built beside the program.
fn setup(home: &std::path::Path) -> Command {
    let mut setup = Command::new(std::path::Path::new(env!("CARGO_BIN_EXE_failover-drill")).with_file_name("setup"));
    setup.args(["--backend", "local", "--quiet", "--home"]).arg(home);
    setup
}

#[test]
fn a_drill_whose_dead_nodes_port_is_taken_is_not_broken_and_setup_heals_the_lab() {
    let lab = Lab::new(1, SyncMode::On);
    let port = lab.file.node[0].port;
    let mut drill = lab.start(&["--decide", "1s"]);
    drill.wait_for("fault_proven");
    let thief = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    let thief_name = format!("(pid {})", std::process::id());
    not_broken(&lab, drill, port, &thief_name);
    // With the thief still there, the node gets another port, and that is told.
    let healed = setup(&lab.home).args(["--name", "scratch"]).env("UNDERSTUDY_HOME", &lab.home).output().unwrap();
    let said = String::from_utf8_lossy(&healed.stderr).into_owned();
    assert_eq!(healed.status.code(), Some(0), "{said}");
    assert!(said.contains(&format!("node1: port {port} is taken by ")) && said.contains(&thief_name), "{said}");
    let file = cluster::file::ClusterFile::read(&lab.path).unwrap();
    assert_ne!(file.node[0].port, port);
    drop(thief);
    let streaming = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'";
    assert_eq!(lab.session("node2").value::<i64>(streaming, &[]).unwrap(), 1);
}

/// Another home's `setup` that wants the port of the dead node: the drill has claimed the ports of all its nodes.
#[test]
fn another_homes_setup_does_not_take_the_port_of_a_dead_node() {
    let lab = Lab::new(1, SyncMode::On);
    let port = lab.file.node[0].port.to_string();
    let elsewhere = lab::scratch::home().unwrap();
    let mut drill = lab.start(&["--decide", "2s"]);
    drill.wait_for("fault_proven");
    let refused = setup(elsewhere.path()).args(["--port", &port]).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    let promoted_yet = drill.events().iter().any(|row| row["mark"] == "promote_called");
    let done = drill.end();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains(&format!("--port {port} is in use by a lab that somebody sets up or drills")), "{said}");
    assert!(!promoted_yet, "it came too late to be a test");
    assert_eq!((done.row()["verdict"].as_str(), done.code), ("held", Some(0)), "{}", done.stderr);
    assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}
