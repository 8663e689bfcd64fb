//! Following: whom a standby receives WAL from, and whether it does.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use cluster::file::NodeSection;
use cluster::session::Session;
use cluster::wait::{Attempt, until};

use crate::secrets::REPLICATION;

/// How often a standby is asked whether it streams.
const LOOK: Duration = Duration::from_millis(5);

/// What a standby needs to know of the node that it follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// The upstream's name, for messages.
    pub node: String,
    /// Where it listens: a host, or the directory of its socket.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The standby's own name, which the primary shows as `application_name`.
    pub standby: String,
    /// The slot that the primary keeps for it.
    pub slot: String,
    /// The password file that the standby's server can read.
    pub passfile: PathBuf,
    /// A database, for `pg_rewind`.
    pub dbname: String,
    /// The operating system's user that the upstream has to be, where it is on this machine (libpq's `requirepeer`).
    pub server_user: Option<String>,
}

impl Upstream {
    /// `primary_conninfo`, without a password.
    #[must_use]
    pub fn conninfo(&self) -> String {
        format!("{} application_name={}", self.reach(REPLICATION), value(&self.standby))
    }

    /// How to reach the upstream as another user, for tools.
    #[must_use]
    pub fn conninfo_as(&self, user: &str) -> String {
        format!("{} dbname={}", self.reach(user), value(&self.dbname))
    }

    fn reach(&self, user: &str) -> String {
        let passfile = self.passfile.display().to_string();
        let peer = self.server_user.as_ref().map(|user| format!(" requirepeer={}", value(user))).unwrap_or_default();
        let (host, port, user, passfile) = (value(&self.host), self.port, value(user), value(&passfile));
        format!("host={host} port={port} user={user} passfile={passfile}{peer}")
    }
}

/// What `standby` needs to know to follow the node of `section`. `passfile` is readable by the standby's server.
#[must_use]
pub fn upstream(section: &NodeSection, standby: &str, passfile: &Path) -> Upstream {
    Upstream {
        node: section.name.clone(),
        host: section.host.clone(),
        port: section.port,
        standby: standby.to_owned(),
        slot: standby.to_owned(),
        passfile: passfile.to_owned(),
        dbname: section.dbname.clone(),
        server_user: None,
    }
}

/// A conninfo value, quoted where it must be.
fn value(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | ':');
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// How a standby's receiver stands (`pg_stat_wal_receiver`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receiver {
    /// `streaming` and the like.
    pub status: String,
    /// The timeline that it receives.
    pub timeline: Option<u32>,
    /// The host of the node that it receives from, as its conninfo says it.
    pub sender_host: Option<String>,
    /// That node's port.
    pub sender_port: Option<u16>,
}

/// The standby's receiver; `None` if it has none.
///
/// # Errors
/// If the standby does not answer.
pub fn receiver(standby: &Session) -> Result<Option<Receiver>> {
    let rows = standby.rows(cluster::sql!("receiver"), &[])?;
    let Some(row) = rows.first() else { return Ok(None) };
    let number = |column: usize| -> Result<Option<i32>> { Ok(row.try_get(column)?) };
    Ok(Some(Receiver {
        status: row.try_get(0)?,
        timeline: number(1)?.and_then(|timeline| u32::try_from(timeline).ok()),
        sender_host: row.try_get(2)?,
        sender_port: number(3)?.and_then(|port| u16::try_from(port).ok()),
    }))
}

impl Receiver {
    fn is_of(&self, upstream: &Upstream) -> bool {
        let host = self.sender_host.as_deref() == Some(&upstream.host);
        self.status == "streaming" && host && self.sender_port == Some(upstream.port)
    }
}

/// Whether the standby streams from `upstream`, on `timeline` if that is given; it may still be catching up. Both sides must
/// say so: a receiver is shown as streaming while its upstream still may refuse it, and a walsender may be a base backup's.
/// `primary` is a session on the upstream.
///
/// # Errors
/// If one of them does not answer.
pub fn streams_from(primary: &Session, standby: &Session, upstream: &Upstream, timeline: Option<u32>) -> Result<bool> {
    let receives =
        receiver(standby)?.is_some_and(|r| r.is_of(upstream) && (timeline.is_none() || r.timeline == timeline));
    Ok(receives && primary.value(cluster::sql!("walsender"), &[&upstream.standby, &upstream.slot])?)
}

/// The timeline that a primary writes.
///
/// # Errors
/// If it does not answer.
pub fn timeline_of(primary: &Session) -> Result<u32> {
    let file: String = primary.value(cluster::sql!("current_timeline"), &[])?;
    report::timeline::of_wal_file(&file).with_context(|| format!("{file:?} is no WAL file's name"))
}

/// Waits until the standby streams from `upstream` on its timeline, as [`streams_from`] has it. `open` opens a session on
/// the standby.
///
/// # Errors
/// If it does not by `limit`, with what was last seen.
pub fn wait_streaming(
    primary: &Session,
    open: impl Fn() -> Result<Session>,
    upstream: &Upstream,
    limit: Duration,
) -> Result<()> {
    let (mut session, timeline) = (None, timeline_of(primary)?);
    until(&format!("{} to stream from {}", upstream.standby, upstream.node), limit, LOOK, || {
        let current = match session.take().filter(|s: &Session| !s.is_closed()) {
            Some(current) => current,
            None => open()?,
        };
        let streams = match streams_from(primary, &current, upstream, Some(timeline)) {
            // The server may be back, this session never is.
            Err(error) if primary.is_closed() => {
                return Ok(Attempt::Never(error.context(format!("the session on {} has ended", upstream.node))));
            }
            streams => streams?,
        };
        let now = if streams { None } else { receiver(&current)? };
        session = Some(current);
        Ok(match now {
            _ if streams => Attempt::Done(()),
            Some(r) if r.is_of(upstream) => Attempt::NotYet(format!(
                "it receives on timeline {:?}, and its upstream is not seen to send",
                r.timeline
            )),
            Some(r) => {
                Attempt::NotYet(format!("its receiver is {} from {:?}:{:?}", r.status, r.sender_host, r.sender_port))
            }
            None => Attempt::NotYet("it has no receiver".to_owned()),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conninfo_survives_spaces_and_quotes_and_holds_no_password() {
        let upstream = Upstream {
            node: "node1".into(),
            host: "/home/o'neil/node1/socket".into(),
            port: 15432,
            standby: "node2".into(),
            slot: "node2".into(),
            passfile: "/home/o'neil/my labs/passfile".into(),
            dbname: "understudy".into(),
            server_user: Some("postgres".into()),
        };
        assert_eq!(
            upstream.conninfo(),
            r"host='/home/o\'neil/node1/socket' port=15432 user=understudy_replication passfile='/home/o\'neil/my labs/passfile' requirepeer=postgres application_name=node2"
        );
    }
}
