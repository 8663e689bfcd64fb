//! Evidence that is not whole is none: whatever line of it is gone or there twice, wherever it is cut, no verdict follows.

#![allow(clippy::unwrap_used, reason = "the helpers of a test may panic as well as the test")]

use std::collections::BTreeMap;
use std::path::Path;

use report::evidence::{EVENTS, Evidence, LEDGER, PLAN, READS};
use report::judge::judge;
use report::verdict::Verdict;

/// The files that the verdict on a small run follows from.
#[derive(Clone)]
struct Run(BTreeMap<&'static str, Vec<u8>>);

impl Run {
    fn of_sample(folder: &str) -> Run {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../reports/samples").join(folder);
        Run([PLAN, EVENTS, LEDGER, READS].map(|file| (file, std::fs::read(dir.join(file)).unwrap())).into())
    }

    /// The verdict; `None`: there is none.
    fn verdict(&self) -> Option<Verdict> {
        let evidence = Evidence::read(|file| Ok(&self.0[file][..])).ok()?;
        Some(judge(&evidence).unwrap().verdict)
    }

    fn lines(&self, file: &str) -> Vec<Vec<u8>> {
        self.0[file].split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
    }

    fn with(&self, file: &'static str, bytes: Vec<u8>) -> Run {
        let mut other = self.clone();
        other.0.insert(file, bytes);
        other
    }
}

/// What a reason of the verdict says stands after the seal of `events.csv`, and is no evidence.
fn is_a_verdict(line: &[u8]) -> bool {
    String::from_utf8_lossy(line).split(',').nth(2) == Some("verdict")
}

#[test]
fn a_line_that_is_gone_or_there_twice_leaves_no_verdict() {
    for (folder, verdict) in [("drill-held", Verdict::Held), ("drill-broken", Verdict::Broken)] {
        let run = Run::of_sample(folder);
        assert_eq!(run.verdict(), Some(verdict), "{folder}");
        for file in run.0.keys().copied() {
            let lines = run.lines(file);
            for index in 0..lines.len() {
                let expected = (file == EVENTS && is_a_verdict(&lines[index])).then_some(verdict);
                let (mut less, mut more) = (lines.clone(), lines.clone());
                less.remove(index);
                more.insert(index, lines[index].clone());
                for (what, lines) in [("without", less), ("twice", more)] {
                    let found = run.with(file, lines.concat()).verdict();
                    assert_eq!(found, expected, "{folder}/{file}, {what} line {}", index + 1);
                }
            }
        }
    }
}

#[test]
fn two_lines_that_changed_places_leave_no_verdict() {
    let run = Run::of_sample("drill-held");
    for file in run.0.keys().copied() {
        for index in 1..run.lines(file).len() {
            let mut lines = run.lines(file);
            lines.swap(index - 1, index);
            assert_eq!(run.with(file, lines.concat()).verdict(), None, "{file}, lines {index} and {}", index + 1);
        }
    }
}

/// At every byte of the small files, and at a few hundred of the ledger.
#[test]
fn a_file_that_is_cut_leaves_no_verdict() {
    let run = Run::of_sample("drill-held");
    for file in run.0.keys().copied() {
        let bytes = &run.0[file];
        for length in (0..bytes.len()).step_by(if file == LEDGER { 97 } else { 1 }).chain([bytes.len() - 1]) {
            assert_eq!(run.with(file, bytes[..length].to_vec()).verdict(), None, "{file}, cut to {length} bytes");
        }
    }
}

/// But for the last seal, which seals all but itself: when it was made bears on nothing.
#[test]
fn a_byte_that_changed_leaves_no_verdict() {
    let run = Run::of_sample("drill-held");
    for file in run.0.keys().copied() {
        let seal = if file == EVENTS { run.lines(file).last().unwrap().len() } else { 0 };
        for place in (0..run.0[file].len() - seal).step_by(37) {
            let mut bytes = run.0[file].clone();
            bytes[place] ^= 1;
            assert_eq!(run.with(file, bytes).verdict(), None, "{file}, byte {place}");
        }
    }
}
