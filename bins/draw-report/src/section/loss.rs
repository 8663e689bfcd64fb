//! What did not end as the client was told, by name.

use report::fate::{Fate, FateRow};
use report::show::count;

use super::section;
use crate::html;
use crate::run::Run;

/// How many writes are named; the rest is in `fates.csv`.
const NAMED: usize = 40;

pub(crate) fn loss(run: &Run) -> String {
    let Some(drill) = run.drill() else { return String::new() };
    let fates = &drill.judged.fates;
    let lost = fates.iter().filter(|row| row.fate == Fate::Lost).count() as u64;
    if drill.judged.rows.is_empty() || drill.judged.rows.iter().any(|row| row.lost.is_none()) {
        return section(
            "Loss",
            &super::note("There was no final read, or no fault was seen: what is lost is not known."),
        );
    }
    let mut said = format!("<p>{} lost.", count(lost, "acknowledged write"));
    if fates.is_empty() {
        return section("Loss", &format!("{said} Every write ended as its client was told.</p>\n"));
    }
    said.push_str(&format!(
        " Writes that did not end as their clients were told, or could know: {}.</p>\n",
        fates.len()
    ));
    let t0 = run.takeovers.first().and_then(|takeover| takeover.marks.t0_us);
    let mut worst: Vec<&FateRow> = fates.iter().collect();
    // What was acknowledged and is gone comes first; a write that an unknown outcome hid is the least of it.
    worst.sort_by_key(|row| (row.fate != Fate::Lost, row.fate == Fate::Recovered, row.at_us));
    let head = ["worker/seq", "the client knew", "seconds from the first fault", "it is", "hole"].map(str::to_owned);
    let rows: Vec<Vec<String>> = worst.iter().take(NAMED).map(|row| named(row, t0)).collect();
    let more = match fates.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!("<p class=\"note\">{more} more, in fates.csv.</p>\n"),
    };
    section("Loss", &format!("{said}{}{more}", html::table("rows", &head, &rows)))
}

fn named(row: &FateRow, t0_us: Option<u64>) -> Vec<String> {
    let at = row.at_us.zip(t0_us).map_or(String::new(), |(at, t0)| format!("{:+.3}", (at as f64 - t0 as f64) / 1e6));
    let outcome = row.outcome.map_or("never sent".to_owned(), |outcome| outcome.to_string());
    let fate = row.fate.to_string();
    vec![format!("{}/{}", row.worker, row.seq), outcome, at, fate, if row.hole { "yes" } else { "" }.to_owned()]
}
