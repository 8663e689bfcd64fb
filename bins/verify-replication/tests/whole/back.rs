//! A standby that goes in mid-run and is back before anybody has missed it: what it shows counts only if it has not gone back.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Duration;

use cluster::wait::until_true;
use report::verdict::Verdict::{Held, Unknown};
use rustix::process::{Pid, Signal, kill_process};

use crate::{Lab, SOON, Said};

/// Two tables, the first of which takes ten seconds to be read.
const TABLES: &str = "CREATE TABLE long AS SELECT i, repeat('x', 500) FROM generate_series(1, 20000) AS i;
    CREATE TABLE short (id int PRIMARY KEY)";

/// That the first table is being read.
const READS: &str = "SELECT seq_tup_read > 0 FROM pg_stat_user_tables WHERE relname = 'long'";

/// That nothing is read, and the standby asked again and again how far it has come.
const ASKS: &str = "SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'verify-replication'
    AND query LIKE 'SELECT pg_last_wal_replay_lsn%' AND state_change > now() - interval '50ms'";

const REFUSED: &str = "node2 is excluded from further checks: node node2: it restarted and is behind the mark at ";

/// Begins to compare both tables.
fn begin(lab: &Lab) -> Child {
    lab.on("node1").script(TABLES).unwrap();
    lab.catch_up("node2");
    let cluster = lab.lab.cluster.display().to_string();
    let args = ["--max-rows-per-s", "2000", "--catch-up-timeout", "20s", "--table", "long", "--table", "short"];
    let child = lab.command(&[&["--cluster", &cluster], &args[..]].concat()).spawn().unwrap();
    wait_for(lab, READS);
    child
}

fn wait_for(lab: &Lab, moment: &str) {
    let standby = lab.on("node2");
    until_true(moment, SOON, Duration::from_millis(10), || standby.value(moment, &[])).unwrap();
}

/// Does something while the program stands still, so that it meets the standby only when that is back.
fn meanwhile(child: Child, change: impl FnOnce()) -> Said {
    let pid = Pid::from_child(&child);
    kill_process(pid, Signal::STOP).unwrap();
    change();
    kill_process(pid, Signal::CONT).unwrap();
    crate::said(&child.wait_with_output().unwrap())
}

/// A standby's data as they were once, as in a backup or a snapshot of its disk.
struct Older {
    data: PathBuf,
    before: PathBuf,
}

impl Older {
    fn keep(lab: &Lab) -> Older {
        let [data, before] = ["data", "before"].map(|name| lab.lab.dir.join("node2").join(name));
        let backend = lab.open().backend;
        backend.stop("node2").unwrap();
        assert!(Command::new("cp").arg("-a").args([&data, &before]).status().unwrap().success());
        backend.start("node2").unwrap();
        Older { data, before }
    }

    /// Starts the standby with them, and with nobody to follow: else it would soon be where it was.
    fn bring_back(self, lab: &Lab) {
        let backend = lab.open().backend;
        backend.follow("node2", None).unwrap();
        backend.stop("node2").unwrap();
        fs::remove_dir_all(&self.data).unwrap();
        fs::rename(&self.before, &self.data).unwrap();
        backend.start("node2").unwrap();
    }
}

#[test]
fn a_standby_that_comes_back_as_it_was_is_compared_to_the_end() {
    let lab = Lab::new(1);
    let said = meanwhile(begin(&lab), || {
        let backend = lab.open().backend;
        backend.stop("node2").unwrap();
        backend.start("node2").unwrap();
    });
    assert_eq!((said.code, said.of("node2").0, said.rows.len()), (Some(0), Held, 2), "{}", said.stderr);
    assert_eq!(said.row("public.long", "node2").rows_standby, Some(20_000), "{}", said.stderr);
}

#[test]
fn a_standby_that_comes_back_in_an_older_state_while_it_is_read_is_refused() {
    let lab = Lab::new(1);
    let older = Older::keep(&lab);
    let said = meanwhile(begin(&lab), || older.bring_back(&lab));
    assert_eq!((said.code, said.of("node2").0, said.rows.len()), (Some(2), Unknown, 2), "{}", said.stderr);
    assert_eq!(said.stderr.matches(REFUSED).count(), 1, "{}", said.stderr);
}

/// Then the session that asks how far it has come is the first one to meet it.
#[test]
fn a_standby_that_comes_back_in_an_older_state_while_it_is_waited_for_is_refused() {
    let lab = Lab::new(1);
    let older = Older::keep(&lab);
    let child = begin(&lab);
    lab.on("node2").script("SELECT pg_wal_replay_pause()").unwrap();
    wait_for(&lab, ASKS);
    let said = meanwhile(child, || older.bring_back(&lab));
    assert_eq!((said.code, said.rows.len()), (Some(2), 2), "{}", said.stderr);
    assert_eq!(said.row("public.long", "node2").verdict, Held, "{}", said.stderr);
    assert_eq!(said.row("public.short", "node2").verdict, Unknown, "{}", said.stderr);
    assert_eq!(said.stderr.matches(REFUSED).count(), 1, "it was waited for further on: {}", said.stderr);
}
