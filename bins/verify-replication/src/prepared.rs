//! Questions to the catalogs, which are asked of each table: planned once for a session, and not each time.

use std::cell::RefCell;
use std::collections::HashMap;

use futures_util::future::try_join_all;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Row, Statement};

/// The statements that one session has prepared, by their text. They are of a few fixed texts, so that they do not grow in
/// number; and all of them read catalogs only, whose columns keep their types: no plan goes out of date in a way that the
/// server does not mend by itself.
#[derive(Default)]
pub(crate) struct Prepared(RefCell<HashMap<&'static str, Statement>>);

impl Prepared {
    /// The rows of a statement, which is prepared unless it is. One that failed is prepared anew the next time.
    ///
    /// # Errors
    /// What the server says.
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
    ///
    /// # Errors
    /// What the server says of the first one that fails.
    pub(crate) async fn all(
        &self,
        client: &Client,
        statements: &[&'static str],
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Vec<Row>>, Error> {
        try_join_all(statements.iter().map(|sql| self.rows(client, sql, parameters))).await
    }
}
