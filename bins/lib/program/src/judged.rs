//! A run's folder, judged by its files alone: what `cargo xtask judge` says and `draw-report` draws.

use std::path::Path;

use anyhow::{Context as _, Error, Result, bail, ensure};
use report::evidence::Evidence;
use report::judge::Judged;
use report::lag::LagRow;
use report::programs::ProgramRow;
use report::reasons::Reason;
use report::seal::Seal;
use report::show::{apart, us};
use report::verdict::Verdict::{self, Held, Unknown};
use report::verify::VerifyRow;
use report::{drill, summary};
use serde::de::DeserializeOwned;

use crate::folder;

/// How each program of a run ended.
pub const PROGRAMS: &str = "programs.csv";

/// A run's folder. A part is an error where its files are not whole, or do not agree.
pub struct JudgedRun {
    /// The samples of lag; `None`: the run has none.
    pub lag: Option<Result<Vec<LagRow>>>,
    /// The limit on it, and what came of it; `None`: there was none, or the samples are in error.
    pub lag_limit: Option<LagLimit>,
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

/// `--max-lag` of a drill.
pub struct LagLimit {
    /// The longest lag of a beat that is taken, in microseconds.
    pub max_us: u64,
    /// The longest lag of a beat, in microseconds; of one that was not seen, the bound. `None`: no beat has one.
    pub longest_us: Option<u64>,
    /// Whether it was kept.
    pub verdict: Verdict,
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
        let (lag, lag_limit) = match lag(dir) {
            Ok(Some((rows, limit))) => (Some(Ok(rows)), limit),
            Ok(None) => (None, None),
            Err(error) => (Some(Err(error)), None),
        };
        JudgedRun {
            lag,
            lag_limit,
            standbys: ["run.toml", PROGRAMS, "verify.csv"].into_iter().any(has).then(|| standbys(dir)),
            drill: drilled(dir),
        }
    }

    /// The verdict on all of it.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let lag = self.lag.as_ref().map(|lag| lag.as_ref().map_or(Unknown, |_| Held));
        let lag_limit = self.lag_limit.as_ref().map(|limit| limit.verdict);
        let standbys = self.standbys.as_ref().map(|found| found.as_ref().map_or(Unknown, |found| found.verdict));
        let drill = self.drill.as_ref().map_or(Unknown, |drill| drill.judged.verdict);
        [lag, lag_limit, standbys, Some(drill)].into_iter().flatten().fold(Held, Verdict::join)
    }

    /// Why the verdict is not `held`: each reason of each part.
    #[must_use]
    pub fn reasons(&self) -> Vec<Reason> {
        let because = |verdict, why| Reason { step: None, verdict, why };
        let failed = |part: &str, error: &Error| because(Unknown, format!("{part}: {error:#}"));
        let mut reasons = match &self.drill {
            Ok(drill) => drill.judged.reasons.clone(),
            Err(error) => vec![failed("the drill", error)],
        };
        let lag = self.lag.as_ref().and_then(|lag| lag.as_ref().err());
        reasons.extend(lag.map(|error| failed("the lag", error)));
        let lag_limit = self.lag_limit.as_ref().and_then(|limit| Some(because(limit.verdict, limit.why()?)));
        reasons.extend(lag_limit);
        reasons.extend(self.standbys.as_ref().and_then(|found| match found {
            Ok(found) => (found.verdict > Held).then(|| because(found.verdict, found.why())),
            Err(error) => Some(failed("the comparison of the standbys", error)),
        }));
        reasons
    }

    /// All of it in words, for people, on a screen of 80 × 24; the verdict on all of it is the last line.
    #[must_use]
    pub fn said(&self) -> String {
        let lag = self.lag.as_ref().map(|lag| said("lag", lag, |rows| summary::lag(rows)));
        let standbys = self.standbys.as_ref().map(|found| said("standbys", found, Standbys::said));
        let lag_limit = self.lag_limit.as_ref().map(LagLimit::said);
        let drill = said("drill", &self.drill, |drill| summary::takeovers(&drill.judged));
        let verdict = summary::verdict(self.verdict());
        [lag, lag_limit, standbys, Some(drill), Some(verdict)].into_iter().flatten().collect::<Vec<_>>().join("\n")
    }
}

