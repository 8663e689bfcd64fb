//! After a takeover by hand: one primary, never two.

use crate::support::{Home, Lab};

/// Kills node1 and promotes node2.
fn take_over(lab: &Lab) -> lab::open::OpenLab {
    let open = lab::open::open(lab.file()).unwrap();
    lab.admin("node1").script("CREATE TABLE before AS SELECT 1 AS id").unwrap();
    let mark = cluster::catch_up::mark(&lab.admin("node1")).unwrap();
    cluster::catch_up::wait(&lab.admin("node2"), mark, std::time::Duration::from_secs(30)).unwrap();
    open.backend.kill("node1", &mut || {}).unwrap();
    let promoted = lab.admin("node2");
    promoted.script("SELECT pg_promote()").unwrap();
    promoted.script("CREATE TABLE after AS SELECT 1 AS id").unwrap();
    open
}

/// Sees that node2 is the primary on timeline 2, and that node1 has become its standby.
fn has_moved(home: &Home) {
    let lab = home.made(&[]);
    lab.is_whole("node2");
    assert_eq!(lab.ask_all("SELECT (SELECT count(*) FROM before) || '+' || (SELECT count(*) FROM after)"), ["1+1"; 2]);
    assert_eq!(lab.ask("node1", "SELECT received_tli::text FROM pg_stat_wal_receiver"), "2");
    let pids = lab.pids();
    assert_eq!(home.made(&[]).pids(), pids);
}

#[test]
fn the_old_primary_becomes_a_standby() {
    let home = Home::new();
    let lab = home.made(&["--sync", "on"]);
    drop(take_over(&lab));
    has_moved(&home);
    // The sync mode has moved with the primary.
    assert_eq!(lab.ask("node2", "SELECT sync_state FROM pg_stat_replication"), "quorum");
    assert_eq!(lab.ask("node1", "SELECT current_setting('synchronous_standby_names')"), "");
}

#[test]
fn with_both_stopped_the_newer_timeline_is_the_primary() {
    let home = Home::new();
    let lab = home.made(&[]);
    let open = take_over(&lab);
    open.backend.stop("node2").unwrap();
    drop(open);
    has_moved(&home);
}

#[test]
fn two_primaries_are_not_decided_between() {
    let home = Home::new();
    let lab = home.made(&[]);
    let open = take_over(&lab);
    open.backend.start("node1").unwrap(); // by hand: it knows nothing of what happened
    drop(open);
    let pids = lab.pids();
    home.refused(&[], &["node1", "node2", "out of recovery"]);
    assert_eq!(lab.pids(), pids, "neither was touched");
}
