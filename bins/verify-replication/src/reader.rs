//! A session that reads tables: with deadlines, without side effects, and with a kind for each error.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use cluster::conninfo::Conninfo;
use cluster::server_error::{describe, sqlstate};
use cluster::session::Session;
use cluster::topology::replayed;
use report::lsn::Lsn;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row};

use crate::APPLICATION;
use crate::pace::Pace;
use crate::prepared::Prepared;
use crate::pulse::Lost;
use crate::read_error::ReadError;

/// Time for one statement on our side: the server's own `statement_timeout` (sql/verify_session.sql) and a little, so
/// that a server that stands still cannot hold us, and a slow one can say so itself.
const DEADLINE: Duration = Duration::from_secs(310);

/// Beyond that, time for each row of a table that is read by way of an index: a slow disk fetches them one after the other.
const PER_ROW: Duration = Duration::from_micros(100);

/// How often a read is tried again that replay cancelled (`max_standby_streaming_delay`).
const CONFLICTS: u32 = 20;

/// The pause after the first such conflict; it grows by as much with each.
const CONFLICT_PAUSE: Duration = Duration::from_millis(50);

/// How a session looks for rows after `sql/verify_session.sql`.
const BY_SCAN: &str = cluster::sql!("verify_by_scan");

/// How it looks for rows of catalogs: the catalogs of a thousand tables are long, and are read for each table.
const OF_CATALOGS: Mode = Mode { way: cluster::sql!("verify_by_index"), prints: FIXED };

/// How it prints values, the same on both nodes.
const FIXED: &str = cluster::sql!("verify_settings");

/// How it prints values as other sessions of its role in this database do.
const OWN: &str = cluster::sql!("verify_own_settings");

/// What a session was told, or is to be told: how to look for rows, and how to print values. Each a script.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Mode {
    way: &'static str,
    prints: &'static str,
}

/// That of a new session, once it has run `sql/verify_session.sql`.
const NEW: Mode = Mode { way: BY_SCAN, prints: FIXED };

/// Makes the session wait only a moment for a lock from then on.
const HASTY: &str = "SET lock_timeout = '250ms'";

pub(crate) struct Reader {
    session: Session,
    info: Conninfo,
    /// The last mark that this standby caught up with; 0 on the primary.
    passed: Arc<AtomicU64>,
    /// Why its node was given up.
    lost: Lost,
    /// How fast its node may be read.
    pace: Arc<Pace>,
    /// Whether a wait for a lock has timed out: from then on each lock is waited for only for a moment.
    hasty: bool,
    /// Time for one statement.
    deadline: Duration,
    /// How the server is to look for rows of tables, and to print values.
    mode: Mode,
    /// What the server was told last.
    told: Mode,
    /// What this session has prepared.
    prepared: Prepared,
}

impl Reader {
    /// Opens a session on `node`, whose last mark is kept in `passed`.
    pub(crate) fn open(
        node: &str,
        info: &Conninfo,
        passed: Arc<AtomicU64>,
        lost: Lost,
        pace: Arc<Pace>,
    ) -> Result<Reader> {
        let session = session(node, info)?;
        let info = info.clone();
        let (mode, told, prepared) = (NEW, NEW, Prepared::default());
        Ok(Reader { session, info, passed, lost, pace, hasty: false, deadline: DEADLINE, mode, told, prepared })
    }

    pub(crate) fn node(&self) -> &str {
        self.session.node()
    }

    /// Whether the connection is known to be gone.
    pub(crate) fn is_closed(&self) -> bool {
        self.session.is_closed()
    }

    /// Sets how rows of tables are looked for from now on. The script goes to the server with the next statement.
    pub(crate) fn set_mode(&mut self, script: &'static str) {
        self.mode.way = script;
    }

    /// Sets whether values are printed from now on as other sessions of this role in this database do. Catalogs never are.
    pub(crate) fn set_own_settings(&mut self, own: bool) {
        self.mode.prints = if own { OWN } else { FIXED };
    }

