//! Words that rows, flags and files of a cluster share: each list once.

use std::fmt;
use std::str::FromStr;

use serde::de::IntoDeserializer as _;
use serde::de::value::{Error, StrDeserializer};
use serde::{Deserialize, Serialize};

use crate::fate::Fate;
use crate::ledger::Outcome;

/// How the nodes of a cluster are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Backend {
    /// As servers of a lab on this machine.
    Local,
    /// As containers of a lab.
    Compose,
    /// By somebody else.
    External,
}

/// How commits wait for standbys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SyncMode {
    /// They do not.
    Async,
    /// Until a standby has received them.
    RemoteWrite,
    /// Until a standby has flushed them.
    On,
    /// Until a standby has applied them.
    RemoteApply,
}

impl SyncMode {
    /// All of them, weakest first.
    pub const ALL: [SyncMode; 4] = [SyncMode::Async, SyncMode::RemoteWrite, SyncMode::On, SyncMode::RemoteApply];

    /// The word on the command line and in `drill.csv`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            SyncMode::Async => "async",
            SyncMode::RemoteWrite => "remote_write",
            SyncMode::On => "on",
            SyncMode::RemoteApply => "remote_apply",
        }
    }

    /// The value of `synchronous_commit`. In `async` it stays `on`: the local flush is not what is given up.
    #[must_use]
    pub fn synchronous_commit(self) -> &'static str {
        if self == SyncMode::Async { "on" } else { self.as_str() }
    }
}

impl FromStr for SyncMode {
    type Err = String;

    fn from_str(text: &str) -> Result<SyncMode, String> {
        let word: StrDeserializer<'_, Error> = text.into_deserializer();
        SyncMode::deserialize(word).map_err(|_| format!("`{text}`: use async, remote_write, on or remote_apply"))
    }
}

/// What happens to a primary, named by its mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// SIGKILL for all of its processes at once: a crash.
    Kill,
    /// A fast shutdown, which waits for the standbys: a planned switchover.
    Stop,
    /// SIGSTOP for all of its processes: it is silent, and its sockets stay open.
    Freeze,
    /// The same for a while, and then it goes on: nobody takes over.
    Stall,
}

impl Fault {
    /// All of them.
    pub const ALL: [Fault; 4] = [Fault::Kill, Fault::Stop, Fault::Freeze, Fault::Stall];

    /// The word on the command line and in `drill.csv`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Fault::Kill => "kill",
            Fault::Stop => "stop",
            Fault::Freeze => "freeze",
            Fault::Stall => "stall",
        }
    }

    /// Whether a standby is to be promoted.
    #[must_use]
    pub fn has_takeover(self) -> bool {
        self != Fault::Stall
    }

    /// Who may lose nothing that was acknowledged, in any sync mode: a planned shutdown waits until the standbys have
    /// everything, and a primary that goes on has it. `None`: something may be lost.
    #[must_use]
    pub fn loses_nothing(self) -> Option<&'static str> {
        match self {
            Fault::Kill | Fault::Freeze => None,
            Fault::Stop => Some("a planned shutdown"),
            Fault::Stall => Some("a primary that goes on"),
        }
    }

    /// How the old primary was from the moment on at which the fault was proven: no process of it acknowledged anything then.
    #[must_use]
    pub fn left_it(self) -> &'static str {
        match self {
            Fault::Kill => "gone",
            Fault::Stop => "shut down",
            Fault::Freeze | Fault::Stall => "frozen",
        }
    }
}

/// How an old primary came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rejoin {
    /// `pg_rewind` was enough.
    Rewind,
    /// It took a fresh base backup.
    Clone,
    /// It did not.
    Failed,
}

/// What an outage is known as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutageKind {
    /// Both ends of it were seen.
    Exact,
    /// No ack came on the new timeline while the load ran.
    AtLeast,
}

macro_rules! shown_as_in_rows {
    ($($word:ty),*) => {$(
        impl fmt::Display for $word {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.serialize(f)
            }
        }
    )*};
}

shown_as_in_rows!(Backend, SyncMode, Fault, Rejoin, OutageKind, Fate, Outcome);

#[cfg(test)]
mod tests {
    use super::{Backend, Fate, Outcome, SyncMode};

    #[test]
    fn a_word_is_shown_as_rows_have_it_and_read_back() {
        for mode in SyncMode::ALL {
            assert_eq!((mode.to_string(), mode.as_str().parse()), (mode.as_str().to_owned(), Ok(mode)));
        }
        assert!("maybe".parse::<SyncMode>().is_err());
        assert_eq!(Backend::Compose.to_string(), "compose");
        assert_eq!(
            (Fate::LostLocal.to_string(), Outcome::AckedLocal.to_string()),
            ("lost_local".into(), "acked_local".into())
        );
    }
}
