//! The files of `reports/samples/` stay readable: columns are only ever appended, and the figures of a run can be
//! computed again from its ledger and its events, years later.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use report::bench::{BackendBenchRow, HonestBenchRow, LagBenchRow, LoadBenchRow, TruthBenchRow, VerifyBenchRow};
use report::columns::columns;
use report::drill::DrillRow;
use report::event::{EventRow, Mark};
use report::fate::{Fate, FateRow};
use report::lag::LagRow;
use report::ledger::{Ledger, LedgerRow, Outcome};
use report::load::LoadRow;
use report::marks::{Seen, marks};
use report::seed::SeedRow;
use report::settings::SettingRow;
use report::verdict::Verdict;
use report::verify::VerifyRow;
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
        assert!(!rows::<SettingRow>(folder, "settings.csv").is_empty());
        assert_eq!(rows::<SeedRow>(folder, "seed.csv").len(), 3);
        assert!(rows::<VerifyRow>(folder, "verify.csv").iter().all(|row| row.verdict == Verdict::Held));
        rows::<FateRow>(folder, "fates.csv");
    }
    assert!(!rows::<BackendBenchRow>("bench", "bench-backends.csv").is_empty());
    assert!(!rows::<LagBenchRow>("bench", "bench-lag.csv").is_empty());
    assert!(!rows::<LoadBenchRow>("bench", "bench-load.csv").is_empty());
    assert!(!rows::<VerifyBenchRow>("bench", "bench-verify.csv").is_empty());
    assert!(!rows::<TruthBenchRow>("bench", "bench-truth.csv").is_empty());
    assert!(!rows::<HonestBenchRow>("bench", "bench-honest.csv").is_empty());
    assert!(!rows::<DrillRow>("bench", "bench-outage.csv").is_empty());
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
        "seed.csv",
        "settings.csv",
        "verify.csv",
    ];
    let bench = [
        "bench-backends.csv",
        "bench-honest.csv",
        "bench-lag.csv",
        "bench-load.csv",
        "bench-outage.csv",
        "bench-truth.csv",
        "bench-verify.csv",
    ];
    for (folder, known) in DRILLS.map(|folder| (folder, &known[..])).into_iter().chain([("bench", &bench[..])]) {
        let names = path(folder, "").read_dir().expect(folder).map(|entry| entry.expect("an entry").file_name());
        let mut names: Vec<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
        names.sort();
        assert_eq!(names, known, "reports/samples/{folder}");
    }
}

#[test]
fn the_figures_follow_from_the_ledger_and_the_events() {
    for folder in DRILLS {
        let row = rows::<DrillRow>(folder, "drill.csv").remove(0);
        let events = rows::<EventRow>(folder, "events.csv");
        let ledger = Ledger::read(open(folder, "ledger.csv")).unwrap();
        assert!(ledger.complete, "{folder}");

        let at = |mark: Mark| events.iter().find(|event| event.mark == mark).map(|event| event.at_us);
        let seen = Seen { t0_us: at(Mark::T0), out_of_recovery_us: at(Mark::T3), redundant_us: at(Mark::T6) };
        let marks = marks(&ledger, seen);
        let t0 = seen.t0_us.unwrap();
        let workers = marks.worker_outage_us().unwrap();
        assert_eq!(marks.outage_us(true), row.outage_us, "{folder}");
        assert_eq!(Some(workers.0), row.outage_worker_min_us, "{folder}");
        assert_eq!(Some(workers.1), row.outage_worker_p50_us, "{folder}");
        assert_eq!(Some(workers.2), row.outage_worker_max_us, "{folder}");
        assert_eq!(marks.longest_gap_us, row.longest_gap_us, "{folder}");
        assert_eq!(marks.longest_gap_before_us, row.longest_gap_before_us, "{folder}");
        assert_eq!(marks.outage_before_us(), row.outage_before_us, "{folder}");
        assert_eq!(marks.t5_us.map(|t5| t5 - t0), row.well_us, "{folder}");
        assert_eq!(Some(marks.workers_stranded), row.stranded, "{folder}");
        assert_eq!(marks.connecting_us, row.connecting_us, "{folder}");
        assert_eq!(marks.t2_us.map(|t2| t2 - t0), row.detection_us, "{folder}");
        assert_eq!(marks.t3_us.map(|t3| t3 - t0), row.promotion_us, "{folder}");
        assert_eq!(marks.t4_us.zip(marks.t3_us).map(|(t4, t3)| t4 - t3), row.reroute_us, "{folder}");
        assert_eq!(marks.t6_us.map(|t6| t6 - t0), row.redundancy_us, "{folder}");
        assert_eq!(marks.recover90_us, row.recover90_us, "{folder}");
        assert_eq!(Some(marks.split_acked), row.split_acked, "{folder}");

        for (outcome, count) in [
            (Outcome::Acked, row.acked),
            (Outcome::AckedLocal, row.acked_local),
            (Outcome::Failed, row.failed),
            (Outcome::Unknown, row.unknown),
            (Outcome::Skipped, row.skipped),
        ] {
            assert_eq!(ledger.count(outcome), count, "{folder}: {outcome:?}");
        }
        // load.csv counts the same writes, second by second.
        let seconds = rows::<LoadRow>(folder, "load.csv");
        assert_eq!(seconds.iter().map(|second| second.acked).sum::<u64>(), row.acked, "{folder}");

        let fates = rows::<FateRow>(folder, "fates.csv");
        let count = |fate: Fate| Some(fates.iter().filter(|row| row.fate == fate).count() as u64);
        assert_eq!(count(Fate::Lost), row.lost, "{folder}");
        assert_eq!(count(Fate::Recovered), row.recovered, "{folder}");
        assert_eq!(count(Fate::Phantom), row.phantom, "{folder}");
    }
}

#[test]
fn one_sample_held_and_one_lost_writes() {
    let [held, broken] = DRILLS.map(|folder| rows::<DrillRow>(folder, "drill.csv").remove(0));
    assert_eq!((held.verdict, held.lost), (Verdict::Held, Some(0)));
    assert_eq!(broken.verdict, Verdict::Broken);
    assert!(broken.lost > Some(0) && broken.rpo_span_us > Some(0) && broken.rpo_wal_bytes > Some(0));
}
