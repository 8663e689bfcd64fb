//! Several connections that work through one list, and that can be cancelled.
//!
//! Long work has no deadline, and a COPY can wait for a lock or for a synchronous standby that is gone. So each
//! connection has a thread of its own, and the main thread supervises: a signal, an error of one connection, or a
//! standstill cancels them all.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use cluster::blocking::Blocking;
use cluster::connect::cancel;
use cluster::conninfo::Conninfo;
use program::progress::Progress;
use program::stop;
use tokio_postgres::CancelToken;

use crate::APPLICATION_NAME;
use crate::rows::{Spec, ranges};
use crate::table::Table;

/// Rows of one transaction: some 0.2 s of work. The server checks foreign keys and commits at the end, when nobody
/// listens to us; and the list of keys that it has to check stays small.
const CHUNK: u64 = 20_000;

/// How often the main thread checks the connections. A signal is noticed at most this late.
const POLL_EVERY: Duration = Duration::from_millis(50);

/// How long the connections have to end after a cancel, which a server answers in milliseconds.
const GRACE: Duration = Duration::from_millis(700);

/// A server from which no row comes for this long is not slow: it waits for something that may never come.
const STANDSTILL: Duration = Duration::from_secs(60);

/// Rows of one table that go together.
#[derive(Clone, Debug)]
pub(crate) struct Chunk {
    /// The table.
    pub(crate) table: Table,
    /// Their ids.
    pub(crate) ids: Range<u64>,
}

/// How many connections to which server.
#[derive(Clone)]
pub(crate) struct WorkerPool {
    /// How to reach it.
    pub(crate) info: Conninfo,
    /// How many connections.
    pub(crate) jobs: usize,
    /// Where progress is reported.
    pub(crate) progress: Progress,
}

/// What watcher and connections tell each other.
#[derive(Default)]
pub(crate) struct PoolProgress {
    rows: AtomicU64,
    cancelled: AtomicBool,
}

impl PoolProgress {
    /// Counts rows that are done; fails if the work was cancelled.
    pub(crate) fn done(&self, rows: u64) -> Result<()> {
        self.rows.fetch_add(rows, Ordering::Relaxed);
        if self.cancelled.load(Ordering::Relaxed) { bail!("cancelled") } else { Ok(()) }
    }
}

/// What the threads share.
struct PoolShared<Item, Act> {
    items: Mutex<Box<dyn Iterator<Item = Item> + Send>>,
    progress: PoolProgress,
    cancels: Mutex<Vec<CancelToken>>,
    act: Act,
}

impl WorkerPool {
    /// The chunks of these tables, in order. A small table has as many chunks as there are connections.
    pub(crate) fn chunks(&self, tables: &[Table], spec: Spec) -> impl Iterator<Item = Chunk> + Send + use<> {
        chunks(tables.to_vec(), spec, self.jobs as u64)
    }

