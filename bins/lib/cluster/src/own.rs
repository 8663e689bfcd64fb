//! Is a session the server's own, and ours alone? Behind a pooler it is not: our settings and prepared statements stay for
//! the pooler's other clients, and their settings become ours. So each session is started with a token as an option, and
//! has to show that token before anything else happens on it.

use std::future::poll_fn;
use std::hash::{BuildHasher as _, RandomState};

use anyhow::{Error, Result, anyhow};
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::conninfo::Conninfo;
use crate::server_error::{describe, sqlstate};
use crate::socket::Wire;

/// The setting that holds the token.
const SETTING: &str = "understudy.session";

/// A session is not the server's own.
#[derive(Debug)]
struct Pooled;

impl std::fmt::Display for Pooled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(
            "this is not the server itself but a connection pooler before it, and what we set there would stay for its \
             other clients (nothing was set): give host and port of the server",
        )
    }
}

impl std::error::Error for Pooled {}

/// Whether a session was refused because a pooler is between us and the server.
#[must_use]
pub fn is_pooled(error: &Error) -> bool {
    error.downcast_ref::<Pooled>().is_some()
}

/// Identifies one session.
pub(crate) struct Token {
    name: String,
    /// Whether the session is to look for its names in `pg_catalog`.
    sets_path: bool,
}

impl Token {
    /// For a session of this conninfo.
    pub(crate) fn new(info: &Conninfo) -> Token {
        let has_path = info.options.as_ref().is_some_and(|options| options.contains("search_path"));
        Token { sets_path: !has_path, ..Token::of_first() }
    }

    /// For the first session of a program on a server. Nothing is set there, but it may be a pooler's all the same.
    pub(crate) fn of_first() -> Token {
        let random = || RandomState::new().hash_one(std::process::id());
        Token { name: format!("{:016x}{:016x}", random(), random()), sets_path: false }
    }

    /// The conninfo that starts a session with this token.
    pub(crate) fn give(&self, info: &Conninfo) -> Conninfo {
        info.with_setting(SETTING, &self.name)
    }

    /// The statement that asks for the token. It asks for the value to which RESET would set it, because a pooler that
    /// remembers start-up options sets them on whichever session it has at hand: that changes the value, not the default.
    /// Without the token the statement changes nothing, and its setting is local to it.
    ///
    /// It is asked in a transaction of its own kind: a standby would refuse one that is serializable by default.
    ///
    /// If the session is the server's own, `search_path` is `pg_catalog` from then on, unless the caller's options say
    /// otherwise: a database's owner could set a path on which his own functions and operators come before the system's.
    pub(crate) fn question(&self) -> String {
        let name = &self.name;
        let path = match self.sets_path {
            true => "pg_catalog.set_config('search_path', 'pg_catalog', false)",
            false => "NULL",
        };
        format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED; SELECT own.token, CASE WHEN own.token OPERATOR(pg_catalog.=) '{name}' THEN {path} END \
               FROM (SELECT CASE WHEN pg_catalog.current_setting('{SETTING}', true) OPERATOR(pg_catalog.=) '{name}' \
                            THEN pg_catalog.set_config('{SETTING}', NULL, true) END AS token OFFSET 0) AS own; COMMIT"
        )
    }

    /// Judges the answer.
    pub(crate) fn judge(&self, answer: Result<Vec<SimpleQueryMessage>, tokio_postgres::Error>) -> Result<()> {
        let shown = answer.map_err(describe)?.into_iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        });
        if shown.as_ref() == Some(&self.name) { Ok(()) } else { Err(Pooled.into()) }
    }

    /// Checks that a new session shows the token, by a simple query: nothing may be prepared there yet.
    pub(crate) async fn prove(&self, client: &Client, wire: &mut Wire) -> Result<()> {
        let question = self.question();
        let mut answer = std::pin::pin!(client.simple_query(&question));
        loop {
            tokio::select! {
                biased;
                answer = &mut answer => return self.judge(answer),
                message = poll_fn(|context| wire.poll_message(context)) => match message {
                    Some(Ok(_)) => {} // a notice
                    Some(Err(error)) => return Err(describe(error)),
                    None => return Err(anyhow!("the connection was closed")),
                },
            }
        }
    }
}

/// What a server or a pooler said to the start of a session. A server takes our option, whatever its version.
pub(crate) fn refused(error: tokio_postgres::Error) -> Error {
    let error = describe(error);
    let is_our_option = sqlstate(&error).is_some_and(|state| state.code() == "08P01")
        && error.to_string().contains("startup parameter");
    if is_our_option { error.context(Pooled) } else { error }
}
