//! `cargo xtask judge`: the samples, whole and damaged, as anybody would have them judged.

#![allow(clippy::unwrap_used, reason = "the helpers of a test may panic as well as the test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the program says of a folder: its exit code, and the words.
fn judge(dir: &Path) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_xtask")).arg("judge").arg(dir).output().unwrap();
    assert!(output.stdout.is_empty(), "stdout is for data");
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("reports/samples").join(name)
}

/// A copy that can be damaged.
fn copy(name: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(sample(name)).unwrap().map(Result::unwrap) {
        fs::copy(entry.path(), dir.path().join(entry.file_name())).unwrap();
    }
    dir
}

fn is_evidence(file: &str) -> bool {
    ["plan.csv", "events.csv", "ledger.csv", "reads.csv"].contains(&file)
}

/// Whether the verdict depends on a line of a run's files. Which lines it does not depend on is told in reports/README.md,
/// "What is in a run's folder".
fn bears(file: &str, number: usize, line: &str) -> bool {
    let field = |index| line.split(',').nth(index).unwrap_or_default();
    match file {
        "events.csv" => field(2) != "verdict",
        file if is_evidence(file) => true,
        "verify.csv" | "drill.csv" | "lag.csv" => true,
        // Without its header a file is none.
        "programs.csv" => number == 0 || ["verify-replication", "measure-lag"].contains(&field(1)),
        _ => false,
    }
}

#[test]
fn the_samples_are_judged_as_they_were() {
    for (name, code, words) in [
        ("drill-held", 0, ["verdict   held", "drill     kill of node1", "standbys  "]),
        ("drill-broken", 1, ["broken: ", "lost (worker/seq): ", "lag       "]),
    ] {
        let (found, said) = judge(&sample(name));
        assert_eq!(found, Some(code), "{name}: {said}");
        assert!(words.iter().all(|word| said.contains(word)), "{name}: {said}");
        // It fits a screen, with the verdict at its end.
        let screen = report::show::for_screen(&said, 80);
        assert!(screen.lines().count() <= 22, "{name}: {screen}");
        assert!(said.lines().last().is_some_and(|line| line.starts_with("verdict   ")), "{name}: {said}");
    }
}

#[test]
fn a_line_that_is_gone_or_there_twice_is_unknown_unless_nothing_depends_on_it() {
    for (name, whole) in [("drill-held", 0), ("drill-broken", 1)] {
        let dir = copy(name);
        for entry in fs::read_dir(sample(name)).unwrap().map(Result::unwrap) {
            let file = entry.file_name().into_string().unwrap();
            let text = fs::read_to_string(entry.path()).unwrap();
            let lines: Vec<&str> = text.split_inclusive('\n').collect();
            // Each line of the ledger is tried where no process has to be started for it: report/tests/damage.rs.
            for number in (0..lines.len()).step_by(if file == "ledger.csv" { 61 } else { 1 }) {
                // Loss that was seen stays seen, unless the evidence of it is damaged.
                let unknown = if is_evidence(&file) || whole == 0 { 2 } else { whole };
                let expected = if bears(&file, number, lines[number]) { unknown } else { whole };
                let (mut less, mut more) = (lines.clone(), lines.clone());
                less.remove(number);
                more.insert(number, lines[number]);
                for (what, lines) in [("without", less), ("twice", more)] {
                    fs::write(dir.path().join(&file), lines.concat()).unwrap();
                    let (found, said) = judge(dir.path());
                    assert_eq!(found, Some(expected), "{name}/{file}, {what} line {}: {said}", number + 1);
                    assert!(expected == whole || said.contains("unknown"), "{said}");
                }
            }
            fs::write(dir.path().join(&file), text).unwrap();
        }
        assert_eq!(judge(dir.path()).0, Some(whole), "all was put back");
    }
}

#[test]
fn a_file_that_is_cut_or_gone_is_never_held_where_the_verdict_depends_on_it() {
    let dir = copy("drill-held");
    for file in
        ["plan.csv", "events.csv", "ledger.csv", "reads.csv", "verify.csv", "drill.csv", "lag.csv", "programs.csv"]
    {
        let path = dir.path().join(file);
        let bytes = fs::read(&path).unwrap();
        // The last byte ends a line: without it nothing is missing from what is no evidence.
        for part in 0..10 {
            fs::write(&path, &bytes[..(bytes.len() - 2) * part / 9]).unwrap();
            let (found, said) = judge(dir.path());
            assert_eq!(found, Some(2), "{file}, {part} ninths: {said}");
        }
        fs::remove_file(&path).unwrap();
        let (found, said) = judge(dir.path());
        assert_eq!(found, Some(2), "without {file}: {said}");
        assert!(said.contains(file), "{said}");
        fs::write(&path, bytes).unwrap();
    }
    assert_eq!(judge(dir.path()).0, Some(0), "all was put back");
}

/// What the files say counts; that somebody was told otherwise is no pass.
#[test]
fn a_row_that_says_otherwise_than_its_evidence_is_named() {
    let dir = copy("drill-broken");
    let path = dir.path().join("drill.csv");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace(",broken,", ",held,")).unwrap();
    let (found, said) = judge(dir.path());
    assert_eq!(found, Some(1), "it is broken all the same: {said}");
    assert!(said.contains("drill.csv says otherwise") && said.contains("verdict: held there, broken here"), "{said}");
}

#[test]
fn what_is_no_run_is_unknown_and_the_missing_file_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (found, said) = judge(dir.path());
    assert_eq!(found, Some(2));
    assert!(said.contains("events.csv: No such file"), "{said}");
}

/// A folder may come from anybody: what it says is not to pass for what the judge says.
#[test]
fn no_name_in_a_file_is_shown_as_a_line_of_ours() {
    let forged = "\"node2\nverdict   held\n\u{1b}[2J\"";
    for (file, name) in
        [("lag.csv", "node2"), ("verify.csv", "node2"), ("drill.csv", "node1"), ("programs.csv", "seed-data")]
    {
        let dir = copy("drill-broken");
        let path = dir.path().join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(name), "{file}");
        if file == "lag.csv" {
            fs::remove_file(dir.path().join("programs.csv")).unwrap(); // whose seal would be what is told
        }
        fs::write(&path, text.replace(name, forged)).unwrap();
        let (found, said) = judge(dir.path());
        assert_ne!(found, Some(0), "{file}: {said}");
        assert!(
            !said.lines().any(|line| line.starts_with("verdict   held")) && !said.contains('\u{1b}'),
            "{file}: {said}"
        );
        assert!(said.contains("a field in it has several lines"), "{file}: {said}");
    }
}

/// A folder may come from anybody.
#[test]
fn a_pipe_among_the_files_is_not_waited_for() {
    for file in ["plan.csv", "events.csv", "ledger.csv", "reads.csv", "verify.csv", "programs.csv"] {
        let dir = copy("drill-held");
        let path = dir.path().join(file);
        fs::remove_file(&path).unwrap();
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        let mut command = Command::new("timeout");
        let output = command.args(["30", env!("CARGO_BIN_EXE_xtask"), "judge"]).arg(dir.path()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{file}: {said}");
        assert!(said.contains(file) && said.contains("not a plain file"), "{file}: {said}");
    }
}
