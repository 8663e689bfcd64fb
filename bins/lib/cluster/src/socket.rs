//! The socket below a connection, and TLS over it.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use rustix::net::sockopt;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_postgres::Connection;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::auth::RequireAuth;
use crate::conninfo::Conninfo;
use crate::guard::Guard;
use crate::peer::Peer;
use crate::protection::SslMode;

/// After this long without a word the system asks whether the other side is still there (libpq leaves it to the system).
const KEEPALIVE_IDLE: Duration = Duration::from_secs(2 * 60 * 60);

/// `SSLRequest` (PostgreSQL manual, "Message Formats").
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// A stream to a server.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A socket.
pub type Socket = Box<dyn Stream>;

/// A connection, to be polled for messages.
pub type Wire = Connection<Socket, Guard<Channel>>;

type Rustls = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream;

/// A socket to the server of `info`, of which nothing was asked yet, and what is to be seen of its other end.
pub(crate) async fn open(info: &Conninfo) -> Result<(Socket, Peer)> {
    if info.hostaddr.is_none() && info.host.starts_with('/') {
        let dir = Path::new(&info.host);
        let socket = UnixStream::connect(dir.join(format!(".s.PGSQL.{}", info.port))).await?;
        let uid = socket.peer_cred().context("cannot tell whose socket it is")?.uid();
        info.protection.server_user.check_socket(dir, uid)?;
        return Ok((Box::new(socket), Peer::anybody()));
    }
    let addresses: Vec<SocketAddr> = match info.hostaddr {
        Some(address) => vec![(address, info.port).into()],
        None => tokio::net::lookup_host((&*info.host, info.port)).await?.collect(),
    };
    let mut last = anyhow!("the host has no address");
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(socket) => {
                socket.set_nodelay(true)?;
                sockopt::set_socket_keepalive(&socket, true)?;
                sockopt::set_tcp_keepidle(&socket, KEEPALIVE_IDLE)?;
                if let Some(limit) = info.tcp_user_timeout {
                    sockopt::set_tcp_user_timeout(&socket, u32::try_from(limit.as_millis())?)?;
                }
                let peer = info.protection.server_user.of_connection(socket.local_addr()?, socket.peer_addr()?);
                return Ok((Box::new(socket), peer));
            }
            Err(error) => last = error.into(),
        }
    }
    Err(last)
}

/// Makes of a socket what a session goes over: TLS, where `sslmode` says so, and the guard over it.
pub(crate) struct Secure {
    pub(crate) tls: MakeRustlsConnect,
    pub(crate) sslmode: SslMode,
    pub(crate) host: String,
    pub(crate) require: RequireAuth,
    pub(crate) peer: Peer,
}

impl TlsConnect<Socket> for Secure {
    type Stream = Guard<Channel>;
    type Error = Box<dyn std::error::Error + Sync + Send>;
    type Future = Pin<Box<dyn Future<Output = Result<Guard<Channel>, Self::Error>> + Send>>;

    fn connect(mut self, socket: Socket) -> Self::Future {
        Box::pin(async move {
            let channel = self.channel(socket).await?;
            Ok(Guard::new(channel, self.require, self.peer))
        })
    }
}

impl Secure {
    async fn channel(&mut self, mut socket: Socket) -> Result<Channel, Box<dyn std::error::Error + Sync + Send>> {
        if self.sslmode == SslMode::Disable {
            return Ok(Channel::Plain(socket));
        }
        socket.write_all(&SSL_REQUEST).await?;
        match socket.read_u8().await? {
            b'S' => {}
            b'N' if self.sslmode == SslMode::Prefer => return Ok(Channel::Plain(socket)),
            b'N' => return Err("the server does not support TLS".into()),
            // An error, which libpq shows from 17.1 on no more either: nobody has proven yet that it is the server's.
            _ => return Err("the server did not say whether it supports TLS".into()),
        }
        let tls = MakeTlsConnect::<Socket>::make_tls_connect(&mut self.tls, &self.host)?;
        Ok(Channel::Tls(Box::new(tls.connect(socket).await?)))
    }
}

/// What a session goes over.
pub enum Channel {
    /// As it is.
    Plain(Socket),
    /// By TLS.
    Tls(Box<Rustls>),
}

impl Channel {
    fn stream(&mut self) -> Pin<&mut dyn Stream> {
        match self {
            Channel::Plain(socket) => Pin::new(socket),
            Channel::Tls(tls) => Pin::new(tls),
        }
    }
}

impl AsyncRead for Channel {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_read(cx, buf)
    }
}

impl AsyncWrite for Channel {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.stream().poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(cx)
    }
}

impl TlsStream for Channel {
    fn channel_binding(&self) -> ChannelBinding {
        match self {
            Channel::Plain(_) => ChannelBinding::none(),
            Channel::Tls(tls) => tls.channel_binding(),
        }
    }
}
