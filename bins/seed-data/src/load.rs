//! The load: customers first, since the other tables refer to them, then users and orders. A small load is one transaction.

use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context as _, Result};
use cluster::session::Session;
use program::clock::Clock;
use program::duration::show_us;
use program::run::Run;
use program::sink::Sink;
use report::seed::SeedRow;

use crate::copy;
use crate::countries::COUNTRIES;
use crate::rows::Spec;
use crate::table::Table;
use crate::worker_pool::{Chunk, WorkerPool};

/// Which tables are loaded at the same time.
const PHASES: [&[Table]; 2] = [&[Table::Customers], &[Table::Users, Table::Orders]];

/// Up to this many rows, of all tables together, are loaded in one transaction on one connection: it takes a second or
/// two, and holds the locks of --replace for no longer than that.
const WHOLE: u64 = 200_000;

/// Loads all three tables, which `replace` empties first, and writes a row for each to `sink`.
pub(crate) fn everything(
    pool: &WorkerPool,
    session: &Session,
    spec: Spec,
    replace: bool,
    run: &Run,
    sink: &mut Sink<SeedRow>,
) -> Result<()> {
    LazyLock::force(&COUNTRIES); // made now, or the first table's time would include it
    let begun = Instant::now();
    let (mut told, mut total) = (Ok(()), 0);
    let mut tell = |rows: Vec<SeedRow>| {
        for row in rows {
            total += row.rows;
            // A reader that has gone (`| head -1`) does not end the load half-way.
            told = std::mem::replace(&mut told, Ok(())).and_then(|()| sink.row(&row));
        }
    };
    let loaded = if spec.size.total() <= WHOLE {
        whole(pool, spec, replace, run).map(&mut tell)
    } else if replace {
        empty(pool, session).and_then(|()| in_parts(pool, session, spec, run, &mut tell))
    } else {
        in_parts(pool, session, spec, run, &mut tell)
    };
    pool.progress.finish();
    loaded?;
    let us = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
    pool.progress.say(&format!("{total} rows on {} in {}", session.node(), show_us(us)));
    told
}

/// Loads everything in one transaction: if it fails, nothing has changed.
fn whole(pool: &WorkerPool, spec: Spec, replace: bool, run: &Run) -> Result<Vec<SeedRow>> {
    let pool = WorkerPool { jobs: 1, ..pool.clone() };
    pool.progress.begin("loading", spec.size.total());
    let tallies = tallies();
    let (chunks, clock, shared) = (pool.chunks(&Table::ALL, spec), run.clock, tallies.clone());
    let chunks: Vec<Chunk> = chunks.collect();
    pool.work(std::iter::once(chunks), move |session, chunks, progress| {
        session.script("BEGIN")?; // an error ends the session, and so rolls it back
        if replace {
            session.script(cluster::sql!("seed_empty")).context("--replace")?;
        }
        for chunk in chunks {
            let begun_us = clock.now_us();
            let bytes = copy::load(session, chunk, spec, progress)?;
            shared[chunk.table as usize].add(chunk, bytes, begun_us, clock);
        }
        for table in Table::ALL {
            let (name, last) = (table.name(), last_id(spec, table)?);
            session.run(session.client().query_one(SET_SEQUENCE, &[&name, &last])).context(name)?;
        }
        session.script("COMMIT")
    })
    .context("nothing was loaded, and what the tables held is still there")?;
    Ok(Table::ALL.iter().zip(tallies.iter()).map(|(table, tally)| tally.row(run, *table)).collect())
}

/// Empties the tables before a load that is too large for one transaction.
fn empty(pool: &WorkerPool, session: &Session) -> Result<()> {
    pool.progress.warn(&format!(
        "more than {WHOLE} rows are more than one transaction: customers, users and orders of the schema understudy \
         are emptied now, and if the load fails, what they held is gone"
    ));
    session.script(&format!("BEGIN; {} COMMIT", cluster::sql!("seed_empty"))).context("--replace")
}

/// Table after table, each in many transactions on several connections.
fn in_parts(
    pool: &WorkerPool,
    session: &Session,
    spec: Spec,
    run: &Run,
    tell: &mut dyn FnMut(Vec<SeedRow>),
) -> Result<()> {
    for table in Table::ALL {
        // Before the rows: whoever finds all rows finds the sequences set.
        let (name, last) = (table.name(), last_id(spec, table)?);
        session.value::<i64>(SET_SEQUENCE, &[&name, &last]).context(name)?;
    }
    for tables in PHASES {
        let loaded = phase(pool, tables, spec, run);
        pool.progress.finish();
        if loaded.is_err() {
            pool.progress.warn(
                "the load ended half-way, and some of its rows are in customers, users and orders of the schema \
                 understudy: start it again with --replace, which empties these three first",
            );
        }
        tell(loaded?);
    }
    Ok(())
}

/// Loads some tables at the same time.
fn phase(pool: &WorkerPool, tables: &'static [Table], spec: Spec, run: &Run) -> Result<Vec<SeedRow>> {
    let names: Vec<_> = tables.iter().map(|table| table.bare_name()).collect();
    pool.progress.begin(names.join(", "), tables.iter().map(|table| spec.size.of(*table)).sum());
    let tallies = tallies();
    let (clock, shared) = (run.clock, tallies.clone());
    pool.work(pool.chunks(tables, spec), move |session, chunk, progress| {
        let begun_us = clock.now_us();
        let bytes = copy::load(session, chunk, spec, progress)?;
        shared[chunk.table as usize].add(chunk, bytes, begun_us, clock);
        Ok(())
    })?;
    Ok(tables.iter().map(|table| tallies[*table as usize].row(run, *table)).collect())
}

/// A tally of each table, in the order of [`Table::ALL`].
fn tallies() -> Arc<[Tally]> {
    Table::ALL.iter().map(|_| Tally::default()).collect()
}

/// The rows that were loaded into one table so far.
#[derive(Default)]
struct Tally(Mutex<Totals>);

#[derive(Default)]
struct Totals {
    rows: u64,
    bytes: u64,
    begun_us: Option<u64>,
    ended_us: u64,
}

impl Tally {
    /// Counts a chunk that was loaded.
    fn add(&self, chunk: &Chunk, bytes: u64, begun_us: u64, clock: Clock) {
        let mut totals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        totals.rows += chunk.ids.end - chunk.ids.start;
        totals.bytes += bytes;
        totals.begun_us = Some(totals.begun_us.map_or(begun_us, |earlier| earlier.min(begun_us)));
        totals.ended_us = clock.now_us();
    }

    fn row(&self, run: &Run, table: Table) -> SeedRow {
        let totals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let elapsed_us = totals.ended_us - totals.begun_us.unwrap_or(totals.ended_us);
        let per_s = u128::from(totals.rows) * 1_000_000 / u128::from(elapsed_us.max(1));
        SeedRow {
            run: run.name.clone(),
            table: table.name().to_owned(),
            rows: totals.rows,
            bytes: totals.bytes,
            elapsed_us,
            rows_per_s: u64::try_from(per_s).unwrap_or(u64::MAX),
        }
    }
}

/// Sets a table's sequence to its last id: the next row that the application inserts must not collide with ours.
const SET_SEQUENCE: &str = "SELECT setval(pg_get_serial_sequence($1::text, 'id'), $2)";

fn last_id(spec: Spec, table: Table) -> Result<i64> {
    i64::try_from(spec.size.of(table)).context("--rows")
}
