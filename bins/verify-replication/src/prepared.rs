//! Questions to the catalogs that are asked for each table: each session plans them once.

use std::cell::RefCell;
use std::collections::HashMap;

use futures_util::future::try_join_all;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Row, Statement};

/// The statements that one session has prepared, by their text. There are only a few fixed texts. All read catalogs only,
/// whose columns keep their types, so the server can replan each of them by itself when it has to.
#[derive(Default)]
pub(crate) struct Prepared(RefCell<HashMap<&'static str, Statement>>);

impl Prepared {
    /// The rows of a statement, which is prepared unless it is. One that failed is prepared anew the next time.
    pub(crate) async fn rows(
        &self,
        client: &Client,
        sql: &'static str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Error> {
        let known = self.0.borrow().get(sql).cloned();
        let statement = match known {
            Some(statement) => statement,
            None => client.prepare(sql).await?,
        };
        let rows = client.query(&statement, parameters).await;
        match rows {
            Ok(_) => self.0.borrow_mut().insert(sql, statement),
            Err(_) => self.0.borrow_mut().remove(sql),
        };
        rows
    }

    /// As [`Prepared::rows`], of several statements about the same thing: all are on their way at once.
    pub(crate) async fn all(
        &self,
        client: &Client,
        statements: &[&'static str],
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Vec<Row>>, Error> {
        try_join_all(statements.iter().map(|sql| self.rows(client, sql, parameters))).await
    }
}

/// The rows of a statement; without parameters in one round trip, where it needs two with some.
pub(crate) async fn query(client: &Client, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Error> {
    match parameters {
        [] => client.query_typed(sql, &[]).await,
        _ => client.query(sql, parameters).await,
    }
}
