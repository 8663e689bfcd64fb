//! A session that reads tables: with deadlines, without side effects, and with a kind for each error.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use cluster::conninfo::Conninfo;
use cluster::server_error::{describe, sqlstate};
use cluster::session::Session;
use cluster::topology::replayed;
use report::lsn::Lsn;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row};

use crate::encoding::ascii;
use crate::opened::session;
use crate::pace::Pace;
use crate::prepared::{Prepared, query};
use crate::pulse::Lost;
use crate::read_error::ReadError;
use crate::same_server::SameServer;
use crate::told::{BY_INDEX, BY_SCAN, BYTES, FIXED, OWN, Told, UTF8, once_told};

/// Time for one statement on our side: the server's own `statement_timeout` (sql/verify_session.sql) and a little, so
/// that a server that stands still cannot hold us, and a slow one can say so itself.
const DEADLINE: Duration = Duration::from_secs(310);

/// Beyond that, time for each row of a table that is read by way of an index: a slow disk fetches them one after the other.
const PER_ROW: Duration = Duration::from_micros(100);

/// How often a read is tried again that replay cancelled (`max_standby_streaming_delay`).
const CONFLICTS: u32 = 20;

/// The pause after the first such conflict; it grows by as much with each.
const CONFLICT_PAUSE: Duration = Duration::from_millis(50);

/// Makes the session wait only a moment for a lock from then on.
const HASTY: &str = "SET lock_timeout = '250ms'";

pub(crate) struct Reader {
    session: Session,
    info: Conninfo,
    server: SameServer,
    /// Whether the server has to convert text for us.
    is_foreign: bool,
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
    /// How the server is to look for rows of tables: one of the scripts that set that.
    mode: &'static str,
    /// How it is to print values: another one of them.
    prints: &'static str,
    /// What the server was told last.
    told: Told,
    /// What this session has prepared.
    prepared: Prepared,
}

impl Reader {
    /// Opens a session on `node`, whose last mark is kept in `passed`.
    pub(crate) fn open(
        node: &str,
        (info, server): (&Conninfo, &SameServer),
        passed: Arc<AtomicU64>,
        lost: Lost,
        pace: Arc<Pace>,
    ) -> Result<Reader> {
        let (session, is_foreign) = session(node, info)?;
        server.check_at_once(&session)?;
        let (info, server) = (info.clone(), server.clone());
        let (mode, prints, told) = (BY_SCAN, FIXED, Told::utf8(BY_SCAN, FIXED, is_foreign));
        Ok(Reader {
            session,
            info,
            server,
            is_foreign,
            passed,
            lost,
            pace,
            hasty: false,
            deadline: DEADLINE,
            mode,
            prints,
            told,
            prepared: Prepared::default(),
        })
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
        self.mode = script;
    }

    /// Sets whether values are printed from now on as other sessions of this role in this database do. Catalogs never are.
    pub(crate) fn set_own_settings(&mut self, own: bool) {
        self.prints = if own { OWN } else { FIXED };
    }

