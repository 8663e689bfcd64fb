//! Rows as people read them on a terminal: aligned, with units.

use report::columns::columns;
use report::foreign::one_line;
use report::show::us;
use report::shown::{GAP, Shown};
use serde::{Deserialize, Serialize};

/// What stands where a figure is not known.
const NONE: &str = "-";

/// The line above the rows.
pub(crate) fn header<Row: Shown>() -> String {
    aligned::<Row>(|_, title| title.to_owned())
}

/// A row, as a line.
///
/// # Errors
/// If it cannot be made a record of the columns that its type has: a mistake of ours.
pub(crate) fn line<Row: Shown + Serialize + for<'de> Deserialize<'de>>(row: &Row) -> Result<String, csv::Error> {
    let mut csv = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    csv.serialize(row)?;
    let bytes = csv.into_inner().map_err(|error| csv::Error::from(error.into_error()))?;
    let mut record = csv::StringRecord::new();
    csv::ReaderBuilder::new().has_headers(false).from_reader(&bytes[..]).read_record(&mut record)?;
    let all = columns::<Row>();
    let field = |name: &str| all.iter().position(|column| *column == name).and_then(|index| record.get(index));
    Ok(aligned::<Row>(|name, _| shown(name, field(name).unwrap_or_default())))
}

/// A field, its unit taken from the name of its column.
fn shown(name: &str, field: &str) -> String {
    match field.parse::<u64>() {
        _ if field.is_empty() => NONE.to_owned(),
        Ok(at) if name == "at_us" => format!("{:.2} s", at as f64 / 1e6),
        Ok(time) if name.ends_with("_us") => us(time),
        _ => one_line(field).into_owned(),
    }
}

/// One text for each column: the first at the left, as names are, numbers at the right. A text that is too wide takes its
/// room from those after it.
fn aligned<Row: Shown>(text: impl Fn(&str, &str) -> String) -> String {
    let (mut line, mut edge) = (String::new(), 0);
    for (name, title, width) in Row::COLUMNS {
        let (text, used) = (text(name, title), line.chars().count());
        edge += width;
        let room = edge.saturating_sub(used).max(text.chars().count());
        line += &if is_word(name) { format!("{text:<room$}") } else { format!("{text:>room$}") };
        line += GAP;
        edge += GAP.len();
    }
    line.trim_end().to_owned()
}

/// Whether a column holds words rather than numbers.
fn is_word(name: &str) -> bool {
    ["table", "standby", "status", "verdict", "fault", "old_primary", "new_primary", "rejoin"].contains(&name)
}

#[cfg(test)]
mod tests {
    use report::load::LoadRow;
    use report::seed::SeedRow;

    use super::*;

    #[test]
    fn figures_stand_below_their_names_with_their_units() {
        let row = LoadRow {
            run: "r".to_owned(),
            at_us: 16_758_905,
            scheduled: 500,
            sent: 500,
            acked: 499,
            acked_local: 0,
            failed: 0,
            unknown: 1,
            skipped: 0,
            p50_us: Some(3_781),
            p95_us: None,
            p99_us: None,
            max_us: Some(1_200_000),
            behind_us: Some(3),
        };
        let (header, line) = (header::<LoadRow>(), line(&row).unwrap());
        assert_eq!(header, "       at     acked   failed  unknown  skipped        p50        p99        max");
        assert_eq!(line, "  16.76 s       499        0        1        0    3.78 ms          -     1.20 s");
    }

    #[test]
    fn a_long_name_moves_only_what_is_beside_it_and_no_name_moves_the_cursor() {
        let row = |table: &str| SeedRow {
            run: "r".to_owned(),
            table: table.to_owned(),
            rows: 1,
            bytes: 1,
            elapsed_us: 1,
            rows_per_s: 1,
        };
        let line = |table: &str| line(&row(table)).unwrap();
        assert_eq!(line(&"x".repeat(40)).chars().count(), line("x").chars().count());
        assert!(line("a\u{1b}[2J\nb").starts_with(r"a\u{1b}[2J\nb "));
    }
}
