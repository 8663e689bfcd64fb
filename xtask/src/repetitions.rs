//! The folder of `cargo xtask drill --runs`, read back: a whole drill in each `run-N`, and all of their rows above them.

use std::ffi::OsStr;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use program::folder;
use program::judged::{Drill, JudgedRun};
use report::drill::{DrillRow, differences};
use report::lag::LagSummary;
use report::percentiles::Percentiles;
use report::plan::PlanRow;
use report::reasons::Reason;
use report::runs::{Repetition, RunRow, spread};
use report::seal::Seal;
use report::seed::SeedRow;
use report::settings::SettingRow;
use report::takeovers::takeovers;
use report::verdict::Verdict;

use crate::drilled::{Drilled, Judged};

/// Which folders there are, and what is beside their rows of `drill.csv`.
pub(crate) const RUNS: &str = "runs.csv";

/// What `runs.csv` says of one drill: computed from its files alone.
pub(crate) fn row(run: &str, number: u64, counted: bool, dir: &Path, judged: &JudgedRun) -> RunRow {
    let drill = judged.drill.as_ref().ok();
    RunRow {
        run: run.to_owned(),
        number,
        counted,
        verdict: judged.verdict(),
        lag_p99_us: lag_p99_us(judged),
        commit_p99_us: drill.and_then(commit_p99_us),
        settings_md5: drill.and_then(|drill| settings_md5(dir, drill)),
    }
}

/// Of the time before the first fault, so that an outage is not in it.
fn commit_p99_us(drill: &Drill) -> Option<u64> {
    let evidence = &drill.evidence;
    let t0_us = takeovers(&evidence.ledger, &evidence.events).ok()?.first()?.marks.t0_us?;
    let before = evidence.ledger.acks.iter().filter(|ack| ack.at_us < t0_us);
    let mut commits = Percentiles::default();
    before.filter_map(|ack| ack.latency_us).for_each(|us| commits.record(us));
    commits.at(99.0)
}

fn lag_p99_us(judged: &JudgedRun) -> Option<u64> {
    let standbys = LagSummary::by_standby(judged.lag.as_ref()?.as_ref().ok()?);
    LagSummary::longest_at(standbys.values(), 99.0)
}

/// Without what a takeover changes: which node is which.
fn settings_md5(dir: &Path, drill: &Drill) -> Option<String> {
    let settings: Vec<SettingRow> = folder::rows(dir, "settings.csv").ok()?;
    let of_a_node = ["cluster_name", "synchronous_standby_names"];
    let mut lines: Vec<String> = settings
        .into_iter()
        .filter(|setting| !of_a_node.contains(&setting.name.as_str()))
        .map(|setting| format!("{}={}", setting.name, setting.value))
        .collect();
    lines.sort();
    lines.dedup();
    lines.extend(seeded(dir).into_iter().map(|table| format!("{} {}", table.table, table.rows)));
    // Nor limits: no figure depends on them.
    let plan = PlanRow {
        run: String::new(),
        max_lost: 0,
        max_outage_us: None,
        min_rate_per_s: None,
        ..drill.evidence.plan.clone()
    };
    let fault = drill.judged.rows.first()?.fault;
    lines.push(format!("{fault} {plan:?}"));
    Some(Seal::of(lines.join("\n").as_bytes()).ok()?.md5)
}

/// What was in the tables when the load began: several drills in one lab have it above their folders.
fn seeded(dir: &Path) -> Vec<SeedRow> {
    ["seed.csv", "../seed.csv"].iter().find_map(|file| folder::rows(dir, file).ok()).unwrap_or_default()
}

/// The rows of a run that count: with `runs.csv` those that it counts, else all takeovers of the drill.
pub(crate) fn read(dir: &Path) -> Result<Vec<Repetition>> {
    let drills: Vec<DrillRow> = folder::rows(dir, "drill.csv")?;
    if !dir.join(RUNS).exists() {
        return Ok(drills.into_iter().map(|drill| Repetition { drill, beside: None }).collect());
    }
    let runs: Vec<RunRow> = folder::rows(dir, RUNS)?;
    ensure!(
        runs.iter().map(|row| &row.run).eq(drills.iter().map(|row| &row.run)),
        "{} and drill.csv are not of the same runs: one of them was cut or changed",
        dir.join(RUNS).display()
    );
    let both = drills.into_iter().zip(runs).filter(|(_, row)| row.counted);
    Ok(both.map(|(drill, row)| Repetition { drill, beside: Some(row) }).collect())
}

/// What the rows of `drill.csv` and `runs.csv` say otherwise than the drills below them, and what is broken of a run as a whole and
/// stands in none of its rows. Somebody may have kept the rows alone: then they are taken as they are, and that is said.
pub(crate) fn doubts(dir: &Path) -> (Verdict, Vec<String>) {
    let kept = std::fs::read_dir(dir).map(|entries| entries.flatten().any(|entry| is_of_a_drill(&entry.file_name())));
    let told: Vec<String> = match (dir.join(RUNS).exists(), kept.unwrap_or_default()) {
        (true, true) => {
            broken_warm_up(dir).into_iter().chain(judge(dir).reasons.into_iter().map(|it| it.why)).collect()
        }
        (false, true) => vec![format!("{RUNS} is not beside its drills: which of them are warm-ups is not known")],
        (false, false) if dir.join("events.csv").exists() => return beside_its_rows(&JudgedRun::read(dir)),
        _ => {
            return (Verdict::Held, vec!["its drills are not beside its rows, which are taken as they are".to_owned()]);
        }
    };
    (if told.is_empty() { Verdict::Held } else { Verdict::Unknown }, told)
}