    /// The rows of a statement. A conflict with recovery is tried again, with a bound.
    pub(crate) fn rows(&mut self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, ReadError> {
        self.read(async |client| query(client, sql, parameters).await)
    }

    /// As [`Reader::rows`], with text as its bytes are, for [`Reader::texts`], and hashes of those bytes. Its parameters have
    /// to be in ASCII.
    pub(crate) fn raw_rows(&mut self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, ReadError> {
        if !self.is_foreign {
            return self.rows(sql, parameters);
        }
        let Some(sql) = ascii(sql) else { return Err(ReadError::Unread("it has no name in ASCII".to_owned())) };
        let wanted = Told { mode: self.mode, prints: self.prints, text: BYTES };
        self.run(wanted, async |client, _| query(client, &sql, parameters).await)
    }

    /// Whether the server has to convert what it sends to UTF-8.
    pub(crate) fn is_foreign(&self) -> bool {
        self.is_foreign
    }

    /// What the server is to be told to read catalogs: as UTF-8, and always printed alike.
    fn of_catalogs(&self) -> Told {
        Told::utf8(BY_INDEX, FIXED, self.is_foreign)
    }

    /// As [`Reader::rows`], of a statement that is asked of each table: it is prepared once, and finds its rows by index. It
    /// may read catalogs only: see [`Prepared`].
    pub(crate) fn catalog_rows(
        &mut self,
        sql: &'static str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, ReadError> {
        self.run(self.of_catalogs(), async |client, prepared| prepared.rows(client, sql, parameters).await)
    }

    /// As [`Reader::rows`], for whatever `work` does with the client. `work` begins anew after a conflict.
    pub(crate) fn read<T>(
        &mut self,
        mut work: impl AsyncFnMut(&Client) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, ReadError> {
        self.run(Told::utf8(self.mode, self.prints, self.is_foreign), async |client, _| work(client).await)
    }

    /// As [`Reader::catalog_rows`], of several statements about the same thing: their rows in turn.
    pub(crate) fn catalog_rows_of<const N: usize>(
        &mut self,
        statements: [&'static str; N],
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<[Vec<Row>; N], ReadError> {
        let all =
            self.run(self.of_catalogs(), async |client, prepared| prepared.all(client, &statements, parameters).await)?;
        <[Vec<Row>; N]>::try_from(all).map_err(|_| ReadError::Unread("fewer answers than questions".to_owned()))
    }

    /// As [`Reader::read`], in a session that was told what is `wanted`.
    fn run<T>(
        &mut self,
        wanted: Told,
        mut work: impl AsyncFnMut(&Client, &Prepared) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, ReadError> {
        let mut conflicts = 0;
        loop {
            let (told, begun) = (Cell::new(self.told), Instant::now());
            let (session, prepared) = (&self.session, &self.prepared);
            let done = session.within(self.deadline, async {
                tokio::select! {
                    biased;
                    error = given_up(&self.lost) => Err(error),
                    result = once_told(session.client(), wanted, &told, work(session.client(), prepared)) => {
                        result.map_err(describe)
                    }
                }
            });
            self.told = told.get();
            let error = match done {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            if begun.elapsed() >= self.deadline {
                return Err(self.give_up_statement(&error));
            }
            conflicts += 1;
            let is_conflict = |state: &SqlState| {
                [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED].contains(state)
            };
            let again = self.is_ended_session()
                || sqlstate(&error)
                    .is_some_and(|state| is_conflict(state) || self.is_standby() && ENDED.contains(state));
            if !again || conflicts > CONFLICTS || self.lost.why().is_some() {
                self.note_lock(&error);
                let kind = ReadError::of(&error, self.session.is_closed());
                return Err(if wanted.text == UTF8 { kind.of_converted() } else { kind });
            }
            self.after_conflict(conflicts).map_err(|error| ReadError::Lost(format!("{error:#}")))?;
        }
    }

    /// Leaves a statement that its server does not end, and the session with it: some loops of a server hear neither its own
    /// time-out nor a cancellation, and whatever else were asked in that session would wait for them.
    fn give_up_statement(&mut self, error: &anyhow::Error) -> ReadError {
        let why = format!("{error:#}: the server does not end that statement");
        match self.open_anew() {
            Ok(()) => ReadError::Unread(why),
            Err(error) => ReadError::Lost(format!("{why}; and {error:#}")),
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
        self.open_anew()
    }

    /// Goes on in another session.
    fn open_anew(&mut self) -> Result<()> {
        let (session, _) = session(self.session.node(), &self.info)?;
        self.server.check(&session)?;
        // After a restart a server may show an older state than before.
        let mark = Lsn(self.passed.load(Ordering::Relaxed));
        if self.is_standby() && replayed(&session)? < Some(mark) {
            let why = format!("node {}: it restarted and is behind the mark at {mark}", self.node());
            self.lost.give_up(why.clone());
            bail!(why);
        }
        self.session = session;
        (self.told, self.prepared) = (Told::utf8(BY_SCAN, FIXED, self.is_foreign), Prepared::default());
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
        // In ASCII, which is right whatever encoding the session was told.
        let quoted = if self.is_foreign { ascii(quoted).unwrap_or(quoted.into()) } else { quoted.into() };
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
