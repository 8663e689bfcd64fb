//! A session that reads: bounded, without side effects, and with errors told apart.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use cluster::connect::{describe, sqlstate};
use cluster::conninfo::Conninfo;
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

/// Time for one statement on our side: the server's own `statement_timeout` (sql/verify_session.sql) and a little, so
/// that a server that stands still cannot hold us, and a slow one can say so itself.
const DEADLINE: Duration = Duration::from_secs(310);

/// Beyond that, time for each row of a table that is read by way of an index: of a slow disk one after the other.
const PER_ROW: Duration = Duration::from_micros(100);

/// How often a read is tried again that replay cancelled (`max_standby_streaming_delay`).
const CONFLICTS: u32 = 20;

/// The pause after the first such conflict; it grows by as much with each.
const CONFLICT_PAUSE: Duration = Duration::from_millis(50);

/// How a session looks for rows after `sql/verify_session.sql`.
const BY_SCAN: &str = cluster::sql!("verify_by_scan");

/// How it looks for those of catalogs: those of a thousand tables are long, and read for each of them.
const BY_INDEX: &str = cluster::sql!("verify_by_index");

/// From then on in this session: a lock is waited for only for a moment.
const HASTY: &str = "SET lock_timeout = '250ms'";

/// What statements say where a table's name has passed on to another one.
pub(crate) const ANOTHER: &str = "is the name of another table by now";

/// What tells that a table, its schema or a column of it is not there by its name, in a sentence about a trouble.
const NOT_BY_NAME: [&str; 4] = ["(SQLSTATE 42P01)", "(SQLSTATE 3F000)", "(SQLSTATE 42703)", ANOTHER];

/// Whether a trouble may be that something was renamed since its name was read.
pub(crate) fn is_of_a_name(trouble: &str) -> bool {
    NOT_BY_NAME.iter().any(|words| trouble.contains(words))
}

