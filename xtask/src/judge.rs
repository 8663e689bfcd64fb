//! `cargo xtask judge RUN`: judges a run again, from the files in its folder alone.

use std::path::{Path, PathBuf};

use program::judged::JudgedRun;
use program::progress::Progress;
use report::verdict::Verdict;

use crate::drilled::{Drilled, Judged};
use crate::repetitions;

/// Arguments of `judge`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The run's folder, such as `reports/latest`
    #[arg(value_name = "RUN")]
    run: PathBuf,
}

/// Says what `cargo xtask drill` said at its end, and returns the same verdict; `unknown`, where the files are not whole or
/// the run's own `drill.csv` says otherwise.
pub(crate) fn judge(args: &Args) -> Verdict {
    let judged = read(&args.run);
    Progress::new(false).conclude(&judged.said, judged.verdict);
    judged.verdict
}

/// Judges the folder of a drill, or of the repetitions of one.
pub(crate) fn read(dir: &Path) -> Judged {
    if dir.join(repetitions::RUNS).exists() {
        return repetitions::judge(dir);
    }
    let run = JudgedRun::read(dir);
    let drills = vec![Drilled::of(&run, None, true)];
    Judged { said: run.said(), verdict: run.verdict(), folders: vec![".".to_owned()], drills, reasons: Vec::new() }
}
