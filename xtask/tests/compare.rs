//! `cargo xtask compare` and `judge` on folders of repetitions, made of the samples.

#![allow(clippy::unwrap_used, reason = "the helpers of a test may panic as well as the test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn xtask(words: &[&str], folders: &[&Path]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_xtask")).args(words).args(folders).output().unwrap()
}

/// A folder of repetitions whose outages are these; the first is a warm-up with an outage of an hour.
fn folder(dir: &Path, name: &str, outages: &[u64]) -> PathBuf {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("reports/samples/drill-held/drill.csv");
    let sample = fs::read_to_string(sample).unwrap();
    let (header, row) = sample.trim_end().split_once('\n').unwrap();
    let columns: Vec<&str> = header.split(',').collect();
    let at = |name: &str| columns.iter().position(|column| *column == name).unwrap();
    let mut drills = format!("{header}\n");
    let mut runs = "run,number,counted,verdict,lag_p99_us,commit_p99_us,settings_md5\n".to_owned();
    for (outage, number) in [3_600_000_000].iter().chain(outages).zip(1..) {
        let mut fields: Vec<String> = row.split(',').map(str::to_owned).collect();
        fields[at("run")] = format!("r-{number}");
        fields[at("outage_us")] = outage.to_string();
        drills += &format!("{}\n", fields.join(","));
        runs += &format!("r-{number},{number},{},held,1000,2000,x\n", number > 1);
    }
    let dir = dir.join(name);
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("drill.csv"), drills).unwrap();
    fs::write(dir.join("runs.csv"), runs).unwrap();
    dir
}

#[test]
fn worse_is_1_equal_is_0_too_few_are_2_and_warm_ups_do_not_count() {
    let dir = tempfile::tempdir().unwrap();
    let of = |name: &str, outages: &[u64]| folder(dir.path(), name, outages);
    let before = of("before", &[61_000, 65_000, 63_000, 70_000, 62_000, 68_000, 64_000, 66_000]);
    let equal = of("equal", &[66_000, 62_000, 64_000, 69_000, 61_000, 67_000, 63_000, 65_000]);
    let worse = of("worse", &[91_000, 95_000, 93_000, 99_000, 92_000, 98_000, 94_000, 96_000]);
    let few = of("few", &[91_000, 95_000, 93_000]);
    for (after, code, words) in
        [(&equal, 0, "no regression was found"), (&worse, 1, "WORSE"), (&few, 2, "could not tell")]
    {
        let output = xtask(&["compare"], &[&before, after]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(words), "{said}");
        let rows: Vec<report::compare::CompareRow> = report::rows::read(&output.stdout[..]).unwrap();
        assert_eq!(rows[0].figure, "outage_us");
        assert!(rows[0].before_count == 8 && rows[0].before_median == Some(64_000.0), "{rows:?}");
    }
    assert_eq!(xtask(&["compare"], &[&worse, &before]).status.code(), Some(0), "better");
    assert_eq!(xtask(&["compare", "--at-least", "60"], &[&before, &worse]).status.code(), Some(0), "not that much");
}

#[test]
fn rows_that_are_not_of_the_same_runs_are_refused_and_rows_without_drills_are_unknown() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (folder(dir.path(), "one", &[1; 8]), folder(dir.path(), "two", &[1; 8]));
    assert_eq!(xtask(&["judge"], &[&one]).status.code(), Some(2), "no drill is there to be judged");
    let alone = xtask(&["compare"], &[&one, &two]);
    let said = String::from_utf8(alone.stderr).unwrap();
    assert!(alone.status.code() == Some(0) && said.contains("two: its drills are not beside its rows"), "{said}");
    fs::create_dir(two.join("run-1")).unwrap();
    let doubtful = xtask(&["compare"], &[&one, &two]);
    let said = String::from_utf8(doubtful.stderr).unwrap();
    assert!(doubtful.status.code() == Some(2) && said.contains("two: runs.csv says otherwise of run-1"), "{said}");
    let runs = fs::read_to_string(two.join("runs.csv")).unwrap();
    fs::remove_file(two.join("runs.csv")).unwrap();
    let headless = xtask(&["compare"], &[&one, &two]);
    let said = String::from_utf8(headless.stderr).unwrap();
    assert!(headless.status.code() == Some(2) && said.contains("two: runs.csv is not beside its drills"), "{said}");
    fs::write(two.join("runs.csv"), &runs[..runs.trim_end().rfind('\n').unwrap() + 1]).unwrap();
    let output = xtask(&["compare"], &[&one, &two]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("not of the same runs"));
    fs::write(two.join("runs.csv"), runs.replacen(",false,held,", ",false,broken,", 1)).unwrap();
    let said = String::from_utf8(xtask(&["compare"], &[&one, &two]).stderr).unwrap();
    assert!(said.contains("two: run-1 is a warm-up, and broken"), "{said}");
}
