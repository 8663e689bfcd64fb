//! `up`, `down`, and the programs by their names: arguments are handed on as they are.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;

use anyhow::{Context as _, Result, bail};
use program::child;
use report::verdict::Verdict;
use xshell::Shell;

use crate::build;

/// The programs that can be called by their names.
const PROGRAMS: [&str; 6] = ["setup", "seed-data", "write-load", "measure-lag", "verify-replication", "failover-drill"];

/// Arguments for `setup`.
#[derive(clap::Args)]
pub(crate) struct Forwarded {
    /// Arguments for `setup`; `cargo xtask setup --help` shows them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

/// `setup` with these arguments.
pub(crate) fn up(sh: &Shell, args: &Forwarded) -> Result<Verdict> {
    let mut words = vec![OsString::from("setup")];
    words.extend(args.args.iter().cloned());
    forward_program(sh, &words)
}

/// `setup --down` with these arguments; without a name, all labs.
pub(crate) fn down(sh: &Shell, args: &Forwarded) -> Result<Verdict> {
    let mut words = vec![OsString::from("setup"), OsString::from("--down")];
    if !args.args.iter().any(|arg| arg.to_string_lossy().starts_with("--name")) {
        words.push("--all".into());
    }
    words.extend(args.args.iter().cloned());
    forward_program(sh, &words)
}

/// Becomes the program: its streams, signals and exit code are then its own.
pub(crate) fn forward_program(sh: &Shell, words: &[OsString]) -> Result<Verdict> {
    let (name, args) = words.split_first().context("the name of a program is missing")?;
    let name = name.to_string_lossy();
    if !PROGRAMS.contains(&name.as_ref()) {
        bail!(
            "`{name}` is neither a command nor a program; `cargo xtask help` lists the commands, programs are {}",
            PROGRAMS.join(", ")
        );
    }
    build::programs(sh)?;
    let error = std::process::Command::new(child::path(&name)?).args(args).exec();
    Err(error).with_context(|| format!("cannot run {name}"))
}
