//! `cargo xtask judge RUN`: judges a run again, from the files in its folder alone.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use program::folder;
use program::progress::tell;
use report::lag::LagRow;
use report::programs::ProgramRow;
use report::seal::Seal;
use report::verdict::Verdict::{self, Held, Unknown};
use report::verify::VerifyRow;
use report::{drill, summary};

/// How each program of a run ended.
pub(crate) const PROGRAMS: &str = "programs.csv";

/// Arguments of `judge`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The run's folder, such as `reports/latest`
    #[arg(value_name = "RUN")]
    run: PathBuf,
}

/// Says what `cargo xtask drill` said at its end, and returns the same verdict; `unknown`, where the files are not whole or
/// the run's own `drill.csv` says otherwise.
pub(crate) fn judge(args: &Args) -> Result<Verdict> {
    let (verdict, said) = judged(&args.run);
    tell(&said);
    Ok(verdict)
}

/// The verdict on a run's folder, and all that is to be said of it.
pub(crate) fn judged(dir: &Path) -> (Verdict, String) {
    let has = |file: &str| dir.join(file).exists();
    let mut parts = Vec::new();
    if has("lag.csv") {
        let rows = folder::rows::<LagRow>(dir, "lag.csv");
        parts.push(("lag", rows.map(|rows| (Held, summary::lag(&rows)))));
    }
    // A drill by itself has none of these.
    if ["run.toml", PROGRAMS, "verify.csv"].into_iter().any(has) {
        parts.push(("standbys", verified(dir)));
    }
    parts.push(("verdict", drilled(dir)));
    let said = parts
        .into_iter()
        .map(|(part, found)| found.unwrap_or_else(|error| (Unknown, format!("{part:<10}unknown: {error:#}"))));
    let (verdicts, texts): (Vec<Verdict>, Vec<String>) = said.unzip();
    (verdicts.into_iter().fold(Held, Verdict::join), texts.join("\n"))
}

/// The drill, and whether its row says the same.
fn drilled(dir: &Path) -> Result<(Verdict, String)> {
    let mut judged = report::judge::judge(&folder::evidence(dir)?)?;
    let differing = drill::differences(folder::open(dir, "drill.csv")?, &judged.rows).context("drill.csv")?;
    if !differing.is_empty() {
        judged.could_not(&format!(
            "drill.csv says otherwise than the files that it was made from: {}",
            differing.join("; ")
        ));
    }
    Ok((judged.verdict, summary::drills(&judged)))
}

/// What verify-replication found; what it could not find out may stand in its exit code alone.
fn verified(dir: &Path) -> Result<(Verdict, String)> {
    let (program, file) = ("verify-replication", "verify.csv");
    let programs: Vec<ProgramRow> = folder::rows(dir, PROGRAMS)?;
    let own: Vec<&ProgramRow> = programs.iter().filter(|row| row.program == program).collect();
    ensure!(own.len() == 1, "{PROGRAMS} says {} times how {program} ended", own.len());
    let (then, now) = (Seal { lines: own[0].count, md5: own[0].md5.clone() }, folder::seal(dir, file)?);
    ensure!(then == now, "{file} is not what it was when {program} ended: {then} then, {now} now");
    let rows: Vec<VerifyRow> = folder::rows(dir, file)?;
    let found = rows.iter().map(|row| row.verdict).max().unwrap_or(Unknown);
    let beside = if own[0].verdict > found {
        format!("\n          {program} ended as {}", own[0].verdict)
    } else {
        String::new()
    };
    Ok((found.join(own[0].verdict), summary::verify(&rows) + &beside))
}
