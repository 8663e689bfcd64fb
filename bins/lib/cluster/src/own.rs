//! Is a session the server's own, and ours alone? Behind a pooler it is not: what we set or prepare there stays for its
//! other clients, and their settings become ours. So each session bears a token, given as a start-up option, and has to
//! show it before anything else happens on it.

use std::future::poll_fn;
use std::hash::{BuildHasher as _, RandomState};

use anyhow::{Error, Result, anyhow};
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::connect::{Wire, describe, sqlstate};
use crate::conninfo::Conninfo;

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

/// Names one session, and no other one.
pub(crate) struct Token(String);

impl Token {
    pub(crate) fn new() -> Token {
        let random = || RandomState::new().hash_one(std::process::id());
        Token(format!("{:016x}{:016x}", random(), random()))
    }

    /// The conninfo of the session that is to bear it.
    pub(crate) fn give(&self, info: &Conninfo) -> Conninfo {
        // Before the first question: a database's owner can set where its names are looked for, and have his own functions
        // called in the place of the system's.
        info.with_default("search_path", "pg_catalog").with_setting(SETTING, &self.0)
    }

    /// The question for it. Where the token is not there the question changes nothing; where it is, it is asked for as
    /// that to which the session would be reset: a pooler that keeps start-up options and sets them again on whichever
    /// session it has at hand gives the value, and not the default. The setting is local to this one statement.
    pub(crate) fn question(&self) -> String {
        format!(
            "SELECT CASE WHEN pg_catalog.current_setting('{SETTING}', true) = '{}' \
             THEN pg_catalog.set_config('{SETTING}', NULL, true) END",
            self.0
        )
    }

    /// Judges the answer.
    pub(crate) fn judge(&self, answer: Result<Vec<SimpleQueryMessage>, tokio_postgres::Error>) -> Result<()> {
        let shown = answer.map_err(describe)?.into_iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        });
        if shown.as_deref() == Some(self.0.as_str()) { Ok(()) } else { Err(Pooled.into()) }
    }

    /// Sees that a new session shows it. Nothing has been prepared there: the question is a simple one.
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
