//! The history of drills: for each settings' hash the outages over time, and a row for each drill.

use std::collections::BTreeMap;

use anyhow::Result;
use report::history::HistoryRow;
use report::show::us;
use report::words::OutageKind;

use super::{note, section};
use crate::chart::history::{self, Outage};
use crate::html;

/// Warm-ups are among the rows, by that name, and in no picture. Drills of different settings or machines stand in no picture
/// together.
///
/// # Errors
/// If a picture cannot be painted.
pub(crate) fn history(rows: &[HistoryRow]) -> Result<String> {
    let mut groups: BTreeMap<_, Vec<&HistoryRow>> = BTreeMap::new();
    for row in rows {
        // Beside their hash, which a drill may lack.
        let drilled = (row.fault.as_str(), row.sync.to_string(), row.backend.to_string(), row.pg_version.as_str());
        let settings = row.settings_md5.as_deref().unwrap_or("-");
        groups.entry((settings, row.machine.as_str(), drilled)).or_default().push(row);
    }
    if groups.is_empty() {
        return Ok(section("History", &note("There is no drill.")));
    }
    let mut page = String::new();
    for ((settings, machine, _), mut drills) in groups {
        // A file that was joined from several is in no order.
        drills.sort_by(|a, b| a.date_utc.cmp(&b.date_utc));
        let first = drills[0];
        let title = format!(
            "{} of {} servers, sync {}, PostgreSQL {}",
            first.fault,
            first.backend,
            first.sync,
            html::text(&first.pg_version)
        );
        let counted = drills.iter().filter(|row| row.counted);
        let outage = |row: &&HistoryRow| Some(Outage { us: row.outage_us?, open: is_open(row), verdict: row.verdict });
        let outages: Vec<Outage> = counted.filter_map(outage).collect();
        let picture = history::outages(&outages)?.unwrap_or_else(|| note("No outage was seen."));
        let about = note(&format!("Settings {settings}, on {machine}"));
        page.push_str(&section(&title, &format!("{about}{picture}{}", table(&drills))));
    }
    Ok(page)
}

/// Whether nothing more is known of its outage than how long it is at least.
fn is_open(row: &HistoryRow) -> bool {
    row.outage_kind == Some(OutageKind::AtLeast)
}

fn table(drills: &[&HistoryRow]) -> String {
    let head = ["run", "date", "commit", "verdict", "outage", "lost", "lag p99"].map(str::to_owned);
    let shown = |time: Option<u64>| time.map_or("–".to_owned(), us);
    let row = |row: &&HistoryRow| {
        vec![
            format!("{}{}", html::text(&row.run), if row.counted { "" } else { " (warm-up)" }),
            html::text(&row.date_utc),
            html::text(&row.commit),
            format!("<span class=\"{0}\">{0}</span>", row.verdict),
            format!("{}{}", if is_open(row) { "≥ " } else { "" }, shown(row.outage_us)),
            row.lost.map_or("–".to_owned(), |lost| lost.to_string()),
            shown(row.lag_p99_us),
        ]
    };
    html::table("rows", &head, &drills.iter().map(row).collect::<Vec<_>>())
}
