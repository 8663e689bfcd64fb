//! `bench-*.csv`: what the benchmarks of `cargo xtask bench` print.

use serde::{Deserialize, Serialize};

use crate::verdict::Verdict;

/// `bench-lag.csv`: one timed workload of `bench lag`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LagBenchRow {
    /// The run that this row belongs to.
    pub run: String,
    /// The sync mode.
    pub sync: String,
    /// Writes asked for per second; empty for `max`.
    pub rate_per_s: Option<u64>,
    /// Clients writing.
    pub clients: u64,
    /// Length of the workload, in microseconds.
    pub elapsed_us: u64,
    /// Writes acknowledged per second.
    pub acked_per_s: u64,
    /// Median time from a write's scheduled time to its ack, in microseconds.
    pub commit_p50_us: Option<u64>,
    /// 99th percentile of the same.
    pub commit_p99_us: Option<u64>,
    /// Median visible lag (its upper bound), in microseconds.
    pub visible_p50_us: Option<u64>,
    /// 99th percentile of the same.
    pub visible_p99_us: Option<u64>,
    /// The longest of the same; of a beat that was never seen, its bound.
    pub visible_max_us: Option<u64>,
    /// The largest replay gap seen, in bytes.
    pub replay_gap_max_bytes: Option<u64>,
}

/// `bench-load.csv`: one pair of `bench load`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoadBenchRow {
    /// The run that this row belongs to.
    pub run: String,
    /// Clients writing.
    pub clients: u64,
    /// Which of the pairs, from 1.
    pub pair: u64,
    /// `write-load` or `pgbench`.
    pub program: String,
    /// Transactions per second.
    pub per_s: f64,
    /// CPU time of the client program per transaction, in microseconds.
    pub client_cpu_us: f64,
}

/// `bench-verify.csv`: one pair of `bench verify`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VerifyBenchRow {
    /// The run that this row belongs to.
    pub run: String,
    /// Which of the pairs, from 1.
    pub pair: u64,
    /// `verify-replication`, `raw scan` or `reladiff`.
    pub program: String,
    /// Rows of the table.
    pub rows: u64,
    /// Time for the whole table, in microseconds.
    pub elapsed_us: u64,
    /// Rows per second.
    pub rows_per_s: u64,
    /// The most memory that `verify-replication` had, in KiB; empty for the others.
    pub peak_kib: Option<u64>,
}

/// `bench-coverage.csv`: one kind of relation of one database of `bench verify --coverage`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CoverageBenchRow {
    /// The run that this row belongs to.
    pub run: String,
    /// The database.
    pub database: String,
    /// The kind of relation.
    pub kind: String,
    /// How many there are, as the server's catalog has it.
    pub relations: u64,
    /// How many were compared, and of indexes, read.
    pub compared: u64,
    /// How many were not, and were named.
    pub named: u64,
    /// How many are neither.
    pub silent: u64,
    /// How many were called broken, though the standby is as it should be.
    pub broken: u64,
    /// `broken` if any is silent or was called broken.
    pub verdict: Verdict,
}

/// `bench-backends.csv`: one takeover of `bench backends`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BackendBenchRow {
    /// The run that this row belongs to.
    pub run: String,
    /// Which of the pairs, from 1.
    pub pair: u64,
    /// `local` or `compose`.
    pub backend: String,
    /// From nothing to a standby that streams and counts, in microseconds; `setup` as a whole.
    pub up_us: u64,
    /// As in `drill.csv`.
    pub outage_us: Option<u64>,
    /// As in `drill.csv`.
    pub floor_us: Option<u64>,
    /// As in `drill.csv`.
    pub rejoin_us: Option<u64>,
    /// Until everything was removed, in microseconds; `setup --down` as a whole.
    pub down_us: u64,
}

/// `bench-witness.csv`: one takeover of `bench witness`, beside an independent writer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WitnessBenchRow {
    /// The run of the drill.
    pub run: String,
    /// Which of the repetitions, from 1.
    pub pair: u64,
    /// The sync mode.
    pub sync: String,
    /// Clients of the drill's load.
    pub clients: u64,
    /// Whether the standby was cut off before the fault.
    pub cut: bool,
    /// As in `drill.csv`.
    pub outage_us: Option<u64>,
    /// The longest time without an ack of the witness that was open between T0 and T4.
    pub witness_gap_us: Option<u64>,
    /// As in `drill.csv`.
    pub lost: Option<u64>,
    /// Acknowledged writes of the witness that the new primary lacks.
    pub witness_lost: u64,
    /// As in `drill.csv`.
    pub verdict: Verdict,
    /// Whether the two times are within 20 % of the witness's or 50 ms of each other.
    pub within: Option<bool>,
}

/// `bench-truth.csv`: one kind of difference or damage of `bench verify --truth`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TruthBenchRow {
    /// The run that this row belongs to.
    pub run: String,
    /// What was planted.
    pub kind: String,
    /// `sql`, in a promoted copy; `file`, in the files of a stopped standby; `none`.
    pub how: String,
    /// How much of it; an updated row is one on each side.
    pub planted: u64,
    /// How much of that was found.
    pub found: u64,
    /// What was found beyond that, or where nothing was planted.
    pub invented: u64,
    /// `held` if all of it was found and nothing invented; `unknown` if what was not found was not called `held`.
    pub verdict: Verdict,
}

/// `bench-honest.csv`: one execution of verify-replication on an honest pair, of `bench verify --honest`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HonestBenchRow {
    /// The run of the benchmark.
    pub run: String,
    /// Which of the executions, from 1.
    pub number: u64,
    /// The sync mode.
    pub sync: String,
    /// The standby's `recovery_min_apply_delay`, in microseconds.
    pub apply_delay_us: u64,
    /// Time for the execution, in microseconds.
    pub elapsed_us: u64,
    /// Rows of its `verify.csv` that held; empty if it left none that can be read.
    pub held: Option<u64>,
    /// Rows of its `verify.csv` that were unknown.
    pub unknown: Option<u64>,
    /// Rows of its `verify.csv` that were broken.
    pub broken: Option<u64>,
    /// The verdict of the execution.
    pub verdict: Verdict,
    /// Why rows were not held, in the program's words, with numbers left out.
    pub why: Option<String>,
}
