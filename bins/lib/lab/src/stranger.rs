//! A stranger for tests: it has the port, or a socket, of a server that is not there, asks whoever comes for what it should
//! not get, and keeps all that it hears. As root its threads are another user's.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use rustix::process::{Uid, geteuid};
use rustix::thread::set_thread_uid;

/// The user that a stranger's threads are, as root: `nobody`.
pub const NOBODY: u32 = 65_534;

/// What a stranger does with whoever connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asks {
    /// It asks for the password.
    Password,
    /// It asks for a hash of it.
    Md5,
    /// It lets everybody in.
    Nothing,
    /// It begins SCRAM like a server, and does not know the password at its end.
    BogusProof,
    /// It says that the password is wrong, without asking for one.
    Refuses,
    /// It passes everything on to the server at this port of 127.0.0.1, and back.
    Relays(u16),
}

/// A stranger at work. It ends when it is dropped.
pub struct Stranger {
    port: u16,
    socket: Option<PathBuf>,
    shared: Arc<Shared>,
    listening: Option<JoinHandle<()>>,
}

struct Shared {
    asks: Asks,
    /// How many have come.
    came: Mutex<usize>,
    /// What they said after the start of a session: types and bodies of messages.
    heard: Mutex<Vec<(char, Vec<u8>)>>,
    ended: AtomicBool,
}

/// Either kind of connection.
trait Stream: Read + Write + Send {
    fn twin(&self) -> io::Result<Box<dyn Stream>>;
    fn end(&self) -> io::Result<()>;
}

impl Stream for TcpStream {
    fn twin(&self) -> io::Result<Box<dyn Stream>> {
        Ok(Box::new(self.try_clone()?))
    }

    fn end(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Both)
    }
}

impl Stream for UnixStream {
    fn twin(&self) -> io::Result<Box<dyn Stream>> {
        Ok(Box::new(self.try_clone()?))
    }

    fn end(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Both)
    }
}

impl Stranger {
    /// Takes a port of 127.0.0.1; 0: any.
    ///
    /// # Errors
    /// If somebody else has it.
    pub fn at(port: u16, asks: Asks) -> io::Result<Stranger> {
        let shared = Shared::of(asks);
        let (send, bound) = std::sync::mpsc::channel();
        let serving = shared.clone();
        let listening = thread::spawn(move || {
            let listener = become_nobody().and_then(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, port)));
            let listener = match listener {
                Ok(listener) => {
                    let port = listener.local_addr().map(|address| address.port());
                    send.send(port).is_ok().then_some(listener)
                }
                Err(error) => send.send(Err(error)).map(|()| None).unwrap_or_default(),
            };
            for stream in listener.iter().flat_map(TcpListener::incoming) {
                serving.serve(stream.map(|stream| Box::new(stream) as Box<dyn Stream>));
                if serving.ended.load(Ordering::Relaxed) {
                    return;
                }
            }
        });
        let port = bound.recv().map_err(io::Error::other)??;
        Ok(Stranger { port, socket: None, shared, listening: Some(listening) })
    }

    /// Puts a socket for `port` into a directory, made by ourselves and listened on by the stranger's user.
    ///
    /// # Errors
    /// If there is one.
    pub fn at_socket(dir: &Path, port: u16, asks: Asks) -> io::Result<Stranger> {
        let path = dir.join(format!(".s.PGSQL.{port}"));
        let shared = Shared::of(asks);
        let (send, bound) = std::sync::mpsc::channel();
        let (serving, at) = (shared.clone(), path.clone());
        let listening = thread::spawn(move || {
            let listener = match become_nobody().and_then(|()| UnixListener::bind(at)) {
                Ok(listener) => send.send(Ok(())).is_ok().then_some(listener),
                Err(error) => send.send(Err(error)).map(|()| None).unwrap_or_default(),
            };
            for stream in listener.iter().flat_map(UnixListener::incoming) {
                serving.serve(stream.map(|stream| Box::new(stream) as Box<dyn Stream>));
                if serving.ended.load(Ordering::Relaxed) {
                    return;
                }
            }
        });
        bound.recv().map_err(io::Error::other)??;
        Ok(Stranger { port, socket: Some(path), shared, listening: Some(listening) })
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How many connections there were.
    #[must_use]
    pub fn came(&self) -> usize {
        *self.shared.came.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was said after the start of a session: passwords, hashes, proofs, statements.
    #[must_use]
    pub fn heard(&self) -> Vec<(char, Vec<u8>)> {
        self.shared.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        match &self.socket {
            None => drop(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))),
            Some(path) => {
                let _ = UnixStream::connect(path);
                let _ = std::fs::remove_file(path);
            }
        }
        let _ = self.listening.take().map(JoinHandle::join); // then the port is free
    }
}

