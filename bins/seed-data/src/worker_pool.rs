//! Several connections that work through one list, and that can be given up.
//!
//! Long work has no deadline, and a COPY can wait for a lock or for a synchronous standby that is gone. So the
//! connections are on threads of their own, and this one watches: a signal, an error of one of them, or a standstill
//! ends them all.

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
use crate::rows::{Recipe, stretches};
use crate::table::Table;

/// Rows of one transaction: some 0.2 s of work. The server checks foreign keys and commits at the end, when nobody
/// listens to us; and the list of keys that it has to check stays small.
const CHUNK: u64 = 20_000;

/// How often the watcher looks: what an interrupt may be late.
const LOOK: Duration = Duration::from_millis(50);

/// How long the connections have to end once they are told to: a server answers a cancel in milliseconds.
const GRACE: Duration = Duration::from_millis(700);

/// No row for so long: the server is not slow, it waits for something that may never come.
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
pub(crate) struct Crew {
    /// How to reach it.
    pub(crate) info: Conninfo,
    /// How many connections.
    pub(crate) jobs: usize,
    /// Where progress is shown.
    pub(crate) progress: Progress,
}

/// What watcher and connections tell each other.
#[derive(Default)]
pub(crate) struct Watch {
    rows: AtomicU64,
    given_up: AtomicBool,
}

impl Watch {
    /// Counts rows that are done; fails if the work is given up meanwhile.
    pub(crate) fn done(&self, rows: u64) -> Result<()> {
        self.rows.fetch_add(rows, Ordering::Relaxed);
        if self.given_up.load(Ordering::Relaxed) { bail!("given up") } else { Ok(()) }
    }
}

/// What the threads share.
struct Shared<Item, Act> {
    items: Mutex<Box<dyn Iterator<Item = Item> + Send>>,
    watch: Watch,
    cancels: Mutex<Vec<CancelToken>>,
    act: Act,
}

impl Crew {
    /// The chunks of these tables, in order; small tables in as many as there are connections.
    pub(crate) fn chunks(&self, tables: &[Table], recipe: Recipe) -> impl Iterator<Item = Chunk> + Send + use<> {
        chunks(tables.to_vec(), recipe, self.jobs as u64)
    }

    /// Does `act` on every item, at most `jobs` at the same time, in no certain order.
    ///
    /// Fails with the first error of an `act`, at a signal, and after a standstill. No connection works on then.
    pub(crate) fn work<Item, Act>(&self, items: impl Iterator<Item = Item> + Send + 'static, act: Act) -> Result<()>
    where
        Item: 'static,
        Act: Fn(&Blocking, &Item, &Watch) -> Result<()> + Send + Sync + 'static,
    {
        let shared = Arc::new(Shared {
            items: Mutex::new(Box::new(items)),
            watch: Watch::default(),
            cancels: Mutex::default(),
            act,
        });
        let (sender, results) = mpsc::channel();
        for _ in 0..self.jobs {
            let (shared, info, sender) = (shared.clone(), self.info.clone(), sender.clone());
            thread::spawn(move || sender.send(serve(&shared, &info)));
        }
        drop(sender);
        self.attend(&shared, &results)
    }

    /// Watches until all threads have ended.
    fn attend<Item, Act>(&self, shared: &Shared<Item, Act>, results: &Receiver<Result<()>>) -> Result<()> {
        let (mut running, mut shown, mut moved) = (self.jobs, 0, Instant::now());
        let (mut trouble, mut end) = (None, None);
        while running > 0 && end.is_none_or(|end| Instant::now() < end) {
            match results.recv_timeout(LOOK) {
                Ok(Ok(())) => running -= 1,
                Ok(Err(error)) => {
                    running -= 1;
                    trouble.get_or_insert(error);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    trouble.get_or_insert(anyhow!("a connection's thread has panicked"));
                    running = 0;
                }
            }
            let rows = shared.watch.rows.load(Ordering::Relaxed);
            if rows > shown {
                self.progress.advance(rows - shown);
                (shown, moved) = (rows, Instant::now());
            }
            trouble = trouble.or_else(|| stop::check().and_then(|()| check_standstill(moved)).err());
            if trouble.is_some() && end.is_none() {
                end = Some(Instant::now() + GRACE);
                give_up(shared, &self.info);
            }
        }
        trouble.map_or(Ok(()), Err)
    }
}

fn check_standstill(moved: Instant) -> Result<()> {
    if moved.elapsed() < STANDSTILL {
        return Ok(());
    }
    bail!(
        "no row went in for {STANDSTILL:?}: does the server wait for a lock, \
         or for a synchronous standby that is gone (pg_stat_activity.wait_event: Lock, SyncRep)?"
    )
}

/// One thread: takes item after item until there are none.
fn serve<Item, Act>(shared: &Shared<Item, Act>, info: &Conninfo) -> Result<()>
where
    Act: Fn(&Blocking, &Item, &Watch) -> Result<()>,
{
    let next = || shared.items.lock().unwrap_or_else(PoisonError::into_inner).next();
    let Some(mut item) = next() else { return Ok(()) };
    let session = Blocking::open(info, APPLICATION_NAME)?;
    shared.cancels.lock().unwrap_or_else(PoisonError::into_inner).push(session.client().cancel_token());
    loop {
        shared.watch.done(0)?;
        (shared.act)(&session, &item, &shared.watch)?;
        match next() {
            Some(another) => item = another,
            None => break,
        }
    }
    session.close();
    Ok(())
}

/// Tells all connections to end. A cancel needs a connection of its own, which a server in trouble may not take: nobody
/// waits for it.
fn give_up<Item, Act>(shared: &Shared<Item, Act>, info: &Conninfo) {
    shared.watch.given_up.store(true, Ordering::Relaxed);
    for token in shared.cancels.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
        let info = info.clone();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
            runtime.block_on(cancel(&info, &token)).ok()
        });
    }
}

fn chunks(tables: Vec<Table>, recipe: Recipe, jobs: u64) -> impl Iterator<Item = Chunk> + Send {
    tables.into_iter().flat_map(move |table| {
        let rows = recipe.size.of(table);
        let length = rows.div_ceil(jobs).min(CHUNK);
        stretches(1..rows + 1, length).map(move |ids| Chunk { table, ids })
    })
}

#[cfg(test)]
mod tests {
    use super::chunks;
    use crate::rows::Recipe;
    use crate::table::{Size, Table};

    #[test]
    fn chunks_cover_every_row_once_for_any_number_of_jobs() {
        let recipe = Recipe { size: Size::with(Table::Orders, 100_001), seed: 1 };
        for jobs in [1, 3, 64] {
            for table in Table::ALL {
                let mut next = 1;
                for chunk in chunks(vec![table], recipe, jobs) {
                    assert_eq!(chunk.ids.start, next);
                    next = chunk.ids.end;
                }
                assert_eq!(next, recipe.size.of(table) + 1, "{table:?} with {jobs} jobs");
            }
        }
    }
}
