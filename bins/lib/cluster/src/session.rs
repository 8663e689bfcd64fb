//! A blocking client of one server for short questions, each with a deadline.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use tokio::task::JoinHandle;
use tokio_postgres::types::{FromSqlOwned, ToSql};
use tokio_postgres::{Client, Row, SimpleQueryMessage};

use crate::connect::{connect, connect_first};
use crate::conninfo::Conninfo;
use crate::server_error::describe;
use crate::socket::Wire;

/// Time for a short question. Catalog look-ups take milliseconds; a node that needs longer is as good as gone.
pub const ANSWER: Duration = Duration::from_secs(10);

/// Time for the other side to read our Terminate message. Nothing depends on it.
pub(crate) const GOODBYE: Duration = Duration::from_millis(500);

/// A session on one server.
pub struct Session {
    runtime: tokio::runtime::Runtime,
    client: Client,
    wire: JoinHandle<Result<(), tokio_postgres::Error>>,
    node: String,
    answer: Duration,
}

impl Session {
    /// Opens a session on the server that messages call `node`.
    pub fn open(node: &str, info: &Conninfo, application_name: &str) -> Result<Session> {
        Session::over(node, connect(&info.read_committed(), application_name))
    }

    fn over(node: &str, connecting: impl Future<Output = Result<(Client, Wire)>>) -> Result<Session> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (client, wire) = runtime.block_on(connecting).with_context(|| format!("node {node}"))?;
        let wire = runtime.spawn(wire);
        Ok(Session { runtime, client, wire, node: node.to_owned(), answer: ANSWER })
    }

    /// Opens the first session of a program on a server, after another one that is closed again. A pooler that hands the
    /// first session, with the options of its start, to the next client is found by the second session.
    pub fn open_first(node: &str, info: &Conninfo, application_name: &str) -> Result<Session> {
        Session::over(node, connect_first(info, application_name))?.close();
        Session::open(node, info, application_name)
    }

    /// Closes the session as the protocol has it, and waits a moment for the other side.
    fn close(self) {
        drop(self.client);
        let _ = self.runtime.block_on(async { tokio::time::timeout(GOODBYE, self.wire).await });
    }

    /// The node's name.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.node
    }

    /// Gives the answer to a short question this long from now on, and no longer [`ANSWER`].
    pub fn answer_within(&mut self, limit: Duration) {
        self.answer = limit;
    }

    /// Whether the connection is known to be gone.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Whether the connection is gone, found out by asking: [`Session::is_closed`] knows only what the last question met.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.is_closed() || (self.script("").is_err() && self.is_closed())
    }

    /// The rows that a statement returns.
    ///
    /// # Errors
    /// The server's error, or that no answer came in time. So with all questions of this file.
    pub fn rows(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>> {
        self.within(self.answer, async { self.client.query(sql, parameters).await.map_err(describe) })
    }

    /// The one value of the one row that a statement returns. Anything else is an error.
    pub fn value<T: FromSqlOwned>(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<T> {
        let row = self.within(self.answer, async { self.client.query_one(sql, parameters).await.map_err(describe) })?;
        row.try_get(0).map_err(describe).with_context(|| format!("node {}: {}", self.node, headline(sql)))
    }

    /// Runs a statement; returns how many rows it touched.
    pub fn execute(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<u64> {
        self.within(self.answer, async { self.client.execute(sql, parameters).await.map_err(describe) })
    }

    /// Runs a script without parameters.
    pub fn script(&self, sql: &str) -> Result<()> {
        self.within(self.answer, async { self.client.batch_execute(sql).await.map_err(describe) })
    }

    /// The rows of a script without parameters, as text.
    pub fn texts(&self, sql: &str) -> Result<Vec<Vec<Option<String>>>> {
        let messages = self.within(self.answer, async { self.client.simple_query(sql).await.map_err(describe) })?;
        Ok(messages
            .into_iter()
            .filter_map(|message| match message {
                SimpleQueryMessage::Row(row) => {
                    Some((0..row.len()).map(|column| row.get(column).map(str::to_owned)).collect())
                }
                _ => None,
            })
            .collect())
    }

    /// Runs `work` on this session's client, no longer than `limit`.
    ///
    /// # Errors
    /// The work's own error, that it was not done in time, or that a signal came.
    pub fn within<T>(&self, limit: Duration, work: impl Future<Output = Result<T>>) -> Result<T> {
        let bounded = async {
            tokio::select! {
                done = tokio::time::timeout(limit, work) => done.map_err(|_| anyhow!("no answer within {limit:?}"))?,
                interrupted = program::stop::signalled() => Err(interrupted.into()),
            }
        };
        self.runtime.block_on(bounded).with_context(|| format!("node {}", self.node))
    }

    /// The client, for work under [`Session::within`].
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }
}

/// The first line of a statement that is not a comment, for messages.
fn headline(sql: &str) -> &str {
    sql.lines().find(|line| !line.trim().is_empty() && !line.trim_start().starts_with("--")).unwrap_or("").trim()
}
