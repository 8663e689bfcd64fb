//! A standby that goes in mid-run and is back before anybody has missed it: what it shows counts only if it has not gone back.

use std::fs;
use std::process::Command;
use std::time::Duration;

use cluster::wait::until_true;
use report::verdict::Verdict::{Held, Unknown};
use rustix::process::{Pid, Signal, kill_process};

use crate::{Lab, SOON, Said};

/// Two tables, the first of which takes ten seconds to be read.
const TABLES: &str = "CREATE TABLE long AS SELECT i, repeat('x', 500) FROM generate_series(1, 20000) AS i;
    CREATE TABLE short (id int PRIMARY KEY)";

/// Compares both tables, and does something while the first one is read. The program stands still meanwhile, so that it meets
/// the standby only when that is back.
fn in_mid_run(lab: &Lab, change: impl FnOnce()) -> Said {
    let cluster = lab.lab.cluster.display().to_string();
    let args = ["--max-rows-per-s", "2000", "--catch-up-timeout", "20s", "--table", "long", "--table", "short"];
    let child = lab.command(&[&["--cluster", &cluster], &args[..]].concat()).spawn().unwrap();
    until_true("the table to be read", SOON, Duration::from_millis(10), || {
        lab.on("node2").value("SELECT seq_tup_read > 0 FROM pg_stat_user_tables WHERE relname = 'long'", &[])
    })
    .unwrap();
    let pid = Pid::from_child(&child);
    kill_process(pid, Signal::STOP).unwrap();
    change();
    kill_process(pid, Signal::CONT).unwrap();
    crate::said(&child.wait_with_output().unwrap())
}

#[test]
fn a_standby_that_comes_back_as_it_was_is_compared_to_the_end() {
    let lab = Lab::new(1);
    lab.on("node1").script(TABLES).unwrap();
    lab.catch_up("node2");
    let backend = lab.open().backend;
    let said = in_mid_run(&lab, || {
        backend.stop("node2").unwrap();
        backend.start("node2").unwrap();
    });
    assert_eq!((said.code, said.of("node2").0, said.rows.len()), (Some(0), Held, 2), "{}", said.stderr);
    assert_eq!(said.row("public.long", "node2").rows_standby, Some(20_000), "{}", said.stderr);
}

/// As from a backup, or a snapshot of its disk.
#[test]
fn a_standby_that_comes_back_in_an_older_state_is_refused() {
    let lab = Lab::new(1);
    lab.on("node1").script(TABLES).unwrap();
    lab.catch_up("node2");
    let backend = lab.open().backend;
    let node = lab.lab.dir.join("node2");
    let [data, before] = ["data", "before"].map(|name| node.join(name));
    backend.stop("node2").unwrap();
    assert!(Command::new("cp").arg("-a").args([&data, &before]).status().unwrap().success());
    backend.start("node2").unwrap();
    let said = in_mid_run(&lab, || {
        backend.follow("node2", None).unwrap(); // else it would soon be where it was
        backend.stop("node2").unwrap();
        fs::remove_dir_all(&data).unwrap();
        fs::rename(&before, &data).unwrap();
        backend.start("node2").unwrap();
    });
    assert_eq!((said.code, said.of("node2").0, said.rows.len()), (Some(2), Unknown, 2), "{}", said.stderr);
    let refused = "node2 is unknown from here on: node node2: it began anew, before the mark at ";
    assert_eq!(said.stderr.matches(refused).count(), 1, "{}", said.stderr);
}
