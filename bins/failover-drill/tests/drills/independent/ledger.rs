//! The ledger: what the clients knew.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::files::{Fields, Key, number, rows};

/// What the client knew of a write in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Write {
    /// `acked`, `acked_local`, `failed`, `unknown` or `skipped`.
    pub(crate) outcome: String,
    pub(crate) sent_us: Option<u64>,
    /// When the outcome was known; `None`: never.
    pub(crate) known_us: Option<u64>,
    pub(crate) timeline: Option<u64>,
}

/// An ack of either kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ack {
    pub(crate) at_us: u64,
    pub(crate) worker: u64,
    pub(crate) timeline: u64,
}

/// A session that a client got: when, which client, and how long the attempt took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connect {
    pub(super) at_us: u64,
    pub(super) worker: u64,
    pub(super) took_us: u64,
}

/// A ledger, read by the rules of docs/figures.md, "The outcome of one write": one key, one attempt, one outcome.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) writes: BTreeMap<Key, Write>,
    /// In the order of time.
    pub(crate) acks: Vec<Ack>,
    /// When a client saw something fail, and which.
    pub(super) failures: Vec<(u64, u64)>,
    /// Sessions that clients got.
    pub(super) connects: Vec<Connect>,
    /// When the last row was written.
    pub(super) last_us: u64,
    /// Whether the last row is `end`, with the count of keys.
    pub(crate) complete: bool,
}

impl Ledger {
    /// Reads `ledger.csv`, and refuses what breaks a rule.
    pub(crate) fn read(path: &Path) -> Ledger {
        let mut ledger = Ledger::default();
        let rows = rows(path);
        assert!(rows.windows(2).all(|pair| pair[0]["run"] == pair[1]["run"]), "a ledger belongs to one run");
        for row in &rows {
            ledger.take(row);
        }
        ledger.acks.sort_unstable();
        ledger
    }

    fn take(&mut self, row: &Fields) {
        assert!(!self.complete, "a row after `end`: {row:?}");
        let (event, at_us) = (row["event"].as_str(), number(row, "at_us").unwrap());
        self.last_us = self.last_us.max(at_us);
        let worker = || number(row, "worker").unwrap();
        match event {
            "end" => {
                assert_eq!(number(row, "seq"), Some(self.writes.len() as u64), "`end` counts the keys");
                self.complete = true;
            }
            "connected" => {
                self.connects.push(Connect { at_us, worker: worker(), took_us: number(row, "latency_us").unwrap() });
            }
            "connect_failed" | "disconnected" => self.failures.push((at_us, worker())),
            _ => {
                let key = (worker(), number(row, "seq").unwrap());
                let timeline = number(row, "timeline");
                self.write(key, event, at_us, timeline);
            }
        }
    }

    fn write(&mut self, key: Key, event: &str, at_us: u64, timeline: Option<u64>) {
        if event == "sent" {
            // Without an end it stays unknown.
            let open = Write { outcome: "unknown".to_owned(), sent_us: Some(at_us), known_us: None, timeline };
            assert_eq!(self.writes.insert(key, open), None, "{key:?} was sent twice");
            return;
        }
        let sent_us = match self.writes.get(&key) {
            Some(write) => {
                assert_eq!(write.known_us, None, "{key:?} has a second outcome");
                assert_ne!(event, "skipped", "{key:?} was sent");
                write.sent_us
            }
            None => {
                assert_eq!(event, "skipped", "{key:?} has an outcome and was never sent");
                None
            }
        };
        assert!(sent_us.is_none_or(|sent| sent <= at_us), "{key:?}: an answer before the question");
        match event {
            "acked" | "acked_local" => {
                self.acks.push(Ack { at_us, worker: key.0, timeline: timeline.expect("an ack has a timeline") });
            }
            "failed" | "unknown" => self.failures.push((at_us, key.0)),
            "skipped" => {}
            _ => panic!("no event of docs/figures.md: {event}"),
        }
        self.writes.insert(key, Write { outcome: event.to_owned(), sent_us, known_us: Some(at_us), timeline });
    }

    /// What became known from one moment to another (docs/figures.md, "Takeovers"), as a ledger of its own.
    pub(crate) fn part(&self, moments: &std::ops::Range<u64>) -> Ledger {
        let known = |write: &Write| write.known_us.or(write.sent_us).is_some_and(|at| moments.contains(&at));
        let writes = self.writes.iter().filter(|(_, write)| known(write));
        Ledger {
            writes: writes.map(|(key, write)| (*key, write.clone())).collect(),
            acks: self.acks.iter().filter(|ack| moments.contains(&ack.at_us)).copied().collect(),
            failures: self.failures.iter().filter(|(at, _)| moments.contains(at)).copied().collect(),
            connects: self.connects.iter().filter(|connect| moments.contains(&connect.at_us)).copied().collect(),
            last_us: self.last_us.min(moments.end),
            complete: self.complete,
        }
    }

    /// When clients saw something fail.
    pub(crate) fn failures_us(&self) -> impl Iterator<Item = u64> {
        self.failures.iter().map(|(at, _)| *at)
    }

    /// The keys with this outcome.
    pub(crate) fn with(&self, outcome: &str) -> BTreeSet<Key> {
        self.writes.iter().filter(|(_, write)| write.outcome == outcome).map(|(key, _)| *key).collect()
    }
}
