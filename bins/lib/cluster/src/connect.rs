//! Connecting, with a deadline over the whole of it, and to nobody but whom `info` means.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use report::foreign;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Connection};

use crate::conninfo::Conninfo;
use crate::guard::{Guard, Stranger};
use crate::own::{self, Token};
use crate::protection::SslMode;
use crate::socket::{self, Channel, Secure, Socket};
use crate::tls;

/// A connection, to be polled for messages.
pub type Wire = Connection<Socket, Guard<Channel>>;

/// Connects to one server, and sees that the session is the server's own ([`crate::own`]). The deadline of `info` covers
/// socket, TLS, startup, authentication and that proof; tokio-postgres' own `connect_timeout` covers the socket only, and a
/// mute listener would hold us forever.
///
/// # Errors
/// The server's own word, that there was none in time, that a pooler is between, or that a [`Stranger`] is there.
pub async fn connect(info: &Conninfo, application_name: &str) -> Result<(Client, Wire)> {
    open(info, application_name, &Token::new(info)).await
}

/// As [`connect`], with nothing set on the session: see [`crate::session::Session::open_first`].
///
/// # Errors
/// As [`connect`].
pub(crate) async fn connect_first(info: &Conninfo, application_name: &str) -> Result<(Client, Wire)> {
    open(info, application_name, &Token::of_first()).await
}

async fn open(info: &Conninfo, application_name: &str, token: &Token) -> Result<(Client, Wire)> {
    let given = token.give(info);
    let connecting = async {
        let (socket, secure) = reach(&given).await?;
        let connected = given.config(application_name).connect_raw(socket, secure).await;
        let (client, mut wire) = connected.map_err(own::refused)?;
        token.prove(&client, &mut wire).await?;
        Ok((client, wire))
    };
    within(info, info.connect_timeout, connecting).await
}

/// A socket to the server, and what is to be made of it before the driver speaks.
async fn reach(info: &Conninfo) -> Result<(Socket, Secure)> {
    let tls = tls::connector(info)?;
    let (socket, peer) = socket::open(info).await?;
    let is_local = info.hostaddr.is_none() && info.host.starts_with('/');
    let secure = Secure {
        tls,
        sslmode: if is_local { SslMode::Disable } else { info.protection.sslmode }, // as libpq: no TLS on Unix sockets
        host: info.host.clone(),
        require: info.protection.require_auth,
        peer,
    };
    Ok((socket, secure))
}

async fn within<T>(info: &Conninfo, limit: Duration, connecting: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(limit, connecting)
        .await
        .unwrap_or_else(|_| Err(anyhow!("no answer within {limit:?}")))
        .with_context(|| format!("cannot connect to {}", info.describe()))
}

/// Asks the server to give up what the session of this token is at. It does not say whether it did.
///
/// # Errors
/// If it cannot be reached.
pub async fn cancel(info: &Conninfo, token: &tokio_postgres::CancelToken) -> Result<()> {
    let cancelling = async {
        let (socket, secure) = reach(info).await?;
        token.cancel_query_raw(socket, secure).await.map_err(describe)
    };
    within(info, info.connect_timeout, cancelling).await
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
    if let Some(stranger) = Stranger::below(&error) {
        return stranger.into();
    }
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
