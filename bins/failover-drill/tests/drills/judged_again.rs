//! Every drill of these tests is judged once more by its files alone, as `cargo xtask judge` does: figures, reasons and
//! verdict must be those of the time, and with a line gone there must be none.

use std::path::Path;

use program::folder;
use report::drill::differences;
use report::evidence::{EVENTS, Evidence, LEDGER};
use report::judge::judge;

use crate::independent::Events;

/// Judges the folder of a drill that has ended with this exit code.
pub(crate) fn judged_again(out: &Path, code: Option<i32>) {
    if !out.join(EVENTS).exists() {
        return assert_ne!(code, Some(1), "it was refused, and yet found something broken");
    }
    let evidence = match folder::evidence(out) {
        Ok(evidence) => evidence,
        // It was killed or interrupted, or its disk was full.
        Err(error) => return assert_ne!(code, Some(0), "held, and its files are no evidence: {error:#}"),
    };
    let judged = judge(&evidence).unwrap();
    let differing = differences(folder::open(out, "drill.csv").unwrap(), &judged.rows).unwrap();
    if differing == ["rows: 0 there, 1 here"] {
        return assert_eq!(code, Some(2), "the disk was full, and nothing can be read of it");
    }
    assert!(differing.is_empty(), "what was said then, and what is found now: {differing:#?}");
    let then: Vec<String> =
        Events::read(&out.join(EVENTS)).all("verdict").iter().map(|row| row["detail"].clone()).collect();
    // What was made of the evidence and could not be written (a full disk) was told beside it.
    let (of_evidence, beside) = then.split_at(judged.reasons.len().min(then.len()));
    assert_eq!(of_evidence, judged.reasons.iter().map(ToString::to_string).collect::<Vec<_>>());
    assert!(beside.iter().all(|why| why.contains("fates.csv")), "{beside:?}");
    // Interrupted after the load had ended (the raw floor is measured then), it was judged all the same.
    let interrupted = matches!(code, Some(130 | 143));
    assert!(interrupted || code == Some(i32::from(judged.verdict.exit_code())), "{code:?}: {:?}", judged.reasons);
    without_an_ack_nothing_is_said(out);
}

/// An ack that is gone would make its write `unknown`, and whatever became of it fine.
fn without_an_ack_nothing_is_said(out: &Path) {
    let ledger = std::fs::read_to_string(out.join(LEDGER)).unwrap();
    let Some(ack) = ledger.find(",acked,") else { return };
    let begin = ledger[..ack].rfind('\n').unwrap() + 1;
    let end = ack + ledger[ack..].find('\n').unwrap() + 1;
    let without = ledger[..begin].to_owned() + &ledger[end..];
    let open = |file: &str| match file {
        LEDGER => Ok(without.clone().into_bytes()),
        _ => Ok(std::fs::read(out.join(file))?),
    };
    let error = Evidence::read(|file| open(file).map(std::io::Cursor::new)).unwrap_err();
    assert!(format!("{error:#}").starts_with("ledger.csv: it is not what it was"), "{error:#}");
}
