//! The price list in words, within 80 columns.

use std::time::Duration;

use report::modes::{FIGURES, ModeRow, cells};
use report::show;
use report::verdict::Verdict;

use super::plan::time;

/// Widths of the figures' columns: beside them a cell's name has room for 32 letters.
const WIDTHS: [usize; FIGURES.len()] = [9, 12, 10, 12, 5];

/// What one drill has found.
pub(super) fn line(row: &ModeRow, name: &str) -> String {
    let figures: Vec<String> = FIGURES
        .iter()
        .filter_map(|figure| Some(format!("{} {}", figure.heading, (figure.show)((figure.of)(row)?))))
        .collect();
    let found = if figures.is_empty() { "nothing was measured".to_owned() } else { figures.join(", ") };
    let why = row.why.iter().map(|_| format!(": {}", why_in_short(row))).collect::<String>();
    format!("{name}: {found} ({}){why}", row.verdict)
}

/// Why it did not hold. Of a program's last words its error counts.
pub(super) fn why(row: &ModeRow) -> &str {
    let why = row.why.as_deref().unwrap_or("see its folder");
    why.split_once("; error: ").map_or(why, |(_, error)| error)
}

/// The same as far as it fits two lines; all of it is in the row.
fn why_in_short(row: &ModeRow) -> String {
    let why = why(row);
    let shown: String = why.chars().take(160).collect();
    if shown.len() < why.len() { format!("{shown} …") } else { shown }
}

/// Medians of each cell, below what all cells have in common; the verdict is the last line.
pub(super) fn table(rows: &[ModeRow]) -> String {
    let (common, cells) = cells(rows);
    let mut lines = vec![common, "medians; of lost writes the most in one drill".to_owned()];
    let width = cells.iter().map(|cell| cell.label.chars().count()).max().unwrap_or(0);
    let columns = || FIGURES.iter().zip(WIDTHS);
    let heads: String = columns().map(|(figure, width)| format!("{:>width$}", figure.heading)).collect();
    lines.push(format!("{:<width$}{heads}", ""));
    for cell in &cells {
        let shown = columns().map(|(figure, width)| {
            let Some(spread) = cell.spread(figure) else { return format!("{:>width$}", "-") };
            let value = if figure.name == "lost" { spread.most } else { spread.median };
            let open = if figure.name == "outage_us" && cell.is_open() { "≥ " } else { "" };
            format!("{:>width$}", format!("{open}{}", (figure.show)(value)))
        });
        lines.push(format!("{:<width$}{}", cell.label, shown.collect::<String>()));
    }
    let of = |verdict| rows.iter().filter(|row| row.verdict == verdict).count() as u64;
    let verdict = rows.iter().map(|row| row.verdict).fold(Verdict::Held, Verdict::join);
    for row in rows.iter().filter(|row| row.verdict != Verdict::Held).take(5) {
        lines.push(format!("{} {}: {}", row.folder, row.verdict, why_in_short(row)));
    }
    let took = Duration::from_micros(rows.iter().map(|row| row.elapsed_us).sum());
    lines.push(format!(
        "{verdict}: {} in {}: {} held, {} broken, {} unknown",
        show::count(rows.len() as u64, "drill"),
        time(took),
        of(Verdict::Held),
        of(Verdict::Broken),
        of(Verdict::Unknown)
    ));
    lines.join("\n")
}
