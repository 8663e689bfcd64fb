//! Sync modes, quorum, and `--set`: asked, taken back, and refused.

use std::fs;

use crate::support::{Home, said, setup, wait_for};

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

    assert_eq!(lab.pids(), pids, "no server was restarted for any of this");
}

/// The lab's state and the configuration of its nodes.
fn files(home: &Home) -> Vec<String> {
    let names = ["lab.toml", "cluster.toml", "node1/conf/postgresql.conf", "node2/conf/postgresql.conf"];
    names.iter().map(|name| fs::read_to_string(home.lab().join(name)).unwrap()).collect()
}

#[test]
fn a_refused_setting_is_taken_back_at_once() {
    let home = Home::new();
    let lab = home.made(&["--set", "work_mem=8MB"]);
    let (pids, before) = (lab.pids(), files(&home));
    for (wrong, word) in [
        ("nosuch=1", "nosuch: unrecognized configuration parameter"),
        ("work_mem=lots", "invalid value for parameter \"work_mem\": \"lots\""),
        ("wal_level=minimal", "--set wal_level=minimal: a lab needs replica or logical"),
    ] {
        home.refused(&["--set", wrong, "--set", "maintenance_work_mem=70MB"], &[word]);
        assert_eq!(files(&home), before, "{wrong}");
        wait_for("the servers to have read it", || {
            lab.ask_all("SELECT count(*)::text FROM pg_file_settings WHERE error IS NOT NULL") == ["0", "0"]
        });
    }
    assert_eq!(lab.ask_all("SHOW work_mem"), ["8MB"; 2]);
    home.made(&[]).is_whole("node1");
    assert_eq!((lab.pids(), files(&home)), (pids, before));
}

/// A set-up that is killed when it has written a refused setting leaves it to the next one to be taken back.
#[test]
fn a_refused_setting_that_a_killed_set_up_left_is_taken_back_by_the_next() {
    let home = Home::new();
    let lab = home.made(&[]);
    let before = files(&home);
    // What such a set-up has done until then: the lab's state is still that of before.
    let conf = home.lab().join("node1/conf/postgresql.conf");
    fs::write(&conf, before[2].clone() + "nosuch = '1'\n").unwrap();
    lab.admin("node1").script("SELECT pg_reload_conf()").unwrap();
    home.made(&[]).is_whole("node1");
    assert_eq!(files(&home), before);
}

/// Of a new lab that cannot be made nothing is left, and that is said.
#[test]
fn a_new_lab_that_cannot_be_made_leaves_nothing() {
    let home = Home::new();
    let too_high = home.command(&[]);
    let mut too_high: Vec<_> = too_high.get_args().map(|arg| arg.to_str().unwrap().to_owned()).collect();
    let port = too_high.iter().position(|arg| arg == "--port").unwrap() + 1;
    too_high[port] = "65535".to_owned();
    for args in [
        &["--set", "nosuch=1"][..],
        &["--set", "shared_preload_libraries=no_such_library"],
        &too_high.iter().map(String::as_str).collect::<Vec<_>>(),
    ] {
        let said = match args.len() {
            2 => home.setup(args),
            _ => said(setup().args(args).spawn().unwrap()),
        };
        assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""), "{args:?}: {said:?}");
        assert_eq!((home.names(), home.has_processes()), (vec![], false), "{args:?}: {said:?}");
    }
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
    assert!(error.contains("Nothing of the new lab is left"), "{error}");
    assert!(fs::read_dir(home.path()).unwrap().next().is_none() && !home.has_processes());
}
