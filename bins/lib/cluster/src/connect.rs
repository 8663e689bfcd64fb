//! Connecting, with a deadline over the whole of it, and to nobody but whom `info` means.

use std::io::ErrorKind;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use tokio_postgres::Client;

use crate::conninfo::Conninfo;
use crate::own::{self, Token};
use crate::peer::Peer;
use crate::protection::SslMode;
use crate::server_error::describe;
use crate::socket::{self, Secure, Socket, Wire};
use crate::stranger::Stranger;
use crate::tls;

/// How often to look whether a server has accepted a connection: it does so within a millisecond.
const POLL_EVERY: Duration = Duration::from_millis(1);

/// Connects to one server, and sees that the session is the server's own ([`crate::own`]). The deadline of `info` covers
/// socket, TLS, startup, authentication and that proof; tokio-postgres' own `connect_timeout` covers the socket only, and a
/// mute listener would hold us forever.
///
/// # Errors
/// The server's own word, that there was none in time, that a pooler is between, or that a [`Stranger`](crate::stranger::Stranger) is there.
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
/// If it cannot be reached, or if somebody else has its port, who is told nothing: the token ends whatever that session is at.
pub async fn cancel(info: &Conninfo, token: &tokio_postgres::CancelToken) -> Result<()> {
    let cancelling = async {
        let (socket, secure) = reach(info).await?;
        taken_by_the_server(&secure.peer).await?;
        token.cancel_query_raw(socket, secure).await.map_err(describe)
    };
    within(info, info.connect_timeout, cancelling).await
}

/// Waits until a process has the other end, and sees whose it is. Where the server speaks first in what matters, the guard does that.
async fn taken_by_the_server(peer: &Peer) -> Result<()> {
    loop {
        match peer.check() {
            Err(nobody) if nobody.kind() == ErrorKind::ConnectionAborted => tokio::time::sleep(POLL_EVERY).await,
            Err(stranger) => return Err(Stranger::in_io(&stranger).cloned().map_or(stranger.into(), Into::into)),
            Ok(()) => return Ok(()),
        }
    }
}
