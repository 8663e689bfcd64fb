//! What the tables hold before the load.

use std::fmt;

use anyhow::{Context as _, Result};
use cluster::session::Session;

use crate::copy;
use crate::rows::Spec;
use crate::table::Table;
use crate::worker_pool::WorkerPool;

/// Whether any of the tables holds any row.
pub(crate) fn anything(session: &Session) -> Result<bool> {
    for table in Table::ALL {
        let name = table.name();
        let ask = format!("SELECT EXISTS (SELECT FROM {name})");
        if session.value(&ask, &[]).with_context(|| format!("cannot read {name}"))? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether the tables hold exactly the rows of the spec: all of them, byte by byte, and no more.
pub(crate) fn exactly(pool: &WorkerPool, session: &Session, spec: Spec) -> Result<bool> {
    for table in Table::ALL {
        let last = i64::try_from(spec.size.of(table)).context("--rows")?;
        let ask = format!("SELECT EXISTS (SELECT FROM {} WHERE id < 1 OR id > $1)", table.name());
        if session.value(&ask, &[&last])? {
            return Ok(false);
        }
    }
    pool.progress.begin("comparing", Table::ALL.iter().map(|table| spec.size.of(*table)).sum());
    let compared = pool.work(pool.chunks(&Table::ALL, spec), move |session, chunk, progress| {
        if copy::is_loaded(session, chunk, spec, progress)? { Ok(()) } else { Err(Differs.into()) }
    });
    pool.progress.finish();
    match compared {
        Err(error) if error.is::<Differs>() => Ok(false),
        other => other.map(|()| true),
    }
}

/// The error that ends a comparison at its first difference.
#[derive(Debug)]
struct Differs;

impl fmt::Display for Differs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the rows differ")
    }
}

impl std::error::Error for Differs {}
