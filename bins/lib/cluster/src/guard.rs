//! A guard before the driver: it sees what a server asks for before the driver answers it.
//!
//! The driver answers whoever asks for a password in clear, or takes us in without asking for anything. Where a lab's
//! server was killed anybody can listen on its port and ask. So each message of the server is looked at on its way up until
//! we are let in: what `require_auth` does not take, or what comes from somebody else's process, ends the connection there.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsStream};

use crate::auth::{Method, RequireAuth};
use crate::peer::Peer;
use crate::stranger::Stranger;

/// The longest message that a server has to say before it lets us in: a handful of bytes, and an error's text.
const LONGEST: usize = 64 * 1024;

/// How far we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The server has not asked for anything.
    Begun,
    /// It asked by this method, and the driver answers.
    Asked(Method),
    /// SCRAM: it sent its challenge.
    Challenged,
    /// SCRAM: it sent its proof, which the driver checks before it reads on.
    Proven,
    /// We are in, or refused by the server: nothing is looked at any more.
    Over,
}

/// A stream, and what is looked at on it.
pub struct Guard<S> {
    inner: S,
    require: RequireAuth,
    peer: Peer,
    phase: Phase,
    /// What was read and not handed on.
    held: Vec<u8>,
    /// How much of it may be handed on.
    cleared: usize,
    /// How much more the server may say, once it has refused us: the driver would keep any length that it names.
    left: Option<usize>,
}

impl<S> Guard<S> {
    pub(crate) fn new(inner: S, require: RequireAuth, peer: Peer) -> Guard<S> {
        Guard { inner, require, peer, phase: Phase::Begun, held: Vec::new(), cleared: 0, left: None }
    }

    /// Looks at the messages that are held, and clears those that may be handed on.
    fn look(&mut self) -> io::Result<()> {
        while self.phase != Phase::Over {
            let Some([tag, a, b, c, d]) = self.held[self.cleared..].first_chunk().copied() else { return Ok(()) };
            if tag == b'E' {
                // The driver gives up with it, and the server may have gone with it. The oldest way to say one has no length.
                self.peer
                    .check()
                    .or_else(|error| if Stranger::in_io(&error).is_some() { Err(error) } else { Ok(()) })?;
                (self.phase, self.left) = (Phase::Over, Some(LONGEST));
                break;
            }
            let length = u32::from_be_bytes([a, b, c, d]) as usize;
            if !(4..=LONGEST).contains(&length) {
                return Err(Stranger("it does not speak PostgreSQL's protocol".to_owned()).into());
            }
            let Some(body) = self.held[self.cleared + 5..].get(..length - 4) else { return Ok(()) };
            match tag {
                b'R' => {
                    let code = body.first_chunk().map_or(u32::MAX, |code| u32::from_be_bytes(*code));
                    self.phase = self.next(code)?;
                }
                b'N' | b'v' => {} // a notice; the protocol's version
                _ => return Err(Stranger("it goes on before it has let us in".to_owned()).into()),
            }
            self.cleared += 1 + length;
        }
        self.cleared = self.held.len();
        Ok(())
    }

    /// Counts what a server says that has refused us.
    fn count(&mut self, read: usize) -> io::Result<()> {
        let Some(left) = &mut self.left else { return Ok(()) };
        *left = left
            .checked_sub(read)
            .ok_or_else(|| Stranger("it refuses us, and has no end of words for it".to_owned()))?;
        Ok(())
    }

