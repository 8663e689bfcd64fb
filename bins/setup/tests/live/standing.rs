//! Who only stands in a data directory.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command};

use crate::support::{Home, Lab};

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

/// The servers' user may write any number into `postmaster.pid`, and stand in a directory.
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
    let owner = fs::metadata(&data).unwrap().uid();
    let mut shell = stander(&lab, node, owner);
    home.refused(&["--down"], &[&format!("{node}/data"), &shell.0.id().to_string(), "left alone"]);
    assert!(shell.works(), "it was killed");
    assert!(before.is_some() && lab.pids().remove(other) == before, "{other} was ended before all was known");
    fs::remove_file(data.join("postmaster.pid")).unwrap();
}

/// Stops a node, and has a process of this user stand in its data directory, with its number in `postmaster.pid`.
fn stander(lab: &Lab, node: &str, uid: u32) -> Holder {
    let data = lab.dir().join(node).join("data");
    let open = lab::open::open(lab.file()).unwrap();
    open.backend.stop(node).unwrap();
    drop(open);
    let mut command = Command::new("sleep");
    command.arg("600").current_dir(&data);
    if rustix::process::geteuid().is_root() {
        command.uid(uid);
    }
    let shell = Holder(command.spawn().unwrap());
    fs::write(data.join("postmaster.pid"), format!("{}\n{}\n", shell.0.id(), data.display())).unwrap();
    shell
}

/// Anybody can be given the number of a dead server, and seem to stand there in a mount namespace of his own.
#[test]
#[ignore = "plays another user: `cargo xtask test` runs it as root"]
fn as_root_a_process_of_another_user_keeps_no_lab_from_being_mended_or_taken_down() {
    let home = Home::new();
    home.made(&[]);
    let lab = home.lab_made();
    let mut shells = vec![stander(&lab, "node2", 0)];
    home.made(&[]).is_whole("node1");
    shells.push(stander(&home.lab_made(), "node2", 0));
    let down = home.setup(&["--down"]);
    assert_eq!(down.code, Some(0), "{}", down.stderr);
    assert!(shells.iter_mut().all(Holder::works), "one was killed");
    assert!(!home.lab().exists());
}
