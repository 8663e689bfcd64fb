//! Connection strings as libpq reads them: `key=value` or URI, with its environment, service file and password file.
//!
//! tokio-postgres has a parser of its own, but that one refuses `passfile`, `service`, `sslrootcert` and more, which
//! people do have in their strings. So the string is taken apart here, and tokio-postgres is filled by its setters.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use report::foreign::one_line;
use tokio_postgres::config::{SslMode, SslNegotiation};

use crate::of_lab;
use crate::passfile::{self, SOCKET_DIRS};
use crate::peer::is_trusted;
use crate::protection::{self, Protection};
use crate::secret::Secret;
use crate::service;

/// Everything that is needed to reach one server.
#[derive(Clone, Debug)]
pub struct Conninfo {
    /// Host name, address, or a socket's directory.
    pub host: String,
    /// The address to use instead of looking the host up.
    pub hostaddr: Option<IpAddr>,
    /// Port.
    pub port: u16,
    /// Database.
    pub dbname: String,
    /// User.
    pub user: String,
    /// Password, if one was found.
    pub password: Option<Secret>,
    /// What the connection has to be before a password leaves.
    pub protection: Protection,
    /// `options`: settings for the session.
    pub options: Option<String>,
    /// Time for the whole connect, authentication included.
    pub connect_timeout: Duration,
    /// Time for unacknowledged data before the connection counts as broken.
    pub tcp_user_timeout: Option<Duration>,
}

/// Time for a whole connect where nothing else is said: a fork, a few messages and 4096 SCRAM rounds on each side
/// take milliseconds; this leaves room for a machine that swaps.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Where the parts of a conninfo come from when the string does not have them; so do those of [`protection::PARAMETERS`].
const ENVIRONMENT: [(&str, &str); 10] = [
    ("host", "PGHOST"),
    ("hostaddr", "PGHOSTADDR"),
    ("port", "PGPORT"),
    ("dbname", "PGDATABASE"),
    ("user", "PGUSER"),
    ("password", "PGPASSWORD"),
    ("passfile", "PGPASSFILE"),
    ("service", "PGSERVICE"),
    ("connect_timeout", "PGCONNECT_TIMEOUT"),
    ("options", "PGOPTIONS"),
];

/// Parameters that mean nothing to our programs, and that need not stop anybody: they protect nothing.
const WITHOUT_MEANING: [&str; 15] = [
    "application_name",
    "fallback_application_name",
    "client_encoding",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "target_session_attrs",
    "krbsrvname",
    "gsslib",
    "gssdelegation",
    "load_balance_hosts",
    "sslcompression",
    "sslsni",
    "max_protocol_version",
];

impl Conninfo {
    /// Reads a conninfo from the command line. A password in it is refused: everybody can see it there.
    ///
    /// # Errors
    /// If it cannot be read, holds a password, or asks for what we cannot do; the error names the parameter.
    pub fn from_argument(text: &str) -> Result<Conninfo> {
        let parameters = tokenize(text)?;
        ensure!(
            !parameters.contains_key("password"),
            "a password on the command line can be read by everybody: put it into a passfile (0600) or PGPASSWORD"
        );
        Conninfo::from_parameters(parameters, |name| std::env::var(name).ok(), user_of_this_process)
    }

