//! `--down` removes the lab, all of it, and only it.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use crate::support::{Home, names};

#[test]
fn what_is_not_ours_is_left_alone() {
    let home = Home::new();
    // Nothing there is fine.
    assert_eq!(home.setup(&["--down"]).code, Some(0));

    // A directory without our marker, also one that looks like a data directory.
    fs::create_dir_all(home.lab().join("node1/data")).unwrap();
    fs::write(home.lab().join("node1/data/PG_VERSION"), "15\n").unwrap();
    home.refused(&["--down"], &["marker"]);
    home.refused(&[], &["left alone"]);
    assert!(home.lab().join("node1/data/PG_VERSION").exists());
    assert_eq!(home.setup(&["--down", "--all"]).code, Some(0), "it is no lab");
    assert!(home.lab().join("node1/data/PG_VERSION").exists());
    fs::remove_dir_all(home.lab()).unwrap();

    // A link to a lab.
    let lab = home.made(&[]);
    symlink(home.lab(), home.path().join("link")).unwrap();
    home.refused(&["--down", "--name", "link"], &["link", "left alone"]);
    home.refused(&["--name", "link"], &["link", "left alone"]);
    lab.is_whole("node1");
    fs::remove_file(home.path().join("link")).unwrap();

    // A lab that somebody uses.
    let lock = lab::lock::Lock::take(&lab.dir()).unwrap();
    home.refused(&["--down"], &["in use"]);
    home.refused(&["--standbys", "2"], &["in use"]);
    lab.is_whole("node1");
    drop(lock);

    // A stranger's file, and a stranger's directory in the lab's.
    fs::write(home.lab().join("thesis.txt"), "years of work").unwrap();
    home.refused(&["--down"], &["thesis.txt", "left alone"]);
    assert_eq!(fs::read_to_string(home.lab().join("thesis.txt")).unwrap(), "years of work");
    assert_eq!(names(&home.lab()), ["pg-understudy.lab", "thesis.txt"]);
    assert!(!home.has_processes());
    fs::remove_file(home.lab().join("thesis.txt")).unwrap();
    assert_eq!(home.setup(&["--down"]).code, Some(0));
    assert!(home.names().is_empty(), "{:?}", home.names());
}

#[test]
fn a_strangers_directory_in_the_lab_is_reported_and_the_rest_is_gone() {
    let home = Home::new();
    home.made(&[]);
    fs::create_dir(home.lab().join("another")).unwrap();
    fs::write(home.lab().join("another/thesis.txt"), "years of work").unwrap();
    home.refused(&["--down"], &["another", "left alone"]);
    assert_eq!(fs::read_to_string(home.lab().join("another/thesis.txt")).unwrap(), "years of work");
    assert!(!home.has_processes());
    assert_eq!(names(&home.lab()), ["another", "pg-understudy.lab"], "the rest is gone");
    fs::remove_dir_all(home.lab().join("another")).unwrap();
}

/// What the servers' user can put in their place keeps nothing running, and nothing stays.
#[test]
fn pid_files_that_are_none_keep_no_server_running() {
    let home = Home::new();
    home.made(&[]);
    let memory = lab::scratch::memory::Witness::of(&home.lab(), Duration::from_millis(50)).unwrap();
    for (node, put) in [("node1", "mkdir"), ("node2", "mkfifo")] {
        let file = home.lab().join(node).join("data/postmaster.pid");
        fs::remove_file(&file).unwrap();
        assert!(std::process::Command::new(put).arg(&file).status().unwrap().success());
    }
    assert!(home.has_processes());
    let down = home.setup(&["--down"]);
    assert_eq!((down.code, home.names(), home.has_processes()), (Some(0), vec![], false), "{down:?}");
    assert_eq!(memory.left().unwrap(), [], "shared memory");
}

/// Nothing of it is touched, and what is said puts it right.
#[test]
fn a_lab_whose_marker_is_gone_has_a_way_out() {
    let home = Home::new();
    let lab = home.made(&[]);
    follow_the_way_out(&home, &[], || lab.is_whole("node1"));
}

/// Takes the marker away and follows, to the letter, what `setup` says about it.
pub(crate) fn follow_the_way_out(home: &Home, backend: &[&str], is_whole: impl Fn()) {
    fs::remove_file(home.lab().join("pg-understudy.lab")).unwrap();
    let said = home.refused(backend, &["left alone", "if it is yours"]);
    for args in [&["--down"][..], &["--down", "--all"]] {
        home.refused(args, &["bears no marker", "if it is yours"]);
    }
    is_whole();
    let command = said.split('`').nth(1).expect("a command");
    let done = std::process::Command::new("sh").args(["-c", command]).status().unwrap();
    assert!(done.success(), "{command}");
    assert_eq!(home.setup(&["--down"]).code, Some(0));
    assert_eq!((home.names(), home.has_processes()), (vec![], false));
}
