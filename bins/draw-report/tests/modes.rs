//! The price list as a program sees it: its figures are held against ones computed here, straight from the CSV file.

#![allow(clippy::unwrap_used, reason = "the helpers of a test may panic as well as the test")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Its figures are made up; of `sync-modes` it has each cell three times.
fn made_up() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/made-up/modes.csv")
}

fn draw(file: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_draw-report")).arg("--modes").arg(file).output().unwrap()
}

fn page(file: &Path) -> String {
    let output = draw(file);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The exact values of a figure, in the order of the page.
fn figures(page: &str, name: &str) -> Vec<String> {
    let begin = format!(" data-{name}=\"");
    page.split(&begin).skip(1).map(|rest| rest.split_once('"').unwrap().0.to_owned()).collect()
}

#[test]
fn each_cell_has_the_medians_of_its_drills() {
    let page = page(&made_up());
    let rows: Vec<BTreeMap<String, String>> =
        csv::Reader::from_path(made_up()).unwrap().deserialize().map(Result::unwrap).collect();
    for figure in ["acked_per_s", "commit_p99_us", "lag_p99_us", "outage_us", "lost"] {
        let mut expected = Vec::new();
        for sync in ["async", "remote_write", "on", "remote_apply"] {
            for standbys in ["1", "2"] {
                let own = rows.iter().filter(|row| row["sync"] == sync && row["standbys"] == standbys);
                let mut values: Vec<u64> = own.filter_map(|row| row[figure].parse().ok()).collect();
                values.sort_unstable();
                expected.push(values[(values.len() - 1) / 2].to_string());
            }
        }
        assert_eq!(figures(&page, figure), expected, "{figure}");
    }
    assert_eq!(figures(&page, "verdict"), ["held"]);
}

#[test]
fn it_asks_for_nothing() {
    let page = page(&made_up());
    for word in ["<script", " src=", "@import", "url(", "<link", "<iframe", "onload", "href=", "javascript:"] {
        assert!(!page.contains(word), "{word}");
    }
    assert!(page.contains("default-src 'none'"));
}

#[test]
fn what_did_not_hold_is_named_and_what_a_file_says_is_never_a_tag() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("modes.csv");
    let text = fs::read_to_string(made_up()).unwrap();
    let (header, row) = (text.lines().next().unwrap(), text.lines().nth(1).unwrap());
    let columns: Vec<&str> = header.split(',').collect();
    let mut fields: Vec<&str> = row.split(',').collect();
    let at = |name: &str| columns.iter().position(|column| *column == name).unwrap();
    fields[at("verdict")] = "unknown";
    fields[at("why")] = "<script>alert(1)</script>";
    fields[at("settings")] = "work_mem=<b>";
    for name in ["acked_per_s", "commit_p99_us", "lag_p99_us", "outage_us", "lost"] {
        fields[at(name)] = "";
    }
    fs::write(&file, format!("{header}\n{row}\n{}\n", fields.join(","))).unwrap();
    let page = page(&file);
    assert_eq!(figures(&page, "verdict"), ["unknown"]);
    assert!(page.contains("1 held, 0 broken, 1 unknown") && page.contains("&lt;script&gt;alert(1)"), "{page}");
    assert!(!page.contains("<script") && !page.contains("=<b>"), "{page}");
    assert_eq!(figures(&page, "outage_us").len(), 1, "what was not seen is no figure");
    fs::write(&file, format!("{header}\n")).unwrap();
    let empty = String::from_utf8(draw(&file).stdout).unwrap();
    assert!(empty.contains("There is no drill in it yet.") && empty.contains("<title>unknown: "), "{empty}");
}

#[test]
fn what_is_no_price_list_is_refused() {
    let output = draw(Path::new("/nowhere/modes.csv"));
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("/nowhere/modes.csv"));
}
