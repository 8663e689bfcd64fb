//! The row of one drill: what its cell is, and the figures that follow from the files in its folder.

use std::collections::BTreeMap;

use anyhow::{Context as _, Error, Result};
use program::judged::{Drill, JudgedRun};
use report::foreign;
use report::lag::LagSummary;
use report::modes::ModeRow;
use report::percentiles::Percentiles;
use report::takeovers::takeovers;
use report::verdict::Verdict;
use report::words::{Backend, Fault};

use super::matrix::Cell;
use super::turns::Turn;

/// The row of a drill of which nothing is known yet. `label` is the end of its run's and its folder's name.
///
/// # Errors
/// If the cell is none that a row could have: a mistake of ours.
pub(super) fn blank(above: &str, turn: &Turn, cell: &Cell, label: &str) -> Result<ModeRow> {
    let word = |name| Some(cell.factor(name)).filter(|value| !value.is_empty()).map(str::to_owned);
    let number = |name| cell.factor(name).parse::<u64>().ok();
    let fault = Fault::ALL.into_iter().find(|fault| fault.as_str() == cell.factor("fault"));
    let compose = cell.words.windows(2).any(|words| words == ["--backend", "compose"]);
    Ok(ModeRow {
        run: format!("{above}-{label}"),
        turn: turn.number,
        repetition: turn.repetition,
        folder: format!("run-{label}"),
        backend: if compose { Backend::Compose } else { Backend::Local },
        sync: cell.factor("sync").parse().map_err(Error::msg)?,
        standbys: number("standbys").context("standbys")?,
        clients: number("clients").context("clients")?,
        rate_per_s: number("rate"),
        settings: word("settings"),
        fault: fault.context("fault")?,
        pg_version_asked: number("pg_version"),
        pg_bin_asked: word("pg_bin"),
        pg_version: None,
        verdict: Verdict::Unknown,
        why: None,
        acked_per_s: None,
        commit_p50_us: None,
        commit_p99_us: None,
        lag_p50_us: None,
        lag_p99_us: None,
        outage_us: None,
        outage_kind: None,
        floor_us: None,
        lost: None,
        rpo_span_us: None,
        rpo_wal_bytes: None,
        elapsed_us: 0,
    })
}

/// Fills in what a drill has left in its folder, and the verdict on it. `held` is how the drill ended.
pub(super) fn fill(row: &mut ModeRow, judged: &JudgedRun, held: &Result<Verdict>) {
    row.verdict = held.as_ref().map_or(Verdict::Unknown, |verdict| *verdict).join(judged.verdict());
    row.why = why(row.verdict, judged, held);
    let Ok(drill) = &judged.drill else { return };
    if let Some(found) = drill.judged.rows.first() {
        row.pg_version = Some(found.pg_version.clone());
        (row.outage_us, row.outage_kind) = (found.outage_us, found.outage_kind);
        (row.floor_us, row.lost, row.acked_per_s) = (found.floor_us, found.lost, found.acked_before_per_s);
        (row.rpo_span_us, row.rpo_wal_bytes) = (found.rpo_span_us, found.rpo_wal_bytes);
    }
    let Some(t0_us) = fault_us(drill) else { return };
    let commits = commits_before(drill, t0_us);
    (row.commit_p50_us, row.commit_p99_us) = (commits.at(50.0), commits.at(99.0));
    let lags = lags_before(judged, t0_us);
    let longest = |percent| LagSummary::longest_at(&lags, percent);
    (row.lag_p50_us, row.lag_p99_us) = (longest(50.0), longest(99.0));
}

/// Why it is not held, in one line.
fn why(verdict: Verdict, judged: &JudgedRun, held: &Result<Verdict>) -> Option<String> {
    if verdict == Verdict::Held {
        return None;
    }
    let mut reasons: Vec<String> = held.as_ref().err().map(|error| format!("{error:#}")).into_iter().collect();
    // Of a drill that could not begin nothing more is to be said than that.
    if reasons.is_empty() || judged.drill.is_ok() {
        reasons.extend(judged.reasons().iter().map(ToString::to_string));
    }
    // A program's log is quoted in it, line by line, each with a mark.
    let lines = reasons.iter().flat_map(|reason| reason.lines()).map(|line| line.trim().trim_start_matches("| "));
    let said = lines.collect::<Vec<_>>().join("; ").replace(":; ", ": ");
    Some(foreign::one_line(&said).into_owned())
}

/// T0 of the drill.
fn fault_us(drill: &Drill) -> Option<u64> {
    takeovers(&drill.evidence.ledger, &drill.evidence.events).ok()?.first()?.marks.t0_us
}

fn commits_before(drill: &Drill, t0_us: u64) -> Percentiles {
    let mut commits = Percentiles::default();
    let acks = drill.evidence.ledger.acks.iter().filter(|ack| ack.at_us < t0_us);
    acks.filter_map(|ack| ack.latency_us).for_each(|us| commits.record(us));
    commits
}

/// The visible lag of each standby from what was sampled before the fault: of the same time as the rate and the commits, for
/// what comes later is the takeover's, and the old primary's catching up. A beat that was not seen by then is later than all others.
fn lags_before(judged: &JudgedRun, t0_us: u64) -> Vec<LagSummary> {
    let mut standbys: BTreeMap<&str, LagSummary> = BTreeMap::new();
    let rows = judged.lag.as_ref().and_then(|lag| lag.as_ref().ok());
    for row in rows.into_iter().flatten().filter(|row| row.at_us < t0_us) {
        standbys.entry(&row.standby).or_default().add(row);
    }
    standbys.into_values().collect()
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;
    use program::judged::JudgedRun;
    use report::verdict::Verdict;

    use super::{blank, fill};
    use crate::bench::modes::matrix::Matrix;
    use crate::bench::modes::turns::turns;
    use crate::cargo::workspace;

    #[test]
    fn figures_follow_from_the_files_of_the_drill() {
        let cells = Matrix::parse("mine.toml", "").unwrap().cells;
        let dir = workspace().join("reports/samples/drill-held");
        let judged = JudgedRun::read(&dir);
        let mut row = blank("r", &turns(1, 1, 0)[0], &cells[0], "1").unwrap();
        fill(&mut row, &judged, &Ok(Verdict::Held));
        let drill = &judged.drill.as_ref().unwrap().judged.rows[0];
        assert_eq!((row.verdict, &row.why), (Verdict::Held, &None));
        assert_eq!(
            (row.outage_us, row.lost, row.pg_version.as_ref()),
            (drill.outage_us, drill.lost, Some(&drill.pg_version))
        );
        assert!(row.acked_per_s > Some(0) && row.commit_p50_us > Some(0), "{row:?}");
        assert!(row.commit_p50_us <= row.commit_p99_us && row.lag_p50_us <= row.lag_p99_us, "{row:?}");
        assert!(row.lag_p50_us > Some(0), "{row:?}");
    }

    #[test]
    fn a_drill_that_could_not_begin_is_unknown_and_says_why_in_one_line() {
        let cells = Matrix::parse("mine.toml", "").unwrap().cells;
        let dir = tempfile::tempdir().unwrap();
        let mut row = blank("r", &turns(1, 1, 0)[0], &cells[0], "1").unwrap();
        let held = Err(anyhow!("setup failed:\n  | no room\n  | on the disk"));
        fill(&mut row, &JudgedRun::read(dir.path()), &held);
        assert_eq!((row.verdict, row.why.as_deref()), (Verdict::Unknown, Some("setup failed: no room; on the disk")));
        assert!(row.outage_us.is_none() && row.acked_per_s.is_none() && row.lost.is_none(), "{row:?}");
    }
}
