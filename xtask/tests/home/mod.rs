//! A home for the labs of a test that has the runner hold drills.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use tempfile::TempDir;

/// With a `cargo` that does nothing in its `bin`, for the path: all is built.
pub(crate) fn home() -> TempDir {
    let home = tempfile::Builder::new().prefix("understudy-drills-").tempdir().unwrap();
    fs::set_permissions(home.path(), Permissions::from_mode(0o755)).unwrap(); // servers run as somebody else
    fs::create_dir(home.path().join("bin")).unwrap();
    let cargo = home.path().join("bin/cargo");
    fs::write(&cargo, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&cargo, Permissions::from_mode(0o755)).unwrap();
    home
}
