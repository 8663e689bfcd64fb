//! `cargo xtask drill --runs N`: the same drill again and again in one lab, each in a folder of its own. With one
//! standby the raw floor after each takeover is one in the other direction, so that all are upon the same node.

use std::path::Path;

use anyhow::{Context as _, Result};
use program::folder;
use program::judged::JudgedRun;
use program::progress::Progress;
use program::run::Run;
use program::sink::Sink;
use report::drill::DrillRow;
use report::runs::RunRow;
use report::verdict::Verdict;
use xshell::Shell;

use super::{Args, Ended, begin, once};
use crate::repetitions::{RUNS, row};
use crate::watch::Watch;
use crate::{history, run_folder};

/// Warm-ups: the first takeover of a lab is the only one whose old primary was never a standby, and whose files nobody has read.
const WARM_UP: u32 = 1;

/// Holds the drills and returns their verdict. A warm-up is not counted among the figures; a promise that it breaks is broken.
pub(super) fn hold(
    sh: &Shell,
    args: &Args,
    count: u32,
    lab: &str,
    run: &Run,
    dir: &Path,
    progress: &Progress,
) -> Result<Verdict> {
    let warm_up = u64::from(args.warm_up.unwrap_or(WARM_UP));
    // Opened first: what was held so far is there, whatever comes.
    let (mut drills, mut runs) = (Sink::create_new(&dir.join("drill.csv"))?, Sink::create_new(&dir.join(RUNS))?);
    let (cluster, _) = begin(args, lab, run, dir, &Watch::of(dir, run.clock, progress))?;
    let mut verdict = Verdict::Held;
    for number in 1..=warm_up + u64::from(count) {
        let counted = number > warm_up;
        progress.say(&match counted {
            true => format!("run {} of {count}", number - warm_up),
            false => format!("warm-up {number} of {warm_up}"),
        });
        let (run, dir) = run_folder::make_below(sh, run, dir, &number.to_string())?;
        let told = (progress, &Watch::of(&dir, run.clock, progress));
        let ended = once(args, &cluster, &mut Ended::new(&run, &dir)?, told)?;
        let judged = JudgedRun::read(&dir);
        std::fs::write(dir.join("summary.txt"), format!("{}\n", judged.said())).context("summary.txt")?;
        let row: RunRow = row(&run.name, number, counted, &dir, &judged);
        folder::rows::<DrillRow>(&dir, "drill.csv")?.iter().try_for_each(|row| drills.row(row))?;
        runs.row(&row)?;
        history::note(sh, &run, &judged, &row).unwrap_or_else(|error| progress.warn(&format!("{error:#}")));
        verdict = verdict.join(ended).join(row.verdict);
        if verdict == Verdict::Broken && !args.keep_going {
            progress.warn(&format!("run-{number} is broken: no more are held (--keep-going would)"));
            break;
        }
    }
    Ok(verdict)
}
