//! `--json`: all of it, for scripts. `docs/ci.md` has the schema.

use anyhow::Result;
use serde::Serialize;

use super::Outcome;

/// Changes if a field goes or means something else; fields may be added.
const SCHEMA: u32 = 1;

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    understudy_version: &'static str,
    #[serde(flatten)]
    outcome: &'a Outcome,
}

pub(super) fn text(outcome: &Outcome) -> Result<String> {
    let document = Document { schema: SCHEMA, understudy_version: env!("CARGO_PKG_VERSION"), outcome };
    Ok(serde_json::to_string_pretty(&document)? + "\n")
}
