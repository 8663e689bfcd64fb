//! `cargo xtask test`.

use std::process::Command;

use anyhow::{Result, ensure};
use program::child;
use report::verdict::Verdict;
use xshell::{Shell, cmd};

use crate::build;
use crate::cargo::{cargo, explain_interrupt, to_its_end};

/// Where the tests are that are marked `ignored`.
const IGNORED: [&str; 8] = ["test", "--release", "-p", "setup", "-p", "failover-drill", "--test=live", "--test=drills"];

/// What the names of those have in them, with that of their file, that need root; and of those that need a container engine.
const AS_ROOT: [&str; 1] = ["as_root"];
const OF_CONTAINERS: [&str; 3] = ["compose", "confined", "frozen_containers"];

/// The same of those that need a browser, and where they are.
const IN_A_BROWSER: [&str; 1] = ["in_a_browser"];
const BROWSER: [&str; 5] = ["test", "--release", "-p", "draw-report", "--test=browser"];

/// Arguments of `test`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Arguments for `cargo test`: a package (`-p report`), a name, `-- --nocapture`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

/// All tests. The programs are built first: a test of one program starts others.
pub(crate) fn test(sh: &Shell, args: &Args) -> Result<Verdict> {
    build::programs()?;
    build::ensure_postgresql(&["--backend".to_owned(), "local".to_owned()])?;
    let mut words = vec!["test", "--release"];
    words.extend((!args.args.iter().any(|arg| arg == "-p")).then_some("--workspace"));
    words.extend(args.args.iter().map(String::as_str));
    ensure!(cargo_test(&words)?, "tests failed");
    if args.args.is_empty() {
        as_root()?;
        of_containers(sh)?;
        in_a_browser(sh)?;
    }
    Ok(Verdict::Held)
}

/// The tests that need root: they fill a small disk, or play another user. Where they do not run, that is said.
fn as_root() -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("\nWARNING: the tests of full disks and of other users did NOT run: they need root");
        return Ok(());
    }
    ensure!(cargo_test(&[&IGNORED[..], &["--", "--ignored"], &AS_ROOT].concat())?, "tests as root failed");
    Ok(())
}

/// The tests that need a container engine. Where one answers they run; where none does, that is said.
fn of_containers(sh: &Shell) -> Result<()> {
    if cmd!(sh, "docker version").quiet().ignore_stdout().ignore_stderr().run().is_err() {
        eprintln!("\nWARNING: the tests of `--backend compose` did NOT run: no Docker engine answers here");
        return Ok(());
    }
    let mut setup = Command::new(child::path("setup")?);
    setup.args(["--install-only", "--backend", "compose"]);
    let has_image = to_its_end(setup, None)?.success();
    ensure!(has_image, "a Docker engine answers, and the tests of `--backend compose` need an image");
    // One after the other: they start a dozen servers as it is.
    let words = [&IGNORED[..], &["--", "--ignored", "--test-threads", "1"], &OF_CONTAINERS].concat();
    ensure!(cargo_test(&words)?, "tests of `--backend compose` failed");
    Ok(())
}

/// The tests that look at a report in a browser. Where one is they run; where none is, that is said.
fn in_a_browser(sh: &Shell) -> Result<()> {
    let is_here = |browser: &str| cmd!(sh, "{browser} --version").quiet().ignore_stdout().ignore_stderr().run().is_ok();
    if !["chromium", "chromium-browser", "google-chrome"].into_iter().any(is_here) {
        eprintln!("\nWARNING: the tests of reports in a browser did NOT run: there is no chromium here");
        return Ok(());
    }
    ensure!(cargo_test(&[&BROWSER[..], &["--", "--ignored"], &IN_A_BROWSER].concat())?, "tests in a browser failed");
    Ok(())
}

/// `cargo test`, shown as it is typed; whether all tests passed.
fn cargo_test(words: &[&str]) -> Result<bool> {
    eprintln!("$ cargo {}", words.join(" "));
    let state = format!(
        "cargo and the tests were ended. A lab that a test had up is left, in a home of its own: \
         `UNDERSTUDY_HOME=HOME cargo xtask down` with each HOME of `ls -d {}/understudy-*` removes it",
        std::env::temp_dir().display()
    );
    Ok(explain_interrupt(to_its_end(cargo(words), None), &state)?.success())
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::{AS_ROOT, IN_A_BROWSER, OF_CONTAINERS};
    use crate::cargo::workspace;

    /// Where `IGNORED` looks.
    const DIRS: [&str; 2] = ["bins/setup/tests/live", "bins/failover-drill/tests/drills"];

    fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
        for path in dir.read_dir().unwrap().map(|entry| entry.unwrap().path()) {
            match path.extension() {
                None if path.is_dir() => sources(&path, found),
                Some(ending) if ending == "rs" => found.push(path),
                _ => {}
            }
        }
    }

    /// The names of the tests in a file that cargo passes by.
    fn ignored(file: &Path) -> Vec<String> {
        let text = std::fs::read_to_string(file).unwrap();
        let stem = file.file_stem().unwrap().to_str().unwrap();
        let name = |after: &str| Some(after.split_once("\nfn ")?.1.split_once('(')?.0.to_owned());
        text.split("\n#[ignore").skip(1).map(|after| format!("{stem}::{}", name(after).unwrap())).collect()
    }

    #[test]
    fn whatever_cargo_passes_by_is_run_by_us() {
        let mut files = Vec::new();
        ["bins", "xtask"].iter().for_each(|dir| sources(&workspace().join(dir), &mut files));
        let mut count = 0;
        for file in &files {
            for test in ignored(file) {
                let of_browser = *file == workspace().join("bins/draw-report/tests/browser.rs");
                assert_eq!(of_browser, test.contains(IN_A_BROWSER[0]), "{} {test}", file.display());
                let below = of_browser || DIRS.iter().any(|dir| file.parent() == Some(&workspace().join(dir)));
                let words = AS_ROOT.iter().chain(&OF_CONTAINERS).chain(&IN_A_BROWSER);
                let fitting = words.filter(|word| test.contains(**word)).count();
                assert_eq!((below, fitting), (true, 1), "{} {test}", file.display());
                count += 1;
            }
        }
        assert!(count > 20, "{count} were found");
    }
}
