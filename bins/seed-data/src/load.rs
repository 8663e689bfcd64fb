//! The load: customers first, since the others refer to them, then users and orders. A small one is one transaction.

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
use crate::crew::{Chunk, Crew};
use crate::rows::Recipe;
use crate::table::Table;
use crate::world::COUNTRIES;

/// Which tables are loaded at the same time.
const PHASES: [&[Table]; 2] = [&[Table::Customers], &[Table::Users, Table::Orders]];

/// Up to so many rows, of all tables together, are one transaction on one connection: it takes a second or two, and holds
/// the locks of --replace for no longer than that.
const WHOLE: u64 = 200_000;

/// Loads all three tables, emptied first if that was asked for, and tells `sink` of each.
pub(crate) fn everything(
    crew: &Crew,
    session: &Session,
    recipe: Recipe,
    replace: bool,
    run: &Run,
    sink: &mut Sink<SeedRow>,
) -> Result<()> {
    LazyLock::force(&COUNTRIES); // so that no table's time holds it
    let begun = Instant::now();
    let (mut told, mut total) = (Ok(()), 0);
    let mut tell = |rows: Vec<SeedRow>| {
        for row in rows {
            total += row.rows;
            // A reader that has gone (`| head -1`) does not end the load half-way.
            told = std::mem::replace(&mut told, Ok(())).and_then(|()| sink.row(&row));
        }
    };
    let loaded = if recipe.size.total() <= WHOLE {
        whole(crew, recipe, replace, run).map(&mut tell)
    } else if replace {
        empty(crew, session).and_then(|()| in_parts(crew, session, recipe, run, &mut tell))
    } else {
        in_parts(crew, session, recipe, run, &mut tell)
    };
    crew.progress.finish();
    loaded?;
    let us = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
    crew.progress.say(&format!("{total} rows on {} in {}", session.node(), show_us(us)));
    told
}

/// All of it in one transaction: it is loaded, or nothing has changed.
fn whole(crew: &Crew, recipe: Recipe, replace: bool, run: &Run) -> Result<Vec<SeedRow>> {
    let crew = Crew { jobs: 1, ..crew.clone() };
    crew.progress.begin("loading", recipe.size.total());
    let tallies = tallies();
    let (chunks, clock, shared) = (crew.chunks(&Table::ALL, recipe), run.clock, tallies.clone());
    let chunks: Vec<Chunk> = chunks.collect();
    crew.work(std::iter::once(chunks), move |session, chunks, watch| {
        session.script("BEGIN")?; // given up, it ends with the session
        if replace {
            session.script(cluster::sql!("seed_empty")).context("--replace")?;
        }
        for chunk in chunks {
            let begun_us = clock.now_us();
            let bytes = copy::load(session, chunk, recipe, watch)?;
            shared[chunk.table as usize].add(chunk, bytes, begun_us, clock);
        }
        for table in Table::ALL {
            let (name, last) = (table.name(), last_id(recipe, table)?);
            session.run(session.client().query_one(SET_SEQUENCE, &[&name, &last])).context(name)?;
        }
        session.script("COMMIT")
    })
    .context("nothing was loaded, and what the tables held is still there")?;
    Ok(Table::ALL.iter().zip(tallies.iter()).map(|(table, tally)| tally.row(run, *table)).collect())
}

/// Empties the tables before a load that is too large for one transaction.
fn empty(crew: &Crew, session: &Session) -> Result<()> {
    crew.progress.warn(&format!(
        "more than {WHOLE} rows are more than one transaction: customers, users and orders of the schema understudy \
         are emptied now, and if the load fails, what they held is gone"
    ));
    session.script(&format!("BEGIN; {} COMMIT", cluster::sql!("seed_empty"))).context("--replace")
}

/// Table after table, each in many transactions on several connections.
fn in_parts(
    crew: &Crew,
    session: &Session,
    recipe: Recipe,
    run: &Run,
    tell: &mut dyn FnMut(Vec<SeedRow>),
) -> Result<()> {
    for table in Table::ALL {
        // First: whoever finds all rows finds the sequences set.
        let (name, last) = (table.name(), last_id(recipe, table)?);
        session.value::<i64>(SET_SEQUENCE, &[&name, &last]).context(name)?;
    }
    for tables in PHASES {
        let loaded = phase(crew, tables, recipe, run);
        crew.progress.finish();
        if loaded.is_err() {
            crew.progress.warn(
                "the load ended half-way, and some of its rows are in customers, users and orders of the schema \
                 understudy: start it again with --replace, which empties these three first",
            );
        }
        tell(loaded?);
    }
    Ok(())
}

/// Loads some tables at the same time.
fn phase(crew: &Crew, tables: &'static [Table], recipe: Recipe, run: &Run) -> Result<Vec<SeedRow>> {
    let names: Vec<_> = tables.iter().map(|table| table.bare_name()).collect();
    crew.progress.begin(names.join(", "), tables.iter().map(|table| recipe.size.of(*table)).sum());
    let tallies = tallies();
    let (clock, shared) = (run.clock, tallies.clone());
    crew.work(crew.chunks(tables, recipe), move |session, chunk, watch| {
        let begun_us = clock.now_us();
        let bytes = copy::load(session, chunk, recipe, watch)?;
        shared[chunk.table as usize].add(chunk, bytes, begun_us, clock);
        Ok(())
    })?;
    Ok(tables.iter().map(|table| tallies[*table as usize].row(run, *table)).collect())
}

/// A tally of each table, in the order of [`Table::ALL`].
fn tallies() -> Arc<[Tally]> {
    Table::ALL.iter().map(|_| Tally::default()).collect()
}

/// What was loaded into one table so far.
#[derive(Default)]
struct Tally(Mutex<Sums>);

#[derive(Default)]
struct Sums {
    rows: u64,
    bytes: u64,
    begun_us: Option<u64>,
    ended_us: u64,
}

impl Tally {
    /// Counts a chunk that is in.
    fn add(&self, chunk: &Chunk, bytes: u64, begun_us: u64, clock: Clock) {
        let mut sums = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sums.rows += chunk.ids.end - chunk.ids.start;
        sums.bytes += bytes;
        sums.begun_us = Some(sums.begun_us.map_or(begun_us, |earlier| earlier.min(begun_us)));
        sums.ended_us = clock.now_us();
    }

    fn row(&self, run: &Run, table: Table) -> SeedRow {
        let sums = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let elapsed_us = sums.ended_us - sums.begun_us.unwrap_or(sums.ended_us);
        let per_s = u128::from(sums.rows) * 1_000_000 / u128::from(elapsed_us.max(1));
        SeedRow {
            run: run.name.clone(),
            table: table.name().to_owned(),
            rows: sums.rows,
            bytes: sums.bytes,
            elapsed_us,
            rows_per_s: u64::try_from(per_s).unwrap_or(u64::MAX),
        }
    }
}

/// Sets a table's sequence to its last id: the next row that the application inserts must not collide with ours.
const SET_SEQUENCE: &str = "SELECT setval(pg_get_serial_sequence($1::text, 'id'), $2)";

fn last_id(recipe: Recipe, table: Table) -> Result<i64> {
    i64::try_from(recipe.size.of(table)).context("--rows")
}
