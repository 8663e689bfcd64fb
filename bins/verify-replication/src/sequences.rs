//! Sequences: a standby's may run ahead (the WAL logs 32 values at a time), never behind.

use std::collections::HashMap;
use std::time::Instant;

use program::progress::Progress;
use report::verdict::Verdict;
use report::verify::VerifyRow;

use crate::node::{Node, Standby};
use crate::reader::{Reader, Trouble, column};
use crate::subject::Subject;
use crate::table::per_second;

/// How often a sequence that seems behind is read again: it may have been set back, or have begun anew at its end.
const LOOKS: u32 = 5;

/// Where a sequence stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Position {
    ascending: bool,
    /// `None` before the first value.
    last: Option<i64>,
}

/// Whether `standby` stands behind `primary`.
fn is_behind(standby: Position, primary: Position) -> bool {
    match (standby.last, primary.last) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(there), Some(here)) if primary.ascending => there < here,
        (Some(there), Some(here)) => there > here,
    }
}

/// Compares all sequences on all standbys: one row each, by standby.
pub(crate) fn compare(
    primary: &mut Node,
    standbys: &mut [Standby],
    sequences: &[Subject],
    fence: std::time::Duration,
    run: &str,
    progress: &Progress,
) -> Vec<VerifyRow> {
    let mut rows = Vec::new();
    for standby in standbys {
        let begun = Instant::now();
        let found = look(primary, standby, sequences, fence);
        let elapsed_us = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        if let (Err(why), Ok(_)) = (&found, &standby.node) {
            progress.warn(&format!("sequences on {}: {why}", standby.name));
        }
        for sequence in sequences {
            let behind = found.as_ref().ok().and_then(|found| found.get(&sequence.oid).copied());
            let title = sequence.title();
            match (&found, behind) {
                (_, Some(true)) => progress.warn(&format!("sequence {title} on {} is behind", standby.name)),
                (Ok(_), None) => progress.warn(&format!(
                    "sequence {title} on {}: it was not read (has the role SELECT or USAGE on it?)",
                    standby.name
                )),
                _ => {}
            }
            rows.push(row(run, sequence, &standby.name, behind, elapsed_us));
        }
    }
    rows
}

/// Whether each sequence is behind on this standby. One that either node does not know, or does not show, is left out.
fn look(
    primary: &mut Node,
    standby: &mut Standby,
    sequences: &[Subject],
    fence: std::time::Duration,
) -> Result<HashMap<u32, bool>, String> {
    let mut open: Vec<u32> = sequences.iter().map(|sequence| sequence.oid).collect();
    let mut found = HashMap::new();
    for look in 1..=LOOKS {
        // Before the fence: what is read here must have arrived there behind it.
        let here = positions(primary.reader(), &open).map_err(|trouble| trouble.to_string())?;
        standby.pass_fence(&primary.door, fence);
        let node = standby.node.as_mut().map_err(|why| why.clone())?;
        let there = positions(node.reader(), &open).map_err(|trouble| trouble.to_string())?;
        for oid in std::mem::take(&mut open) {
            let (Some(here), Some(there)) = (here.get(&oid), there.get(&oid)) else { continue };
            match is_behind(*there, *here) {
                true if look < LOOKS => open.push(oid),
                behind => drop(found.insert(oid, behind)),
            }
        }
        if open.is_empty() {
            break;
        }
    }
    Ok(found)
}

fn positions(reader: &mut Reader, oids: &[u32]) -> Result<HashMap<u32, Position>, Trouble> {
    let rows = reader.rows(cluster::sql!("verify_sequences"), &[&oids])?;
    rows.iter()
        .map(|row| Ok((column(row, 0)?, Position { ascending: column(row, 1)?, last: column(row, 2)? })))
        .collect()
}

fn row(run: &str, sequence: &Subject, standby: &str, behind: Option<bool>, elapsed_us: u64) -> VerifyRow {
    VerifyRow {
        run: run.to_owned(),
        table: format!("sequence {}", sequence.title()),
        standby: standby.to_owned(),
        rows_primary: behind.map(|_| 1),
        rows_standby: behind.map(|_| 1),
        missing: behind.map(u64::from),
        extra: behind.map(|_| 0),
        different: behind.map(|_| 0),
        corrupt: behind.map(|_| 0),
        chunks: 0,
        rechecked: 0,
        elapsed_us,
        rows_per_s: per_second(u64::from(behind.is_some()), elapsed_us),
        verdict: match behind {
            Some(false) => Verdict::Held,
            Some(true) => Verdict::Broken,
            None => Verdict::Unknown,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::{Position, is_behind};

    #[test]
    fn ahead_is_fine_and_behind_is_not_whichever_way_it_counts() {
        let at = |ascending, last| Position { ascending, last };
        assert!(!is_behind(at(true, Some(33)), at(true, Some(1))));
        assert!(is_behind(at(true, Some(1)), at(true, Some(2))));
        assert!(is_behind(at(false, Some(-1)), at(false, Some(-2))));
        assert!(!is_behind(at(false, Some(-34)), at(false, Some(-2))));
        assert!(is_behind(at(true, None), at(true, Some(1))));
        assert!(!is_behind(at(true, None), at(true, None)));
    }
}
