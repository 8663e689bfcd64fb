//! `drill.csv`: one drill, and the verdict on it.

use std::io::Read;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::columns::columns;
use crate::verdict::Verdict;
use crate::words::{Backend, Fault, OutageKind, Rejoin, SyncMode};

/// One drill. `docs/figures.md` says what each figure means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillRow {
    /// The run that this row belongs to.
    pub run: String,
    /// How the nodes are run.
    pub backend: Backend,
    /// The full version of PostgreSQL, as the primary said it before the fault.
    pub pg_version: String,
    /// The fault that was injected.
    pub fault: Fault,
    /// The sync mode.
    pub sync: SyncMode,
    /// Standbys at the start.
    pub standbys: u64,
    /// Clients writing.
    pub clients: u64,
    /// Writes due per second; empty for `max`.
    pub rate_per_s: Option<u64>,
    /// Writes acknowledged.
    pub acked: u64,
    /// Writes acknowledged without the standby.
    pub acked_local: u64,
    /// Writes that provably did not commit.
    pub failed: u64,
    /// Writes whose outcome the client cannot know.
    pub unknown: u64,
    /// Writes never sent.
    pub skipped: u64,
    /// Acked and gone; this and the next seven are empty if there was no final read.
    pub lost: Option<u64>,
    /// Acked without the standby, and gone.
    pub lost_local: Option<u64>,
    /// Unknown, and present.
    pub recovered: Option<u64>,
    /// Failed, and present.
    pub phantom: Option<u64>,
    /// Never sent, and present; empty too if the ledger is torn.
    pub unexpected: Option<u64>,
    /// Present twice.
    pub duplicate: Option<u64>,
    /// Present with another payload.
    pub corrupt: Option<u64>,
    /// Keys in the old primary's data directory that the new primary lacks; empty if one of them was not read.
    pub divergent: Option<u64>,
    /// T4 − T1; without T4 from T1 to the end of the ledger, or of the takeover's part of the run.
    pub outage_us: Option<u64>,
    /// Shortest outage of a worker.
    pub outage_worker_min_us: Option<u64>,
    /// Median outage of a worker.
    pub outage_worker_p50_us: Option<u64>,
    /// Longest outage of a worker.
    pub outage_worker_max_us: Option<u64>,
    /// Longest gap between two acks of the takeover's part of the run.
    pub longest_gap_us: Option<u64>,
    /// T2 − T0.
    pub detection_us: Option<u64>,
    /// T3 − T0.
    pub promotion_us: Option<u64>,
    /// T4 − T3.
    pub reroute_us: Option<u64>,
    /// T6 − T0.
    pub redundancy_us: Option<u64>,
    /// From T0 until acks came again at 90 % of the rate before it.
    pub recover90_us: Option<u64>,
    /// From T4 to the last ack of the old timeline after it.
    pub split_us: Option<u64>,
    /// Acks of the old timeline after T4.
    pub split_acked: Option<u64>,
    /// From the last surviving ack before the first lost one to the last lost one.
    pub rpo_span_us: Option<u64>,
    /// WAL of the old timeline beyond the fork.
    pub rpo_wal_bytes: Option<u64>,
    /// How the old primary came back; empty if it was not tried.
    pub rejoin: Option<Rejoin>,
    /// From the begin of rejoining until it streamed.
    pub rejoin_us: Option<u64>,
    /// The verdict.
    pub verdict: Verdict,
    /// Whether it is only a lower bound.
    pub outage_kind: Option<OutageKind>,
    /// Longest time without an ack before T0, one that was open at T0 counted up to T0: what the outage has to be
    /// compared with.
    pub longest_gap_before_us: Option<u64>,
    /// Lost writes that have a later surviving ack of the same worker and timeline.
    pub holes: Option<u64>,
    /// How long a client waits for an answer before it gives a write up: detection cannot be told apart below this
    /// when the fault is silent.
    pub op_timeout_us: u64,
    /// The raw floor on the same nodes: SIGKILL, `pg_ctl promote -w`, first write by a waiting client.
    pub floor_us: Option<u64>,
    /// The node that the fault hit.
    pub old_primary: String,
    /// The standby that was chosen to take over; empty if none was.
    pub new_primary: Option<String>,
    /// T5 − T0: until every client had acked five in a row; empty if one of them never did.
    pub well_us: Option<u64>,
    /// Clients that acked before the fault and have no new ack.
    pub stranded: Option<u64>,
    /// The part of the outage that lies before T0.
    pub outage_before_us: Option<u64>,
    /// The part of `reroute_us` in which the client with the first ack was connecting: the load's own share.
    pub connecting_us: Option<u64>,
    /// The takeover's number in the run, from 1: `step` of its events. Files of older versions do not say.
    pub step: Option<u32>,
    /// Writes acknowledged per second before T0, rounded down; empty if none was.
    pub acked_before_per_s: Option<u64>,
}

/// Where a `drill.csv` says otherwise than these rows, by column: `lost: 0 there, 15 here`. Columns that it does not have
/// are newer than it.
///
/// # Errors
/// If it cannot be read.
pub fn differences(said: impl Read, rows: &[DrillRow]) -> Result<Vec<String>> {
    let mut csv = csv::Reader::from_reader(said);
    let header = csv.headers().context("it has no header")?.clone();
    let said = csv.records().collect::<Result<Vec<_>, _>>().context("not the rows expected")?;
    let mut differences = Vec::new();
    if said.len() != rows.len() {
        differences.push(format!("rows: {} there, {} here", said.len(), rows.len()));
    }
    for (said, row) in said.iter().zip(rows) {
        let fields = fields(row)?;
        for (column, there) in header.iter().zip(said) {
            let place = columns::<DrillRow>().iter().position(|name| *name == column);
            let here = place.and_then(|place| fields.get(place)).unwrap_or_default();
            if there != here {
                differences.push(format!("{column}: {} there, {} here", shown(there), shown(here)));
            }
        }
    }
    Ok(differences)
}

/// The fields of a row as its file has them.
fn fields(row: &DrillRow) -> Result<csv::StringRecord> {
    let mut csv = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    csv.serialize(row)?;
    let line = csv.into_inner()?;
    let mut record = csv::StringRecord::new();
    csv::ReaderBuilder::new().has_headers(false).from_reader(&line[..]).read_record(&mut record)?;
    Ok(record)
}

fn shown(field: &str) -> &str {
    if field.is_empty() { "nothing" } else { field }
}

#[cfg(test)]
mod tests {
    use super::differences;
    use crate::evidence::tests::Files;
    use crate::judge::judge;

    #[test]
    fn what_was_said_is_held_against_what_is_found_column_by_column() {
        let rows = judge(&Files::of_a_drill_that_held().read().unwrap()).unwrap().rows;
        let told = |said: &str| differences(said.as_bytes(), &rows).unwrap();
        assert!(told("run,acked,lost,stranded\nr,99,0,0\n").is_empty(), "an older file has fewer columns");
        assert_eq!(
            told("run,acked,rejoin,floor_us\nr,98,,5\n"),
            ["acked: 98 there, 99 here", "rejoin: nothing there, rewind here", "floor_us: 5 there, nothing here"]
        );
        assert_eq!(told("run,acked\n"), ["rows: 0 there, 1 here"]);
        assert_eq!(told("run,of_another_version\nr,7\n"), ["of_another_version: 7 there, nothing here"]);
    }
}
