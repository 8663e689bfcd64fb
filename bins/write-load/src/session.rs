//! A client's session: connected, checked, with its statement prepared.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use cluster::connect::connect;
use cluster::conninfo::Conninfo;
use cluster::server_error::describe;
use cluster::socket::Wire;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio_postgres::{AsyncMessage, Client, SimpleQueryMessage, Statement};

use crate::outcome::gave_up_sync_wait;

/// Time for a session to be opened: socket, authentication, checks. It is longer than a write may take: a server that forks
/// hundreds of backends at once needs seconds for that, while a write takes a millisecond.
const OPEN_DEADLINE: Duration = Duration::from_secs(10);

/// The settings of all sessions.
pub(crate) struct SessionSettings {
    pub(crate) application_name: String,
    pub(crate) synchronous_commit: Option<String>,
    pub(crate) nodes: Vec<(String, Conninfo)>,
}

/// A session on the primary.
pub(crate) struct ClientSession {
    pub(crate) client: Client,
    pub(crate) insert: Statement,
    pub(crate) node: usize,
    pub(crate) timeline: u32,
    gave_up_sync_wait: Rc<Cell<bool>>,
    driver: AbortHandle,
    driven: watch::Receiver<()>,
}

/// What makes a session useless.
#[derive(Debug)]
pub(crate) enum Unfit {
    /// The node is a standby: the primary has to be found again.
    InRecovery,
    /// The node is out of recovery and takes no writes yet, as some managers keep it after a promotion.
    ReadOnly,
    /// A setting on which the meaning of an ack depends has another value: nothing may be concluded from such a load.
    Setting(String),
}

impl std::fmt::Display for Unfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Unfit::InRecovery => f.write_str("it is in recovery"),
            Unfit::ReadOnly => f.write_str("it is read-only (default_transaction_read_only is on)"),
            Unfit::Setting(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for Unfit {}

impl ClientSession {
    /// Opens a session on a node that should be the primary.
    pub(crate) async fn open(settings: &SessionSettings, node: usize) -> Result<ClientSession> {
        let (name, info) = &settings.nodes[node];
        let mut info = info.with_setting("client_min_messages", "warning");
        info.connect_timeout = info.connect_timeout.min(OPEN_DEADLINE);
        if let Some(value) = &settings.synchronous_commit {
            info = info.with_setting("synchronous_commit", value);
        }
        let (client, wire) =
            connect(&info, &settings.application_name).await.with_context(|| format!("node {name}"))?;
        let gave_up_sync_wait = Rc::new(Cell::new(false));
        let (driving, driven) = watch::channel(());
        let driver = tokio::task::spawn_local(drive(wire, gave_up_sync_wait.clone(), driving)).abort_handle();
        // Both are asked at once: the answers come in this order, and the first error counts.
        let opening = async {
            let prepared = async { client.prepare(cluster::sql!("ledger_insert")).await.map_err(describe) };
            tokio::try_join!(check(&client, settings), prepared)
        };
        match tokio::time::timeout(OPEN_DEADLINE, opening).await {
            Ok(Ok((timeline, insert))) => {
                Ok(ClientSession { client, insert, node, timeline, gave_up_sync_wait, driver, driven })
            }
            Ok(Err(error)) => {
                driver.abort();
                Err(error).with_context(|| format!("node {name}"))
            }
            Err(_) => {
                driver.abort();
                bail!("node {name}: no answer within {OPEN_DEADLINE:?}")
            }
        }
    }

    /// Whether the server said, since the last time it was asked here, that it stopped waiting for its standby.
    pub(crate) fn take_gave_up_sync_wait(&self) -> bool {
        self.gave_up_sync_wait.take()
    }

    /// Waits until the connection is gone.
    pub(crate) async fn closed(&self) {
        // Nobody sends anything. The driver drops the sender when it ends, and that completes this.
        let _ = self.driven.clone().changed().await;
    }
}

impl Drop for ClientSession {
    /// Closes the socket at once: no cancel (it would expose a row in a sync wait), no waiting for answers.
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Reads messages off the wire. They are in order, so `gave_up` is set before the answer that follows the notice comes.
async fn drive(mut wire: Wire, gave_up: Rc<Cell<bool>>, _driving: watch::Sender<()>) {
    while let Some(message) = poll_fn(|context| wire.poll_message(context)).await {
        match message {
            Ok(AsyncMessage::Notice(notice)) if gave_up_sync_wait(&notice) => gave_up.set(true),
            Ok(_) => {}
            Err(_) => return, // the client gets the error when it waits for its answer
        }
    }
}

/// Checks that this is the primary and that the settings hold; returns the timeline.
async fn check(client: &Client, settings: &SessionSettings) -> Result<u32> {
    let messages = client.simple_query(cluster::sql!("session_state")).await.map_err(describe)?;
    let row = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let row = row.context("the server did not say what it is")?;
    let Some(wal_file) = row.get(0) else { return Err(Unfit::InRecovery.into()) };
    let is = |column: usize| row.get(column).unwrap_or_default();
    if let Some(wanted) = settings.synchronous_commit.as_deref().filter(|wanted| *wanted != is(1)) {
        return Err(Unfit::Setting(format!("synchronous_commit was set to {wanted} and is {}", is(1))).into());
    }
    if is(3) == "on" {
        return Err(Unfit::ReadOnly.into());
    }
    if ["error", "fatal", "panic"].contains(&is(2)) {
        let what =
            format!("client_min_messages was set to warning and is {}: the end of a sync wait would be hidden", is(2));
        return Err(Unfit::Setting(what).into());
    }
    report::timeline::of_wal_file(wal_file).with_context(|| format!("{wal_file:?} is no WAL file's name"))
}

/// Whether trying again can never give a session: the table, the right, the role, the password or the database is missing,
/// the server does not know the statement or the protocol, or a pooler is before it.
pub(crate) fn cannot_heal(error: &anyhow::Error) -> bool {
    cluster::own::is_pooled(error)
        || cluster::server_error::sqlstate(error).is_some_and(|state| {
            let code = state.code();
            matches!(&code[..2], "42" | "28" | "0A") || matches!(code, "3D000" | "08P01")
        })
}
