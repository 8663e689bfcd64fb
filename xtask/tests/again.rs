//! `cargo xtask drill --runs`, with real servers: three drills and a warm-up in one lab.

#![allow(clippy::unwrap_used, reason = "the helpers of a test may panic as well as the test")]

mod checkout;

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use report::drill::DrillRow;
use report::runs::RunRow;

fn xtask(words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(words).current_dir(checkout::root()).stdin(Stdio::null());
    command.env_remove("UNDERSTUDY_CLUSTER").env_remove("UNDERSTUDY_RUN").env_remove("UNDERSTUDY_ORIGIN");
    command.env_remove("GITHUB_ACTIONS").env_remove("GITHUB_STEP_SUMMARY");
    command.output().unwrap()
}

#[test]
fn each_drill_has_a_folder_that_is_judged_by_itself_and_a_row_above_them() {
    let _kept = checkout::Kept::now();
    let drill = ["drill", "--backend", "local", "--runs", "3", "--rows", "500", "--duration", "1s"];
    let output = xtask(&drill);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    let dir = checkout::root().join(String::from_utf8(output.stdout).unwrap().trim());
    let drills: Vec<DrillRow> = report::rows::read(fs::File::open(dir.join("drill.csv")).unwrap()).unwrap();
    let runs: Vec<RunRow> = report::rows::read(fs::File::open(dir.join("runs.csv")).unwrap()).unwrap();
    assert_eq!(runs.iter().map(|run| run.counted).collect::<Vec<_>>(), [false, true, true, true]);
    assert!(runs.iter().all(|run| run.lag_p99_us.is_some() && run.commit_p99_us.is_some()), "{runs:?}");
    assert!(runs.iter().all(|run| run.settings_md5 == runs[0].settings_md5), "{runs:?}");
    let victims: Vec<&str> = drills.iter().map(|row| row.old_primary.as_str()).collect();
    // There and back in each of them: the raw floor that is measured after a takeover is one in the other direction.
    assert_eq!(victims, ["node1"; 4]);
    assert!(
        drills.iter().all(
            |row| row.new_primary.as_deref() == Some("node2") && row.floor_us.and(row.acked_before_per_s).is_some()
        ),
        "{drills:?}"
    );
    let summary = fs::read_to_string(dir.join("summary.txt")).unwrap();
    assert!(summary.contains("\nverdict   held"), "{summary}");
    assert!(fs::metadata(dir.join("report.html")).unwrap().len() > 0);
    let history = fs::read_to_string(checkout::root().join("reports/history.csv")).unwrap();
    assert!(runs.iter().all(|run| history.contains(&format!("\n{},", run.run))), "{history}");

    let judged = |dir: &Path| xtask(&["judge", dir.to_str().unwrap()]).status.code();
    assert_eq!(judged(&dir), Some(0));
    for number in 1..=4 {
        assert_eq!(judged(&dir.join(format!("run-{number}"))), Some(0));
    }
    let dir_arg = dir.to_str().unwrap();
    assert_eq!(xtask(&["compare", dir_arg, dir_arg]).status.code(), Some(2), "three are too few to tell");
    let ledger = dir.join("run-3/ledger.csv");
    let whole = fs::read_to_string(&ledger).unwrap();
    fs::write(&ledger, &whole[..whole.trim_end().rfind('\n').unwrap() + 1]).unwrap();
    assert_eq!(judged(&dir), Some(2), "one of them is not whole");
    fs::remove_dir_all(&dir).unwrap();
}
