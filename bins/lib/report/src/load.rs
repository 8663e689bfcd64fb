//! `load.csv`: one second of load.

use serde::{Deserialize, Serialize};

/// What happened in one second of load. Outcomes count in the second in which they became known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadRow {
    /// The run that this row belongs to.
    pub run: String,
    /// End of the second, in microseconds since the run's origin.
    pub at_us: u64,
    /// Writes that were due (open loop) or begun (closed loop).
    pub scheduled: u64,
    /// Writes handed to a server.
    pub sent: u64,
    /// Writes that the server acknowledged.
    pub acked: u64,
    /// Writes acknowledged with the word that the server stopped waiting for its standby.
    pub acked_local: u64,
    /// Writes that provably did not commit.
    pub failed: u64,
    /// Writes whose fate the client cannot know.
    pub unknown: u64,
    /// Writes that waited unsent for longer than `--max-behind`.
    pub skipped: u64,
    /// Median latency of the acked writes from their scheduled time, in microseconds; empty if there are none.
    pub p50_us: Option<u64>,
    /// 95th percentile of the same.
    pub p95_us: Option<u64>,
    /// 99th percentile of the same.
    pub p99_us: Option<u64>,
    /// The longest of the same.
    pub max_us: Option<u64>,
    /// How late the most delayed worker is against its schedule at the end of the second; empty in a closed loop.
    pub behind_us: Option<u64>,
}
