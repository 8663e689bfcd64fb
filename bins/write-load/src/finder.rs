//! Finds the primary: while it is not known, all nodes are asked at once, over sessions that stay open.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use cluster::connect::connect;
use cluster::server_error::describe;
use program::alarm::Alarm;
use program::clock::Clock;
use tokio::sync::{Notify, watch};
use tokio_postgres::Client;

use crate::session::{SessionSettings, cannot_heal};

/// Pause between two questions to a standby, in microseconds. It may be promoted at any time.
const ASK_PAUSE_US: u64 = 1_000;

/// Pause between two attempts to connect to a node that refuses, in microseconds. A refusal costs little; a server that
/// starts up is noticed this soon.
const CONNECT_PAUSE_US: u64 = 5_000;

/// Time for a node to answer a probe: a frozen node must not hold up its probe for long.
const PROBE_DEADLINE: Duration = Duration::from_secs(1);

/// Out of recovery is not writable: some managers keep a node read-only for a while after its promotion.
const IS_WRITABLE: &str = "SELECT pg_is_in_recovery(), current_setting('default_transaction_read_only')::bool";

pub(crate) struct Finder {
    current: watch::Sender<Option<usize>>,
    last_seen: RefCell<Vec<String>>,
    /// For each node whether its last answer was an error that cannot heal.
    closed: RefCell<Vec<bool>>,
    all_closed: Notify,
}

impl Finder {
    /// Starts to look, with one probe per node.
    pub(crate) fn start(settings: &Rc<SessionSettings>, clock: Clock) -> Result<Rc<Finder>> {
        let finder = Rc::new(Finder::of(settings.nodes.len()));
        for node in 0..settings.nodes.len() {
            let probe = Probe {
                node,
                settings: settings.clone(),
                finder: finder.clone(),
                alarm: Alarm::new(clock)?,
                client: None,
            };
            tokio::task::spawn_local(probe.run());
        }
        Ok(finder)
    }

    /// A finder that knows of no primary yet and has no probes.
    pub(crate) fn of(nodes: usize) -> Finder {
        Finder {
            current: watch::Sender::new(None),
            last_seen: RefCell::new(vec!["not asked yet".to_owned(); nodes]),
            closed: RefCell::new(vec![false; nodes]),
            all_closed: Notify::new(),
        }
    }

    /// Waits for a primary.
    pub(crate) async fn find(&self) -> usize {
        let mut current = self.current.subscribe();
        loop {
            if let Some(node) = *current.borrow_and_update() {
                return node;
            }
            if current.changed().await.is_err() {
                std::future::pending::<()>().await; // cannot happen: `self` holds the sender
            }
        }
    }

    /// Whether a primary is known.
    pub(crate) fn knows(&self) -> bool {
        self.current.borrow().is_some()
    }

    /// Waits until another node than this one is the primary.
    pub(crate) async fn found_beside(&self, node: usize) {
        let mut current = self.current.subscribe();
        // This returns no error: `self` holds the sender.
        let _ = current.wait_for(|found| found.is_some_and(|found| found != node)).await;
    }

    /// `node` is not the primary any more: look again.
    pub(crate) fn lost(&self, node: usize) {
        self.current.send_if_modified(|current| {
            let it_was = *current == Some(node);
            if it_was {
                *current = None;
            }
            it_was
        });
    }

    /// `node` takes writes: it is the primary, unless another one was found before.
    pub(crate) fn found(&self, node: usize) {
        self.current.send_if_modified(|current| {
            let first = current.is_none();
            *current = current.or(Some(node));
            first
        });
    }

    /// Waits until the last answer of every node was an error that cannot heal.
    pub(crate) async fn all_closed(&self) {
        self.all_closed.notified().await;
    }

    fn answered(&self, node: usize, closed: bool) {
        let mut all = self.closed.borrow_mut();
        all[node] = closed;
        if all.iter().all(|closed| *closed) {
            self.all_closed.notify_one();
        }
    }

    /// What a node said to a client that wanted a session.
    pub(crate) fn said(&self, node: usize, what: String) {
        self.last_seen.borrow_mut()[node] = what;
    }

    /// What each node said last, for messages.
    pub(crate) fn last_seen(&self) -> String {
        self.last_seen.borrow().join("; ")
    }
}

struct Probe {
    node: usize,
    settings: Rc<SessionSettings>,
    finder: Rc<Finder>,
    alarm: Alarm,
    client: Option<(Client, AbortOnDrop)>,
}

/// A task that ends with its client: a probe that timed out must not leave its socket behind.
struct AbortOnDrop(tokio::task::AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Probe {
    async fn run(mut self) {
        let mut current = self.finder.current.subscribe();
        loop {
            let searching = current.borrow_and_update().is_none();
            if !searching {
                if current.changed().await.is_err() {
                    return;
                }
                continue;
            }
            let (seen, pause_us) = match self.ask().await {
                Ok(None) => {
                    self.finder.answered(self.node, false);
                    self.finder.found(self.node);
                    continue;
                }
                Ok(Some(why)) => (format!("{} {why}", self.settings.nodes[self.node].0), ASK_PAUSE_US),
                Err(error) => {
                    self.client = None;
                    self.finder.answered(self.node, cannot_heal(&error));
                    (format!("{error:#}"), CONNECT_PAUSE_US)
                }
            };
            self.finder.last_seen.borrow_mut()[self.node] = seen;
            if self.alarm.pause(pause_us).await.is_err() {
                return;
            }
        }
    }

    /// Whether the node is out of recovery and takes writes; if not, why.
    async fn ask(&mut self) -> Result<Option<&'static str>> {
        let (name, info) = &self.settings.nodes[self.node];
        let late = || anyhow!("node {name}: no answer within {PROBE_DEADLINE:?}");
        let (client, wire) = match self.client.take().filter(|(client, _)| !client.is_closed()) {
            Some(client) => client,
            None => {
                let connecting = connect(info, &self.settings.application_name);
                let connected = tokio::time::timeout(PROBE_DEADLINE, connecting).await.map_err(|_| late())?;
                let (client, wire) = connected.with_context(|| format!("node {name}"))?;
                (client, AbortOnDrop(tokio::task::spawn_local(wire).abort_handle()))
            }
        };
        let asking = client.query_one(IS_WRITABLE, &[]);
        let row = tokio::time::timeout(PROBE_DEADLINE, asking).await.map_err(|_| late())?.map_err(describe)?;
        self.client = Some((client, wire));
        let (in_recovery, read_only): (bool, bool) =
            (row.try_get(0).map_err(describe)?, row.try_get(1).map_err(describe)?);
        Ok(match (in_recovery, read_only) {
            (true, _) => Some("is in recovery"),
            (false, true) => Some("is out of recovery and read-only"),
            (false, false) => None,
        })
    }
}
