//! Asks whether a node still answers, on a session of its own while others wait for long reads. A frozen server, or one
//! behind a dead network, closes no connection: without this a read would last until its own deadline.

use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use cluster::conninfo::Conninfo;
use cluster::server_error::{describe, sqlstate};
use cluster::session::Session;

use crate::APPLICATION;

/// The pause between two questions.
const PAUSE: Duration = Duration::from_secs(1);

/// The least time that a node is left to answer: a machine under load may need some.
const LEAST: Duration = Duration::from_secs(10);

/// Why a node was given up, if it was; shared by all that wait for it.
#[derive(Clone, Default)]
pub(crate) struct Lost(Arc<OnceLock<String>>);

impl Lost {
    /// Why, if it is so.
    pub(crate) fn why(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }

    /// Gives the node up. The first reason stays.
    pub(crate) fn give_up(&self, why: String) {
        let _ = self.0.set(why);
    }
}

/// Asks a node over and over, as long as anybody holds `lost`, and gives it up there once it has been silent for `limit`
/// (10 s, if that is longer).
pub(crate) fn watch(node: &str, info: &Conninfo, limit: Duration, lost: &Lost) {
    let (node, info, lost, limit) = (node.to_owned(), info.clone(), Arc::downgrade(&lost.0), limit.max(LEAST));
    std::thread::spawn(move || until_silent(&node, &info, limit, &lost));
}

fn until_silent(node: &str, info: &Conninfo, limit: Duration, lost: &Weak<OnceLock<String>>) {
    let (mut session, mut heard) = (None, Instant::now());
    loop {
        if answers(&mut session, node, info, limit) {
            heard = Instant::now();
        }
        let Some(lost) = lost.upgrade() else { return };
        if heard.elapsed() >= limit {
            let _ = lost.set(format!("node {node}: it has answered nothing for {limit:?}"));
            return;
        }
        std::thread::sleep(PAUSE);
    }
}

/// Whether the server says anything at all. A refusal is an answer.
fn answers(session: &mut Option<Session>, node: &str, info: &Conninfo, limit: Duration) -> bool {
    let open = match session.take().filter(|session| !session.is_closed()) {
        Some(open) => Ok(open),
        None => Session::open(node, info, APPLICATION),
    };
    let asked = open.and_then(|open| {
        open.within(limit, async { open.client().batch_execute("").await.map_err(describe) })?;
        Ok(open)
    });
    match asked {
        Ok(open) => {
            *session = Some(open);
            true
        }
        Err(error) => sqlstate(&error).is_some(),
    }
}
