//! The ledger of `write-load`: every acknowledged write must be on every standby.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures_util::{StreamExt as _, pin_mut};
use program::progress::Progress;
use report::foreign::one_line;
use report::ledger::{Key, Ledger, Outcome};
use report::payload::payload;
use report::verdict::Verdict;
use report::verify::VerifyRow;

use crate::node::{NodeSessions, Standby};
use crate::read_error::ReadError;
use crate::reader::{Reader, column};
use crate::table::per_second;

/// How many lost writes a message names.
const NAMED: usize = 5;

/// Reads a ledger to its end; `-` is stdin.
pub(crate) fn read(path: &Path) -> Result<Ledger> {
    if path.as_os_str() == "-" {
        return Ledger::read(io::stdin().lock()).and_then(named_by_us).context("ledger on stdin");
    }
    let open = || Ledger::read(File::open(path)?).and_then(named_by_us);
    open().with_context(|| format!("ledger {}", path.display()))
}

/// The name of the run is shown: one with a line end in it could show a line that passes for ours.
fn named_by_us(ledger: Ledger) -> Result<Ledger> {
    let is_plain = one_line(&ledger.run) == ledger.run;
    ensure!(is_plain, "its run is called {:?}: no program of ours calls it so", ledger.run);
    Ok(ledger)
}

/// What one standby shows of a ledger's acknowledged writes.
#[derive(Debug, Default, PartialEq, Eq)]
struct Shown {
    rows: u64,
    missing: Vec<Key>,
    different: Vec<Key>,
    twice: u64,
}

/// Why a ledger cannot be held, whatever a standby shows.
fn objection(ledger: &Ledger, rows_primary: Option<u64>) -> Option<String> {
    let acked = ledger.count(Outcome::Acked);
    match rows_primary {
        _ if !ledger.complete => Some("the ledger is torn: it has no `end`".to_owned()),
        _ if ledger.open() > 0 => {
            Some(format!("{} of its writes were sent and have no outcome: lines of it are gone", ledger.open()))
        }
        _ if acked == 0 => Some("nothing was acknowledged: there is nothing to look for".to_owned()),
        None => Some("the primary's understudy.ledger could not be read".to_owned()),
        Some(0) => Some(format!("the primary has no row of run {}: a ledger of another cluster?", ledger.run)),
        Some(_) => None,
    }
}

/// Looks for the acknowledged writes on all standbys, which have caught up since the ledger was read.
pub(crate) fn compare(
    primary: &mut NodeSessions,
    standbys: &mut [Standby],
    ledger: &Ledger,
    limit: Duration,
    run: &str,
    progress: &Progress,
) -> Vec<VerifyRow> {
    let rows_primary = match primary.is_gone() {
        true => Err(ReadError::Lost(primary.why_gone())),
        false => count(primary.reader(), &ledger.run),
    };
    let objection = objection(ledger, rows_primary.as_ref().ok().copied());
    let acked = ledger.count(Outcome::Acked);
    progress.say(&format!("ledger {}: looking for {acked} acknowledged writes", ledger.run));
    for why in objection.iter().cloned().chain(rows_primary.as_ref().err().map(ToString::to_string)) {
        progress.warn(&format!("ledger {}: {why}", ledger.run));
    }
    let mut rows = Vec::new();
    for standby in standbys {
        let begun = Instant::now();
        standby.catch_up(primary, limit);
        let shown = match &mut standby.node {
            Ok(node) => show(node.reader(), ledger).map_err(|error| error.to_string()),
            Err(why) => Err(why.clone()),
        };
        if standby.node.is_ok() {
            tell(&shown, ledger, &standby.name, progress);
        }
        let verdict = verdict(&shown, objection.is_some(), rows_primary.as_ref().is_ok_and(|rows| *rows > 0));
        let elapsed_us = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        rows.push(row(run, ledger, &standby.name, rows_primary.as_ref().ok().copied(), &shown, elapsed_us, verdict));
    }
    rows
}

