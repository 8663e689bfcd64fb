//! Our sessions on a node: one for short questions, and some for reading.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Error, Result, bail, ensure};
use cluster::args::Cluster;
use cluster::conninfo::Conninfo;
use cluster::file::LoginKind;
use cluster::session::Session;
use cluster::topology::replayed;
use cluster::{args, catch_up};
use report::lsn::Lsn;
use report::verify::Descent;

use crate::APPLICATION;
use crate::hindered::explained;
use crate::indexes::amcheck::Checkers;
use crate::pace::Pace;
use crate::pulse::{self, Lost};
use crate::reader::Reader;
use crate::same_server::SameServer;
use crate::waiting::Waiting;

/// A standby that took longer than this to catch up is slow: tables do not each wait for it again.
const SLOW: Duration = Duration::from_secs(1);

/// For this long after it caught up, a standby need not catch up again for the next table: rows that are on their way arrive
/// within milliseconds, and rows that have not arrived are rechecked with a mark of their own.
const FRESH: Duration = Duration::from_millis(100);

/// How often a standby's session for short questions is reopened. If it is ended more often, somebody wants it to end.
const REOPENED: u32 = 10;

/// The pause before that.
const REOPEN_PAUSE: Duration = Duration::from_millis(50);

/// A session for short questions is idle while a table is read. A time-out set for its role or database must not end it.
const PATIENT: &str = "SET idle_session_timeout = 0";

#[derive(Clone, Copy, Debug)]
pub(crate) struct Opening {
    /// Sessions for reading.
    pub(crate) jobs: u16,
    /// Whether they are compared as they stand.
    pub(crate) at_rest: bool,
    /// Rows that are read per second at most, over all these sessions.
    pub(crate) max_rows_per_s: Option<u32>,
    /// How long a node may be silent.
    pub(crate) limit: Duration,
}

/// A server and our sessions on it.
pub(crate) struct NodeSessions {
    pub(crate) name: String,
    /// For short questions: marks, names.
    pub(crate) control: Session,
    /// How it was opened.
    info: Conninfo,
    /// Whom it is with, and all of ours.
    server: SameServer,
    /// How often it was opened anew.
    reopened: u32,
    /// For reading; at least one.
    pub(crate) readers: Vec<Reader>,
    /// What can check indexes and visibility maps there.
    pub(crate) checkers: Checkers,
    /// Whether it is compared as it stands: it has nothing to catch up with, and nobody writes.
    pub(crate) at_rest: bool,
    /// Of the primary: commits that wait for a synchronous standby.
    pub(crate) waiting: Waiting,
    /// Why it is waited for no more.
    lost: Lost,
    /// The last mark that it caught up with.
    passed: Arc<AtomicU64>,
    /// When that was.
    passed_at: Mutex<Option<Instant>>,
    /// Whether it took long for that.
    slow: AtomicBool,
}

impl NodeSessions {
    /// Opens sessions for reading beside the one that is there.
    pub(crate) fn open(cluster: &Cluster, node: &args::Node, control: Session, how: Opening) -> Result<NodeSessions> {
        let info = cluster.info(node, LoginKind::Monitor)?;
        control.script(PATIENT)?;
        let (passed, lost) = (Arc::new(AtomicU64::new(0)), Lost::default());
        let pace = Arc::new(Pace::new(how.max_rows_per_s));
        let server = SameServer::of(&control)?;
        let open = |_| Reader::open(&node.name, (&info, &server), Arc::clone(&passed), lost.clone(), Arc::clone(&pace));
        let mut readers = (0..how.jobs).map(open).collect::<Result<Vec<_>>>()?;
        let checkers = Checkers::ask(&mut readers[0])?;
        pulse::watch(&node.name, &info, how.limit, &lost);
        let (name, waiting, slow) = (node.name.clone(), Waiting::default(), AtomicBool::new(false));
        let at_rest = how.at_rest;
        let passed_at = Mutex::new(None);
        Ok(NodeSessions {
            name,
            control,
            info,
            server,
            reopened: 0,
            readers,
            checkers,
            at_rest,
            waiting,
            lost,
            passed,
            passed_at,
            slow,
        })
    }

    /// The first of its readers, for what one session does.
    pub(crate) fn reader(&mut self) -> &mut Reader {
        &mut self.readers[0]
    }

