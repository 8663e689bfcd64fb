//! One program of a run, from its start to its end, with its rows and its log in the run's folder.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result, bail, ensure};
use program::child::{self, Program};
use program::progress::{tell, warn};
use program::run::Run;
use program::stop;
use report::verdict::Verdict;

use crate::drilled::Judged;

/// Runs a program to its end; its stdout becomes `rows`, its stderr `log/NAME.log`. Its verdict may be any of the three.
pub(crate) fn judge(name: &str, args: &[impl AsRef<OsStr>], run: &Run, dir: &Path, rows: &str) -> Result<Verdict> {
    let stdout = create_new(&dir.join(rows))?;
    let status = Program::run(name, args, run, stdout, log(dir, name)?)?;
    Ok(Verdict::from_exit_code(status.code()))
}

/// Runs a program that has to do its work: anything but exit code 0 or 1 is an error, with the end of its log.
pub(crate) fn run(name: &str, args: &[impl AsRef<OsStr>], run: &Run, dir: &Path, rows: &str) -> Result<Verdict> {
    match judge(name, args, run, dir, rows)? {
        Verdict::Unknown => bail!("{name} could not do its work: {}", why(dir, name)),
        verdict => Ok(verdict),
    }
}

/// Starts a program that runs beside others until it is told to finish.
pub(crate) fn start(name: &str, args: &[impl AsRef<OsStr>], run: &Run, dir: &Path, rows: &str) -> Result<Program> {
    Program::start(name, args, run, create_new(&dir.join(rows))?, log(dir, name)?)
}

/// Runs `setup` and returns the path that it prints.
pub(crate) fn setup(args: &[impl AsRef<OsStr>], run: &Run, dir: &Path) -> Result<String> {
    let printed = dir.join("log/setup.out");
    let status = Program::run("setup", args, run, File::create(&printed)?, log(dir, "setup")?)?;
    if !status.success() {
        bail!("setup failed ({status}): {}", why(dir, "setup"));
    }
    let mut path = String::new();
    File::open(&printed)?.read_to_string(&mut path)?;
    std::fs::remove_file(&printed)?;
    Ok(path.trim().to_owned())
}

/// A lab for this process alone: two drills at once do not meet. From now on a second signal, which ends this process at once,
/// has it named, and [`down`] takes it down.
pub(crate) fn own_lab(what: &str) -> String {
    let name = format!("{what}_{}", std::process::id());
    stop::set_last_words(Some(format!(
        "ended at once: if the lab {name} is there, `cargo xtask down --name {name}` takes it down"
    )));
    name
}

/// Takes a lab down after `work` was done with it, also when that failed or a signal came: that is why this does not
/// go through [`Program::run`]. The work's own error outweighs one of taking down, which is then said.
pub(crate) fn down<T>(name: &str, run: &Run, work: Result<T>) -> Result<T> {
    let interrupted = stop::check().is_err();
    if interrupted {
        // Said before: a second Ctrl-C ends us at once.
        tell(&format!(
            "interrupted: taking the lab {name} down; if you end that too, `cargo xtask down --name {name}` does it"
        ));
    }
    match (take_down(name, run), work) {
        (Ok(()), work) => {
            stop::set_last_words(None);
            if interrupted {
                tell(&format!("the lab {name} is gone, and nothing of it runs"));
            }
            work
        }
        (Err(error), Ok(_)) => Err(error),
        (Err(error), Err(of_work)) => {
            warn(&format!("{error:#}"));
            Err(of_work)
        }
    }
}

fn take_down(name: &str, run: &Run) -> Result<()> {
    let mut command = child::command("setup", run)?;
    command.args(["--down", "--quiet", "--name", name]).stdin(Stdio::null()).process_group(0);
    let status = command.status().context("cannot run setup --down")?;
    ensure!(status.success(), "the lab {name} was not taken down: `cargo xtask down --name {name}` tries again");
    Ok(())
}

/// Leaves in the folder what people look at: `summary.txt`, which is what the screen said, and `report.html`. No verdict hangs on
/// them.
pub(crate) fn leave_report(run: &Run, dir: &Path, judged: &Judged) -> Result<()> {
    std::fs::write(dir.join("summary.txt"), format!("{}\n", judged.said))
        .context("summary.txt could not be written")?;
    let page = dir.join("report.html");
    let drawn = draw_report(run, dir, judged, create_new(&page)?);
    if drawn.is_err() {
        let _ = std::fs::remove_file(&page); // half a page tells nothing
    }
    drawn
}

fn draw_report(run: &Run, dir: &Path, judged: &Judged, page: File) -> Result<()> {
    let name = "draw-report";
    // There, so that its links lead from the page to the files beside it.
    let status = Program::run_in(dir, name, &judged.folders, run, page, log(dir, name)?)?;
    ensure!(status.success(), "report.html was not drawn: {}", why(dir, name));
    Ok(())
}

/// Why a program could not do its work, by the end of its log. Nothing stands there if the disk that it is on is full.
pub(crate) fn why(dir: &Path, name: &str) -> String {
    match log_tail(dir, name) {
        said if said.is_empty() => {
            format!("it did not say why: see what it left in {}, and whether there is room on that disk", dir.display())
        }
        said => said,
    }
}

/// The log of a program: appended to, since a benchmark runs it more than once.
fn log(dir: &Path, name: &str) -> Result<File> {
    let path = dir.join("log").join(format!("{name}.log"));
    File::options().create(true).append(true).open(&path).with_context(|| format!("cannot make {}", path.display()))
}

fn create_new(path: &Path) -> Result<File> {
    File::create_new(path).with_context(|| format!("cannot make {}", path.display()))
}

/// The last lines that a program said.
pub(crate) fn log_tail(dir: &Path, name: &str) -> String {
    let text = std::fs::read_to_string(dir.join("log").join(format!("{name}.log"))).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(8)..].join("\n")
}