/// A lost write makes the verdict `broken`, also with a torn ledger. But if the primary has no row of the run, nothing is
/// proven.
fn verdict(shown: &Result<Shown, String>, objection: bool, known: bool) -> Verdict {
    match shown {
        Ok(shown) if known && (shown.missing.len() + shown.different.len()) as u64 + shown.twice > 0 => Verdict::Broken,
        Ok(_) if !objection => Verdict::Held,
        _ => Verdict::Unknown,
    }
}

fn count(reader: &mut Reader, run: &str) -> Result<u64, ReadError> {
    let rows = reader.rows(cluster::sql!("verify_ledger_count"), &[&run])?;
    let count: i64 = rows.first().map_or(Ok(0), |row| column(row, 0))?;
    Ok(count.unsigned_abs())
}

/// Reads the run's rows on a standby, by a scan, without holding them all.
fn show(reader: &mut Reader, ledger: &Ledger) -> Result<Shown, ReadError> {
    reader.read(async |client| {
        let mut judge = Judge::new(ledger);
        let rows = client.query_raw(cluster::sql!("verify_ledger"), [&ledger.run]).await?;
        pin_mut!(rows);
        while let Some(row) = rows.next().await {
            let row = row?;
            judge.add(row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        }
        Ok(judge.finish())
    })
}

/// Holds what a standby shows against the ledger, row by row.
struct Judge<'a> {
    ledger: &'a Ledger,
    shown: Shown,
    seen: HashSet<Key>,
}

