//! `cargo xtask test`.

use anyhow::{Context as _, Result};
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
    Ok(Verdict::Held)
}
