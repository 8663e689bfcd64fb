//! The page as a program sees it: its figures are held against ones computed here, straight from the CSV files and by other
//! means than those of `report`.

#![allow(clippy::unwrap_used, reason = "the helpers of a test may panic as well as the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../reports/samples").join(name)
}

fn draw(runs: &[&Path]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_draw-report")).args(runs).output().unwrap()
}

fn page(runs: &[&Path]) -> String {
    let output = draw(runs);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The exact values of a figure, in the order of the page.
fn figures(page: &str, name: &str) -> Vec<String> {
    let begin = format!(" data-{name}=\"");
    page.split(&begin).skip(1).map(|rest| rest.split_once('"').unwrap().0.to_owned()).collect()
}

/// The rows of a file by their columns.
fn rows(dir: &Path, file: &str) -> Vec<BTreeMap<String, String>> {
    csv::Reader::from_path(dir.join(file)).unwrap().deserialize().map(Result::unwrap).collect()
}

fn number(row: &BTreeMap<String, String>, column: &str) -> Option<u64> {
    row[column].parse().ok()
}

/// A copy of a sample that may be changed.
fn copy(name: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for file in fs::read_dir(sample(name)).unwrap().map(Result::unwrap) {
        fs::copy(file.path(), dir.path().join(file.file_name())).unwrap();
    }
    dir
}

#[test]
fn outage_and_loss_are_those_of_ledger_and_reads() {
    for name in ["drill-held", "drill-broken"] {
        let dir = sample(name);
        let page = page(&[&dir]);
        let ledger = rows(&dir, "ledger.csv");
        let acks = || ledger.iter().filter(|row| row["event"] == "acked");
        let at = |row: &BTreeMap<String, String>| number(row, "at_us").unwrap();
        let old = acks().map(|row| number(row, "timeline").unwrap()).min().unwrap();
        let first_new = acks().filter(|row| number(row, "timeline") > Some(old)).map(at).min().unwrap();
        let last_old = acks().map(at).filter(|at| *at < first_new).max().unwrap();
        assert_eq!(figures(&page, "outage_us"), [(first_new - last_old).to_string()], "{name}");

        let mut there = BTreeSet::new();
        for row in rows(&dir, "reads.csv").iter().filter(|row| row["read"] == "final") {
            let seqs = number(row, "first_seq").unwrap()..=number(row, "last_seq").unwrap();
            there.extend(seqs.map(|seq| (row["worker"].clone(), seq)));
        }
        let gone = acks().filter(|row| !there.contains(&(row["worker"].clone(), number(row, "seq").unwrap())));
        assert_eq!(figures(&page, "lost"), [gone.count().to_string()], "{name}");

        let t0 = rows(&dir, "events.csv").iter().find(|row| row["mark"] == "t0").map(at).unwrap();
        let longest = |within: &dyn Fn(u64) -> bool| {
            acks().filter(|row| within(at(row))).filter_map(|row| number(row, "latency_us")).max().unwrap()
        };
        let shown: u64 = figures(&page, "latency_before_max_us")[0].parse().unwrap();
        assert!(shown.abs_diff(longest(&|at| at < t0)) <= shown / 500, "{name}: {shown}");
        let parts: u64 = figures(&page, "part_us").iter().map(|part| part.parse::<u64>().unwrap()).sum();
        assert_eq!(parts, first_new - last_old, "{name}: the parts of the outage");
    }
}

#[test]
fn lag_is_that_of_its_samples() {
    let dir = sample("drill-held");
    let page = page(&[&dir]);
    let rows = rows(&dir, "lag.csv");
    let standbys: BTreeSet<&String> = rows.iter().map(|row| &row["standby"]).collect();
    let expected: Vec<u64> = standbys
        .into_iter()
        .map(|standby| {
            let own = || rows.iter().filter(|row| row["standby"] == *standby);
            let mut beats: BTreeMap<&String, u64> = BTreeMap::new();
            for row in own().filter(|row| row["status"] == "at_least") {
                beats.insert(&row["beat"], number(row, "visible_min_us").unwrap());
            }
            for row in own().filter(|row| row["status"] == "seen") {
                beats.insert(&row["beat"], number(row, "visible_max_us").unwrap());
            }
            beats.retain(|beat, _| !own().any(|row| row["status"] == "beat_lost" && row["beat"] == **beat));
            let mut lags: Vec<u64> = beats.into_values().collect();
            lags.sort_unstable();
            lags[(lags.len() * 99).div_ceil(100) - 1]
        })
        .collect();
    let shown: Vec<u64> = figures(&page, "lag_p99_us").iter().map(|lag| lag.parse().unwrap()).collect();
    assert_eq!(shown.len(), expected.len());
    for (shown, expected) in shown.iter().zip(&expected) {
        assert!(shown.abs_diff(*expected) <= expected / 500, "{shown} on the page, {expected} in the file");
    }
}

#[test]
fn the_verdict_and_its_reasons_stand_on_the_page() {
    let held = page(&[&sample("drill-held")]);
    assert_eq!(figures(&held, "verdict"), ["held"]);
    assert!(!held.contains("class=\"reasons\""));
    let broken = page(&[&sample("drill-broken")]);
    assert_eq!(figures(&broken, "verdict"), ["broken"]);
    assert!(broken.contains("broken: 16 acknowledged writes are lost (--max-lost 0)"));
    assert!(broken.contains("<title>broken: "));
}

#[test]
fn files_that_are_not_whole_are_unknown_and_the_file_is_named() {
    let dir = copy("drill-held");
    let ledger = fs::read_to_string(dir.path().join("ledger.csv")).unwrap();
    let (before, _) = ledger.trim_end().rsplit_once('\n').unwrap();
    fs::write(dir.path().join("ledger.csv"), before).unwrap();
    let page = page(&[dir.path()]);
    assert_eq!(figures(&page, "verdict"), ["unknown"]);
    assert!(page.contains("ledger.csv: it is not what it was when the drill ended"), "{page}");
    assert!(figures(&page, "outage_us").is_empty(), "no figure stands on such files");
}

#[test]
fn a_part_that_is_missing_is_said_and_the_rest_is_drawn() {
    let dir = copy("drill-held");
    for file in ["load.csv", "settings.csv", "verify.csv", "lag.csv"] {
        fs::remove_file(dir.path().join(file)).unwrap();
    }
    let page = page(&[dir.path()]);
    assert_eq!(figures(&page, "verdict"), ["unknown"], "the standbys were to be compared");
    assert_eq!(figures(&page, "outage_us").len(), 1);
    assert!(page.contains("load.csv") && page.contains("the comparison of the standbys"), "{page}");
}

/// A drill by itself compares none, and the page must not say that they hold the same data.
#[test]
fn of_standbys_that_were_not_compared_nothing_is_claimed() {
    assert!(page(&[&sample("drill-held")]).contains("the standbys hold the same data"));
    let dir = copy("drill-held");
    for file in ["programs.csv", "verify.csv"] {
        fs::remove_file(dir.path().join(file)).unwrap();
    }
    let page = page(&[dir.path()]);
    assert_eq!(figures(&page, "verdict"), ["held"]);
    assert!(page.contains("The standbys were not compared.") && !page.contains("hold the same data"), "{page}");
}

/// A browser that opens the page asks nobody for anything: there is no script, no address, and a policy that forbids both.
#[test]
fn nothing_is_asked_for_and_links_lead_to_files_that_are_there() {
    let runs = [sample("drill-held"), sample("drill-broken")];
    let output = Command::new(env!("CARGO_BIN_EXE_draw-report")).arg(".").current_dir(&runs[0]).output().unwrap();
    let page = String::from_utf8(output.stdout).unwrap();
    for word in ["<script", " src=", "@import", "url(", "<link", "<iframe", "onload", "javascript:"] {
        assert!(!page.contains(word), "{word}");
    }
    let addresses = page.split("http").skip(1).filter(|rest| rest.starts_with("://") || rest.starts_with("s://"));
    assert!(addresses.into_iter().all(|rest| rest.starts_with("://www.w3.org/2000/svg\"")), "only SVG's own name");
    assert!(page.contains("default-src 'none'"));
    let links: Vec<&str> = page
        .split("href=\"")
        .skip(1)
        .map(|rest| rest.split_once('"').unwrap().0)
        .filter(|to| !to.starts_with('#'))
        .collect();
    assert!(links.len() > 8 && links.iter().all(|link| runs[0].join(link).is_file()), "{links:?}");
}

#[test]
fn what_a_file_says_is_never_a_tag() {
    let dir = copy("drill-held");
    let settings = fs::read_to_string(dir.path().join("settings.csv")).unwrap();
    let (header, _) = settings.split_once('\n').unwrap();
    let evil = "r,\"<script>alert(1)</script>\",\"a\"\" onload=\"\"x\",<b>,default\n";
    fs::write(dir.path().join("settings.csv"), format!("{header}\n{evil}")).unwrap();
    fs::write(dir.path().join("<img src=x>.csv"), "").unwrap();
    let page = page(&[dir.path()]);
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;") && page.contains("&lt;img src=x&gt;.csv"), "{page}");
    assert!(!page.contains("<script") && !page.contains("<img") && !page.contains("onload=\"x"));
}

#[test]
fn runs_stand_side_by_side_with_their_spread() {
    let (held, broken) = (sample("drill-held"), sample("drill-broken"));
    let page = page(&[&held, &broken]);
    assert_eq!(figures(&page, "verdict"), ["broken", "held", "broken"], "on all, then on each");
    let spread = page.split("<th scope=\"row\">outage</th>").nth(1).unwrap().split_once("</tr>").unwrap().0;
    assert_eq!(spread, "<td>2</td><td>200.12 ms</td><td>200.12 ms</td><td>220.74 ms</td>");
    assert!(page.contains("href=\"#run2\"") && page.contains("id=\"run2\""));
}

/// A row of `drill.csv` knows nothing of what else was found in that run.
#[test]
fn beside_others_a_run_has_the_verdict_on_all_of_it() {
    let dir = copy("drill-held");
    fs::remove_file(dir.path().join("lag.csv")).unwrap();
    let page = page(&[&sample("drill-held"), dir.path()]);
    let cell = |run: &str| page.split(run).nth(1).unwrap().split("<td>").nth(1).unwrap().to_owned();
    let said = cell("href=\"#run2\"") + &cell("href=\"#run1\"");
    assert!(said.contains(">unknown<") && said.contains(">held<"), "{said}");
}

/// As `cargo xtask drill --runs` leaves them: the rows above the folders say which of them is a warm-up.
#[test]
fn a_warm_up_is_shown_and_not_counted() {
    let (dir, names) = (tempfile::tempdir().unwrap(), ["drill-held", "drill-broken"]);
    let mut beside = "run,number,counted,verdict\n".to_owned();
    let folders: Vec<PathBuf> = (1..)
        .zip(names)
        .map(|(number, name)| {
            let folder = dir.path().join(format!("run-{number}"));
            fs::rename(copy(name).keep(), &folder).unwrap();
            beside += &format!("{},{number},{},held\n", rows(&folder, "plan.csv")[0]["run"], number > 1);
            folder
        })
        .collect();
    fs::write(dir.path().join("runs.csv"), beside).unwrap();
    let page = page(&[&folders[0], &folders[1]]);
    let spread = page.split("<th scope=\"row\">outage</th>").nth(1).unwrap().split_once("</tr>").unwrap().0;
    let outage = rows(&folders[1], "drill.csv")[0]["outage_us"].clone();
    let shown = format!("{:.2} ms", outage.parse::<f64>().unwrap() / 1_000.0);
    assert_eq!(spread, format!("<td>1</td><td>{shown}</td><td>{shown}</td><td>{shown}</td>"));
    assert_eq!(page.matches("(warm-up: not counted)").count(), 1);
    if fs::metadata(dir.path()).unwrap().uid() == 0 {
        // As root: somebody else may write beside a folder of ours.
        std::os::unix::fs::chown(dir.path().join("runs.csv"), Some(65_534), None).unwrap();
        assert!(!self::page(&[&folders[0], &folders[1]]).contains("(warm-up: not counted)"));
    }
    assert_eq!(figures(&page, "verdict"), ["broken", "held", "broken"], "on all, then on each");
}

/// The pictures hold intervals and not events, so a page stays small however long the load was.
#[test]
fn a_long_load_makes_no_long_page() {
    let dir = copy("drill-held");
    let small = page(&[dir.path()]).len();
    let load = fs::read_to_string(dir.path().join("load.csv")).unwrap();
    let (header, row) = (load.lines().next().unwrap(), load.lines().nth(1).unwrap());
    let run = row.split(',').next().unwrap();
    let rest = row.splitn(3, ',').nth(2).unwrap();
    let long: String = (1..=200_000_u64).map(|second| format!("{run},{},{rest}\n", second * 1_000_000)).collect();
    fs::write(dir.path().join("load.csv"), format!("{header}\n{long}")).unwrap();
    let large = page(&[dir.path()]).len();
    assert!(large < small + 100_000, "{small} bytes, then {large}");
}

#[test]
fn what_is_no_folder_is_refused_by_name() {
    let output = draw(&[Path::new("/nowhere/at/all")]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(said.contains("/nowhere/at/all is not a directory"), "{said}");
    assert!(output.stdout.is_empty());
}
