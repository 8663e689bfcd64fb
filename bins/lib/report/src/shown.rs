//! What people read of a row where it goes to a terminal: some of its columns. All of them are in the CSV.

use crate::drill::DrillRow;
use crate::lag::LagRow;
use crate::load::LoadRow;
use crate::seed::SeedRow;
use crate::verify::VerifyRow;

/// A row that can be shown on a terminal.
pub trait Shown {
    /// What is shown. With the gaps between them the columns fit 80.
    const COLUMNS: &'static [Column];
}

/// A column as it is shown: its name in the CSV, what stands above it, and the width that most of its values fit in.
pub type Column = (&'static str, &'static str, usize);

/// What is between two columns.
pub const GAP: &str = "  ";

impl Shown for SeedRow {
    const COLUMNS: &'static [Column] =
        &[("table", "table", 32), ("rows", "rows", 12), ("elapsed_us", "time", 11), ("rows_per_s", "rows/s", 12)];
}

impl Shown for LoadRow {
    const COLUMNS: &'static [Column] = &[
        ("at_us", "at", 9),
        ("acked", "acked", 8),
        ("failed", "failed", 7),
        ("unknown", "unknown", 7),
        ("skipped", "skipped", 7),
        ("p50_us", "p50", 9),
        ("p99_us", "p99", 9),
        ("max_us", "max", 9),
    ];
}

impl Shown for LagRow {
    const COLUMNS: &'static [Column] = &[
        ("at_us", "at", 9),
        ("standby", "standby", 16),
        ("beat", "beat", 7),
        ("visible_min_us", "visible min", 11),
        ("visible_max_us", "visible max", 11),
        ("status", "status", 11),
    ];
}

impl Shown for VerifyRow {
    const COLUMNS: &'static [Column] = &[
        ("table", "table", 20),
        ("standby", "standby", 7),
        ("rows_primary", "rows", 7),
        ("missing", "missing", 7),
        ("extra", "extra", 5),
        ("different", "differ", 6),
        ("corrupt", "corrupt", 7),
        ("verdict", "verdict", 7),
    ];
}

impl Shown for DrillRow {
    const COLUMNS: &'static [Column] = &[
        ("fault", "fault", 6),
        ("old_primary", "old primary", 11),
        ("new_primary", "new primary", 11),
        ("outage_us", "outage", 9),
        ("promotion_us", "promotion", 9),
        ("lost", "lost", 5),
        ("rejoin", "rejoin", 8),
        ("verdict", "verdict", 7),
    ];
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::columns;

    fn check<Row: Shown + for<'de> serde::Deserialize<'de>>() {
        let all = columns::<Row>();
        assert!(Row::COLUMNS.iter().all(|(name, title, width)| all.contains(name) && title.len() <= *width), "{all:?}");
        let width: usize = Row::COLUMNS.iter().map(|(_, _, width)| width + GAP.len()).sum();
        assert!(width - GAP.len() <= 80, "{all:?}: {width}");
    }

    #[test]
    fn what_is_shown_is_there_and_fits_a_screen() {
        check::<SeedRow>();
        check::<LoadRow>();
        check::<LagRow>();
        check::<VerifyRow>();
        check::<DrillRow>();
    }
}
