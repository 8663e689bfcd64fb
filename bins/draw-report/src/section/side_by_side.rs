//! Several runs beside each other, with the spread of their figures.

use anyhow::Result;
use report::drill::DrillRow;
use report::percentiles::median;
use report::show::us;
use report::words::OutageKind;

use super::section;
use crate::chart::spread;
use crate::html;
use crate::run::Run;

/// A figure that is compared: its name, where it stands in a row, and how it is shown.
type Figure = (&'static str, fn(&DrillRow) -> Option<u64>, fn(u64) -> String);

/// The one of them that may be a lower bound only.
const OUTAGE: &str = "outage";

const FIGURES: [Figure; 9] = [
    (OUTAGE, |row| row.outage_us, us),
    ("lost", |row| row.lost, |lost| lost.to_string()),
    ("longest gap before", |row| row.longest_gap_before_us, us),
    ("noticed after", |row| row.detection_us, us),
    ("promoted after", |row| row.promotion_us, us),
    ("first ack after that", |row| row.reroute_us, us),
    ("a standby again after", |row| row.redundancy_us, us),
    ("rejoin", |row| row.rejoin_us, us),
    ("raw floor", |row| row.floor_us, us),
];

/// # Errors
/// If the picture cannot be painted.
pub(crate) fn side_by_side(runs: &[Run]) -> Result<String> {
    let counted: Vec<&Run> = runs.iter().filter(|run| run.counts).collect();
    let rows: Vec<&DrillRow> = counted.iter().flat_map(|run| takeovers_of(run)).collect();
    let head = ["", "takeovers", "least", "median", "most"].map(str::to_owned);
    let spread = FIGURES.iter().map(|(name, figure, shown)| {
        let found: Vec<u64> = rows.iter().filter_map(|row| figure(row)).collect();
        // Of outages without an end the lower bound counts: then the true figures are no less.
        let open = *name == OUTAGE && rows.iter().any(|row| is_open(row));
        let cell = |value: Option<u64>| value.map_or("–".to_owned(), |value| at_least(open, shown(value)));
        let (least, most) = (found.iter().min().copied(), found.iter().max().copied());
        vec![(*name).to_owned(), found.len().to_string(), cell(least), cell(median(&found)), cell(most)]
    });
    let spread = html::table("figures", &head, &spread.collect::<Vec<_>>());
    let outages: Vec<(String, Vec<u64>)> = counted
        .iter()
        .map(|run| (run.name(), takeovers_of(run).iter().filter_map(|row| row.outage_us).collect()))
        .collect();
    let picture = spread::outages(&outages)?.unwrap_or_default();
    Ok(section("Side by side", &format!("{}{spread}{picture}", each(runs))))
}

/// The rows of a run; none, if it could not be judged.
fn takeovers_of(run: &Run) -> &[DrillRow] {
    run.drill().map(|drill| &drill.judged.rows[..]).unwrap_or_default()
}

/// A row for each takeover of each run, or one for a run without.
fn each(runs: &[Run]) -> String {
    let names = ["run", "verdict", "fault", "sync"].into_iter().chain(FIGURES.iter().map(|(name, _, _)| *name));
    let head: Vec<String> = names.map(str::to_owned).collect();
    let mut rows = Vec::new();
    for (index, run) in runs.iter().enumerate() {
        let warm_up = if run.counts { "" } else { " (warm-up: not counted)" };
        let link = format!("<a href=\"#run{}\">{}</a>{warm_up}", index + 1, html::text(&run.name()));
        // Of the whole run: what its standbys and its lag came to stands in no row of a takeover.
        let verdict = format!("<span class=\"{0}\">{0}</span>", run.judged.verdict());
        if takeovers_of(run).is_empty() {
            let blank = std::iter::repeat_n("–".to_owned(), FIGURES.len() + 2);
            rows.push([link, verdict].into_iter().chain(blank).collect());
            continue;
        }
        for row in takeovers_of(run) {
            let mut cells = vec![link.clone(), verdict.clone()];
            cells.extend([row.fault.to_string(), row.sync.to_string()]);
            cells.extend(FIGURES.iter().map(|(name, figure, shown)| {
                let open = *name == OUTAGE && is_open(row);
                figure(row).map_or("–".to_owned(), |value| at_least(open, shown(value)))
            }));
            rows.push(cells);
        }
    }
    html::table("rows", &head, &rows)
}

/// Whether its outage has no end.
fn is_open(row: &DrillRow) -> bool {
    row.outage_kind == Some(OutageKind::AtLeast)
}

fn at_least(open: bool, shown: String) -> String {
    if open { format!("≥ {shown}") } else { shown }
}