    /// Fills the gaps from service file, environment and libpq's defaults.
    pub(crate) fn from_parameters(
        mut given: BTreeMap<String, String>,
        environment: impl Fn(&str) -> Option<String>,
        own_user: impl Fn() -> Result<String>,
    ) -> Result<Conninfo> {
        if let Some(name) = given.get("service").cloned().or_else(|| environment("PGSERVICE")) {
            for (key, value) in service::find(&name)? {
                given.entry(key).or_insert(value);
            }
        }
        for key in given.keys() {
            let understood = key == "tcp_user_timeout" || variables().any(|(understood, _)| understood == key);
            ensure!(
                understood || WITHOUT_MEANING.contains(&key.as_str()),
                "conninfo: `{key}` is not a parameter that can be used here"
            );
        }
        for (key, variable) in variables() {
            if let Some(value) = environment(variable).filter(|value| !value.is_empty()) {
                given.entry(key.to_owned()).or_insert(value);
            }
        }
        let get = |key: &str| given.get(key).filter(|value| !value.is_empty()).cloned();
        let port = port(get("port").as_deref().unwrap_or("5432"))?;
        let host = get("host").or(get("hostaddr")).unwrap_or_else(|| default_host(port, &SOCKET_DIRS));
        ensure!(!host.contains(','), "conninfo: host={host}: name one server, and give the option once per server");
        let user = get("user").map_or_else(own_user, Ok)?;
        let dbname = get("dbname").unwrap_or_else(|| user.clone());
        let mut protection = Protection::of(get)?;
        let password = match (get("password"), passfile_of(get("passfile"), &environment)) {
            (Some(password), _) => Some(Secret::new(password)),
            (None, None) => None,
            (None, Some(file)) => {
                let password = passfile::find(&file, &host, port, &dbname, &user)?;
                protection = of_lab::protect(&file, protection)?;
                password
            }
        };
        Ok(Conninfo {
            hostaddr: get("hostaddr")
                .map(|a| a.parse().with_context(|| format!("conninfo: hostaddr={a}")))
                .transpose()?,
            protection,
            options: get("options"),
            connect_timeout: match seconds("connect_timeout", get("connect_timeout"))? {
                Some(0) | None => CONNECT_TIMEOUT, // libpq's 0 is forever: nothing here waits forever
                Some(seconds) => Duration::from_secs(seconds),
            },
            tcp_user_timeout: seconds("tcp_user_timeout", get("tcp_user_timeout"))?.map(Duration::from_millis),
            host,
            port,
            dbname,
            user,
            password,
        })
    }

    /// What tokio-postgres needs to begin a session, as `application_name`, on a socket that is open.
    #[must_use]
    pub fn config(&self, application_name: &str) -> tokio_postgres::Config {
        let mut config = tokio_postgres::Config::new();
        config.user(&self.user).dbname(&self.dbname).application_name(application_name);
        // TLS or not, `socket::Secure` has made by then what the session goes over.
        config.ssl_mode(SslMode::Require).ssl_negotiation(SslNegotiation::Direct);
        config.channel_binding(self.protection.channel_binding);
        if let Some(password) = &self.password {
            config.password(password.reveal());
        }
        if let Some(options) = &self.options {
            config.options(options);
        }
        config
    }

    /// The same, with a setting for the session. Given at its start, it outweighs what a role or a database has set.
    #[must_use]
    pub fn with_setting(&self, name: &str, value: &str) -> Conninfo {
        let escaped = value.replace('\\', r"\\").replace(' ', r"\ ");
        let before = self.options.as_ref().map(|options| format!("{options} ")).unwrap_or_default();
        Conninfo { options: Some(format!("{before}-c {name}={escaped}")), ..self.clone() }
    }

    /// The same, for a session that a standby serves whatever a role or a database has set: it refuses every statement that is to be
    /// serializable.
    #[must_use]
    pub fn read_committed(&self) -> Conninfo {
        self.with_setting("default_transaction_isolation", "read committed")
    }

    /// Where it leads, for messages: `user@host:port/dbname`.
    #[must_use]
    pub fn describe(&self) -> String {
        one_line(&format!("{}@{}:{}/{}", self.user, self.host, self.port, self.dbname)).into_owned()
    }
}

/// Each parameter that can come from the environment, and its variable.
fn variables() -> impl Iterator<Item = (&'static str, &'static str)> {
    ENVIRONMENT.into_iter().chain(protection::PARAMETERS)
}

/// Where a server listens that no host leads to: in the first directory that holds its socket, else at `localhost`. (libpq
/// has one such directory built in, and not the same one everywhere.) In `/tmp` anybody may have put one.
fn default_host(port: u16, dirs: &[&str]) -> String {
    let listens = |dir: &&&str| {
        let socket = Path::new(dir).join(format!(".s.PGSQL.{port}"));
        let is_trusted = |metadata: Metadata| is_trusted(metadata.uid());
        std::fs::symlink_metadata(socket).is_ok_and(|metadata| **dir != "/tmp" || is_trusted(metadata))
    };
    (*dirs.iter().find(listens).unwrap_or(&"localhost")).to_owned()
}

