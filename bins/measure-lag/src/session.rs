//! A session on one server: every answer has a deadline.

use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use cluster::connect::connect;
use cluster::conninfo::Conninfo;
use cluster::server_error::describe;
use tokio::task::JoinHandle;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Statement};

/// Time for a beat or a poll, which take a fraction of a millisecond. A node that needs longer counts as unreachable, so that
/// a standby that has taken over is found.
const ANSWER: Duration = Duration::from_secs(2);

/// The name that our sessions show in `pg_stat_activity`.
pub(crate) const APPLICATION: &str = "measure-lag";

/// A session. Dropping it drops the connection, even if an answer is still due.
pub(crate) struct Session {
    client: Client,
    wire: JoinHandle<()>,
}

impl Session {
    /// Opens a session whose commits wait for no standby.
    pub(crate) async fn open(info: &Conninfo) -> Result<Session> {
        let info = info.with_setting("synchronous_commit", "local").read_committed();
        let (client, wire) = connect(&info, APPLICATION).await?;
        let wire = tokio::task::spawn_local(async move {
            let _ = wire.await; // its error reaches the question that waits for an answer
        });
        let session = Session { client, wire };
        let setting: String = session.row("SELECT current_setting('synchronous_commit')", &[]).await?.try_get(0)?;
        ensure!(setting == "local", "the session's synchronous_commit is `{setting}`, not `local`: a beat could hang");
        Ok(session)
    }

    pub(crate) async fn prepare(&self, sql: &str) -> Result<Statement> {
        within(self.client.prepare(sql)).await
    }

    /// The one row that a prepared statement returns for a run.
    pub(crate) async fn row_of_run(&self, statement: &Statement, run: &str) -> Result<Row> {
        within(self.client.query_one(statement, &[&run])).await
    }

    /// The one row that a statement returns.
    pub(crate) async fn row(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Row> {
        within(self.client.query_one(sql, parameters)).await
    }

    /// The rows that a prepared statement returns.
    pub(crate) async fn rows(&self, statement: &Statement) -> Result<Vec<Row>> {
        within(self.client.query(statement, &[])).await
    }

    pub(crate) async fn execute(&self, statement: &Statement, parameters: &[&(dyn ToSql + Sync)]) -> Result<()> {
        within(self.client.execute(statement, parameters)).await.map(drop)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.wire.abort();
    }
}

async fn within<T>(answer: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T> {
    match tokio::time::timeout(ANSWER, answer).await {
        Ok(result) => result.map_err(describe),
        Err(_) => Err(anyhow!("no answer within {ANSWER:?}")),
    }
}
