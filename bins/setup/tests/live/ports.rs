//! A node whose port somebody took while it was down.

use std::net::TcpListener;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Home, Lab, wait_for};

/// Stops a node, and listens on its port in its place.
fn steal_port(lab: &Lab, node: &str) -> TcpListener {
    let section = lab.file().node.iter().find(|section| section.name == node).unwrap();
    let pid = Pid::from_raw(lab.pids()[node].parse().unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let pid_file = lab.dir().join(node).join("data/postmaster.pid");
    wait_for("the server to be gone", || !pid_file.exists());
    let mut thief = None;
    wait_for("its port to be free", || {
        thief = TcpListener::bind((section.host.as_str(), section.port)).ok();
        thief.is_some()
    });
    thief.unwrap()
}

fn port(lab: &Lab, node: &str) -> u16 {
    lab.file().node.iter().find(|section| section.name == node).unwrap().port
}

#[test]
fn a_node_whose_port_was_taken_gets_another_one_and_all_follow_it() {
    let home = Home::new();
    let lab = home.made(&["--standbys", "2"]);
    // A standby, then the primary, which the standbys that run have to follow to its new port.
    for (node, runs_on) in [("node2", "node3"), ("node1", "node2")] {
        let before = home.lab_made();
        let (old_port, pids) = (port(&before, node), before.pids());
        let thief = steal_port(&before, node);
        let said = home.setup(&[]);
        assert_eq!(said.code, Some(0), "{said:?}");
        let after = home.lab_made();
        let new_port = port(&after, node);
        assert_ne!(new_port, old_port);
        let (pid, program) = (std::process::id(), std::fs::read_to_string("/proc/self/comm").unwrap());
        let told =
            format!("{node}: port {old_port} is taken by {} (pid {pid}): it listens on {new_port} now", program.trim());
        assert!(said.stderr.contains(&told), "{told}: {said:?}");
        after.is_whole("node1");
        assert_eq!(after.pids()[runs_on], pids[runs_on], "{runs_on} runs on");
        assert_eq!(port(&after, runs_on), port(&before, runs_on));
        drop(thief);
        let again = home.made(&[]);
        assert_eq!((again.pids(), port(&again, node)), (after.pids(), new_port), "asked again, nothing changes");
    }
    assert_eq!(lab.nodes(), home.lab_made().nodes());
}