    /// Does `act` on every item, at most `jobs` at the same time, in no certain order.
    ///
    /// Fails with the first error of an `act`, at a signal, and after a standstill. Then all connections are cancelled.
    pub(crate) fn work<Item, Act>(&self, items: impl Iterator<Item = Item> + Send + 'static, act: Act) -> Result<()>
    where
        Item: 'static,
        Act: Fn(&Blocking, &Item, &PoolProgress) -> Result<()> + Send + Sync + 'static,
    {
        let shared = Arc::new(PoolShared {
            items: Mutex::new(Box::new(items)),
            progress: PoolProgress::default(),
            cancels: Mutex::default(),
            act,
        });
        let (sender, results) = mpsc::channel();
        for _ in 0..self.jobs {
            let (shared, info, sender) = (shared.clone(), self.info.clone(), sender.clone());
            thread::spawn(move || sender.send(serve(&shared, &info)));
        }
        drop(sender);
        self.supervise(&shared, &results)
    }

    /// Supervises the threads until all have ended, or until the time that they have after a cancel is over.
    fn supervise<Item, Act>(&self, shared: &PoolShared<Item, Act>, results: &Receiver<Result<()>>) -> Result<()> {
        let (mut running, mut reported, mut last_row_at) = (self.jobs, 0, Instant::now());
        let (mut failure, mut end) = (None, None);
        while running > 0 && end.is_none_or(|end| Instant::now() < end) {
            match results.recv_timeout(POLL_EVERY) {
                Ok(Ok(())) => running -= 1,
                Ok(Err(error)) => {
                    running -= 1;
                    failure.get_or_insert(error);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    failure.get_or_insert(anyhow!("a connection's thread has panicked"));
                    running = 0;
                }
            }
            let rows = shared.progress.rows.load(Ordering::Relaxed);
            if rows > reported {
                self.progress.advance(rows - reported);
                (reported, last_row_at) = (rows, Instant::now());
            }
            failure = failure.or_else(|| stop::check().and_then(|()| check_standstill(last_row_at)).err());
            if failure.is_some() && end.is_none() {
                end = Some(Instant::now() + GRACE);
                cancel_all(shared, &self.info);
            }
        }
        failure.map_or(Ok(()), Err)
    }
}

fn check_standstill(last_row_at: Instant) -> Result<()> {
    if last_row_at.elapsed() < STANDSTILL {
        return Ok(());
    }
    bail!(
        "no row went in for {STANDSTILL:?}: does the server wait for a lock, \
         or for a synchronous standby that is gone (pg_stat_activity.wait_event: Lock, SyncRep)?"
    )
}

/// One thread: takes item after item until none is left.
fn serve<Item, Act>(shared: &PoolShared<Item, Act>, info: &Conninfo) -> Result<()>
where
    Act: Fn(&Blocking, &Item, &PoolProgress) -> Result<()>,
{
    let next = || shared.items.lock().unwrap_or_else(PoisonError::into_inner).next();
    let Some(mut item) = next() else { return Ok(()) };
    let session = Blocking::open(info, APPLICATION_NAME)?;
    shared.cancels.lock().unwrap_or_else(PoisonError::into_inner).push(session.client().cancel_token());
    loop {
        shared.progress.done(0)?;
        (shared.act)(&session, &item, &shared.progress)?;
        match next() {
            Some(another) => item = another,
            None => break,
        }
    }
    session.close();
    Ok(())
}

/// Tells all connections to end. A cancel needs a connection of its own, which a server in trouble may refuse: nobody
/// waits for it.
fn cancel_all<Item, Act>(shared: &PoolShared<Item, Act>, info: &Conninfo) {
    shared.progress.cancelled.store(true, Ordering::Relaxed);
    for token in shared.cancels.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
        let info = info.clone();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
            runtime.block_on(cancel(&info, &token)).ok()
        });
    }
}

fn chunks(tables: Vec<Table>, spec: Spec, jobs: u64) -> impl Iterator<Item = Chunk> + Send {
    tables.into_iter().flat_map(move |table| {
        let rows = spec.size.of(table);
        let length = rows.div_ceil(jobs).min(CHUNK);
        ranges(1..rows + 1, length).map(move |ids| Chunk { table, ids })
    })
}

#[cfg(test)]
mod tests {
    use super::chunks;
    use crate::rows::Spec;
    use crate::table::{Size, Table};

    #[test]
    fn chunks_cover_every_row_once_for_any_number_of_jobs() {
        let spec = Spec { size: Size::with(Table::Orders, 100_001), seed: 1 };
        for jobs in [1, 3, 64] {
            for table in Table::ALL {
                let mut next = 1;
                for chunk in chunks(vec![table], spec, jobs) {
                    assert_eq!(chunk.ids.start, next);
                    next = chunk.ids.end;
                }
                assert_eq!(next, spec.size.of(table) + 1, "{table:?} with {jobs} jobs");
            }
        }
    }
}
