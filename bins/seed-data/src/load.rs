//! The load: customers first, since the others refer to them, then users and orders.

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
use crate::crew::Crew;
use crate::rows::Recipe;
use crate::table::Table;
use crate::world::COUNTRIES;

/// Which tables are loaded at the same time.
const PHASES: [&[Table]; 2] = [&[Table::Customers], &[Table::Users, Table::Orders]];

/// Sets the sequences of all three tables, loads them, and tells `sink` of each.
pub(crate) fn everything(
    crew: &Crew,
    session: &Session,
    recipe: Recipe,
    run: &Run,
    sink: &mut Sink<SeedRow>,
) -> Result<()> {
    LazyLock::force(&COUNTRIES); // so that no table's time holds it
    let begun = Instant::now();
    for table in Table::ALL {
        set_sequence(session, table, recipe.size.of(table))?; // first: whoever finds all rows finds the sequences set
    }
    let (mut told, mut rows) = (Ok(()), 0);
    for tables in PHASES {
        let loaded = phase(crew, tables, recipe, run);
        crew.progress.finish();
        if loaded.is_err() {
            crew.progress.warn(
                "the load ended half-way, and some of its rows are in: \
                 start it again with --replace, which empties customers, users and orders first",
            );
        }
        for row in loaded? {
            rows += row.rows;
            // A reader that has gone (`| head -1`) does not end the load half-way.
            told = told.and_then(|()| sink.row(&row));
        }
    }
    let us = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
    crew.progress.say(&format!("{rows} rows on {} in {}", session.node(), show_us(us)));
    told
}

/// Loads some tables at the same time.
fn phase(crew: &Crew, tables: &'static [Table], recipe: Recipe, run: &Run) -> Result<Vec<SeedRow>> {
    let names: Vec<_> = tables.iter().map(|table| table.name().trim_start_matches("public.")).collect();
    crew.progress.begin(names.join(", "), tables.iter().map(|table| recipe.size.of(*table)).sum());
    let tallies: Arc<[Tally]> = tables.iter().map(|_| Tally::default()).collect();
    let (clock, shared) = (run.clock, tallies.clone());
    crew.work(tables, recipe, move |client, chunk, watch| {
        let begun_us = clock.now_us();
        let bytes = copy::load(client, chunk, recipe, watch)?;
        for (table, tally) in tables.iter().zip(shared.iter()) {
            if *table == chunk.table {
                tally.add(chunk.ids.end - chunk.ids.start, bytes, begun_us, clock);
            }
        }
        Ok(())
    })?;
    Ok(tables.iter().zip(tallies.iter()).map(|(table, tally)| tally.row(run, *table)).collect())
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
    /// Counts a chunk that is committed.
    fn add(&self, rows: u64, bytes: u64, begun_us: u64, clock: Clock) {
        let mut sums = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sums.rows += rows;
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
fn set_sequence(session: &Session, table: Table, last: u64) -> Result<()> {
    let last = i64::try_from(last).context("--rows")?;
    let name = table.name();
    session
        .value::<i64>("SELECT setval(pg_get_serial_sequence($1::text, 'id'), $2)", &[&name, &last])
        .map(drop)
        .with_context(|| format!("cannot set the sequence of {name}.id to {last}"))
}
