//! `--install`: PostgreSQL from the distribution's packages, without the distribution's own default cluster.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use lab::binaries::{Asked, Binaries, INSTALL_HINT};
use program::progress::Progress;
use program::tool;

/// Time for `apt-get`: it waits for mirrors and for other package managers.
const APT_DEADLINE: Duration = Duration::from_secs(900);

/// Where Debian's packages look for how to make a new cluster. A file here, while the package is installed, keeps them
/// from making and starting one that nobody asked for.
const NO_MAIN_CLUSTER: &str = "/etc/postgresql-common/createcluster.d/pg-understudy.conf";

/// Installs the distribution's PostgreSQL server.
///
/// # Errors
/// If this is not root on Debian or Ubuntu, or the packages cannot be had.
pub(crate) fn install(asked: &Asked, progress: &Progress) -> Result<()> {
    ensure!(crate::is_root(), "{INSTALL_HINT}");
    ensure!(Path::new("/usr/bin/apt-get").exists(), "{INSTALL_HINT}");
    let package = asked.major.map_or("postgresql".to_owned(), |major| format!("postgresql-{major}"));
    progress.say(&format!("no PostgreSQL server was found: installing the package {package} with apt-get"));
    apt(&["update"])?;
    let made_file = keep_from_making_a_cluster()?;
    let installed = apt(&["install", "--yes", "--no-install-recommends", &package]);
    if made_file {
        fs::remove_file(NO_MAIN_CLUSTER).with_context(|| format!("cannot remove {NO_MAIN_CLUSTER}"))?;
    }
    installed?;
    match Binaries::find(asked) {
        Ok(_) => Ok(()),
        Err(error) => bail!("{package} is installed, and yet: {error:#}"),
    }
}

fn apt(args: &[&str]) -> Result<()> {
    let mut command = Command::new("apt-get");
    command.args(["--quiet", "--quiet", "-o", "DPkg::Lock::Timeout=120"]).args(args);
    command.env("DEBIAN_FRONTEND", "noninteractive");
    tool::run(command, APT_DEADLINE).map(drop)
}

/// Says whether the file was made by us, and so is ours to remove.
fn keep_from_making_a_cluster() -> Result<bool> {
    let file = Path::new(NO_MAIN_CLUSTER);
    if file.exists() {
        return Ok(false);
    }
    if let Some(dir) = file.parent() {
        fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    }
    fs::write(file, "create_main_cluster = false\n").with_context(|| format!("cannot write {NO_MAIN_CLUSTER}"))?;
    Ok(true)
}
