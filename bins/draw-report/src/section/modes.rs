//! The price list of a matrix: one picture, and a row for each of its cells.

use anyhow::Result;
use report::modes::{Cell, FIGURES, Figure, ModeRow, cells};
use report::show::count;
use report::verdict::Verdict;
use report::words::SyncMode;

use super::{note, section};
use crate::chart::modes;
use crate::html;

/// # Errors
/// If the picture cannot be painted.
pub(crate) fn modes(rows: &[ModeRow]) -> Result<String> {
    let (common, cells) = cells(rows);
    if cells.is_empty() {
        return Ok(section("The price list", &note("There is no drill in it yet.")));
    }
    let names = kind_names(&cells);
    let kinds: Vec<usize> =
        cells.iter().map(|cell| names.iter().position(|name| *name == kind(cell)).unwrap_or(0)).collect();
    let picture = modes::modes(&cells, &kinds, &caption(&names))?.unwrap_or_else(|| note("No figure was seen."));
    let all = format!("{} of {}, {}.", count(rows.len() as u64, "drill"), count(cells.len() as u64, "cell"), common);
    let body = format!("<p>{}</p>\n{picture}{}", html::text(&all), table(&cells, &kinds));
    Ok(format!("{}{}{}", verdict(rows), section("The price list", &body), failed(rows)))
}

/// What has a colour of its own: a sync mode; where all cells have the same, all are of one kind.
fn kind(cell: &Cell<'_>) -> SyncMode {
    cell.sync
}

fn kind_names(cells: &[Cell<'_>]) -> Vec<SyncMode> {
    SyncMode::ALL.into_iter().filter(|mode| cells.iter().any(|cell| kind(cell) == *mode)).collect()
}

fn caption(kinds: &[SyncMode]) -> String {
    let keys: String =
        kinds.iter().enumerate().map(|(index, name)| format!(" <b class=\"key series{index}\">{name}</b>")).collect();
    format!(
        "Each number is a cell of the table below, at the medians of its drills; lines reach from the least to the most. Upwards: \
         writes acknowledged per second, and the 99th percentile of a commit, both before the fault. Sideways: the 99th percentile \
         of the visible lag before the fault, the outage, and acknowledged writes that were lost. What differs \
         more than tenfold, but for losses, is on a logarithmic scale.{keys}"
    )
}

/// The verdict, and what it is about.
fn verdict(rows: &[ModeRow]) -> String {
    let worst = rows.iter().map(|row| row.verdict).fold(Verdict::Held, Verdict::join);
    let of = |verdict: Verdict| rows.iter().filter(|row| row.verdict == verdict).count() as u64;
    let all = match worst {
        Verdict::Held => format!("All of {} held.", count(rows.len() as u64, "drill")),
        _ => format!("{} held, {} broken, {} unknown.", of(Verdict::Held), of(Verdict::Broken), of(Verdict::Unknown)),
    };
    format!(
        "<div class=\"verdict {worst}\" data-verdict=\"{worst}\"><strong>{worst}</strong> {all} \
         Lost writes of async are a price here, and no broken promise.</div>\n"
    )
}

/// A row for each cell: the median of each figure, and below it the least and the most.
fn table(cells: &[Cell<'_>], kinds: &[usize]) -> String {
    let head = ["cell", "drills"].into_iter().chain(FIGURES.iter().map(|figure| figure.heading));
    let head: Vec<String> = head.map(str::to_owned).collect();
    let rows: Vec<Vec<String>> = cells
        .iter()
        .zip(kinds)
        .enumerate()
        .map(|(index, (cell, kind))| {
            let label = if cell.label.is_empty() { cell.sync.to_string() } else { cell.label.clone() };
            let name = format!("{}&ensp;<b class=\"key series{kind}\">{}</b>", index + 1, html::text(&label));
            let figures = FIGURES.iter().map(|figure| spread(cell, figure));
            [name, cell.rows.len().to_string()].into_iter().chain(figures).collect()
        })
        .collect();
    html::table("rows cells", &head, &rows)
}

fn spread(cell: &Cell<'_>, figure: &Figure) -> String {
    let Some(spread) = cell.spread(figure) else { return "–".to_owned() };
    let open = if figure.name == "outage_us" && cell.is_open() { "≥ " } else { "" };
    let median = html::figure(figure.name, Some(spread.median), &format!("{open}{}", (figure.show)(spread.median)));
    let (least, most) = ((figure.show)(spread.least), (figure.show)(spread.most));
    // What both are in is said once.
    let least =
        least.split_once(' ').filter(|(_, unit)| most.ends_with(&format!(" {unit}"))).map_or(&*least, |it| it.0);
    let of = if spread.count < cell.rows.len() {
        format!(" ({} of {})", spread.count, cell.rows.len())
    } else {
        String::new()
    };
    format!("{median}<br><span class=\"faint\">{least} – {most}{of}</span>")
}

/// Why drills did not hold.
fn failed(rows: &[ModeRow]) -> String {
    let why = |row: &ModeRow| {
        let why = row.why.as_deref().unwrap_or("see its folder");
        format!(
            "<li>{}: <span class=\"{1}\">{1}</span>: {2}</li>\n",
            html::text(&row.folder),
            row.verdict,
            html::text(why)
        )
    };
    let all: String = rows.iter().filter(|row| row.verdict != Verdict::Held).map(why).collect();
    if all.is_empty() {
        all
    } else {
        section("Drills that did not hold", &format!("<ul class=\"reasons\">{all}</ul>\n"))
    }
}
