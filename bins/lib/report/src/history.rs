//! `history.csv`: every drill of a checkout, over time.

use serde::{Deserialize, Serialize};

use crate::verdict::Verdict;
use crate::words::{Backend, Fault, OutageKind, SyncMode};

/// One drill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryRow {
    /// The run.
    pub run: String,
    /// The date and time of its origin, in UTC.
    pub date_utc: String,
    /// The commit of this checkout; `-` without one, `+` behind it if there were changes.
    pub commit: String,
    /// The machine: processors and kernel.
    pub machine: String,
    /// As in `runs.csv`.
    pub settings_md5: Option<String>,
    /// As in `drill.csv`; so are the next three.
    pub fault: Fault,
    /// The sync mode.
    pub sync: SyncMode,
    /// How the nodes are run.
    pub backend: Backend,
    /// The version of PostgreSQL.
    pub pg_version: String,
    /// Whether it counts: a warm-up does not.
    pub counted: bool,
    /// The verdict on all of the drill.
    pub verdict: Verdict,
    /// As in `drill.csv`.
    pub outage_us: Option<u64>,
    /// As in `drill.csv`.
    pub lost: Option<u64>,
    /// As in `runs.csv`.
    pub lag_p99_us: Option<u64>,
    /// As in `drill.csv`.
    pub acked_before_per_s: Option<u64>,
    /// As in `drill.csv`.
    pub outage_kind: Option<OutageKind>,
}
