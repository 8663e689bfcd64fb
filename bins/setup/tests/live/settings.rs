//! Sync modes, quorum, and `--set`: asked, taken back, and refused.

use std::fs;

use crate::support::{Home, wait_for};

#[test]
fn how_commits_wait_can_be_asked_for_and_taken_back() {
    let home = Home::new();
    let shown = "SELECT string_agg(sync_state, ',' ORDER BY application_name) FROM pg_stat_replication";
    let names = "SELECT current_setting('synchronous_standby_names')";
    let commit = "SELECT current_setting('synchronous_commit')";

    let lab = home.made(&["--standbys", "2", "--sync", "on", "--quorum", "2"]);
    assert_eq!(lab.ask("node1", shown), "quorum,quorum");
    // A standby that named others would hang every commit once it is promoted.
    assert_eq!(lab.ask_all(names), [r#"ANY 2 ("node2", "node3")"#, "", ""]);
    assert_eq!(lab.ask_all(commit), ["on"; 3]);

    for (mode, quorum) in [("remote_apply", "1"), ("remote_write", "1")] {
        let lab = home.made(&["--standbys", "2", "--sync", mode, "--quorum", quorum]);
        assert_eq!(lab.ask("node1", shown), "quorum,quorum");
        wait_for(mode, || lab.ask_all(commit) == [mode; 3]);
        assert_eq!(lab.ask("node1", names), r#"ANY 1 ("node2", "node3")"#);
    }
    // Not asked again: as it is.
    let lab = home.made(&["--standbys", "1"]);
    lab.is_whole("node1");
    assert_eq!((lab.ask("node1", shown), lab.ask("node1", names)), ("quorum".into(), r#"ANY 1 ("node2")"#.into()));

    let pids = lab.pids();
    let lab = home.made(&["--sync", "async"]);
    wait_for("async", || lab.ask("node1", shown) == "async" && lab.ask("node1", names).is_empty());
    assert_eq!((lab.ask_all(commit), lab.pids()), (vec!["on".to_owned(); 2], pids));
}

#[test]
fn a_setting_reaches_all_nodes_and_can_be_taken_back() {
    let home = Home::new();
    let value = "SELECT current_setting('work_mem')";
    let lab = home.made(&["--set", "work_mem=8MB"]);
    assert_eq!(lab.ask_all(value), ["8MB"; 2]);
    let lab = home.made(&["--set", "maintenance_work_mem=70MB"]);
    assert_eq!(lab.ask_all(value), ["8MB"; 2], "what was asked before stays");
    let lab = home.made(&["--set", "work_mem=default"]);
    wait_for("the default", || lab.ask_all(value) == ["4MB"; 2]);
    let pids = lab.pids();

    let said = home.setup(&["--set", "max_connections=50"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.stderr.contains("max_connections") && said.stderr.contains("restart"), "{said:?}");
    assert_eq!(home.setup(&["--set", "max_connections=default"]).code, Some(0));

    for wrong in ["nonsense=1", "work_mem=lots", "nonsense.'=1"] {
        let name = wrong.split('=').next().unwrap();
        home.refused(&["--set", wrong], &[name]);
        home.setup(&["--set", &format!("{name}=default")]);
    }
    let lab = home.made(&[]);
    lab.is_whole("node1");
    assert_eq!(lab.pids(), pids, "no server was restarted for any of this");
}

#[test]
fn a_setting_that_no_server_starts_with_is_shown_by_its_log() {
    let home = Home::new();
    let error = home.refused(
        &["--set", "shared_preload_libraries=no_such_library"],
        &[
            "node1",
            "does not start",
            "log of node node1 ends with",
            "FATAL",
            "could not access file \"no_such_library\"",
        ],
    );
    assert!(!error.contains("Stack backtrace"), "{error}");
    home.refused(&["--set", "shared_preload_libraries=default", "--set", "nonsense=1"], &["nonsense"]);
    // Put right, it is made after all, from what is there.
    home.made(&["--set", "nonsense=default"]).is_whole("node1");
    assert_eq!(home.setup(&["--down"]).code, Some(0));
    assert!(fs::read_dir(home.path()).unwrap().next().is_none() && !home.has_processes());
}
