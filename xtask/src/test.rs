//! `cargo xtask test`.

use anyhow::{Context as _, Result};
use program::child;
use report::verdict::Verdict;
use xshell::{Shell, cmd};

use crate::build;

/// Arguments of `test`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Arguments for `cargo test`: a package (`-p report`), a name, `-- --nocapture`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

/// All tests. The programs are built first: a test of one program starts others.
pub(crate) fn test(sh: &Shell, args: &Args) -> Result<Verdict> {
    build::programs(sh)?;
    build::ensure_postgresql(&["--backend".to_owned(), "local".to_owned()])?;
    let (args, workspace) =
        (&args.args, if args.args.iter().any(|arg| arg == "-p") { None } else { Some("--workspace") });
    cmd!(sh, "cargo test --release {workspace...} {args...}").run().context("tests failed")?;
    if args.is_empty() {
        of_containers(sh)?;
    }
    Ok(Verdict::Held)
}

/// The tests that need a container engine. Where one answers they run; where none does, that is said.
fn of_containers(sh: &Shell) -> Result<()> {
    if cmd!(sh, "docker version").quiet().ignore_stdout().ignore_stderr().run().is_err() {
        eprintln!("\nWARNING: the tests of `--backend compose` did NOT run: no Docker engine answers here");
        return Ok(());
    }
    let setup = child::path("setup")?;
    cmd!(sh, "{setup} --install-only --backend compose")
        .quiet()
        .run()
        .context("a Docker engine answers, and the tests of `--backend compose` need an image")?;
    // One after the other: they start a dozen servers as it is.
    cmd!(sh, "cargo test --release -p setup -p failover-drill --test live --test drills -- --ignored --test-threads 1 compose")
        .run()
        .context("tests of `--backend compose` failed")
}
