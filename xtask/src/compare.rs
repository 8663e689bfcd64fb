//! `cargo xtask compare A B`: is B worse than A, or is it noise?

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use program::progress::{tell, warn};
use program::sink::Sink;
use report::compare::{CompareRow, compare as compared};
use report::verdict::Verdict;

use crate::repetitions;

/// Arguments of `compare`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The folder of the earlier run, of `drill --runs` (or `--rounds`)
    #[arg(value_name = "BEFORE")]
    before: PathBuf,
    /// The folder of the later run
    #[arg(value_name = "AFTER")]
    after: PathBuf,
    /// A change of less than so many percent is no regression, however sure it is
    #[arg(long, value_name = "PERCENT", default_value_t = 5, value_parser = clap::value_parser!(u32).range(0..=1000))]
    at_least: u32,
}

/// Prints a row for each figure. `broken`: the later run is worse; `held`: no regression was found; `unknown`: it could not be told.
pub(crate) fn compare(args: &Args) -> Result<Verdict> {
    let read = |dir: &Path| repetitions::read(dir).with_context(|| format!("cannot compare {}", dir.display()));
    let (before, after) = (read(&args.before)?, read(&args.after)?);
    let names = (name(&args.before)?, name(&args.after)?);
    let mut found = compared((&names.0, &names.1), &before, &after, f64::from(args.at_least));
    let mut sink = Sink::stdout()?;
    found.rows.iter().try_for_each(|row| sink.row(row))?;
    for what in ["kernel", "cpus"] {
        let (before, after) = (machine(&args.before, what), machine(&args.after, what));
        if before != after {
            warn(&format!("{what} differs: {before} before, {after} after"));
        }
    }
    let [was, is] = [(&args.before, &names.0), (&args.after, &names.1)].map(|(dir, name)| {
        let (verdict, told) = repetitions::doubts(dir);
        told.iter().for_each(|what| warn(&format!("{name}: {what}")));
        verdict
    });
    found.verdict = found.verdict.join(doubt(was, is));
    found.warnings.iter().for_each(|warning| warn(warning));
    found.rows.iter().for_each(|row| tell(&said(row)));
    tell(match found.verdict {
        Verdict::Held => "no regression was found",
        Verdict::Broken => "worse",
        Verdict::Unknown => "could not tell",
    });
    Ok(found.verdict)
}

/// What the runs as a whole say, the earlier and the later: what only the later one has broken is worse.
fn doubt(was: Verdict, is: Verdict) -> Verdict {
    match (was, is) {
        (Verdict::Broken, Verdict::Held) => Verdict::Held,
        (Verdict::Broken, _) => Verdict::Unknown,
        (was, is) => was.join(is),
    }
}

/// The folder's name, where a link to it leads.
fn name(dir: &Path) -> Result<String> {
    let real = dir.canonicalize().with_context(|| dir.display().to_string())?;
    Ok(real.file_name().map_or(String::new(), |name| name.to_string_lossy().into_owned()))
}

/// What `run.toml` says of the machine.
fn machine(dir: &Path, what: &str) -> String {
    let told = program::trust::read_plain(&dir.join("run.toml")).ok().and_then(|text| text.parse::<toml::Table>().ok());
    told.and_then(|table| Some(report::foreign::one_line(&table.get(what)?.to_string()).into_owned()))
        .unwrap_or("-".to_owned())
}

fn said(row: &CompareRow) -> String {
    let number = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.0}"));
    let percent = |value: Option<f64>| match (value, row.before_median) {
        (Some(value), Some(median)) if median > 0.0 => format!("{:+.1} %", 100.0 * value / median),
        (Some(value), _) => format!("{value:+}"),
        _ => "-".to_owned(),
    };
    let word = match row.verdict {
        Verdict::Held => "not found worse",
        Verdict::Broken => "WORSE",
        Verdict::Unknown => "could not tell",
    };
    format!(
        "{:<20}{} ({}) -> {} ({}): {} [{}, {}], p {}: {word}",
        row.figure,
        number(row.before_median),
        row.before_count,
        number(row.after_median),
        row.after_count,
        percent(row.change),
        percent(row.change_low),
        percent(row.change_high),
        row.p_corrected.map_or("-".to_owned(), |p| format!("{p:.4}")),
    )
}
