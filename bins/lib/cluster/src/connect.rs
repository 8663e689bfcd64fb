//! Connecting, with a deadline over the whole of it.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use report::foreign;
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Connection, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::conninfo::Conninfo;
use crate::own::{self, Token};
use crate::tls;

/// The stream below a connection when TLS was made.
pub type TlsStream = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream;

/// A connection, to be polled for messages.
pub type Wire = Connection<Socket, TlsStream>;

/// Connects to one server, and sees that the session is the server's own ([`crate::own`]). The deadline of `info` covers
/// socket, TLS, startup, authentication and that proof; tokio-postgres' own `connect_timeout` covers the socket only, and a
/// mute listener would hold us forever.
///
/// # Errors
/// The server's own word, that there was none in time, or that a pooler is between.
pub async fn connect(info: &Conninfo, application_name: &str) -> Result<(Client, Wire)> {
    let tls = tls::connector(info)?;
    let limit = info.connect_timeout;
    let token = Token::new();
    let connecting = async {
        let config = token.give(info).config(application_name);
        let (client, mut wire) = config.connect(tls).await.map_err(own::refused)?;
        token.prove(&client, &mut wire).await?;
        Ok((client, wire))
    };
    tokio::time::timeout(limit, connecting)
        .await
        .unwrap_or_else(|_| Err(anyhow!("no answer within {limit:?}")))
        .with_context(|| format!("cannot connect to {}", info.describe()))
}

/// A blocking client for long work on a thread of its own: COPY, scans.
///
/// The sync `postgres` client has no deadline on its side, so the connecting runs on a thread that is given up when it
/// takes too long.
///
/// # Errors
/// As [`connect`].
pub fn connect_blocking(info: &Conninfo, application_name: &str) -> Result<postgres::Client> {
    let tls = tls::connector(info)?;
    let token = Token::new();
    let config = postgres::Config::from(token.give(info).config(application_name));
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let connected = config.connect(tls).map_err(own::refused).and_then(|mut client| {
            token.judge(client.simple_query(&token.question()))?;
            Ok(client)
        });
        sender.send(connected).is_ok()
    });
    // A little longer than the socket's own limit, so that its clearer message wins.
    let limit = info.connect_timeout + Duration::from_millis(200);
    receiver
        .recv_timeout(limit)
        .map_err(|_| anyhow!("no answer within {limit:?}"))
        .and_then(|connected| connected)
        .with_context(|| format!("cannot connect to {}", info.describe()))
}

/// An error of a server or its connection in one line: severity, message and SQLSTATE, where there are any. The detail
/// is left out: it can hold data, or a statement with a password in it.
#[derive(Debug)]
pub struct ServerError {
    text: String,
    error: tokio_postgres::Error,
}

impl std::fmt::Display for ServerError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for ServerError {}

/// Puts what a server or its connection said into one line, in which nothing moves a terminal's cursor.
#[must_use]
pub fn describe(error: tokio_postgres::Error) -> anyhow::Error {
    let text = match error.as_db_error() {
        Some(db) => format!("{}: {} (SQLSTATE {})", db.severity(), db.message(), db.code().code()),
        None => match std::error::Error::source(&error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    };
    ServerError { text: foreign::one_line(&text).into_owned(), error }.into()
}

/// The SQLSTATE of an error that [`describe`] made, under whatever context.
#[must_use]
pub fn sqlstate(error: &anyhow::Error) -> Option<&SqlState> {
    error.downcast_ref::<ServerError>()?.error.code()
}

/// Whether the server refused the role that wanted in: a wrong password, no such role, no line of `pg_hba.conf`
/// (SQLSTATE class 28). To ask again is in vain.
#[must_use]
pub fn is_refused(error: &anyhow::Error) -> bool {
    sqlstate(error).is_some_and(|state| state.code().starts_with("28"))
}
