//! `reports/history.csv`: every drill of this checkout, a row each.

use anyhow::{Context as _, Result};
use program::append::append;
use program::judged::JudgedRun;
use program::run::{Run, utc_of_origin};
use report::history::HistoryRow;
use report::runs::RunRow;
use xshell::Shell;

use crate::cargo::workspace;
use crate::run_folder::{commit, system_file};

/// Notes a drill that was judged, and what stands beside its rows. No verdict hangs on it.
pub(crate) fn note(sh: &Shell, run: &Run, judged: &JudgedRun, beside: &RunRow) -> Result<()> {
    let Ok(drill) = &judged.drill else { return Ok(()) };
    let (commit, machine, date_utc) = (commit(sh), machine(), utc_of_origin(run.clock));
    let row = |row: &report::drill::DrillRow| HistoryRow {
        run: run.name.clone(),
        date_utc: date_utc.clone(),
        commit: if commit.is_empty() { "-".to_owned() } else { commit.clone() },
        machine: machine.clone(),
        settings_md5: beside.settings_md5.clone(),
        fault: row.fault,
        sync: row.sync,
        backend: row.backend,
        pg_version: row.pg_version.clone(),
        counted: beside.counted,
        verdict: beside.verdict.join(row.verdict),
        outage_us: row.outage_us,
        lost: row.lost,
        lag_p99_us: beside.lag_p99_us,
        acked_before_per_s: row.acked_before_per_s,
        outage_kind: row.outage_kind,
    };
    let rows: Vec<HistoryRow> = drill.judged.rows.iter().map(row).collect();
    append(&workspace().join("reports/history.csv"), &rows).context("the drill is not in the history")
}

/// What the machine is, and not whose: two of the same kind are one.
fn machine() -> String {
    let cpuinfo = system_file("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| Some(line.strip_prefix("model name")?.split_once(": ")?.1));
    let cpus = std::thread::available_parallelism().map_or("?".to_owned(), |cpus| cpus.to_string());
    let kernel = system_file("/proc/sys/kernel/osrelease").unwrap_or("?".to_owned());
    format!("{cpus} × {}, Linux {kernel}", model.unwrap_or("?"))
}