/// No figure of a warm-up counts; a promise that it breaks is broken.
fn broken_warm_up(dir: &Path) -> Option<String> {
    let runs: Vec<RunRow> = folder::rows(dir, RUNS).ok()?;
    let broken = runs.iter().find(|row| !row.counted && row.verdict == Verdict::Broken)?;
    Some(format!("run-{} is a warm-up, and broken", broken.number))
}

/// Why it cannot be told what a drill of several rounds came to, and what is broken that is no takeover's: a limit of the lag, a
/// standby that holds other data. What a takeover has broken is in its row.
fn beside_its_rows(judged: &JudgedRun) -> (Verdict, Vec<String>) {
    let is_meant = |reason: &Reason| reason.verdict == Verdict::Unknown || reason.step.is_none();
    let reasons: Vec<Reason> = judged.reasons().into_iter().filter(is_meant).collect();
    let verdict = reasons.iter().fold(Verdict::Held, |worst, reason| worst.join(reason.verdict));
    (verdict, reasons.into_iter().map(|reason| reason.why).collect())
}

fn is_of_a_drill(name: &OsStr) -> bool {
    name.to_str().and_then(|name| name.strip_prefix("run-")).is_some_and(|number| number.parse::<u64>().is_ok())
}

/// Judges each of the drills by its files, and the rows above them by the drills.
pub(crate) fn judge(dir: &Path) -> Judged {
    judged(dir).unwrap_or_else(|error| Judged {
        said: format!("verdict   unknown: {error:#}"),
        verdict: Verdict::Unknown,
        folders: vec![".".to_owned()],
        drills: Vec::new(),
        reasons: vec![could_not(&format!("{error:#}"))],
    })
}

fn judged(dir: &Path) -> Result<Judged> {
    let there: Vec<RunRow> = folder::rows(dir, RUNS)?;
    let (mut verdict, mut reasons, mut lines) = (Verdict::Held, Vec::new(), Vec::new());
    let (mut drills, mut counted, mut folders, mut told) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (row_there, number) in there.iter().zip(1..) {
        let (name, own) = (format!("run-{number}"), dir.join(format!("run-{number}")));
        let judged = JudgedRun::read(&own);
        let row = row(&row_there.run, number, row_there.counted, &own, &judged);
        if row != *row_there {
            reasons.push(format!("{RUNS} says otherwise of {name} than its files"));
        }
        verdict = verdict.join(row.verdict);
        told.push(Drilled::of(&judged, Some(number), row_there.counted));
        lines.push(format!("{name:<10}{}{}", row.verdict, if row.counted { "" } else { " (warm-up: not counted)" }));
        if let Ok(drill) = judged.drill {
            let takeovers = drill.judged.rows.into_iter().filter(|drill| drill.run == row.run);
            for drill in takeovers {
                if row.counted {
                    counted.push(Repetition { drill: drill.clone(), beside: Some(row.clone()) });
                }
                drills.push(drill);
            }
        }
        folders.push(name);
    }
    let above = folder::open(dir, "drill.csv").and_then(|file| differences(file, &drills)).context("drill.csv")?;
    reasons.extend(above.into_iter().map(|what| format!("drill.csv says otherwise than the drills: {what}")));
    let next = format!("run-{}", there.len() + 1);
    if dir.join(&next).exists() {
        reasons.push(format!("{next} has no row in {RUNS}: it was not held to its end"));
    }
    if counted.is_empty() {
        reasons.push("no drill that counts was held".to_owned());
    }
    if !reasons.is_empty() {
        verdict = verdict.join(Verdict::Unknown);
    }
    lines.push(spread(&counted));
    lines.push(format!("verdict   {verdict}"));
    lines.extend(reasons.iter().map(|reason| format!("          {reason}")));
    let reasons = reasons.iter().map(|reason| could_not(reason)).collect();
    Ok(Judged { said: lines.join("\n"), verdict, folders, drills: told, reasons })
}

fn could_not(why: &str) -> Reason {
    Reason { step: None, verdict: Verdict::Unknown, why: why.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use program::judged::JudgedRun;

    use super::settings_md5;

    #[test]
    fn drills_on_fuller_tables_are_not_drills_of_the_same_settings() {
        let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../reports/samples/drill-held");
        let dir = tempfile::tempdir().unwrap();
        for file in fs::read_dir(sample).unwrap().map(Result::unwrap) {
            fs::copy(file.path(), dir.path().join(file.file_name())).unwrap();
        }
        let md5 = || settings_md5(dir.path(), JudgedRun::read(dir.path()).drill.as_ref().unwrap()).unwrap();
        let (before, seeded) = (md5(), fs::read_to_string(dir.path().join("seed.csv")).unwrap());
        fs::write(dir.path().join("seed.csv"), seeded.replace("understudy.orders,1000,", "understudy.orders,9000,"))
            .unwrap();
        assert_ne!(md5(), before);
        fs::write(dir.path().join("seed.csv"), seeded.replace(",58395,", ",58396,")).unwrap();
        assert_eq!(md5(), before, "how long it took is no setting");
    }
}
