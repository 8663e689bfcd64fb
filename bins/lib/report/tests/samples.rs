//! The files of `reports/samples/` stay readable: columns are only ever appended, and the figures of a run can be
//! computed again from its evidence, years later.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use report::bench::{
    BackendBenchRow, CoverageBenchRow, HonestBenchRow, LagBenchRow, LoadBenchRow, TruthBenchRow, VerifyBenchRow,
};
use report::columns::columns;
use report::drill::{DrillRow, differences};
use report::event::{EventRow, Mark};
use report::evidence::Evidence;
use report::fate::FateRow;
use report::judge::judge;
use report::lag::LagRow;
use report::ledger::LedgerRow;
use report::load::LoadRow;
use report::modes::{ModeRow, cells};
use report::plan::PlanRow;
use report::programs::ProgramRow;
use report::reads::ReadRow;
use report::seed::SeedRow;
use report::settings::SettingRow;
use report::verdict::Verdict;
use report::verify::VerifyRow;
use report::words::SyncMode;
use serde::de::DeserializeOwned;

/// The folders that hold a whole drill.
const DRILLS: [&str; 2] = ["drill-held", "drill-broken"];

fn path(folder: &str, file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../reports/samples").join(folder).join(file)
}

fn open(folder: &str, file: &str) -> BufReader<File> {
    let path = path(folder, file);
    BufReader::new(File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

/// The rows of a sample, after its header was found to be where today's columns begin.
fn rows<Row: DeserializeOwned>(folder: &str, file: &str) -> Vec<Row> {
    let text = std::fs::read_to_string(path(folder, file)).expect(file);
    let header: Vec<&str> = text.lines().next().expect("a header").split(',').collect();
    let today = columns::<Row>();
    assert_eq!(today.get(..header.len()), Some(&header[..]), "{folder}/{file}: columns are only ever appended");
    assert_eq!(header.first(), Some(&"run"), "{folder}/{file}: `run` comes first");
    report::rows::read(text.as_bytes()).unwrap_or_else(|error| panic!("{folder}/{file}: {error:#}"))
}

#[test]
fn every_sample_still_parses_into_todays_rows() {
    for folder in DRILLS {
        assert_eq!(rows::<DrillRow>(folder, "drill.csv").len(), 1);
        assert!(!rows::<EventRow>(folder, "events.csv").is_empty());
        assert!(!rows::<LagRow>(folder, "lag.csv").is_empty());
        assert!(!rows::<LedgerRow>(folder, "ledger.csv").is_empty());
        assert!(!rows::<LoadRow>(folder, "load.csv").is_empty());
        assert_eq!(rows::<PlanRow>(folder, "plan.csv").len(), 1);
        assert!(!rows::<ReadRow>(folder, "reads.csv").is_empty());
        assert_eq!(rows::<ProgramRow>(folder, "programs.csv").len(), 4);
        assert!(!rows::<SettingRow>(folder, "settings.csv").is_empty());
        assert_eq!(rows::<SeedRow>(folder, "seed.csv").len(), 3);
        assert!(rows::<VerifyRow>(folder, "verify.csv").iter().all(|row| row.verdict == Verdict::Held));
        rows::<FateRow>(folder, "fates.csv");
    }
    assert!(!rows::<BackendBenchRow>("bench", "bench-backends.csv").is_empty());
    assert!(!rows::<LagBenchRow>("bench", "bench-lag.csv").is_empty());
    assert!(!rows::<LoadBenchRow>("bench", "bench-load.csv").is_empty());
    assert!(!rows::<VerifyBenchRow>("bench", "bench-verify.csv").is_empty());
    assert!(!rows::<CoverageBenchRow>("bench", "bench-coverage.csv").is_empty());
    assert!(!rows::<TruthBenchRow>("bench", "bench-truth.csv").is_empty());
    assert!(!rows::<HonestBenchRow>("bench", "bench-honest.csv").is_empty());
    assert!(!rows::<DrillRow>("bench", "bench-outage.csv").is_empty());
    assert!(!rows::<ModeRow>("sync-modes", "modes.csv").is_empty());
}

#[test]
fn every_file_of_the_samples_is_one_that_the_test_above_reads() {
    let known = [
        "drill.csv",
        "events.csv",
        "fates.csv",
        "lag.csv",
        "ledger.csv",
        "load.csv",
        "plan.csv",
        "programs.csv",
        "reads.csv",
        "seed.csv",
        "settings.csv",
        "verify.csv",
    ];
    let bench = [
        "bench-backends.csv",
        "bench-coverage.csv",
        "bench-honest.csv",
        "bench-lag.csv",
        "bench-load.csv",
        "bench-outage.csv",
        "bench-truth.csv",
        "bench-verify.csv",
    ];
    let modes = ["README.md", "modes.csv", "modes.html"];
    let others = [("bench", &bench[..]), ("sync-modes", &modes[..])];
    for (folder, known) in DRILLS.map(|folder| (folder, &known[..])).into_iter().chain(others) {
        let names = path(folder, "").read_dir().expect(folder).map(|entry| entry.expect("an entry").file_name());
        let mut names: Vec<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
        names.sort();
        assert_eq!(names, known, "reports/samples/{folder}");
    }
}

#[test]
fn figures_fates_verdict_and_reasons_follow_from_the_evidence() {
    for folder in DRILLS {
        let evidence = Evidence::read(|file| Ok(open(folder, file))).unwrap();
        let judged = judge(&evidence).unwrap();
        let differing = differences(open(folder, "drill.csv"), &judged.rows).unwrap();
        assert!(differing.is_empty(), "{folder}: {differing:#?}");
        assert_eq!(judged.fates, rows::<FateRow>(folder, "fates.csv"), "{folder}");
        let events = rows::<EventRow>(folder, "events.csv");
        let said = events.into_iter().filter(|event| event.mark == Mark::Verdict).filter_map(|event| event.detail);
        assert_eq!(
            judged.reasons.iter().map(ToString::to_string).collect::<Vec<_>>(),
            said.collect::<Vec<_>>(),
            "{folder}"
        );
        // load.csv counts the same writes, second by second.
        let seconds = rows::<LoadRow>(folder, "load.csv");
        assert_eq!(seconds.iter().map(|second| second.acked).sum::<u64>(), judged.rows[0].acked, "{folder}");
    }
}

/// Each mode was held with one standby and with two, equally often, in an order that is none of the matrix.
#[test]
fn the_price_list_has_each_cell_equally_often_and_kept_what_was_promised() {
    let rows = rows::<ModeRow>("sync-modes", "modes.csv");
    let (_, cells) = cells(&rows);
    assert_eq!(cells.len(), 8);
    assert!(cells.iter().all(|cell| cell.rows.len() == rows.len() / 8), "{rows:#?}");
    for row in &rows {
        assert_eq!(row.verdict, Verdict::Held, "{row:?}");
        assert!(row.lost == Some(0) || row.sync == SyncMode::Async, "{row:?}");
        assert!(row.acked_per_s.is_some() && row.commit_p99_us.is_some() && row.lag_p99_us.is_some(), "{row:?}");
    }
}

#[test]
fn one_sample_held_and_one_lost_writes() {
    let [held, broken] = DRILLS.map(|folder| rows::<DrillRow>(folder, "drill.csv").remove(0));
    assert_eq!((held.verdict, held.lost), (Verdict::Held, Some(0)));
    assert_eq!(broken.verdict, Verdict::Broken);
    assert!(broken.lost > Some(0) && broken.rpo_span_us > Some(0) && broken.rpo_wal_bytes > Some(0));
}