    /// The rows of a statement. A conflict with recovery is tried again, with a bound.
    pub(crate) fn rows(&mut self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, ReadError> {
        self.read(async |client| match parameters {
            [] => client.query_typed(sql, &[]).await, // one round trip, where a statement with parameters needs two
            _ => client.query(sql, parameters).await,
        })
    }

    /// As [`Reader::rows`], of a statement that is asked of each table: it is prepared once, and finds its rows by index. It
    /// may read catalogs only: see [`Prepared`].
    pub(crate) fn catalog_rows(
        &mut self,
        sql: &'static str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, ReadError> {
        self.run(OF_CATALOGS, async |client, prepared| prepared.rows(client, sql, parameters).await)
    }

    /// As [`Reader::rows`], for whatever `work` does with the client. `work` begins anew after a conflict.
    pub(crate) fn read<T>(
        &mut self,
        mut work: impl AsyncFnMut(&Client) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, ReadError> {
        self.run(self.mode, async |client, _| work(client).await)
    }

    /// As [`Reader::catalog_rows`], of several statements about the same thing: their rows in turn.
    pub(crate) fn catalog_rows_of<const N: usize>(
        &mut self,
        statements: [&'static str; N],
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<[Vec<Row>; N], ReadError> {
        let all =
            self.run(OF_CATALOGS, async |client, prepared| prepared.all(client, &statements, parameters).await)?;
        <[Vec<Row>; N]>::try_from(all).map_err(|_| ReadError::Unread("fewer answers than questions".to_owned()))
    }

    /// As [`Reader::read`], in a session that looks for rows as `mode` says.
    fn run<T>(
        &mut self,
        mode: Mode,
        mut work: impl AsyncFnMut(&Client, &Prepared) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, ReadError> {
        let mut conflicts = 0;
        loop {
            let told = Cell::new(self.told);
            let (session, prepared) = (&self.session, &self.prepared);
            let done = session.within(self.deadline, async {
                tokio::select! {
                    biased;
                    error = given_up(&self.lost) => Err(error),
                    result = in_mode(session.client(), mode, &told, work(session.client(), prepared)) => {
                        result.map_err(describe)
                    }
                }
            });
            self.told = told.get();
            let Err(error) = done else { return done.map_err(|error| ReadError::of(&error, self.session.is_closed())) };
            conflicts += 1;
            let is_conflict = |state: &SqlState| {
                [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED].contains(state)
            };
            let again = self.is_ended_session()
                || sqlstate(&error)
                    .is_some_and(|state| is_conflict(state) || self.is_standby() && ENDED.contains(state));
            if !again || conflicts > CONFLICTS || self.lost.why().is_some() {
                self.note_lock(&error);
                return Err(ReadError::of(&error, self.session.is_closed()));
            }
            self.after_conflict(conflicts).map_err(|error| ReadError::Lost(format!("{error:#}")))?;
        }
    }

    /// As [`Reader::read`], where all that `work` reads is one snapshot. What it sets holds until its end.
    pub(crate) fn in_one_snapshot<T>(
        &mut self,
        mut work: impl AsyncFnMut(&Client) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, ReadError> {
        self.read(async |client| {
            client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
            let done = work(client).await;
            client.batch_execute("ROLLBACK").await?;
            done
        })
    }

    /// Whether this is a standby's session that is gone: recovery ends sessions, also idle ones.
    fn is_ended_session(&self) -> bool {
        self.session.is_closed() && self.is_standby()
    }

    /// Whether its node has ever caught up with another one.
    fn is_standby(&self) -> bool {
        self.passed.load(Ordering::Relaxed) > 0
    }

    /// Prepares to try again a read that recovery cancelled.
    fn after_conflict(&mut self, conflicts: u32) -> Result<()> {
        program::stop::pause(CONFLICT_PAUSE * conflicts)?;
        if !self.is_ended_session() {
            return Ok(());
        }
        let session = session(self.session.node(), &self.info)?;
        // After a restart a server may show an older state than before.
        let mark = Lsn(self.passed.load(Ordering::Relaxed));
        let at = replayed(&session)?;
        if at < Some(mark) {
            let why = format!("node {}: it restarted and is behind the mark at {mark}", self.node());
            self.lost.give_up(why.clone());
            bail!(why);
        }
        self.session = session;
        (self.told, self.prepared) = (NEW, Prepared::default());
        if self.hasty {
            self.session.script(HASTY)?;
        }
        self.tell_deadline()
    }

    /// Gives statements that go through so many rows in the order of an index the time that they need.
    pub(crate) fn take_time_for(&mut self, rows: u64) -> Result<(), ReadError> {
        let minutes = PER_ROW.saturating_mul(rows.try_into().unwrap_or(u32::MAX)).as_secs() / 60;
        let deadline = DEADLINE + Duration::from_secs(60 * minutes);
        if deadline == self.deadline {
            return Ok(()); // of most tables: they are small
        }
        self.deadline = deadline;
        self.tell_deadline().map_err(|error| ReadError::of(&error, self.session.is_closed()))
    }

    /// Tells the server about the time for one statement, a little less than ours.
    fn tell_deadline(&self) -> Result<()> {
        let seconds = self.deadline.as_secs().saturating_sub(10).min(2_000_000); // the most that the server takes
        self.session.script(&format!("SET statement_timeout = '{seconds}s'"))
    }

    /// Whether a table is locked against readers, and stays so for `wait`. Other errors are left to the read itself.
    pub(crate) fn is_locked(&self, quoted: &str, wait: Duration) -> bool {
        // Several statements are one transaction: the setting ends with it.
        let sql = format!("SET LOCAL lock_timeout = {}; SELECT FROM ONLY {quoted} LIMIT 0", wait.as_millis().max(1));
        self.script(&sql).is_err_and(|error| sqlstate(&error) == Some(&SqlState::LOCK_NOT_AVAILABLE))
    }

    fn script(&self, sql: &str) -> Result<()> {
        self.session.within(DEADLINE, async {
            tokio::select! {
                biased;
                error = given_up(&self.lost) => Err(error),
                done = self.session.client().batch_execute(sql) => done.map_err(describe),
            }
        })
    }

    /// After one wait of ten seconds for a lock the next ones are short: a hundred locked relations would each take as long.
    fn note_lock(&mut self, error: &anyhow::Error) {
        if !self.hasty && sqlstate(error) == Some(&SqlState::LOCK_NOT_AVAILABLE) {
            self.hasty = self.session.script(HASTY).is_ok();
        }
    }

    /// Waits until this node may be read again, by [`Pace`].
    pub(crate) fn pace(&self) -> Result<(), ReadError> {
        self.pace.wait().map_err(|error| ReadError::Lost(error.to_string()))
    }

    /// Notes that so many rows were read, which others have to wait for.
    pub(crate) fn spent(&self, rows: u64) {
        self.pace.spent(rows);
    }
}

/// What a server says, if it can, to a session that it ends; the connection is known to be closed a moment later.
const ENDED: [SqlState; 3] = [SqlState::ADMIN_SHUTDOWN, SqlState::CRASH_SHUTDOWN, SqlState::IDLE_SESSION_TIMEOUT];

/// The value of a column, where only we can be wrong about its type.
pub(crate) fn column<'a, T: tokio_postgres::types::FromSql<'a>>(row: &'a Row, index: usize) -> Result<T, ReadError> {
    row.try_get(index).context("an unexpected column").map_err(|error| ReadError::Lost(format!("{error:#}")))
}

/// A session that is set up to read.
fn session(node: &str, info: &Conninfo) -> Result<Session> {
    let session = Session::open(node, info, APPLICATION)?;
    session.script(cluster::sql!("verify_session"))?;
    session.script(FIXED)?;
    Ok(session)
}

/// Does `work` in a session that looks for rows as `mode` says. If the server was not `told` that mode yet, the script and
/// the work are sent at once: the server does one after the other.
async fn in_mode<T>(
    client: &Client,
    mode: Mode,
    told: &Cell<Mode>,
    work: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, tokio_postgres::Error> {
    if told.get() == mode {
        return work.await;
    }
    let script = match told.get() {
        Mode { prints, .. } if prints == mode.prints => mode.way.to_owned(),
        Mode { way, .. } if way == mode.way => mode.prints.to_owned(),
        _ => format!("{}{}", mode.way, mode.prints),
    };
    let (set, done) = tokio::join!(biased; client.batch_execute(&script), work);
    set?;
    told.set(mode);
    done
}

/// Completes when a signal came, or the node was given up.
async fn given_up(lost: &Lost) -> anyhow::Error {
    loop {
        if let Err(error) = program::stop::check() {
            return error;
        }
        if let Some(why) = lost.why() {
            return anyhow::anyhow!("{why}");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
