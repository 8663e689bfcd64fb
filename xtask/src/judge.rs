//! `cargo xtask judge RUN`: judges a run again, from the files in its folder alone.

use std::path::{Path, PathBuf};

use program::judged::JudgedRun;
use program::progress::Progress;
use report::reasons::Reason;
use report::verdict::Verdict;

use crate::repetitions;
use crate::results::Drilled;

/// Arguments of `judge`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The run's folder, such as `reports/latest`
    #[arg(value_name = "RUN")]
    run: PathBuf,
}

/// A folder that was judged.
pub(crate) struct Judged {
    /// In words.
    pub(crate) said: String,
    /// The verdict on all of it.
    pub(crate) verdict: Verdict,
    /// The drills in it, as `draw-report` takes them.
    pub(crate) folders: Vec<String>,
    /// What each of them found.
    pub(crate) drills: Vec<Drilled>,
    /// Why the verdict is not `held`, beside what they say.
    pub(crate) reasons: Vec<Reason>,
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
