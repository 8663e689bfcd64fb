//! For tests: processes that stand for a lab's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::ours::Ours;
use crate::marker::{self, LabId};

/// A data directory of a lab, the directory of its programs, and a program in it that waits for its stdin to end.
pub(super) struct Lab {
    pub(super) dir: tempfile::TempDir,
    pub(super) ours: Ours,
}

impl Lab {
    pub(super) fn new() -> Lab {
        let (dir, id) = (tempfile::tempdir().unwrap(), LabId::new());
        for name in ["data", "bin", "elsewhere"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        for bin in ["bin", "elsewhere"] {
            fs::copy("/bin/sh", dir.path().join(bin).join("postgres")).unwrap();
        }
        marker::put(&dir.path().join("data"), &id).unwrap();
        let ours = Ours::for_test(&id, &dir.path().join("bin"));
        Lab { dir, ours }
    }

    pub(super) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// A process that works in the data directory and is in `postmaster.pid`.
    pub(super) fn run(&self, program: &Path) -> Child {
        let mut command = Command::new(program);
        command.args(["-c", "read wait"]).current_dir(self.data()).stdin(Stdio::piped());
        let child = command.spawn().unwrap(); // it has become that program when this returns
        fs::write(self.data().join("postmaster.pid"), format!("{}\n", child.id())).unwrap();
        child
    }
}

pub(super) fn end(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}
