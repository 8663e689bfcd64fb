//! What has to be there first: the programs, PostgreSQL. Done before anything is timed, and never inside of it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use program::child;
use xshell::{Shell, cmd};

/// The workspace's directory.
pub(crate) fn workspace() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask).to_owned()
}

/// Builds all programs, in the profile that `cargo xtask` itself is built in: nothing is compiled twice.
pub(crate) fn programs(sh: &Shell) -> Result<()> {
    let _dir = sh.push_dir(workspace());
    // The first build takes a minute: let cargo show what it does. After that it has nothing to say.
    let first = child::path("failover-drill").is_err();
    let quiet = if first { None } else { Some("--quiet") };
    cmd!(sh, "cargo build {quiet...} --release --workspace --bins")
        .quiet()
        .ignore_stdout()
        .run()
        .context("cannot build")
}

/// Sees that this machine has PostgreSQL, or with containers an image. As root on Debian or Ubuntu it is installed, after saying so; elsewhere the
/// error says what to install. `args` are those of `setup` that choose a PostgreSQL.
pub(crate) fn ensure_postgresql(args: &[String]) -> Result<()> {
    let mut command = Command::new(child::path("setup")?);
    let status = command.arg("--install-only").args(args).stdin(Stdio::null()).status().context("cannot run setup")?;
    ensure!(status.success(), "PostgreSQL is needed: see above");
    Ok(())
}