/// As root this thread, and those that it starts, are another user's from here on; nobody else's is.
fn become_nobody() -> io::Result<()> {
    if geteuid().is_root() { Ok(set_thread_uid(Uid::from_raw(NOBODY))?) } else { Ok(()) }
}

impl Shared {
    fn of(asks: Asks) -> Arc<Shared> {
        Arc::new(Shared { asks, came: Mutex::default(), heard: Mutex::default(), ended: AtomicBool::new(false) })
    }

    fn serve(self: &Arc<Shared>, stream: io::Result<Box<dyn Stream>>) {
        let (Ok(mut stream), false) = (stream, self.ended.load(Ordering::Relaxed)) else { return };
        *self.came.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        let shared = self.clone();
        thread::spawn(move || {
            let _ = shared.talk(&mut *stream); // they go when they like
        });
    }

    fn talk(&self, stream: &mut dyn Stream) -> io::Result<()> {
        let start = loop {
            let mut length = [0; 4];
            stream.read_exact(&mut length)?;
            let mut body = vec![0; (u32::from_be_bytes(length) as usize).clamp(8, 10_000) - 4];
            stream.read_exact(&mut body)?;
            match body[..4] {
                [4, 210, 22, 47 | 48] => stream.write_all(b"N")?, // no TLS, no GSSAPI
                _ => break [&length[..], &body].concat(),
            }
        };
        match self.asks {
            Asks::Relays(port) => return self.relay(stream, &start, port),
            Asks::Password => stream.write_all(&asks(3, b""))?,
            Asks::Md5 => stream.write_all(&asks(5, b"salt"))?,
            Asks::Nothing => {}
            Asks::Refuses => {
                let fields = b"SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed\0\0";
                let length = u32::try_from(fields.len() + 4).map_err(io::Error::other)?;
                stream.write_all(&[&b"E"[..], &length.to_be_bytes(), fields].concat())?;
                return self.hear(stream).map(drop); // it stays, until the other side goes
            }
            Asks::BogusProof => {
                stream.write_all(&asks(10, b"SCRAM-SHA-256\0\0"))?;
                let (_, said) = self.hear(stream)?;
                // A nonce may hold anything but a comma, `r=` too.
                let nonce = String::from_utf8_lossy(&said).rsplit_once(",r=").map(|(_, nonce)| nonce.to_owned());
                let first = format!("r={}stranger,s=c2FsdHNhbHRzYWx0c2FsdA==,i=1", nonce.unwrap_or_default());
                stream.write_all(&asks(11, first.as_bytes()))?;
                self.hear(stream)?;
                stream.write_all(&asks(12, b"v=c3RyYW5nZXJzdHJhbmdlcnN0cmFuZ2Vyc3RyYW5nZXI="))?;
            }
        }
        if matches!(self.asks, Asks::Password | Asks::Md5) {
            self.hear(stream)?;
        }
        stream.write_all(&[&asks(0, b"")[..], b"K\0\0\0\x0c\0\0\0\x01\0\0\0\x02", b"Z\0\0\0\x05I"].concat())?;
        loop {
            self.hear(stream)?;
            stream.write_all(b"I\0\0\0\x04Z\0\0\0\x05I")?; // an empty statement
        }
    }

    /// Reads one message and keeps it.
    fn hear(&self, stream: &mut dyn Stream) -> io::Result<(u8, Vec<u8>)> {
        let mut head = [0; 5];
        stream.read_exact(&mut head)?;
        let [tag, length @ ..] = head;
        let mut body = vec![0; (u32::from_be_bytes(length) as usize).clamp(4, 1_000_000) - 4];
        stream.read_exact(&mut body)?;
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).push((char::from(tag), body.clone()));
        Ok((tag, body))
    }

    /// Passes everything on.
    fn relay(&self, stream: &mut dyn Stream, start: &[u8], port: u16) -> io::Result<()> {
        let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        server.write_all(start)?;
        let (mut answers, mut client) = (server.try_clone()?, stream.twin()?);
        thread::spawn(move || {
            let _ = io::copy(&mut answers, &mut client);
            drop(client.end());
        });
        while let Ok((tag, body)) = self.hear(stream) {
            let length = u32::try_from(body.len() + 4).map_err(io::Error::other)?;
            server.write_all(&[&[tag][..], &length.to_be_bytes(), &body].concat())?;
        }
        server.shutdown(Shutdown::Both)
    }
}

/// An authentication request.
fn asks(code: u32, more: &[u8]) -> Vec<u8> {
    let length = u32::try_from(8 + more.len()).unwrap_or(8);
    [&b"R"[..], &length.to_be_bytes(), &code.to_be_bytes(), more].concat()
}
