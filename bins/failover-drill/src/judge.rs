//! From the files that the drill has written to its row and its verdict.

use std::path::Path;

use anyhow::{Context as _, Result};
use program::folder;
use program::sink::Sink;
use report::evidence::{Evidence, LEDGER, PLAN};
use report::fate::FateRow;
use report::judge::Judged;
use report::ledger::Ledger;

use crate::live::Live;

/// Judges a drill by its files, as `cargo xtask judge` does at any time later.
///
/// What could not be written is known here all the same, so the row comes out; but the verdict cannot be `held`.
pub(crate) fn judge(live: &mut Live<'_>) -> Result<Judged> {
    live.events.seal(&live.dir);
    let failed: Vec<String> = [live.events.failure(), live.reads.failure()].into_iter().flatten().collect();
    let evidence = match failed.is_empty() {
        true => folder::evidence(&live.dir)?,
        false => Evidence {
            plan: folder::rows(&live.dir, PLAN)?.pop().context("the plan is gone")?,
            events: live.events.rows().to_vec(),
            ledger: Ledger::read(folder::open(&live.dir, LEDGER)?).context(LEDGER)?,
            reads: live.reads.rows().to_vec(),
        },
    };
    let mut judged = report::judge::judge(&evidence)?;
    failed.iter().for_each(|why| judged.could_not(why));
    Ok(judged)
}

/// Writes `fates.csv`: every write whose fate is worth a look, by name.
pub(crate) fn write_fates(dir: &Path, fates: &[FateRow]) -> Result<()> {
    let mut sink = Sink::<FateRow>::create_new(&dir.join("fates.csv"))?;
    for row in fates {
        sink.row_unflushed(row)?;
    }
    sink.flush()
}
