//! What a drill may cost: `--max-outage`, `--max-lag`, `--min-rate`, and what a pipeline reads of it. With real servers, and by the
//! samples, where each limit is tried at its edge.

#![allow(clippy::unwrap_used, reason = "the helpers of a test may panic as well as the test")]

mod checkout;
mod home;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use program::folder;
use quick_junit::{NonSuccessKind, Report, TestCaseStatus};
use report::lag::LagRow;
use serde_json::Value;

/// A drill whose results are in the home; with `github`, as GitHub would start it.
fn drill(home: &Path, github: bool, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(["drill", "--backend", "local", "--rows", "100", "--duration", "2s"]).args(more);
    for (option, file) in [("--junit", "drill.xml"), ("--json", "drill.json"), ("--openmetrics", "drill.prom")] {
        command.arg(option).arg(home.join(file));
    }
    let path = format!("{}:{}", home.join("bin").display(), std::env::var("PATH").unwrap());
    command.env("PATH", path).env("UNDERSTUDY_HOME", home).stdin(Stdio::null());
    command.env_remove("UNDERSTUDY_CLUSTER").env_remove("UNDERSTUDY_RUN").env_remove("UNDERSTUDY_ORIGIN");
    command.env_remove("GITHUB_ACTIONS").env_remove("GITHUB_STEP_SUMMARY");
    if github {
        command.env("GITHUB_ACTIONS", "true").env("GITHUB_STEP_SUMMARY", home.join("summary.md"));
    }
    command.output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The one test case of the report.
fn status(home: &Path) -> TestCaseStatus {
    let text = fs::read_to_string(home.join("drill.xml")).unwrap();
    let mut report = Report::deserialize_from_str(&text).unwrap();
    assert_eq!((report.tests, report.test_suites.len()), (1, 1), "{text}");
    report.test_suites.remove(0).test_cases.remove(0).status
}

fn json(home: &Path) -> Value {
    serde_json::from_slice(&fs::read(home.join("drill.json")).unwrap()).unwrap()
}

fn judge(dir: &Path) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_xtask")).arg("judge").arg(dir).output().unwrap();
    (output.status.code(), stderr(&output))
}

#[test]
fn an_outage_beyond_its_limit_is_1_everywhere_and_one_within_all_limits_is_0() {
    let (home, _kept) = (home::home(), checkout::Kept::now());
    for (limits, code, word) in [
        (&["--max-outage", "1ms"][..], 1, "broken"),
        (&["--max-outage", "1m", "--max-lag", "1m", "--min-rate", "1"], 0, "held"),
    ] {
        let output = drill(home.path(), code == 1, limits);
        let (stdout, said) = (String::from_utf8(output.stdout.clone()).unwrap(), stderr(&output));
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert_eq!(stdout.lines().count(), 1, "stdout is one path: {stdout}");
        let dir = checkout::root().join(stdout.trim());

        let json = json(home.path());
        let found = &json["drills"][0];
        assert_eq!((&json["verdict"], &found["verdict"]), (&word.into(), &word.into()), "{json}");
        assert_eq!(json["folder"], stdout.trim());
        assert_eq!(found["limits"]["max_outage_us"], if code == 1 { 1_000 } else { 60_000_000 });
        assert_eq!(found["limits"]["max_lag_us"], if code == 1 { Value::Null } else { 60_000_000.into() });
        let row = &found["takeovers"][0];
        assert!(row["outage_us"].as_u64() > Some(1_000) && row["acked_before_per_s"].as_u64() > Some(0), "{row}");
        let prom = fs::read_to_string(home.path().join("drill.prom")).unwrap();
        assert!(prom.contains(&format!("verdict=\"{word}\"}} 1\n")) && prom.ends_with("# EOF\n"), "{prom}");
        let annotated = said.lines().filter(|line| line.starts_with("::error ")).count();
        match status(home.path()) {
            TestCaseStatus::NonSuccess { kind, message, .. } if code == 1 => {
                let message = message.unwrap();
                assert!(kind == NonSuccessKind::Failure && message.contains("(--max-outage 1.00 ms)"), "{message:?}");
                assert!(annotated == 1 && said.contains("::error title=failover drill broken::the outage was "));
                let summary = fs::read_to_string(home.path().join("summary.md")).unwrap();
                assert!(summary.contains("    verdict   broken: "), "{summary}");
            }
            TestCaseStatus::Success { .. } if code == 0 => assert_eq!(annotated, 0, "{said}"),
            other => panic!("{other:?}"),
        }

        let (again, said) = judge(&dir);
        assert_eq!(again, Some(code), "judged by its files: {said}");
        assert!(said.contains("within --max-lag 60.00 s") == (code == 0), "{said}");
        fs::remove_dir_all(dir).unwrap();
    }
}

