//! What has to be there first: the programs, PostgreSQL. Done before anything is timed, and never inside of it.

use std::process::Command;

use anyhow::{Result, ensure};
use program::child;

use crate::cargo::{cargo, explain_interrupt, to_its_end};

/// What is said of a build that is not done at once.
const SLOW: &str = "building the programs: something has changed since the last time, or another cargo is at work here";

/// Builds all programs, in the profile that `cargo xtask` itself is built in: nothing is compiled twice.
pub(crate) fn programs() -> Result<()> {
    // The first build takes a minute or two: let cargo show what it does. After that it mostly has nothing to say.
    let first = child::path("failover-drill").is_err();
    let mut words = vec!["build", "--release", "--workspace", "--exclude", "xtask", "--bins"];
    words.extend((!first).then_some("--quiet"));
    let mut command = cargo(&words);
    command.stdout(std::io::stderr()); // stdout is data
    let built = to_its_end(command, (!first).then_some(SLOW));
    let built = explain_interrupt(
        built,
        "the build was ended, and nothing else had begun; what is compiled stays, and the same command goes on from there",
    );
    ensure!(built?.success(), "cannot build: see above");
    Ok(())
}

/// Sees that this machine has PostgreSQL, or with containers an image. As root on Debian or Ubuntu it is installed,
/// after saying so; elsewhere the error says what to install. `args` are those of `setup` that choose a PostgreSQL.
pub(crate) fn ensure_postgresql(args: &[String]) -> Result<()> {
    let mut command = Command::new(child::path("setup")?);
    command.arg("--install-only").args(args);
    ensure!(to_its_end(command, None)?.success(), "PostgreSQL is needed: see above");
    Ok(())
}