/// Why something could not be read.
#[derive(Clone, Debug)]
pub(crate) enum Trouble {
    /// An index of it is damaged there (XX002): so much that the server can plan no statement on the table, if that was one
    /// that reads no index.
    Index(String),
    /// It is damaged there (SQLSTATE XX001; 58030, the disk failed; 22P03 or 22021 of a value that is none of its
    /// type's).
    Corrupt(String),
    /// A file of the server's data is not there (58P01): the file, and what the server said.
    NoFile(String, String),
    /// The server says that it failed in itself (XX000), or that something is too large for it (54000). Where another node reads
    /// the same without it, that is damage.
    Internal(String),
    /// This statement failed; others may do.
    Unread(String),
    /// The session is gone, or the table is: nothing more of it can be read here.
    Lost(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Index(why) | Trouble::Corrupt(why) | Trouble::NoFile(_, why) => f.write_str(why),
            Trouble::Internal(why) | Trouble::Unread(why) | Trouble::Lost(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Trouble {}

impl Trouble {
    /// Whether this is damage for sure.
    pub(crate) fn is_damage(&self) -> bool {
        matches!(self, Trouble::Index(_) | Trouble::Corrupt(_) | Trouble::NoFile(..))
    }

    /// Whether a closer look may show that it is damage.
    pub(crate) fn may_be_damage(&self) -> bool {
        self.is_damage() || matches!(self, Trouble::Internal(_))
    }
}

/// A session for reading tables.
pub(crate) struct Reader {
    session: Session,
    info: Conninfo,
    /// The last mark that this standby caught up with; 0 on the primary.
    passed: Arc<AtomicU64>,
    /// Why its node is waited for no more.
    lost: Lost,
    /// How fast its node may be read.
    pace: Arc<Pace>,
    /// Whether a lock was waited for in vain: from then on each is waited for only for a moment.
    hasty: bool,
    /// Time for one statement.
    deadline: Duration,
    /// How the server is to look for rows of tables: one of the scripts that set that.
    mode: &'static str,
    /// The last such script that the server was told.
    told: &'static str,
    /// What this session has prepared.
    prepared: Prepared,
}

impl Reader {
    /// Opens a session on `node`, whose last mark is kept in `passed`.
    ///
    /// # Errors
    /// If the server cannot be reached, or refuses.
    pub(crate) fn open(
        node: &str,
        info: &Conninfo,
        passed: Arc<AtomicU64>,
        lost: Lost,
        pace: Arc<Pace>,
    ) -> Result<Reader> {
        let session = session(node, info)?;
        let info = info.clone();
        let (mode, told, prepared) = (BY_SCAN, BY_SCAN, Prepared::default());
        Ok(Reader { session, info, passed, lost, pace, hasty: false, deadline: DEADLINE, mode, told, prepared })
    }

    /// The node's name.
    pub(crate) fn node(&self) -> &str {
        self.session.node()
    }

    /// Whether the connection is known to be gone.
    pub(crate) fn is_closed(&self) -> bool {
        self.session.is_closed()
    }

    /// How rows of tables are looked for from now on: a script that sets that, which goes to the server with the next
    /// statement.
    pub(crate) fn set_mode(&mut self, script: &'static str) {
        self.mode = script;
    }

    /// The rows of a statement. A conflict with recovery is tried again, with a bound.
    ///
    /// # Errors
    /// Why they could not be read.
    pub(crate) fn rows(&mut self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Trouble> {
        self.read(async |client| match parameters {
            [] => client.query_typed(sql, &[]).await, // one round trip, where a statement with parameters needs two
            _ => client.query(sql, parameters).await,
        })
    }

    /// As [`Reader::rows`], of a statement that is asked of each table: it is prepared once, and finds its rows by index. It
    /// may read catalogs only: see [`Prepared`].
    ///
    /// # Errors
    /// Why they could not be read.
    pub(crate) fn catalog_rows(
        &mut self,
        sql: &'static str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Trouble> {
        self.run(BY_INDEX, async |client, prepared| prepared.rows(client, sql, parameters).await)
    }

    /// As [`Reader::rows`], for whatever `work` does with the client. `work` begins anew after a conflict.
    ///
    /// # Errors
    /// Why it could not be read.
    pub(crate) fn read<T>(
        &mut self,
        mut work: impl AsyncFnMut(&Client) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, Trouble> {
        self.run(self.mode, async |client, _| work(client).await)
    }

    /// As [`Reader::catalog_rows`], of several statements about the same thing: their rows in turn.
    ///
    /// # Errors
    /// Why they could not be read.
    pub(crate) fn catalog_rows_of<const N: usize>(
        &mut self,
        statements: [&'static str; N],
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<[Vec<Row>; N], Trouble> {
        let all = self.run(BY_INDEX, async |client, prepared| prepared.all(client, &statements, parameters).await)?;
        <[Vec<Row>; N]>::try_from(all).map_err(|_| Trouble::Unread("fewer answers than questions".to_owned()))
    }

    /// As [`Reader::read`], in a session that looks for rows as `mode` says.
    fn run<T>(
        &mut self,
        mode: &'static str,
        mut work: impl AsyncFnMut(&Client, &Prepared) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, Trouble> {
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
            let Err(error) = done else { return done.map_err(|error| self.trouble(&error)) };
            conflicts += 1;
            let is_conflict = |state: &SqlState| {
                [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED].contains(state)
            };
            let again = self.is_ended_session()
                || sqlstate(&error)
                    .is_some_and(|state| is_conflict(state) || self.is_standby() && ENDED.contains(state));
            if !again || conflicts > CONFLICTS || self.lost.why().is_some() {
                self.note_lock(&error);
                return Err(self.trouble(&error));
            }
            self.after_conflict(conflicts).map_err(|error| Trouble::Lost(format!("{error:#}")))?;
        }
    }

    /// As [`Reader::read`], where all that `work` reads is one snapshot. What it sets holds until its end.
    ///
    /// # Errors
    /// Why it could not be read.
    pub(crate) fn in_one_snapshot<T>(
        &mut self,
        mut work: impl AsyncFnMut(&Client) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, Trouble> {
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

    /// Makes ready to try again what recovery cancelled.
    fn after_conflict(&mut self, conflicts: u32) -> Result<()> {
        program::stop::pause(CONFLICT_PAUSE * conflicts)?;
        if !self.is_ended_session() {
            return Ok(());
        }
        let session = session(self.session.node(), &self.info)?;
        // A server that was restarted meanwhile may show an older state than it had shown before.
        let mark = Lsn(self.passed.load(Ordering::Relaxed));
        let at = replayed(&session)?;
        if at < Some(mark) {
            let why = format!("node {}: it began anew, before the mark at {mark}", self.node());
            self.lost.give_up(why.clone());
            bail!(why);
        }
        self.session = session;
        (self.told, self.prepared) = (BY_SCAN, Prepared::default());
        if self.hasty {
            self.session.script(HASTY)?;
        }
        self.tell_deadline()
    }

    /// Gives statements that go through so many rows in the order of an index the time that they need.
    ///
    /// # Errors
    /// What the server says.
    pub(crate) fn take_time_for(&mut self, rows: u64) -> Result<(), Trouble> {
        let minutes = PER_ROW.saturating_mul(rows.try_into().unwrap_or(u32::MAX)).as_secs() / 60;
        let deadline = DEADLINE + Duration::from_secs(60 * minutes);
        if deadline == self.deadline {
            return Ok(()); // of most tables: they are small
        }
        self.deadline = deadline;
        self.tell_deadline().map_err(|error| self.trouble(&error))
    }

    /// Tells the server about the time for one statement, a little less than ours.
    fn tell_deadline(&self) -> Result<()> {
        let seconds = self.deadline.as_secs().saturating_sub(10).min(2_000_000); // the most that the server takes
        self.session.script(&format!("SET statement_timeout = '{seconds}s'"))
    }

    /// Whether a table is locked against readers, and stays so for `wait`. What else keeps it from being read is for those
    /// who read it.
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

    /// Ten seconds for a lock are enough once: of a hundred locked relations each would take as long.
    fn note_lock(&mut self, error: &anyhow::Error) {
        if !self.hasty && sqlstate(error) == Some(&SqlState::LOCK_NOT_AVAILABLE) {
            self.hasty = self.session.script(HASTY).is_ok();
        }
    }

    /// Waits until this node may be read again, by [`Pace`].
    ///
    /// # Errors
    /// If a signal came.
    pub(crate) fn pace(&self) -> Result<(), Trouble> {
        self.pace.wait().map_err(|error| Trouble::Lost(error.to_string()))
    }

    /// Notes that so many rows were read, which others have to wait for.
    pub(crate) fn spent(&self, rows: u64) {
        self.pace.spent(rows);
    }

    fn trouble(&self, error: &anyhow::Error) -> Trouble {
        let text = format!("{error:#}");
        match sqlstate(error) {
            Some(state) if DAMAGE.contains(state) => Trouble::Corrupt(text),
            Some(&SqlState::INDEX_CORRUPTED) => Trouble::Index(text),
            Some(&SqlState::UNDEFINED_FILE) => match data_file(&text) {
                Some(file) => Trouble::NoFile(file.to_owned(), text),
                None => Trouble::Unread(text), // a library, say
            },
            // The latter: a row of more than a gigabyte. Neither may keep the rest of its chunk from being compared.
            Some(&(SqlState::INTERNAL_ERROR | SqlState::PROGRAM_LIMIT_EXCEEDED)) => Trouble::Internal(text),
            Some(
                &(SqlState::UNDEFINED_TABLE
                | SqlState::UNDEFINED_COLUMN
                | SqlState::INSUFFICIENT_PRIVILEGE
                | SqlState::LOCK_NOT_AVAILABLE),
            ) => Trouble::Lost(text),
            Some(_) if !self.session.is_closed() => Trouble::Unread(text),
            _ => Trouble::Lost(text),
        }
    }
}

/// What a server says, if it can, to a session that it ends; the connection is known to be closed a moment later.
const ENDED: [SqlState; 3] = [SqlState::ADMIN_SHUTDOWN, SqlState::CRASH_SHUTDOWN, SqlState::IDLE_SESSION_TIMEOUT];

/// What a server says of damage.
const DAMAGE: [SqlState; 4] = [
    SqlState::DATA_CORRUPTED,
    SqlState::IO_ERROR,
    SqlState::INVALID_BINARY_REPRESENTATION,
    SqlState::CHARACTER_NOT_IN_REPERTOIRE,
];

/// The file below the data directory that a message names, in whatever language and quotes.
fn data_file(message: &str) -> Option<&str> {
    const DIRECTORIES: [&str; 5] = ["base/", "global/", "pg_tblspc/", "pg_xact", "pg_multixact"];
    let in_path = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    message.split(|c| !in_path(c)).find(|word| DIRECTORIES.iter().any(|directory| word.starts_with(directory)))
}

/// The value of a column, where only we can be wrong about its type.
///
/// # Errors
/// If it is of another type.
pub(crate) fn column<'a, T: tokio_postgres::types::FromSql<'a>>(row: &'a Row, index: usize) -> Result<T, Trouble> {
    row.try_get(index).context("an unexpected column").map_err(|error| Trouble::Lost(format!("{error:#}")))
}

/// A session that is set up to read.
fn session(node: &str, info: &Conninfo) -> Result<Session> {
    let session = Session::open(node, info, APPLICATION)?;
    session.script(cluster::sql!("verify_session"))?;
    Ok(session)
}

/// Does `work` in a session that looks for rows as `mode` says. Unless it is `told` that already, both are on their way at once:
/// the server does one after the other.
async fn in_mode<T>(
    client: &Client,
    mode: &'static str,
    told: &Cell<&'static str>,
    work: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, tokio_postgres::Error> {
    if told.get() == mode {
        return work.await;
    }
    let (set, done) = tokio::join!(biased; client.batch_execute(mode), work);
    set?;
    told.set(mode);
    done
}

/// Ends when a signal came, or the node is waited for no more.
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

#[cfg(test)]
mod tests {
    use super::data_file;

    #[test]
    fn a_file_of_the_data_is_told_from_a_library() {
        let missing =
            "node n2: ERROR: could not open file \"base/5/16384.1\" (target block 7): No such file or directory";
        assert_eq!(data_file(missing), Some("base/5/16384.1"));
        assert_eq!(data_file("konnte Datei »pg_tblspc/1/PG_15/5/2« nicht öffnen"), Some("pg_tblspc/1/PG_15/5/2"));
        assert_eq!(data_file("could not access file \"$libdir/isn\": No such file or directory"), None);
    }
}