/// Whom the operating system takes us for, as libpq does; `USER` is not set everywhere.
fn user_of_this_process() -> Result<String> {
    whoami::username().context("conninfo: no user is given, and the name of this process's is not known")
}

/// The password file that is named, else the usual one if it is there.
fn passfile_of(named: Option<String>, environment: impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
    named
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(environment("HOME")?).join(".pgpass")).filter(|usual| usual.is_file()))
}

fn port(text: &str) -> Result<u16> {
    text.parse().ok().filter(|port| *port > 0).with_context(|| format!("conninfo: port={text}: a port is 1 to 65535"))
}

fn seconds(key: &str, text: Option<String>) -> Result<Option<u64>> {
    text.map(|text| text.parse().with_context(|| format!("conninfo: {key}={text} is not a number"))).transpose()
}

/// Takes a conninfo apart into its parameters.
pub(crate) fn tokenize(text: &str) -> Result<BTreeMap<String, String>> {
    match text.strip_prefix("postgresql://").or_else(|| text.strip_prefix("postgres://")) {
        Some(rest) => tokenize_uri(rest),
        None => tokenize_pairs(text),
    }
}

/// `key = 'value'` pairs; backslash escapes, in and outside of quotes.
fn tokenize_pairs(text: &str) -> Result<BTreeMap<String, String>> {
    let mut parameters = BTreeMap::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=').context("conninfo: expected key=value pairs or a postgresql:// URI")?;
        let key = key.trim();
        ensure!(!key.is_empty() && !key.contains(char::is_whitespace), "conninfo: `{key}` has no `=` after it");
        let (value, after) = value(after.trim_start()).with_context(|| format!("conninfo: {key}"))?;
        parameters.insert(key.to_owned(), value);
        rest = after.trim_start();
    }
    Ok(parameters)
}

/// One value, and what comes after it.
fn value(text: &str) -> Result<(String, &str)> {
    let (quoted, body) = match text.strip_prefix('\'') {
        Some(body) => (true, body),
        None => (false, text),
    };
    let mut value = String::new();
    let mut chars = body.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
            '\'' if quoted => return Ok((value, &body[at + 1..])),
            c if !quoted && c.is_whitespace() => return Ok((value, &body[at..])),
            c => value.push(c),
        }
    }
    ensure!(!quoted, "the quote is not closed");
    Ok((value, ""))
}

/// `user:password@host:port/dbname?key=value`, after the scheme.
fn tokenize_uri(rest: &str) -> Result<BTreeMap<String, String>> {
    let mut parameters = BTreeMap::new();
    let mut put = |key: &str, value: &str| -> Result<()> {
        if !value.is_empty() {
            parameters.insert(key.to_owned(), percent_decode(value)?);
        }
        Ok(())
    };
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, dbname) = place.split_once('/').unwrap_or((place, ""));
    let (userinfo, hostport) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
    let (host, port) = match hostport.strip_prefix('[') {
        Some(v6) => {
            let (host, after) = v6.split_once(']').context("conninfo: `[` without `]` in the URI's host")?;
            (host, after.strip_prefix(':').unwrap_or(""))
        }
        None => hostport.split_once(':').unwrap_or((hostport, "")),
    };
    for (key, value) in [("user", user), ("password", password), ("host", host), ("port", port), ("dbname", dbname)] {
        put(key, value)?;
    }
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').with_context(|| format!("conninfo: `{pair}` is not key=value"))?;
        put(&percent_decode(key)?, value)?;
    }
    Ok(parameters)
}

fn percent_decode(text: &str) -> Result<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        if *first == b'%' {
            let hex = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
            let byte = hex.and_then(|two| u8::from_str_radix(two, 16).ok()).filter(|byte| *byte != 0);
            bytes.push(byte.context("conninfo: a `%` in the URI is not followed by two hex digits")?);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).context("conninfo: the URI is not UTF-8")
}

#[cfg(test)]
#[path = "conninfo_tests.rs"]
mod tests;