    /// What an authentication message of the server leads to.
    fn next(&self, code: u32) -> io::Result<Phase> {
        let asked = match code {
            0 => Method::None,
            3 => Method::Password,
            5 => Method::Md5,
            2 | 7 | 8 => Method::Gss,
            9 => Method::Sspi,
            10..=12 => Method::Scram, // or OAUTHBEARER, which the driver does not know
            _ => return Err(Stranger(format!("it asks for what nobody knows (authentication request {code})")).into()),
        };
        let next = match (self.phase, code) {
            (Phase::Begun, 0) => Phase::Over,
            (Phase::Proven | Phase::Asked(Method::Password | Method::Md5), 0) => return Ok(Phase::Over),
            (Phase::Begun, 1..=10) => Phase::Asked(asked),
            (Phase::Asked(Method::Scram), 11) => return Ok(Phase::Challenged),
            (Phase::Challenged, 12) => return Ok(Phase::Proven),
            _ => return Err(Stranger(format!("it lets us in without a proof (authentication request {code})")).into()),
        };
        if !self.require.takes(asked) {
            let what = match asked {
                Method::None => "it asks for no proof, and shows none".to_owned(),
                method => format!("it asks for authentication by `{}`", method.as_str()),
            };
            return Err(Stranger(format!("{what}, where only {} is taken (require_auth)", self.require)).into());
        }
        self.peer.check()?;
        Ok(next)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guard<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if this.cleared > 0 {
                let count = this.cleared.min(buf.remaining());
                buf.put_slice(&this.held[..count]);
                this.held.drain(..count);
                this.cleared -= count;
                return Poll::Ready(Ok(()));
            }
            if this.phase == Phase::Over {
                let before = buf.filled().len();
                ready!(Pin::new(&mut this.inner).poll_read(cx, buf))?;
                return Poll::Ready(this.count(buf.filled().len() - before));
            }
            let mut bytes = [0; 1024];
            let mut read = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut this.inner).poll_read(cx, &mut read))?;
            if read.filled().is_empty() {
                return Poll::Ready(Ok(())); // the end
            }
            this.held.extend_from_slice(read.filled());
            this.look()?;
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guard<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl<S: TlsStream + Unpin> TlsStream for Guard<S> {
    fn channel_binding(&self) -> ChannelBinding {
        self.inner.channel_binding()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An authentication message.
    fn asks(code: u32, more: &[u8]) -> Vec<u8> {
        let length = u32::try_from(8 + more.len()).unwrap();
        [&b"R"[..], &length.to_be_bytes(), &code.to_be_bytes(), more].concat()
    }

    /// What is handed on of these messages, however they are cut into pieces; or why not.
    fn handed_on(require: &str, messages: &[Vec<u8>]) -> Result<usize, String> {
        let all = messages.concat();
        let mut outcomes = (1..=all.len()).map(|piece| {
            let mut guard = Guard::new((), require.parse().unwrap(), Peer::anybody());
            for part in all.chunks(piece) {
                guard.held.extend_from_slice(part);
                guard.look().map_err(|stranger| stranger.to_string())?;
            }
            Ok(guard.cleared)
        });
        let first = outcomes.next().unwrap();
        assert!(outcomes.all(|other| other == first));
        first
    }

    #[test]
    fn only_scram_to_its_end_is_let_through() {
        let whole = [
            asks(10, b"SCRAM-SHA-256\0\0"),
            asks(11, b"r=x"),
            asks(12, b"v=x"),
            asks(0, b""),
            b"Z\0\0\0\x05I".to_vec(),
        ];
        assert_eq!(handed_on("scram-sha-256", &whole), Ok(whole.concat().len()));
        for (messages, why) in [
            (vec![asks(3, b"")], "`password`"),
            (vec![asks(5, b"salt")], "`md5`"),
            (vec![asks(0, b"")], "no proof"),
            (vec![asks(7, b"")], "`gss`"),
            (vec![asks(10, b"\0"), asks(0, b"")], "without a proof"),
            (vec![asks(10, b"\0"), asks(11, b""), asks(0, b"")], "without a proof"),
            (vec![asks(10, b"\0"), asks(3, b"")], "without a proof"),
            (vec![asks(12, b"")], "without a proof"),
            (vec![asks(10, b"\0"), asks(12, b"")], "without a proof"),
            (vec![asks(99, b"")], "nobody knows"),
            (vec![b"R\0\0\0\x04".to_vec()], "nobody knows"),
            (vec![b"Z\0\0\0\x05I".to_vec()], "before it has let us in"),
            (vec![b"HTTP/1.1 200 OK".to_vec()], "protocol"),
            (vec![b"R\0\0\0\x03".to_vec()], "protocol"),
            (vec![b"R\0\x01\0\x01".to_vec()], "protocol"), // a byte more than is waited for
        ] {
            let said = handed_on("scram-sha-256", &messages).unwrap_err();
            assert!(said.contains(why), "{messages:?}: {said}");
        }
    }

    #[test]
    fn a_refusal_is_handed_on_also_in_its_oldest_form() {
        for text in [&b"E\0\0\0\x0cSFATAL\0\0"[..], b"Eno more processes\n\0"] {
            assert_eq!(handed_on("scram-sha-256", &[text.to_vec()]), Ok(text.len()));
        }
    }

    #[test]
    fn a_refusal_has_an_end() {
        let mut guard = Guard::new((), "scram-sha-256".parse().unwrap(), Peer::anybody());
        assert!(guard.count(usize::MAX).is_ok(), "who lets us in may say what he likes");
        guard.held.extend_from_slice(b"E\x7f\xff\xff\xf0");
        guard.look().unwrap();
        assert!(guard.count(LONGEST).is_ok() && guard.count(1).is_err());
    }

    #[test]
    fn what_is_taken_by_name_passes() {
        assert!(handed_on("password", &[asks(3, b""), asks(0, b"")]).is_ok());
        assert!(handed_on("!scram-sha-256", &[asks(5, b"salt"), asks(0, b"")]).is_ok());
        assert!(handed_on("none", &[asks(0, b"")]).is_ok());
        assert!(handed_on("!none", &[asks(0, b"")]).is_err());
        assert!(handed_on("md5", &[asks(10, b"\0")]).is_err());
    }
}