impl<'a> Judge<'a> {
    fn new(ledger: &'a Ledger) -> Judge<'a> {
        Judge { ledger, shown: Shown::default(), seen: HashSet::new() }
    }

    fn add(&mut self, worker: i32, seq: i64, found: &str) {
        self.shown.rows += 1;
        let (Ok(worker), Ok(seq)) = (u32::try_from(worker), u64::try_from(seq)) else { return };
        let key = Key { worker, seq };
        if self.ledger.writes.get(&key).is_none_or(|write| write.outcome != Outcome::Acked) {
            return; // nobody was promised that it is there, or that it is not
        }
        if !self.seen.insert(key) {
            self.shown.twice += 1;
        } else if found != payload(&self.ledger.run, worker, seq) {
            self.shown.different.push(key);
        }
    }

    fn finish(mut self) -> Shown {
        let acked = self.ledger.writes.iter().filter(|(_, write)| write.outcome == Outcome::Acked);
        self.shown.missing = acked.map(|(key, _)| *key).filter(|key| !self.seen.contains(key)).collect();
        self.shown
    }
}

fn tell(shown: &Result<Shown, String>, ledger: &Ledger, standby: &str, progress: &Progress) {
    let shown = match shown {
        Ok(shown) => shown,
        Err(why) => return progress.warn(&format!("ledger {} on {standby}: {why}", ledger.run)),
    };
    for (what, keys) in [("missing", &shown.missing), ("different", &shown.different)] {
        if !keys.is_empty() {
            let named: Vec<_> =
                keys.iter().take(NAMED).map(|key| format!("worker {} seq {}", key.worker, key.seq)).collect();
            let more = if keys.len() > NAMED { format!(", and {} more", keys.len() - NAMED) } else { String::new() };
            progress.warn(&format!("ledger {} on {standby}: {what}: {}{more}", ledger.run, named.join(", ")));
        }
    }
}

fn row(
    run: &str,
    ledger: &Ledger,
    standby: &str,
    rows_primary: Option<u64>,
    shown: &Result<Shown, String>,
    elapsed_us: u64,
    verdict: Verdict,
) -> VerifyRow {
    let shown = shown.as_ref().ok();
    VerifyRow {
        run: run.to_owned(),
        table: format!("ledger {}", ledger.run),
        standby: standby.to_owned(),
        rows_primary,
        rows_standby: shown.map(|shown| shown.rows),
        missing: shown.map(|shown| shown.missing.len() as u64),
        extra: shown.map(|shown| shown.twice),
        different: shown.map(|shown| shown.different.len() as u64),
        corrupt: shown.map(|_| 0),
        chunks: 0,
        rechecked: 0,
        elapsed_us,
        rows_per_s: per_second(shown.map_or(0, |shown| shown.rows), elapsed_us),
        verdict,
        descent: None,
        database: None,
        equal: None,
        indexes: None,
        index_faults: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "run,at_us,worker,seq,event,scheduled_us,latency_us,sqlstate,node,timeline\n";

    /// Worker 0: seq 1 and 2 acked, 3 acked_local, 4 without an end.
    fn ledger(end: &str) -> Ledger {
        let acks = [(1, "acked"), (2, "acked"), (3, "acked_local")];
        let mut text = HEADER.to_owned();
        for (seq, outcome) in acks {
            text += &format!("r,5,0,{seq},sent,5,,,n,1\nr,6,0,{seq},{outcome},5,1,,n,1\n");
        }
        Ledger::read(format!("{text}r,7,0,4,sent,7,,,n,1\n{end}").as_bytes()).unwrap()
    }

    fn show(rows: &[(i32, i64, &str)]) -> Shown {
        let ledger = ledger("");
        let mut judge = Judge::new(&ledger);
        for (worker, seq, found) in rows {
            judge.add(*worker, *seq, found);
        }
        judge.finish()
    }

    #[test]
    fn the_name_of_a_run_shows_no_line_that_passes_for_ours() {
        let of_run = |run: &str| Ledger::read(format!("{HEADER}\"{run}\",6,0,1,sent,5,,,n,1\n").as_bytes()).unwrap();
        assert!(named_by_us(of_run("20261128T152619Z-drill")).is_ok());
        let said = named_by_us(of_run("r\nverdict   held")).unwrap_err().to_string();
        assert!(!said.contains('\n') && said.contains("r\\nverdict"), "{said}");
    }

    #[test]
    fn only_acked_writes_are_demanded() {
        let (one, two) = (payload("r", 0, 1), payload("r", 0, 2));
        let shown = show(&[(0, 1, &one), (0, 2, &two)]);
        assert_eq!(shown, Shown { rows: 2, ..Shown::default() });
        let shown = show(&[(0, 1, &one), (0, 3, "?"), (0, 4, "?"), (9, 9, "?"), (-1, 1, "?")]);
        assert_eq!(shown.missing, [Key { worker: 0, seq: 2 }]);
        assert_eq!((shown.rows, shown.different.len(), shown.twice), (5, 0, 0));
    }

    #[test]
    fn a_wrong_payload_and_a_second_row_are_seen() {
        let (one, two) = (payload("r", 0, 1), payload("r", 0, 2));
        let shown = show(&[(0, 1, &two), (0, 2, &two), (0, 2, &two)]);
        assert_eq!((shown.different.len(), shown.twice, shown.missing.len()), (1, 1, 0));
        let _ = one;
    }

    #[test]
    fn a_torn_or_foreign_ledger_is_never_held() {
        let whole = ledger("r,8,0,4,unknown,7,1,,n,1\nr,9,,4,end,,,,,\n");
        assert_eq!(objection(&whole, Some(4)), None);
        let lacks_a_line = objection(&ledger("r,9,,4,end,,,,,\n"), Some(4)).unwrap();
        assert!(lacks_a_line.contains("1 of its writes"), "{lacks_a_line}");
        assert!(objection(&ledger(""), Some(4)).is_some(), "torn");
        assert!(objection(&whole, Some(0)).is_some(), "foreign");
        assert!(objection(&whole, None).is_some(), "unread");
        let lost = Ok(Shown { missing: vec![Key { worker: 0, seq: 1 }], ..Shown::default() });
        assert_eq!(verdict(&lost, false, true), Verdict::Broken);
        assert_eq!(verdict(&lost, true, true), Verdict::Broken, "torn, and a write lost all the same");
        assert_eq!(verdict(&lost, true, false), Verdict::Unknown, "foreign");
        assert_eq!(verdict(&Ok(Shown::default()), true, true), Verdict::Unknown);
        assert_eq!(verdict(&Ok(Shown::default()), false, true), Verdict::Held);
        assert_eq!(verdict(&Err("gone".to_owned()), false, true), Verdict::Unknown);
    }
}
