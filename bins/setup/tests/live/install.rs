//! `--install`, with a script in the place of apt-get.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use lab::binaries::{Asked, Binaries};

use crate::support::{Home, said};

/// What keeps Debian's packages from making a cluster, and starting it.
const NO_MAIN_CLUSTER: &str = "/etc/postgresql-common/createcluster.d/pg-understudy.conf";

#[test]
#[ignore = "needs root, who installs; `cargo xtask test` runs it as root"]
fn as_root_a_missing_postgresql_is_installed_after_saying_so_and_makes_no_cluster_of_its_own() {
    let missing = (14..=18).find(|major| Binaries::find(&Asked { major: Some(*major), dir: None }).is_err());
    let (Some(missing), true) = (missing, Path::new("/usr/bin/apt-get").exists()) else { return };
    let home = Home::new();
    let (bin, trace) = (home.path().join("bin"), home.path().join("trace"));
    fs::create_dir(&bin).unwrap();
    let script =
        format!("#!/bin/sh\n{{ echo \"$*\"; cat {NO_MAIN_CLUSTER} 2>/dev/null; true; }} >>{}\n", trace.display());
    fs::write(bin.join("apt-get"), script).unwrap();
    fs::set_permissions(bin.join("apt-get"), Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let install = |args: &[&str]| {
        let mut command = home.command(args);
        said(command.env("PATH", &path).env_remove("PG_BINDIR").spawn().unwrap())
    };
    let there = Path::new(NO_MAIN_CLUSTER).exists();
    let version = missing.to_string();
    let missed = install(&["--install-only", "--pg-version", &version]);
    let package = format!("postgresql-{version}");
    assert_eq!(missed.code, Some(2), "nothing was installed: {missed:?}");
    assert!(missed.stderr.contains(&format!("installing the package {package} with apt-get")), "{missed:?}");
    let done = fs::read_to_string(&trace).unwrap();
    let lines: Vec<&str> = done.lines().collect();
    let installing = lines.iter().position(|line| line.contains(" install ") && line.ends_with(&package));
    assert_eq!(lines.get(installing.expect(&done) + 1), Some(&"create_main_cluster = false"), "{done}");
    assert_eq!(Path::new(NO_MAIN_CLUSTER).exists(), there, "only while the package is installed");
    // One that is there is taken, and without being asked nothing is installed.
    fs::remove_file(&trace).unwrap();
    assert_eq!(install(&["--install-only"]).code, Some(0));
    assert_eq!(install(&["--pg-version", &version]).code, Some(2));
    assert!(!trace.exists(), "{}", fs::read_to_string(&trace).unwrap());
}
