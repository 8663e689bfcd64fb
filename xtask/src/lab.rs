//! `up`, `down`, and the programs by their names: arguments are handed on as they are.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;

use crate::build;
use anyhow::{Context as _, Result, bail};
use program::{child, stop};
use report::verdict::Verdict;

/// The programs that can be called by their names.
const PROGRAMS: [&str; 7] =
    ["setup", "seed-data", "write-load", "measure-lag", "verify-replication", "failover-drill", "draw-report"];

/// Arguments for `setup`.
#[derive(clap::Args)]
pub(crate) struct Forwarded {
    /// Arguments for `setup`; `cargo xtask setup --help` shows them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

/// `setup` with these arguments.
pub(crate) fn up(args: &Forwarded) -> Result<Verdict> {
    build::programs()?;
    become_program("setup", &args.args)
}

/// `setup --down` with these arguments; without a name, all labs. It takes the `setup` that is built, whatever has changed
/// since: who takes labs down does not want to wait for a build, and may be doing so because a build does not end.
pub(crate) fn down(args: &Forwarded) -> Result<Verdict> {
    let mut words = vec![OsString::from("--down")];
    if !args.args.iter().any(|arg| arg.to_string_lossy().starts_with("--name")) {
        words.push("--all".into());
    }
    words.extend(args.args.iter().cloned());
    become_program("setup", &words)
}

/// A program with its arguments, built first.
pub(crate) fn forward_program(words: &[OsString]) -> Result<Verdict> {
    let (name, args) = words.split_first().context("the name of a program is missing")?;
    let name = name.to_string_lossy();
    if !PROGRAMS.contains(&name.as_ref()) {
        bail!(
            "`{name}` is neither a command nor a program; `cargo xtask help` lists the commands, programs are {}",
            PROGRAMS.join(", ")
        );
    }
    build::programs()?;
    become_program(&name, args)
}

/// Becomes the program: its streams, signals and exit code are then its own.
fn become_program(name: &str, args: &[OsString]) -> Result<Verdict> {
    let path = child::path(name)?;
    stop::check()?;
    let error = std::process::Command::new(path).args(args).exec();
    Err(error).with_context(|| format!("cannot run {name}"))
}
