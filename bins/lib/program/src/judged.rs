//! A run's folder, judged by its files alone: what `cargo xtask judge` says and `draw-report` draws.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use report::evidence::Evidence;
use report::judge::Judged;
use report::lag::LagRow;
use report::programs::ProgramRow;
use report::seal::Seal;
use report::verdict::Verdict::{self, Held, Unknown};
use report::verify::VerifyRow;
use report::{drill, summary};

use crate::folder;

/// How each program of a run ended.
pub const PROGRAMS: &str = "programs.csv";

/// A run's folder. A part is an error where its files are not whole, or do not agree.
pub struct JudgedRun {
    /// The samples of lag; `None`: the run has none.
    pub lag: Option<Result<Vec<LagRow>>>,
    /// The comparison of the standbys; `None`: a drill by itself makes none.
    pub standbys: Option<Result<Standbys>>,
    /// The drill.
    pub drill: Result<Drill>,
}

/// A drill and the files that it was judged by.
pub struct Drill {
    /// The files.
    pub evidence: Evidence,
    /// What follows from them.
    pub judged: Judged,
}

/// What `verify-replication` found.
pub struct Standbys {
    /// Its rows.
    pub rows: Vec<VerifyRow>,
    /// The verdict on them, and on how the program ended: what it could not find out may stand in its exit code alone.
    pub verdict: Verdict,
    /// How it ended, where that is worse than its rows.
    pub ended: Option<Verdict>,
}

impl JudgedRun {
    /// Reads and judges a folder.
    #[must_use]
    pub fn read(dir: &Path) -> JudgedRun {
        let has = |file: &str| dir.join(file).exists();
        JudgedRun {
            lag: has("lag.csv").then(|| folder::rows(dir, "lag.csv")),
            standbys: ["run.toml", PROGRAMS, "verify.csv"].into_iter().any(has).then(|| standbys(dir)),
            drill: drilled(dir),
        }
    }

    /// The verdict on all of it.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let lag = self.lag.as_ref().map(|lag| lag.as_ref().map_or(Unknown, |_| Held));
        let standbys = self.standbys.as_ref().map(|found| found.as_ref().map_or(Unknown, |found| found.verdict));
        let drill = self.drill.as_ref().map_or(Unknown, |drill| drill.judged.verdict);
        [lag, standbys, Some(drill)].into_iter().flatten().fold(Held, Verdict::join)
    }

    /// All of it in words, for people; the verdict on the drill comes last.
    #[must_use]
    pub fn said(&self) -> String {
        let lag = self.lag.as_ref().map(|lag| said("lag", lag, |rows| summary::lag(rows)));
        let standbys = self.standbys.as_ref().map(|found| said("standbys", found, Standbys::said));
        let drill = said("verdict", &self.drill, |drill| summary::drills(&drill.judged));
        [lag, standbys, Some(drill)].into_iter().flatten().collect::<Vec<_>>().join("\n")
    }
}

fn said<T>(part: &str, found: &Result<T>, in_words: impl Fn(&T) -> String) -> String {
    found.as_ref().map_or_else(|error| format!("{part:<10}unknown: {error:#}"), in_words)
}

impl Standbys {
    fn said(&self) -> String {
        let beside = |ended| format!("\n          verify-replication ended as {ended}");
        summary::verify(&self.rows) + &self.ended.map(beside).unwrap_or_default()
    }
}

/// The drill, and whether its row says the same.
fn drilled(dir: &Path) -> Result<Drill> {
    let evidence = folder::evidence(dir)?;
    let mut judged = report::judge::judge(&evidence)?;
    let differing = drill::differences(folder::open(dir, "drill.csv")?, &judged.rows).context("drill.csv")?;
    if !differing.is_empty() {
        judged.could_not(&format!(
            "drill.csv says otherwise than the files that it was made from: {}",
            differing.join("; ")
        ));
    }
    Ok(Drill { evidence, judged })
}

fn standbys(dir: &Path) -> Result<Standbys> {
    let (program, file) = ("verify-replication", "verify.csv");
    let programs: Vec<ProgramRow> = folder::rows(dir, PROGRAMS)?;
    let own: Vec<&ProgramRow> = programs.iter().filter(|row| row.program == program).collect();
    ensure!(own.len() == 1, "{PROGRAMS} says {} times how {program} ended", own.len());
    let (then, now) = (Seal { lines: own[0].count, md5: own[0].md5.clone() }, folder::seal(dir, file)?);
    ensure!(then == now, "{file} is not what it was when {program} ended: {then} then, {now} now");
    let rows: Vec<VerifyRow> = folder::rows(dir, file)?;
    let found = rows.iter().map(|row| row.verdict).max().unwrap_or(Unknown);
    Ok(Standbys {
        rows,
        verdict: found.join(own[0].verdict),
        ended: Some(own[0].verdict).filter(|ended| *ended > found),
    })
}
