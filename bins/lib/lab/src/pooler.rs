//! A connection pooler for tests: one session on a server, handed to its clients in turns, a transaction each.
//!
//! The first client logs in to the server through it; those after it are let in without a password. It knows what our
//! clients send, not the whole protocol.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use cluster::file::{ClusterFile, Login};

/// What the pooler does with the start-up parameter `options` of its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Options {
    /// It leaves them out (PgBouncer's `ignore_startup_parameters`).
    Dropped,
    /// The server gets those of the first client, and keeps them for all.
    OfTheFirst,
    /// It sets them on the server's session before each transaction of the client.
    SetAgain,
}

impl Options {
    /// Each of them.
    pub const ALL: [Options; 3] = [Options::Dropped, Options::OfTheFirst, Options::SetAgain];
}

/// What the next client of a session would find there, beside what the start of each session gives.
const LEFT: &str = "
    SELECT name || '=' || setting FROM pg_settings
     WHERE source = 'session' AND name NOT IN ('application_name', 'client_encoding')
     UNION ALL SELECT 'prepared ' || name FROM pg_prepared_statements";

/// A pooler at work. It ends when it is dropped.
pub struct Pooler {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    server_port: u16,
    options: Options,
    server: Mutex<Option<Server>>,
    ended: AtomicBool,
}

/// The session on the server.
struct Server {
    stream: TcpStream,
    /// What follows the login: parameters, key, "ready for query".
    greeting: Vec<u8>,
}

/// A message: its type, and all of its bytes.
type Message = (u8, Vec<u8>);

impl Pooler {
    /// Starts one before the server at this port of 127.0.0.1.
    ///
    /// # Errors
    /// If it cannot listen.
    pub fn start(server_port: u16, options: Options) -> io::Result<Pooler> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared { server_port, options, server: Mutex::default(), ended: AtomicBool::new(false) });
        let own = shared.clone();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if own.ended.load(Ordering::Relaxed) {
                    return;
                }
                let own = own.clone();
                thread::spawn(move || own.serve(client));
            }
        });
        Ok(Pooler { port, shared })
    }

    /// Where it listens on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What clients have left on the server's session for the next one; `None` if there is no such session.
    ///
    /// # Errors
    /// If the server does not answer.
    pub fn left(&self) -> io::Result<Option<Vec<String>>> {
        self.shared.server().as_mut().map(|server| server.run(LEFT)).transpose()
    }
}

/// A pooler before each node of a lab.
pub struct Pooled {
    poolers: Vec<Pooler>,
    /// The login's, for the poolers' ports.
    _passfile: tempfile::NamedTempFile,
    /// `--primary` and `--standby`, as a program is told of them.
    pub args: Vec<String>,
}

impl Pooled {
    /// Starts them, for clients that log in so. The lab's first node is its primary.
    ///
    /// # Errors
    /// If one cannot listen.
    pub fn lab(file: &ClusterFile, login: &Login, options: Options) -> io::Result<Pooled> {
        let (mut poolers, mut args) = (Vec::new(), Vec::new());
        let own = crate::scratch::passfile_for_any_address(login).map_err(io::Error::other)?;
        for (number, node) in file.node.iter().enumerate() {
            let pooler = Pooler::start(node.port, options)?;
            let (port, user, passfile) = (pooler.port(), &login.user, own.path().display());
            args.push(if number == 0 { "--primary" } else { "--standby" }.to_owned());
            args.push(format!("host=127.0.0.1 port={port} dbname={} user={user} passfile={passfile}", node.dbname));
            poolers.push(pooler);
        }
        Ok(Pooled { poolers, _passfile: own, args })
    }

    /// What is left on all servers' sessions.
    ///
    /// # Errors
    /// If one does not answer.
    pub fn left(&self) -> io::Result<Vec<String>> {
        let left = self.poolers.iter().map(Pooler::left).collect::<io::Result<Vec<_>>>()?;
        Ok(left.into_iter().flatten().flatten().collect())
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(("127.0.0.1", self.port)); // wakes the listener
        if let Some(server) = self.shared.server().take() {
            let _ = server.stream.shutdown(Shutdown::Both);
        }
    }
}

impl Shared {
    fn server(&self) -> MutexGuard<'_, Option<Server>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves one client until it goes.
    fn serve(&self, mut client: TcpStream) -> io::Result<()> {
        let parameters = read_startup(&mut client)?;
        let given = parameters.iter().find(|(name, _)| name == "options").map(|(_, value)| value.clone());
        self.let_in(&mut client, &parameters)?;
        loop {
            let Some(mut request) = read_request(&mut client)? else { return Ok(()) };
            let mut server = self.server();
            let Some(server) = server.as_mut() else { return Ok(()) };
            if self.options == Options::SetAgain {
                server.run(&settings(given.as_deref().unwrap_or_default()))?;
            }
            while server.answer(&request, &mut client)? != b'I' {
                let Some(next) = read_request(&mut client)? else { return Ok(()) };
                request = next;
            }
        }
    }

