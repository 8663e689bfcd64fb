//! What the gate (`.ci/run`) looks for when it says that nothing is left: it must see what is.

#![allow(clippy::unwrap_used, reason = "the helpers of a test may panic as well as the test")]

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command};

/// What `.ci/left` names, of this machine and of the processes below a directory.
fn left(dir: &Path) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(".ci/left");
    let output = Command::new(script).arg(dir.canonicalize().unwrap()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_process_and_its_port_are_seen_also_when_their_directory_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut command = Command::new("sleep");
    let child = command.arg("600").current_dir(&data).stdin(OwnedFd::from(listener)).spawn().unwrap();
    drop(command); // it holds the socket, too
    let child = Ended(child);
    std::fs::remove_dir(&data).unwrap();
    let (pid, seen) = (child.0.id(), left(dir.path()));
    assert!(seen.contains(&format!("process {pid} (sleep 600 )")), "{seen}");
    assert!(seen.contains(&format!("port {port} of process {pid}")), "{seen}");
    drop(child);
    assert!(!left(dir.path()).contains(&format!("process {pid}")));
}

/// A segment that nobody is attached to, as a killed server leaves it.
struct Segment(String);

impl Drop for Segment {
    fn drop(&mut self) {
        let _ = Command::new("ipcrm").args(["--shmem-id", &self.0]).status();
    }
}

#[test]
fn a_segment_of_shared_memory_is_seen() {
    let dir = tempfile::tempdir().unwrap();
    let made = Command::new("ipcmk").args(["--shmem", "4096"]).output().unwrap();
    let said = String::from_utf8(made.stdout).unwrap();
    let segment = Segment(said.trim().rsplit(' ').next().unwrap().to_owned());
    let line = format!("shared memory segment {} ", segment.0);
    assert!(left(dir.path()).contains(&line), "{said}");
    drop(segment);
    assert!(!left(dir.path()).contains(&line));
}
