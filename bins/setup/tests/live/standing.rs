//! Who only stands in a data directory.

use std::fs;
use std::process::{Child, Command};

use crate::support::Home;

/// A process that is ended with its variable.
pub(crate) struct Holder(pub(crate) Child);

impl Holder {
    fn works(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The servers' user may write any number into `postmaster.pid`, and anybody may stand in a directory.
#[test]
fn a_process_that_only_stands_in_a_data_directory_is_not_killed() {
    let home = Home::new();
    home.made(&[]);
    for (node, other) in [("node1", "node2"), ("node2", "node1")] {
        stands_in(&home, node, other);
        home.made(&[]).is_whole("node1");
    }
}

/// And nobody else is killed before that is known.
fn stands_in(home: &Home, node: &str, other: &str) {
    let (data, lab) = (home.lab().join(node).join("data"), home.lab_made());
    let before = lab.pids().remove(other);
    let open = lab::open::open(lab.file()).unwrap();
    open.backend.stop(node).unwrap();
    drop(open);
    let mut shell = Holder(Command::new("sleep").arg("600").current_dir(&data).spawn().unwrap());
    let pid_file = data.join("postmaster.pid");
    fs::write(&pid_file, format!("{}\n{}\n", shell.0.id(), data.display())).unwrap();
    home.refused(&["--down"], &[&format!("{node}/data"), &shell.0.id().to_string(), "left alone"]);
    assert!(shell.works(), "it was killed");
    assert!(before.is_some() && lab.pids().remove(other) == before, "{other} was ended before all was known");
    fs::remove_file(&pid_file).unwrap();
}