    /// Whether the session for short questions of a standby may be opened anew, if it was ended.
    fn may_reopen_control(&self) -> bool {
        !self.at_rest && self.lost().is_none() && program::stop::check().is_ok()
    }

    /// Reopens a standby's session for short questions after it was ended: that alone is no reason to give the standby up.
    /// Fails if it was ended too often, or the standby has gone back behind its mark.
    fn reopen_control(&mut self) -> Result<()> {
        let passed = Lsn(self.passed.load(Ordering::Relaxed));
        ensure!(self.reopened < REOPENED, "node {}: our session there was ended {REOPENED} times", self.name);
        self.reopened += 1;
        program::stop::pause(REOPEN_PAUSE)?;
        let control = Session::open(&self.name, &self.info, APPLICATION)?;
        control.script(PATIENT)?;
        self.server.check(&control)?;
        ensure_passed(self, replayed(&control)?.unwrap_or_default(), passed)?;
        self.control = control;
        Ok(())
    }

    /// Reopens that session if it was ended before the first question that counts.
    pub(crate) fn reopen_if_ended(&mut self) -> Result<()> {
        if self.control.is_closed() { self.reopen_control() } else { Ok(()) }
    }

    /// Reopens that session if it was ended. A node for which that fails is lost.
    pub(crate) fn revive(&mut self) {
        if self.control.is_closed()
            && self.may_reopen_control()
            && let Err(error) = self.reopen_control()
        {
            self.lose(&error);
        }
    }

    /// Sees that it was not promoted.
    ///
    /// # Errors
    /// If it was, or that cannot be asked.
    pub(crate) fn still_recovers(&self) -> Result<()> {
        self.server.check(&self.control)
    }

    /// Whether it caught up with a mark within [`FRESH`].
    fn has_just_caught_up(&self) -> bool {
        let passed_at = *self.passed_at.lock().unwrap_or_else(PoisonError::into_inner);
        passed_at.is_some_and(|at| at.elapsed() < FRESH) && self.lost().is_none()
    }

    /// Whether it does not answer any more, or failed to catch up.
    pub(crate) fn is_gone(&self) -> bool {
        self.lost().is_some() || self.control.is_closed() || self.readers.iter().any(Reader::is_closed)
    }

    pub(crate) fn why_gone(&self) -> String {
        self.lost().map_or_else(|| format!("node {}: the session is gone", self.name), str::to_owned)
    }

    /// Why it will answer no question any more, if that is so. The end of a reading session is no such reason: the next read
    /// opens another one.
    pub(crate) fn silent(&self) -> Option<String> {
        (self.lost().is_some() || self.control.is_closed()).then(|| self.why_gone())
    }

    /// Why it is waited for no more, if that is so.
    pub(crate) fn lost(&self) -> Option<&str> {
        self.lost.why()
    }

    /// Tells from other threads whether it is still waited for.
    pub(crate) fn loss(&self) -> Lost {
        self.lost.clone()
    }

    /// Waits for it no more. The first reason stays.
    pub(crate) fn lose(&self, why: &Error) {
        self.lost.give_up(format!("{why:#}"));
    }
}

/// A standby, or why it was given up.
pub(crate) struct Standby {
    pub(crate) name: String,
    /// The node, or why it was given up. That is final: a server that was restarted may show an older state than the mark that
    /// it had passed, and every table would wait again for a standby that misses a mark.
    pub(crate) node: Result<NodeSessions, String>,
    /// How it was proven that it descends from the primary.
    pub(crate) descent: Option<Descent>,
    /// Whether the message that it was given up has been printed.
    pub(crate) told: bool,
}

impl Standby {
    /// A standby of which nothing is proven yet.
    pub(crate) fn new(name: String, node: Result<NodeSessions>) -> Standby {
        Standby { name, node: node.map_err(|error| format!("{error:#}")), descent: None, told: false }
    }

    /// Waits until it has caught up with what the primary has by now. Gives it up if it does not.
    pub(crate) fn catch_up(&mut self, primary: &NodeSessions, limit: Duration) {
        let Ok(node) = &mut self.node else { return };
        if let Err(error) = catch_up(primary, node, limit) {
            self.node = Err(format!("{error:#}"));
        }
    }

