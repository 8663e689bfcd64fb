//! `cargo xtask judge RUN`: judges a run again, from the files in its folder alone.

use std::path::PathBuf;

use program::judged::JudgedRun;
use program::progress::tell;
use report::verdict::Verdict;

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
    let run = JudgedRun::read(&args.run);
    tell(&run.said());
    run.verdict()
}
