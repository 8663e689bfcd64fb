//! The folder of a run, and `run.toml` in it: what has to be known to read the figures.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use program::clock::Clock;
use program::out;
use program::run::{Run, utc_of_origin};
use serde::Serialize;
use xshell::{Shell, cmd};

use crate::cargo::workspace;

/// `run.toml`.
#[derive(Serialize)]
struct RunFile {
    run: String,
    command_line: Vec<String>,
    understudy_version: &'static str,
    /// The commit that was run; `+` if there were changes beside it.
    commit: String,
    origin_utc: String,
    /// CLOCK_MONOTONIC at the origin: with the boot id, times of other programs on this machine can be compared.
    origin_monotonic_ns: u64,
    boot_id: Option<String>,
    kernel: Option<String>,
    cpus: Option<usize>,
}

/// Makes the folder `reports/runs/<UTC time>-<what>` with its `run.toml`; in `runs`, where that is given. Nobody else may be able
/// to put another one in its place: names in it are written to, and what is in it is judged.
pub(crate) fn make(sh: &Shell, what: &str, runs: Option<&Path>) -> Result<(Run, PathBuf)> {
    let runs = match runs {
        Some(runs) => std::path::absolute(runs).with_context(|| runs.display().to_string())?,
        None => workspace().join("reports/runs"),
    };
    let (run, dir) = Run::with_folder(&out::make(&runs)?, what)?;
    write_run_toml(sh, &run, &dir)?;
    Ok((run, dir))
}

/// A run of its own in a folder below that of another one; `label` is the end of both names.
pub(crate) fn make_below(sh: &Shell, above: &Run, dir: &Path, label: &str) -> Result<(Run, PathBuf)> {
    let dir = dir.join(format!("run-{label}"));
    std::fs::create_dir(&dir)
        .and_then(|()| std::fs::create_dir(dir.join("log")))
        .with_context(|| dir.display().to_string())?;
    let run = Run { name: format!("{}-{label}", above.name), clock: Clock::starting_now() };
    write_run_toml(sh, &run, &dir)?;
    Ok((run, dir))
}

fn write_run_toml(sh: &Shell, run: &Run, dir: &Path) -> Result<()> {
    let file = RunFile {
        run: run.name.clone(),
        command_line: std::env::args().map(|word| without_password(&word)).collect(),
        understudy_version: env!("CARGO_PKG_VERSION"),
        commit: commit(sh),
        origin_utc: utc_of_origin(run.clock),
        origin_monotonic_ns: run.clock.origin_ns(),
        boot_id: system_file("/proc/sys/kernel/random/boot_id"),
        kernel: system_file("/proc/sys/kernel/osrelease"),
        cpus: std::thread::available_parallelism().ok().map(Into::into),
    };
    let path = dir.join("run.toml");
    std::fs::write(&path, toml::to_string(&file)?).with_context(|| format!("cannot write {}", path.display()))
}

/// A word of the command line with `***` for what stands behind `password=` or, in a URI, between `:` and `@`. Rather too much
/// than too little: whoever mistypes a password types one all the same.
fn without_password(word: &str) -> String {
    let (before, value) = word.split_at(password_at(word).unwrap_or(word.len()));
    // To the end of the word: a value in quotes may hold anything, and a URI a second password.
    let shown = format!("{before}{}", if value.is_empty() { "" } else { "***" });
    let Some((scheme, rest)) = shown.split_once("://") else { return shown };
    // To the last `@`: a password may hold one.
    match rest.rsplit_once('@').and_then(|(login, host)| Some((login.split_once(':')?.0, host))) {
        Some((user, host)) if !user.contains('@') => format!("{scheme}://{user}:***@{host}"),
        _ => shown,
    }
}

/// Where the value of the first `password` begins, behind its `=`, which may have spaces around it.
fn password_at(word: &str) -> Option<usize> {
    let small = word.to_ascii_lowercase();
    small.match_indices("password").find_map(|(at, name)| {
        let rest = small[at + name.len()..].trim_start().strip_prefix('=')?;
        Some(word.len() - rest.len())
    })
}

/// The path of a run's folder as the reader can type it from the workspace.
pub(crate) fn shown(dir: &Path) -> String {
    dir.strip_prefix(workspace()).unwrap_or(dir).display().to_string()
}

/// The commit, as far as git and a repository are there.
pub(crate) fn commit(sh: &Shell) -> String {
    let read = |command: xshell::Cmd<'_>| command.quiet().ignore_stderr().ignore_status().read().unwrap_or_default();
    let changes = read(cmd!(sh, "git status --porcelain --untracked-files=no"));
    read(cmd!(sh, "git rev-parse --short HEAD")) + if changes.is_empty() { "" } else { "+" }
}

pub(crate) fn system_file(path: &str) -> Option<String> {
    Some(std::fs::read_to_string(path).ok()?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt as _, chown};

    use xshell::Shell;

    use super::{make, without_password};

    /// Its owner could put a folder full of links in the place of ours, and root would write to what they lead to.
    #[test]
    fn no_run_is_put_where_somebody_else_could_exchange_its_folder() {
        let (base, sh) = (tempfile::tempdir().unwrap(), Shell::new().unwrap());
        let runs = base.path().join("reports/runs");
        let (_, dir) = make(&sh, "mine", Some(&runs)).unwrap();
        assert!(dir.join("run.toml").is_file() && base.path().join("reports/latest").exists());
        let mode = |mode| fs::set_permissions(&runs, Permissions::from_mode(mode)).unwrap();
        let is_refused = |why: &str| {
            let said = format!("{:#}", make(&sh, "theirs", Some(&runs)).err().unwrap());
            assert!(said.contains(why) && said.contains(runs.to_str().unwrap()), "{said}");
            assert_eq!(fs::read_dir(&runs).unwrap().count(), 1);
        };
        for open in [0o777, 0o1777] {
            mode(open);
            is_refused("others can write");
        }
        mode(0o755);
        if rustix::process::geteuid().is_root() && std::env::var_os("SUDO_UID").is_none() {
            chown(&runs, Some(54_321), None).unwrap();
            is_refused("belongs to ");
        }
    }

    #[test]
    fn a_run_keeps_no_password_of_its_command_line() {
        for (word, kept) in [
            ("postgres://me:s3:cret@h:5432/db", "postgres://me:***@h:5432/db"),
            (
                "--primary=postgresql://me@h/db?password=s3cret&sslmode=require",
                "--primary=postgresql://me@h/db?password=***",
            ),
            ("postgres://h/db?password=one&password=two", "postgres://h/db?password=***"),
            ("postgres://h/db?user=me&sslpassword=s3cret", "postgres://h/db?user=me&sslpassword=***"),
            ("postgres://me:s3@cr:et@h:5432/db", "postgres://me:***@h:5432/db"),
            ("postgres://me:s3@cr/et@h/db?password=s3@cret", "postgres://me:***@h/db?password=***"),
            ("postgres://me@h:5432/db?application_name=a@b", "postgres://me@h:5432/db?application_name=a@b"),
            ("host=h password = s3cret", "host=h password =***"),
            ("password\t= 's3 cret' password=s3cret", "password\t=***"),
            ("PGPASSWORD=s3cret", "PGPASSWORD=***"),
            ("a password of mine", "a password of mine"),
            ("host=h password='s3 cret' user=me", "host=h password=***"),
            ("--sync", "--sync"),
            ("postgres://h/db", "postgres://h/db"),
        ] {
            assert_eq!(without_password(word), kept);
        }
    }
}