    /// As [`Standby::catch_up`], before a table is read, only so that most rows agree at once. A standby that took long the
    /// last time (`recovery_min_apply_delay`) is read as it stands: it has caught up with a mark of this run, and each
    /// difference is proven with a mark of its own.
    pub(crate) fn catch_up_if_quick(&mut self, primary: &NodeSessions, limit: Duration) {
        let Ok(node) = &mut self.node else { return };
        if let Err(error) = catch_up_if_quick(primary, node, limit) {
            self.node = Err(format!("{error:#}"));
        }
    }
}

/// Refuses WAL that the primary has not written: a node that has such WAL has it from another server, and its LSN says
/// nothing about its rows.
///
/// # Errors
/// If `at` is beyond the primary's end, or that cannot be asked.
pub(crate) fn within(primary: &Session, at: Lsn) -> Result<()> {
    no_further(at, written(primary)?)
}

fn written(primary: &Session) -> Result<Lsn> {
    primary.value::<String>("SELECT pg_current_wal_flush_lsn()::text", &[])?.parse()
}

fn no_further(at: Lsn, written: Lsn) -> Result<()> {
    ensure!(at <= written, "it has WAL up to {at}, and the primary has written no more than {written}");
    Ok(())
}

/// Sets a mark on the primary and waits until a standby has caught up with it. There is no second wait for a node that failed
/// once: it would take as long as the first.
pub(crate) fn catch_up(primary: &NodeSessions, standby: &mut NodeSessions, limit: Duration) -> Result<()> {
    if standby.at_rest {
        return Ok(());
    }
    if let Some(why) = primary.lost().or_else(|| standby.lost()) {
        bail!("{why}");
    }
    let begun = Instant::now();
    let mark =
        catch_up::mark(&primary.control).context("cannot set a mark in its WAL").inspect_err(|e| primary.lose(e))?;
    let at = loop {
        match catch_up::wait(&standby.control, mark, limit.saturating_sub(begun.elapsed())) {
            Ok(at) => break at,
            // The first error is the server's reason for ending the session. Only the next question shows that it has ended.
            Err(error) if standby.may_reopen_control() && standby.control.has_ended() => {
                drop(error);
                standby.reopen_control().inspect_err(|error| standby.lose(error))?;
            }
            Err(error) => {
                let error = if standby.lost().is_none() { explained(error, &standby.control) } else { error };
                standby.lose(&error);
                return Err(error);
            }
        }
    };
    written_here(primary, standby, at)?;
    standby.passed.store(mark.0, Ordering::Relaxed);
    *standby.passed_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    standby.slow.store(begun.elapsed() > SLOW, Ordering::Relaxed);
    Ok(())
}

/// As [`catch_up`]. But a standby that caught up a moment ago is not asked at all, and a slow one only has to be at or after
/// the mark that it had passed, and not beyond what the primary has written.
pub(crate) fn catch_up_if_quick(primary: &NodeSessions, standby: &mut NodeSessions, limit: Duration) -> Result<()> {
    let passed = Lsn(standby.passed.load(Ordering::Relaxed));
    if standby.has_just_caught_up() {
        return Ok(());
    }
    if standby.at_rest || !standby.slow.load(Ordering::Relaxed) || standby.lost().or(primary.lost()).is_some() {
        return catch_up(primary, standby, limit);
    }
    let at = loop {
        // Once it was promoted nothing is replayed any more, and its place in the WAL says nothing.
        match standby.still_recovers().and_then(|()| replayed(&standby.control)) {
            Ok(at) => break at.unwrap_or_default(),
            Err(_) if standby.may_reopen_control() && standby.control.has_ended() => {
                standby.reopen_control().inspect_err(|error| standby.lose(error))?;
            }
            Err(error) => {
                standby.lose(&error);
                return Err(error);
            }
        }
    };
    ensure_passed(standby, at, passed).inspect_err(|error| standby.lose(error))?;
    written_here(primary, standby, at)
}

fn ensure_passed(standby: &NodeSessions, at: Lsn, passed: Lsn) -> Result<()> {
    ensure!(at >= passed, "node {}: it restarted and is behind the mark at {passed}", standby.name);
    Ok(())
}

/// Checks that the primary has written all that a standby has replayed.
fn written_here(primary: &NodeSessions, standby: &NodeSessions, at: Lsn) -> Result<()> {
    let written = written(&primary.control).inspect_err(|error| primary.lose(error))?;
    no_further(at, written).with_context(|| format!("node {}", standby.name)).inspect_err(|e| standby.lose(e))
}