    /// The first client logs in to the server, the others get what it was told after that.
    fn let_in(&self, client: &mut TcpStream, parameters: &[(String, String)]) -> io::Result<()> {
        let mut server = self.server();
        if let Some(server) = server.as_ref() {
            client.write_all(&[b'R', 0, 0, 0, 8, 0, 0, 0, 0])?; // AuthenticationOk
            return client.write_all(&server.greeting);
        }
        let keep = |name: &str| self.options == Options::OfTheFirst || name != "options";
        let mut startup = 196_608_u32.to_be_bytes().to_vec(); // protocol 3.0
        for (name, value) in parameters.iter().filter(|(name, _)| keep(name)) {
            startup.extend([name.as_bytes(), b"\0", value.as_bytes(), b"\0"].concat());
        }
        startup.push(0);
        let mut stream = TcpStream::connect(("127.0.0.1", self.server_port))?;
        stream.write_all(&[&length_of(&startup), &startup[..]].concat())?;
        let greeting = log_in(client, &mut stream)?;
        *server = Some(Server { stream, greeting });
        Ok(())
    }
}

impl Server {
    /// Hands on a request, and its answer; returns the state of the transaction after it.
    fn answer(&mut self, request: &[u8], client: &mut TcpStream) -> io::Result<u8> {
        self.stream.write_all(request)?;
        loop {
            let (kind, message) = read(&mut self.stream)?;
            client.write_all(&message)?;
            match kind {
                b'Z' => return Ok(message[5]),
                b'G' => return Ok(kind), // COPY: the rows come with the next request
                _ => {}
            }
        }
    }

    /// Runs statements of the pooler's own.
    fn run(&mut self, sql: &str) -> io::Result<Vec<String>> {
        let body = [sql.as_bytes(), b"\0"].concat();
        self.stream.write_all(&[&b"Q"[..], &length_of(&body), &body].concat())?;
        let mut values = Vec::new();
        loop {
            match read(&mut self.stream)? {
                (b'D', row) => {
                    let length = i32::from_be_bytes([row[7], row[8], row[9], row[10]]);
                    let value = row.get(11..11 + usize::try_from(length).unwrap_or(0)).unwrap_or_default();
                    values.push(String::from_utf8_lossy(value).into_owned());
                }
                (b'E', error) => return Err(io::Error::other(String::from_utf8_lossy(&error).into_owned())),
                (b'Z', _) => return Ok(values),
                _ => {}
            }
        }
    }
}

/// Hands on what is said until the client is in; returns what follows "authentication ok".
fn log_in(client: &mut TcpStream, server: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut greeting = None;
    loop {
        let (kind, message) = read(server)?;
        client.write_all(&message)?;
        match (kind, &mut greeting) {
            (b'E', _) => return Err(io::ErrorKind::PermissionDenied.into()),
            (b'R', _) => match message[8] {
                0 => greeting = Some(Vec::new()),
                12 => {} // the end of SASL asks for nothing
                _ => server.write_all(&read(client)?.1)?,
            },
            (kind, Some(greeting)) => {
                greeting.extend_from_slice(&message);
                if kind == b'Z' {
                    return Ok(std::mem::take(greeting));
                }
            }
            _ => {}
        }
    }
}

/// The parameters of a client's start; TLS is refused to it before.
fn read_startup(client: &mut TcpStream) -> io::Result<Vec<(String, String)>> {
    loop {
        let mut length = [0; 4];
        client.read_exact(&mut length)?;
        let mut body = vec![0; u32::from_be_bytes(length) as usize - 4];
        client.read_exact(&mut body)?;
        match u32::from_be_bytes([body[0], body[1], body[2], body[3]]) {
            80_877_103 => client.write_all(b"N")?, // SSLRequest
            196_608 => {
                let words: Vec<_> =
                    body[4..].split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
                return Ok(words
                    .chunks_exact(2)
                    .take_while(|pair| !pair[0].is_empty())
                    .map(|pair| (pair[0].clone(), pair[1].clone()))
                    .collect());
            }
            _ => return Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

/// All messages up to one that the server answers with "ready for query"; `None` if the client goes.
fn read_request(client: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let mut request = Vec::new();
    loop {
        let (kind, message) = match read(client) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            other => other?,
        };
        request.extend(message);
        match kind {
            b'X' => return Ok(None),
            b'Q' | b'S' => return Ok(Some(request)),
            _ => {}
        }
    }
}

fn read(stream: &mut TcpStream) -> io::Result<Message> {
    let mut message = vec![0; 5];
    stream.read_exact(&mut message)?;
    let length = u32::from_be_bytes([message[1], message[2], message[3], message[4]]) as usize;
    message.resize(length + 1, 0);
    stream.read_exact(&mut message[5..])?;
    Ok((message[0], message))
}

fn length_of(body: &[u8]) -> [u8; 4] {
    (body.len() as u32 + 4).to_be_bytes()
}

/// `-c name=value …` as statements.
fn settings(options: &str) -> String {
    let pairs = options.split_whitespace().filter_map(|word| word.split_once('='));
    pairs.map(|(name, value)| format!("SET {name} = '{value}';")).collect()
}
