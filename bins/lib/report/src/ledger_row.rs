//! A row of `ledger.csv`: one event of one write, or of one worker's connection.

use serde::{Deserialize, Serialize};

/// One event of the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerRow {
    /// The run that this row belongs to.
    pub run: String,
    /// Microseconds since the run's origin. Of an outcome: when it became known.
    pub at_us: u64,
    /// The worker, from 0; empty for `end`.
    pub worker: Option<u32>,
    /// The write's number within its worker, from 1; empty for events of connecting. Of `end`: the count of keys.
    pub seq: Option<u64>,
    /// What happened.
    pub event: Event,
    /// When the write was due, in microseconds since the run's origin; empty in a closed loop.
    pub scheduled_us: Option<u64>,
    /// Time from when the write was due (closed loop: sent) to its outcome, in microseconds.
    pub latency_us: Option<u64>,
    /// SQLSTATE of an error, where the server gave one.
    pub sqlstate: Option<String>,
    /// The node that the session was on.
    pub node: Option<String>,
    /// The timeline of that node when the session began.
    pub timeline: Option<u32>,
}

/// What can happen to a write, and to a worker's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The write's bytes are about to leave.
    Sent,
    /// ReadyForQuery after CommandComplete, no error, no sync-wait notice.
    Acked,
    /// As acked, but the server said that it stopped waiting for the standby.
    AckedLocal,
    /// It provably did not commit.
    Failed,
    /// Nobody but the server knows.
    Unknown,
    /// It waited unsent for longer than `--max-behind`.
    Skipped,
    /// A worker has a session. Not an outcome.
    Connected,
    /// A worker could not get a session. Not an outcome.
    ConnectFailed,
    /// A worker's session ended while nothing was sent over it. Not an outcome.
    Disconnected,
    /// The ledger is complete.
    End,
}

/// What the client knows of one write (docs/figures.md, "The outcome of one write").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Acknowledged as the run's sync mode promises.
    Acked,
    /// Acknowledged without the standby.
    AckedLocal,
    /// Provably not committed.
    Failed,
    /// Cannot be known by the client.
    Unknown,
    /// Never sent.
    Skipped,
}

impl Event {
    /// The outcome that this event is, if it is one.
    #[must_use]
    pub fn outcome(self) -> Option<Outcome> {
        match self {
            Event::Acked => Some(Outcome::Acked),
            Event::AckedLocal => Some(Outcome::AckedLocal),
            Event::Failed => Some(Outcome::Failed),
            Event::Unknown => Some(Outcome::Unknown),
            Event::Skipped => Some(Outcome::Skipped),
            Event::Sent | Event::Connected | Event::ConnectFailed | Event::Disconnected | Event::End => None,
        }
    }
}
