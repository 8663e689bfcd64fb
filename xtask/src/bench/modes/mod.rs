//! `bench modes`: the price list. A matrix of what can be chosen, each combination held as a drill, again and again and in an order
//! that chance has made; what is there already is not held once more.

mod figures;
mod matrix;
mod plan;
mod said;
mod turns;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use program::append::append;
use program::clock::Clock;
use program::judged::JudgedRun;
use program::progress::Progress;
use program::run::Run;
use program::{out, sink, stop};
use report::modes::ModeRow;
use report::verdict::Verdict;
use rustix::fs::{FlockOperation, flock};
use xshell::Shell;

use self::plan::{Plan, time};
use self::turns::Turn;
use crate::cargo::explain_interrupt;
use crate::{build, drill, judge, run_folder, step};

/// The matrix of whoever names none.
const MATRIX: &str = "sync-modes";
/// What is left, a row for each drill.
const CSV: &str = "modes.csv";
/// The same as a picture.
const PAGE: &str = "modes.html";

/// What `--help` says at its end.
pub(super) const EXAMPLES: &str = "\
Matrices: sync-modes, lag-under-load, takeover (100 takeovers), versions; they are in xtask/matrices/, and one of yours is written
as these are. Each of sync, standbys, clients, rate, settings, fault and pg_version (or pg_bin) is a value or a list of values;
each combination is a cell. A cell's drill is that of `cargo xtask drill`, in a lab and a folder of its own, which `cargo xtask
judge` can judge.

Examples:
  What does each sync mode cost here?
    cargo xtask bench modes sync-modes
  How large is it, and what will it do? Nothing is begun:
    cargo xtask bench modes lag-under-load --dry-run
  It was interrupted: on with it
    cargo xtask bench modes --resume reports/runs/20261129T101500Z-sync-modes
  Two of the versions, in a known order:
    cargo xtask bench modes versions --only pg_version=15,16 --seed 7

Left in the run's folder: modes.csv, a row for each drill; modes.html, the picture; run-1/, run-2/, …, the drills.

Exit codes: a price list promises nothing of its own, so lost writes of sync `async` are a figure in it. Else the worst of the drills
counts: 1 a promise was broken (a write is lost that waited for a standby, a standby holds other data, a rejoin failed); 2 a drill could
not be held, or not be judged; 0 otherwise; 130 or 143 interrupted, with the rows so far.";

/// Arguments of `bench modes`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// sync-modes, lag-under-load, takeover, versions, or the path of a TOML file [default: sync-modes]
    #[arg(value_name = "MATRIX", conflicts_with = "resume")]
    matrix: Option<String>,
    /// Go on with a run that was interrupted: what is in its modes.csv is not held again
    #[arg(long, value_name = "DIR", conflicts_with_all = ["seed", "repetitions", "only", "runs"])]
    resume: Option<PathBuf>,
    /// Which order: the same seed gives the same one [default: any; it is said]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// How often each cell is held [default: what the matrix says]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1000))]
    repetitions: Option<u64>,
    /// Only cells whose factor has one of these values, such as sync=on,async. Repeatable
    #[arg(long, value_name = "FACTOR=VALUE,…")]
    only: Vec<String>,
    /// Print what would be held, in its order, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Where the run's folder is made [default: reports/runs]
    #[arg(long, value_name = "DIR")]
    runs: Option<PathBuf>,
}

/// Holds what is left of a matrix. Each lab is taken down whatever happens.
///
/// # Errors
/// If nothing could be begun, a lab could not be taken down, or a signal came.
pub(super) fn bench(sh: &Shell, args: &Args) -> Result<Verdict> {
    let progress = Progress::new(false);
    let mut plan = match &args.resume {
        Some(dir) => Plan::read(dir)?,
        None => Plan::of(args)?,
    };
    if args.dry_run {
        let there = match &args.resume {
            Some(dir) => turns::look(dir, CSV)?.0,
            None => Vec::new(),
        };
        let left = turns::left(&plan.turns, &plan.matrix.cells, &there)?;
        progress.say(&plan.said(&left));
        plan.print(&left)?;
        return Ok(Verdict::Held);
    }
    build::programs()?;
    which_postgresql(&plan)?;
    let (run, dir) = match &args.resume {
        Some(dir) => (Run { name: plan.asked.run.clone(), clock: Clock::starting_now() }, out::make(dir)?),
        None => run_folder::make(sh, &plan.what(), args.runs.as_deref())?,
    };
    if args.resume.is_none() {
        plan.asked.run.clone_from(&run.name);
        plan.keep(&dir)?;
    }
    let _alone = alone(&dir)?;
    let bench = Bench { sh, plan: &plan, run, dir, progress };
    let held = bench.hold();
    let shown = run_folder::shown(&bench.dir);
    explain_interrupt(
        held,
        &format!("what was held is in {shown}/{CSV}; `cargo xtask bench modes --resume {shown}` goes on"),
    )
}

/// Sees that each PostgreSQL of the matrix is there before anything is begun.
fn which_postgresql(plan: &Plan) -> Result<()> {
    let mut seen: Vec<Vec<String>> = Vec::new();
    let mut missing = Vec::new();
    for cell in &plan.matrix.cells {
        let words = cell.drill()?.which_postgresql();
        if seen.contains(&words) {
            continue;
        }
        if build::ensure_postgresql(&words).is_err() {
            stop::check()?;
            missing.push(format!("{}{}", cell.factor("pg_version"), cell.factor("pg_bin")));
        }
        seen.push(words);
    }
    if !missing.is_empty() {
        let missing = missing.join(", ");
        bail!(
            "of what {} asks for this is not here, see above: PostgreSQL {missing}. Install it, or leave it out: \
             --only pg_version=15,16 names those that are to stay",
            plan.asked.matrix
        );
    }
    Ok(())
}

/// Two at once would hold the same drills, and each put in the other's rows.
fn alone(dir: &Path) -> Result<File> {
    let path = dir.join("matrix.toml");
    let file = File::open(&path).with_context(|| path.display().to_string())?;
    ensure!(
        flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok(),
        "{}: another `cargo xtask bench modes` is at work there",
        dir.display()
    );
    Ok(file)
}

/// How many drills in a row of which nothing is known end it, where there are fewer cells.
const FEWEST: usize = 3;

/// How many of the last drills have measured nothing. A cell that cannot work is no reason to end; if it would be each cell's
/// turn, it is not the cells.
fn nothing_in_a_row(rows: &[ModeRow]) -> usize {
    rows.iter().rev().take_while(|row| row.acked_per_s.is_none() && row.outage_us.is_none()).count()
}

/// A run of the benchmark.
struct Bench<'a> {
    sh: &'a Shell,
    plan: &'a Plan,
    run: Run,
    dir: PathBuf,
    progress: Progress,
}

impl Bench<'_> {
    fn hold(&self) -> Result<Verdict> {
        let Bench { plan, dir, progress, .. } = self;
        let (mut rows, torn) = turns::rows(dir, CSV)?;
        if torn {
            progress.warn(&format!("the last line of {CSV} was torn and is cut off: its drill is held again"));
        }
        let left = turns::left(&plan.turns, &plan.matrix.cells, &rows)?;
        progress.say(&plan.said(&left));
        append::<ModeRow>(&dir.join(CSV), &[])?; // a header, whatever comes
        let begun = Instant::now();
        for (held, turn) in left.iter().enumerate() {
            stop::check()?;
            // What it has taken so far says more than what was expected.
            let expected = plan.expected(&left[held..]);
            let rest = match plan.expected(&left[..held]) {
                before if before.is_zero() => expected,
                before => expected.mul_f64(begun.elapsed().as_secs_f64() / before.as_secs_f64()),
            };
            let name = plan.name(turn);
            progress.step(format!("drill {} of {}: {name}; about {} to go", turn.number, plan.turns.len(), time(rest)));
            let row = self.one(turn)?;
            append(&dir.join(CSV), std::slice::from_ref(&row))?;
            progress.say(&said::line(&row, &name));
            rows.push(row);
            if nothing_in_a_row(&rows) >= plan.matrix.cells.len().max(FEWEST) {
                self.conclude(&rows)?;
                bail!("nothing was measured in each of the last drills: {}", said::why(&rows[rows.len() - 1]));
            }
        }
        self.conclude(&rows)
    }

    /// One drill, in a lab and a folder of its own.
    fn one(&self, turn: &Turn) -> Result<ModeRow> {
        let cell = &self.plan.matrix.cells[turn.cell];
        let begun = Instant::now();
        // A folder of an interrupted drill stays as it is.
        let label = |tried: u64| match tried {
            1 => turn.number.to_string(),
            tried => format!("{}-{tried}", turn.number),
        };
        let free = |label: &String| !self.dir.join(format!("run-{label}")).exists();
        let label = (1..).map(label).find(free).context("no name is left for a folder")?;
        let (run, dir) = run_folder::make_below(self.sh, &self.run, &self.dir, &label)?;
        let lab = step::own_lab("bench");
        let held = drill::hold(&cell.drill()?, &lab, &run, &dir, &Progress::new(true));
        let held = step::down(&lab, &run, Ok(held))?;
        if held.is_err() {
            stop::check()?; // interrupted, and no drill
        }
        let judged = JudgedRun::read(&dir);
        let mut row = figures::blank(&self.run.name, turn, cell, &label)?;
        figures::fill(&mut row, &judged, &held);
        row.elapsed_us = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        step::leave_report(&run, &dir, &judge::read(&dir))
            .unwrap_or_else(|error| self.progress.warn(&format!("{error:#}")));
        Ok(row)
    }

    /// The page, the table, and the verdict on all rows: also on those of before.
    fn conclude(&self, rows: &[ModeRow]) -> Result<Verdict> {
        let Bench { dir, progress, .. } = self;
        progress.finish();
        let page = dir.join(PAGE);
        if page.exists() {
            std::fs::remove_file(&page).with_context(|| page.display().to_string())?; // of fewer rows
        }
        let csv = dir.join(CSV).display().to_string();
        let drawn = step::run("draw-report", &["--modes", &csv], &self.run, dir, PAGE);
        let drawn = drawn.map(drop).context("the picture was not drawn");
        drawn.unwrap_or_else(|error| progress.warn(&format!("{error:#}")));
        let verdict = rows.iter().map(|row| row.verdict).fold(Verdict::Held, Verdict::join);
        let said = said::table(rows);
        std::fs::write(dir.join("summary.txt"), format!("{said}\n")).context("summary.txt")?;
        progress.say(&format!("\nthe run's folder, with {CSV} and {PAGE}:"));
        sink::print_line(&run_folder::shown(dir))?;
        progress.conclude(&format!("\n{said}"), verdict);
        Ok(verdict)
    }
}
