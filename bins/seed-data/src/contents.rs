//! What the tables hold before the load.

use std::fmt;

use anyhow::{Context as _, Result};
use cluster::session::Session;

use crate::copy;
use crate::crew::Crew;
use crate::rows::Recipe;
use crate::table::Table;

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

/// Whether the tables hold exactly the rows of the recipe: all of them, byte by byte, and no more.
pub(crate) fn exactly(crew: &Crew, session: &Session, recipe: Recipe) -> Result<bool> {
    for table in Table::ALL {
        let last = i64::try_from(recipe.size.of(table)).context("--rows")?;
        let ask = format!("SELECT EXISTS (SELECT FROM {} WHERE id < 1 OR id > $1)", table.name());
        if session.value(&ask, &[&last])? {
            return Ok(false);
        }
    }
    crew.progress.begin("comparing", Table::ALL.iter().map(|table| recipe.size.of(*table)).sum());
    let compared = crew.work(crew.chunks(&Table::ALL, recipe), move |session, chunk, watch| {
        if copy::is_loaded(session, chunk, recipe, watch)? { Ok(()) } else { Err(Differs.into()) }
    });
    crew.progress.finish();
    match compared {
        Err(error) if error.is::<Differs>() => Ok(false),
        other => other.map(|()| true),
    }
}

/// The end of a comparison: one difference is enough.
#[derive(Debug)]
struct Differs;

impl fmt::Display for Differs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the rows differ")
    }
}

impl std::error::Error for Differs {}