fn said<T>(part: &str, found: &Result<T>, in_words: impl Fn(&T) -> String) -> String {
    found.as_ref().map_or_else(|error| format!("{part:<10}unknown: {error:#}"), in_words)
}

impl LagLimit {
    fn of(max_us: u64, rows: &[LagRow], ended: Verdict) -> LagLimit {
        let longest_us = rows.iter().filter_map(|row| row.visible_min_us.max(row.visible_max_us)).max();
        let found = match longest_us {
            Some(longest) if longest > max_us => Verdict::Broken,
            // Whether beats were seen to the end is what the program itself knows.
            Some(_) => ended,
            None => Unknown,
        };
        LagLimit { max_us, longest_us, verdict: found.join(ended) }
    }

    /// Why the limit is not known to be kept; `None`: it is.
    #[must_use]
    pub fn why(&self) -> Option<String> {
        match (self.verdict, self.longest_us) {
            (Held, _) => None,
            (Verdict::Broken, Some(longest_us)) if longest_us > self.max_us => {
                let (longest, max) = apart(longest_us, self.max_us);
                Some(format!("the lag of a beat came to {longest} (--max-lag {max})"))
            }
            (verdict, _) => Some(format!(
                "measure-lag ended as {verdict} under --max-lag {}: log/measure-lag.log says why",
                us(self.max_us)
            )),
        }
    }

    fn said(&self) -> String {
        let kept = || format!("every beat within --max-lag {}", us(self.max_us));
        format!("          {}: {}", self.why().unwrap_or_else(kept), self.verdict)
    }
}

impl Standbys {
    /// What was found, in one line.
    fn why(&self) -> String {
        self.said().split_whitespace().collect::<Vec<_>>().join(" ")
    }

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
    let program = program(dir, "verify-replication")?;
    let rows: Vec<VerifyRow> = rows_of(dir, &program, "verify.csv")?;
    let found = rows.iter().map(|row| row.verdict).max().unwrap_or(Unknown);
    let ended = program.verdict;
    Ok(Standbys { rows, verdict: found.join(ended), ended: Some(ended).filter(|ended| *ended > found) })
}

/// The samples of lag, and what came of `--max-lag`; `None`: the run has none. Those of a drill that `cargo xtask` held have to
/// be what they were then; with `failover-drill` alone, who measured them is not known.
fn lag(dir: &Path) -> Result<Option<(Vec<LagRow>, Option<LagLimit>)>> {
    if !dir.join(PROGRAMS).exists() {
        let is_there = dir.join("lag.csv").exists();
        return is_there.then(|| Ok((folder::rows(dir, "lag.csv")?, None))).transpose();
    }
    let program = program(dir, "measure-lag")?;
    let rows: Vec<LagRow> = rows_of(dir, &program, "lag.csv")?;
    let limit = program.max_lag_us.map(|max_us| LagLimit::of(max_us, &rows, program.verdict));
    Ok(Some((rows, limit)))
}

/// How a program of the run ended.
fn program(dir: &Path, name: &str) -> Result<ProgramRow> {
    let programs: Vec<ProgramRow> = folder::rows(dir, PROGRAMS)?;
    let own: Vec<ProgramRow> = programs.into_iter().filter(|row| row.program == name).collect();
    match <[ProgramRow; 1]>::try_from(own) {
        Ok([own]) => Ok(own),
        Err(own) => bail!("{PROGRAMS} says {} times how {name} ended", own.len()),
    }
}

/// Its rows, if their file is what it was then. Its name is ours: a folder may come from anywhere.
fn rows_of<Row: DeserializeOwned>(dir: &Path, ended: &ProgramRow, file: &str) -> Result<Vec<Row>> {
    let program = &ended.program;
    let (then, now) = (Seal { lines: ended.count, md5: ended.md5.clone() }, folder::seal(dir, file)?);
    ensure!(then == now, "{file} is not what it was when {program} ended: {then} then, {now} now");
    folder::rows(dir, file)
}
