//! Drills on containers. `cargo xtask test` runs these where a Docker engine answers, and says loudly where none does.

use lab::conf::SyncMode;
use lab::stranger::Asks;

use crate::held::check_held;
use crate::lossy::check_loss;
use crate::strangers::drill_with;
use crate::support::Lab;

/// The standby is cut off by the network: its container leaves the one that WAL travels on.
#[test]
#[ignore = "needs a Docker engine: `cargo xtask test` runs it where one answers"]
fn a_standby_that_is_cut_off_by_the_network_loses_what_was_acknowledged_after_the_cut() {
    let lab = Lab::of_containers(1, SyncMode::Async);
    let done = lab.drill(&["--cut", "1s"]);
    assert_eq!(done.code, Some(1), "{}", done.stderr);
    let judged = done.judged(&lab);
    check_loss(&judged, &lab, &done.run);
    assert_eq!((judged.row["verdict"].as_str(), judged.row["backend"].as_str()), ("broken", "compose"));
    lab.check_redundant(&judged.row["new_primary"]);
}

#[test]
#[ignore = "needs a Docker engine: `cargo xtask test` runs it where one answers"]
fn with_remote_apply_nothing_is_lost() {
    let lab = Lab::of_containers(1, SyncMode::RemoteApply);
    let done = lab.drill(&[]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let judged = done.judged(&lab);
    check_held(&judged, &lab);
    assert_eq!(judged.row["rejoin"], "rewind");
}

/// Twice on one lab: what the first one left is good enough for the second.
#[test]
#[ignore = "needs a Docker engine: `cargo xtask test` runs it where one answers"]
fn of_three_standbys_one_takes_over_and_the_others_follow_it() {
    let lab = Lab::of_containers(3, SyncMode::On);
    for _ in 0..2 {
        let done = lab.drill(&[]);
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        let judged = done.judged(&lab);
        check_held(&judged, &lab);
        assert_eq!((judged.row["standbys"].as_str(), judged.events.all("repointed").len()), ("3", 2));
    }
}

/// Somebody has the port of the killed container, which its engine has given up.
#[test]
#[ignore = "needs a Docker engine: `cargo xtask test` runs it where one answers"]
fn who_has_a_dead_containers_port_gets_neither_a_password_nor_a_statement() {
    let lab = Lab::of_containers(1, SyncMode::On);
    drill_with(&lab, Asks::Password);
}

#[test]
#[ignore = "needs a Docker engine: `cargo xtask test` runs it where one answers"]
fn a_cluster_file_that_is_not_what_the_lab_of_containers_is_hurts_nobody() {
    let lab = Lab::of_containers(1, SyncMode::On);
    let (before, text) = (lab.state(), std::fs::read_to_string(&lab.path).unwrap());
    let project = &lab.file.compose.as_ref().unwrap().project;
    let other = lab.path.with_file_name("another.toml");
    for (wrong, word) in [
        (text.replace(project.as_str(), "somebody-elses"), "[compose] in the cluster file"),
        (text.replace("server_uid = 0", "server_uid = 1"), "server_uid in the cluster file"),
    ] {
        assert_ne!(wrong, text, "{word}");
        std::fs::write(&other, wrong).unwrap();
        let refused = lab.drill(&["--cluster", other.to_str().unwrap()]);
        assert_eq!((refused.code, refused.stdout.lines().count()), (Some(2), 0), "{}", refused.stderr);
        assert!(refused.stderr.contains(word), "{word}: {}", refused.stderr);
    }
    std::fs::remove_file(other).unwrap();
    assert_eq!(lab.state(), before);
}
