//! `bench verify --truth`, `--honest` and `--coverage`, small: whether verify-replication finds what is planted, nothing else, and
//! passes nothing over.

#![allow(clippy::unwrap_used, reason = "the helpers of a test may panic as well as the test")]

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use report::bench::{CoverageBenchRow, HonestBenchRow, TruthBenchRow};

/// A home that the servers' user can reach, for labs and for the run's folder.
fn home() -> tempfile::TempDir {
    let home = tempfile::Builder::new().prefix("understudy-").tempdir().unwrap();
    std::fs::set_permissions(home.path(), Permissions::from_mode(0o755)).unwrap();
    home
}

/// Runs it; its exit code, the run's folder, and stderr.
fn bench(home: &Path, args: &[&str]) -> (Option<i32>, PathBuf, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(["bench", "verify"]).args(args).arg("--runs").arg(home.join("runs"));
    command.env("UNDERSTUDY_HOME", home).env_remove("UNDERSTUDY_CLUSTER").stdin(Stdio::null());
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let folder = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    let labs = std::fs::read_dir(home).unwrap().filter_map(Result::ok);
    let left = labs.filter(|entry| entry.file_name().to_string_lossy().starts_with("bench_")).count();
    assert_eq!(left, 0, "the lab is gone: {stderr}");
    (output.status.code(), folder, stderr)
}

fn rows<Row: for<'de> serde::Deserialize<'de>>(folder: &Path, file: &str, stderr: &str) -> Vec<Row> {
    let file = std::fs::File::open(folder.join(file)).unwrap_or_else(|error| panic!("{error}: {stderr}"));
    report::rows::read(file).unwrap()
}

#[test]
fn what_is_planted_is_found_and_nothing_is_invented() {
    let home = home();
    let (code, folder, stderr) = bench(home.path(), &["--truth", "--small"]);
    assert_eq!(code, Some(0), "{stderr}");
    let rows: Vec<TruthBenchRow> = rows(&folder, "bench-truth.csv", &stderr);
    assert!(rows.len() > 60 && rows.iter().map(|row| row.planted).sum::<u64>() > 500, "{stderr}");
    for row in rows {
        assert_eq!((row.found, row.invented), (row.planted, 0), "{row:?} {stderr}");
    }
}

#[test]
fn an_honest_pair_is_never_broken() {
    let home = home();
    let (code, folder, stderr) = bench(home.path(), &["--honest", "2"]);
    assert_eq!(code, Some(0), "{stderr}");
    let rows: Vec<HonestBenchRow> = rows(&folder, "bench-honest.csv", &stderr);
    assert_eq!(rows.len(), 2, "{stderr}");
    assert!(rows.iter().all(|row| row.broken == Some(0) && row.held > Some(0)), "{rows:?} {stderr}");
}

#[test]
fn every_relation_is_compared_or_named() {
    let home = home();
    let (code, folder, stderr) = bench(home.path(), &["--coverage"]);
    assert_eq!(code, Some(0), "{stderr}");
    let rows: Vec<CoverageBenchRow> = rows(&folder, "bench-coverage.csv", &stderr);
    let of = |kind: &str| rows.iter().find(|row| row.kind == kind).unwrap_or_else(|| panic!("{kind}: {stderr}"));
    assert!(rows.iter().all(|row| (row.silent, row.broken) == (0, 0)), "{rows:?} {stderr}");
    assert!(of("table").compared >= 14 && of("index").compared >= 20 && of("sequence").compared >= 7, "{rows:?}");
    // What cannot be compared: a table of another server, tables and sequences without WAL, a view that nobody has filled.
    assert_eq!(["foreign table", "unlogged", "materialized view"].map(|kind| of(kind).named), [1, 2, 1], "{rows:?}");
}
