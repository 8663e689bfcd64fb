//! The history of drills as a page: what stands together, in which order, and what counts.

#![allow(clippy::unwrap_used, reason = "the helpers of a test may panic as well as the test")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use report::history::HistoryRow;
use report::verdict::Verdict;
use report::words::{Backend, Fault, OutageKind, SyncMode};

/// A drill that held, on the day `day`, with an outage of so many milliseconds.
fn drill(day: u32, outage_ms: u64) -> HistoryRow {
    HistoryRow {
        run: format!("run-of-day-{day:02}"),
        date_utc: format!("2026-11-{day:02}T08:00:00Z"),
        commit: "abcdef0".to_owned(),
        machine: "2 cpus, Linux 6.1".to_owned(),
        settings_md5: Some("0f".repeat(16)),
        fault: Fault::Kill,
        sync: SyncMode::On,
        backend: Backend::Local,
        pg_version: "15.20".to_owned(),
        counted: true,
        verdict: Verdict::Held,
        outage_us: Some(outage_ms * 1_000),
        lost: Some(0),
        lag_p99_us: Some(2_500),
        acked_before_per_s: Some(500),
        outage_kind: Some(OutageKind::Exact),
    }
}

fn draw(file: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_draw-report")).arg("--history").arg(file).output().unwrap()
}

fn page(rows: &[HistoryRow]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("history.csv");
    let mut csv = csv::Writer::from_path(&file).unwrap();
    rows.iter().for_each(|row| csv.serialize(row).unwrap());
    csv.flush().unwrap();
    let output = draw(&file);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn drills_stand_together_by_settings_and_machine_in_the_order_of_time() {
    let other_machine = HistoryRow { machine: "64 cpus, Linux 6.12".to_owned(), ..drill(4, 40) };
    let broken = HistoryRow { verdict: Verdict::Broken, lost: Some(7), ..drill(5, 5_000) };
    let warm_up = HistoryRow { counted: false, ..drill(6, 60) };
    let page = page(&[drill(3, 30), broken, drill(1, 10), other_machine, warm_up]);
    assert!(page.contains("<title>broken: 5 takeovers</title>"), "{page}");
    let sections: Vec<&str> = page.split("<section>").skip(1).collect();
    assert_eq!(sections.len(), 2, "{page}");
    let group = |machine: &str| *sections.iter().find(|section| section.contains(machine)).unwrap();
    let days = |section: &str| -> Vec<String> {
        let rest = section.split("run-of-day-").skip(1);
        rest.map(|rest| rest[..2].to_owned()).collect()
    };
    let here = group("2 cpus, Linux 6.1");
    assert_eq!(days(here), ["01", "03", "05", "06"]);
    assert!(here.contains("run-of-day-06 (warm-up)") && here.matches("(warm-up)").count() == 1, "{here}");
    assert_eq!(days(group("64 cpus")), ["04"]);
    for shown in ["10.00 ms", "30.00 ms", "5.00 s", ">7<", "<span class=\"broken\">broken</span>"] {
        assert!(here.contains(shown), "{shown}: {here}");
    }
    let unhashed = |fault| HistoryRow { settings_md5: None, fault, ..drill(1, 10) };
    let page = self::page(&[unhashed(Fault::Kill), unhashed(Fault::Stop)]);
    assert_eq!(page.matches("<section>").count(), 2, "different faults stand apart also where no hash is: {page}");
    // Each drill that counts is a point, in each of the pictures for a wide and a narrow screen.
    assert_eq!(here.matches("<circle").count(), 2 * 3, "{here}");
}

#[test]
fn what_was_not_seen_is_no_figure_and_what_a_file_says_is_never_a_tag() {
    let unseen = HistoryRow {
        outage_us: None,
        outage_kind: None,
        lost: None,
        lag_p99_us: None,
        verdict: Verdict::Unknown,
        machine: "<script>alert(1)</script>".to_owned(),
        pg_version: "<b>15</b>".to_owned(),
        ..drill(1, 0)
    };
    let page = page(&[unseen]);
    assert!(page.contains("<title>unknown: 1 takeover</title>") && page.contains("No outage was seen."), "{page}");
    assert!(!page.contains("<circle") && !page.contains("<script") && !page.contains("<b>15"), "{page}");
    assert_eq!(page.matches("<td>–</td>").count(), 3, "{page}");
}

#[test]
fn an_outage_without_an_end_is_a_bound() {
    let page = page(&[drill(1, 10), HistoryRow { outage_kind: Some(OutageKind::AtLeast), ..drill(2, 7_000) }]);
    assert!(page.contains("<td>≥ 7.00 s</td>") && page.contains("<td>10.00 ms</td>"), "{page}");
    assert!(page.contains("a ring: at least so long"), "{page}");
    let circles: Vec<&str> = page.split("<circle").skip(1).map(|rest| rest.split("/>").next().unwrap()).collect();
    let rings = circles.iter().filter(|circle| circle.contains("fill=\"none\"")).count();
    assert_eq!((circles.len(), rings), (2 * 2, 2), "{page}");
}

#[test]
fn a_history_of_nothing_is_no_pass_and_what_is_none_is_refused() {
    let page = page(&[HistoryRow { counted: false, ..drill(1, 10) }]);
    assert!(page.contains("No outage was seen.") && page.contains("(warm-up)"), "{page}");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("history.csv");
    fs::write(&file, "").unwrap();
    let page = String::from_utf8(draw(&file).stdout).unwrap();
    assert!(page.contains("<title>unknown: 0 takeovers</title>"), "{page}");
    fs::write(&file, "run,date_utc\nr,today\n").unwrap();
    let output = draw(&file);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("history.csv"));
}