#[test]
fn a_drill_that_could_not_begin_leaves_no_old_file() {
    let (home, _kept) = (home::home(), checkout::Kept::now());
    for file in ["drill.xml", "drill.json", "drill.prom"] {
        fs::write(home.path().join(file), "of the last time").unwrap();
    }
    let output = drill(home.path(), true, &["--set", "no_such_setting=1"]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    let json = json(home.path());
    let why = json["reasons"][0]["why"].as_str().unwrap();
    assert!(json["verdict"] == "unknown" && why.contains("no_such_setting"), "{json}");
    assert!(matches!(status(home.path()), TestCaseStatus::NonSuccess { kind: NonSuccessKind::Error, .. }));
    let prom = fs::read_to_string(home.path().join("drill.prom")).unwrap();
    assert!(prom.contains("verdict=\"unknown\"} 1\n") && !prom.contains("outage_seconds"), "{prom}");
    assert!(said.contains("::error title=failover drill unknown::"), "{said}");
    if let Some(folder) = json["folder"].as_str() {
        fs::remove_dir_all(checkout::root().join(folder)).unwrap();
    }
}

#[test]
fn a_file_that_cannot_be_written_is_refused_before_anything_begins() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    let output = command.args(["drill", "--json", "/no/such/place/drill.json"]).output().unwrap();
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("--json /no/such/place/drill.json: there is no directory /no/such/place: make it first"),
        "{said}"
    );
}

/// A copy of the sample that held, as if `measure-lag` had ended so under this limit.
fn under_max_lag(limit: impl Fn(u64) -> u64, ended: &str) -> (tempfile::TempDir, u64) {
    let dir = tempfile::tempdir().unwrap();
    let sample: PathBuf = checkout::root().join("reports/samples/drill-held");
    for entry in fs::read_dir(sample).unwrap().map(Result::unwrap) {
        fs::copy(entry.path(), dir.path().join(entry.file_name())).unwrap();
    }
    let rows: Vec<LagRow> = folder::rows(dir.path(), "lag.csv").unwrap();
    let longest = rows.iter().filter_map(|row| row.visible_max_us.max(row.visible_min_us)).max().unwrap();
    let programs = fs::read_to_string(dir.path().join("programs.csv")).unwrap();
    let mut lines: Vec<String> =
        programs.lines().map(|line| line.split(',').take(6).collect::<Vec<_>>().join(",")).collect();
    for line in &mut lines {
        *line += match () {
            () if line.starts_with("run,") => ",max_lag_us".to_owned(),
            () if line.contains(",measure-lag,") => format!(",{}", limit(longest)),
            () => ",".to_owned(),
        }
        .as_str();
        *line = line.replace(",measure-lag,held,", &format!(",measure-lag,{ended},"));
    }
    fs::write(dir.path().join("programs.csv"), lines.join("\n") + "\n").unwrap();
    (dir, longest)
}

#[test]
fn a_lag_that_equals_its_limit_is_held_one_above_is_broken_and_what_was_not_seen_is_unknown() {
    let of = |limit: fn(u64) -> u64, ended| {
        let (dir, longest) = under_max_lag(limit, ended);
        let (code, said) = judge(dir.path());
        (code, said, longest)
    };
    let (code, said, _) = of(|longest| longest, "held");
    assert!(code == Some(0) && said.contains("every beat within --max-lag "), "{said}");
    let (code, said, longest) = of(|longest| longest - 1, "broken");
    assert!(code == Some(1) && said.contains("the lag of a beat came to "), "{said}");
    assert!(said.contains(&format!("{longest} µs (--max-lag {} µs)", longest - 1)), "to the microsecond: {said}");
    // Whoever says otherwise than its rows is not believed, and what it alone knows is.
    assert_eq!(of(|longest| longest - 1, "held").0, Some(1));
    let (code, said, _) = of(|longest| longest, "unknown");
    assert!(code == Some(2) && said.contains("measure-lag ended as unknown under --max-lag"), "{said}");
}

#[test]
fn under_a_limit_each_line_of_the_lag_bears_on_the_verdict() {
    let (dir, _) = under_max_lag(|longest| longest, "held");
    let path = dir.path().join("lag.csv");
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    for number in 1..lines.len() {
        let mut less = lines.clone();
        less.remove(number);
        fs::write(&path, less.concat()).unwrap();
        let (code, said) = judge(dir.path());
        assert!(code == Some(2) && said.contains("lag.csv is not what it was when measure-lag ended"), "{said}");
    }
    fs::write(&path, text).unwrap();
    assert_eq!(judge(dir.path()).0, Some(0), "all was put back");
}

/// What is broken of a run as a whole stands in no row of a takeover.
#[test]
fn a_run_that_newly_breaks_its_limit_of_the_lag_is_worse() {
    let ((held, _), (broken, _)) =
        (under_max_lag(|longest| longest, "held"), under_max_lag(|longest| longest - 1, "broken"));
    let compared = |before: &Path, after: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        let output = command.arg("compare").args([before, after]).output().unwrap();
        (output.status.code(), stderr(&output))
    };
    let (code, said) = compared(held.path(), broken.path());
    assert!(code == Some(1) && said.contains("the lag of a beat came to "), "{said}");
    for (before, after) in [(&broken, &held), (&broken, &broken), (&held, &held)] {
        let (code, said) = compared(before.path(), after.path());
        assert_eq!(code, Some(2), "one takeover each says nothing: {said}");
    }
}
