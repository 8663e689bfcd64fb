//! The report at the end of a run: what was compared, how, and what was not, and why, with counts.

use std::collections::{BTreeMap, BTreeSet};

use report::show::count;
use report::verdict::Verdict;
use report::verify::{Descent, Equal, VerifyRow};

use crate::catalogs::Compared;
use crate::indexes::tally::Tally;

/// What was compared on one standby.
#[derive(Debug)]
pub(crate) struct Covered {
    standby: String,
    descent: Option<Descent>,
    tables: Kind,
    sequences: Kind,
    catalogs: Kind,
    large_objects: Kind,
    /// Tables and sequences that were not compared to an end, by name: a warning names a few of those with the same cause.
    unknown: Vec<String>,
}

/// How many things of one kind, how many of them were compared to an end, and their rows.
#[derive(Clone, Copy, Debug, Default)]
struct Kind {
    all: u64,
    compared: u64,
    rows: u64,
}

/// All of a run.
#[derive(Debug)]
pub(crate) struct Coverage {
    standbys: Vec<Covered>,
    equal: Equal,
    /// What was left out, each with why.
    pub(crate) left_out: Vec<String>,
    /// Columns that were compared by their bytes, since their types have no equality.
    pub(crate) by_bytes: BTreeSet<String>,
    /// How many catalogs stand behind the row on them.
    pub(crate) catalogs: u64,
    /// How many of them were not compared to an end, by standby.
    unknown_catalogs: BTreeMap<String, u64>,
    /// The seed of the random choice of rows to look up by index, if they are chosen.
    seed: Option<u64>,
    /// How much of the indexes of tables was read, by standby.
    indexes: BTreeMap<String, Tally>,
    /// The same of catalogs.
    catalog_indexes: BTreeMap<String, Tally>,
}

impl Kind {
    fn add(&mut self, row: &VerifyRow) {
        self.all += 1;
        if row.rows_primary.is_some() && row.rows_standby.is_some() && row.verdict != Verdict::Unknown {
            self.compared += 1;
            self.rows += row.rows_standby.unwrap_or(0);
        }
    }

    fn of(self, what: &str) -> String {
        format!("{} of {}", self.compared, count(self.all, what))
    }
}

impl Coverage {
    /// Of a run with this meaning of equal, whose random choices have this seed.
    pub(crate) fn new(equal: Equal, seed: Option<u64>) -> Coverage {
        Coverage {
            standbys: Vec::new(),
            equal,
            by_bytes: BTreeSet::new(),
            left_out: Vec::new(),
            catalogs: 0,
            unknown_catalogs: BTreeMap::new(),
            seed,
            indexes: BTreeMap::new(),
            catalog_indexes: BTreeMap::new(),
        }
    }

    /// Counts some catalogs on a standby, and their indexes.
    pub(crate) fn compared_catalogs(&mut self, standby: &str, compared: &Compared) {
        self.catalog_indexes.entry(standby.to_owned()).or_default().join(&compared.indexes);
        if compared.row.table == VerifyRow::CATALOGS {
            self.unknown_catalogs.insert(standby.to_owned(), compared.unknown);
        }
    }

    /// Counts indexes of a table on a standby.
    pub(crate) fn read_indexes(&mut self, standby: &str, tally: &Tally) {
        self.indexes.entry(standby.to_owned()).or_default().join(tally);
    }

    pub(crate) fn add(&mut self, row: &VerifyRow) {
        let known = self.standbys.iter().position(|covered| covered.standby == row.standby);
        let index = known.unwrap_or_else(|| {
            self.standbys.push(Covered::new(row));
            self.standbys.len() - 1
        });
        let covered = &mut self.standbys[index];
        match row.table.as_str() {
            VerifyRow::CATALOGS => covered.catalogs.add(row),
            VerifyRow::LARGE_OBJECTS => covered.large_objects.add(row),
            table if table.starts_with("sequence ") => covered.sequences.add(row),
            _ if row.is_table() => covered.tables.add(row),
            _ => {} // a ledger says itself what it looked for
        }
        if row.verdict == Verdict::Unknown && (row.is_table() || row.table.starts_with("sequence ")) {
            covered.unknown.push(row.table.clone());
        }
    }

    /// The statement, line by line.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.standbys.iter().flat_map(|standby| standby.lines(self)).collect();
        if !self.by_bytes.is_empty() {
            lines.push(format!("of types without an equality, compared by their text: {}", named(&self.by_bytes)));
        }
        if !self.left_out.is_empty() {
            lines.push(format!("not compared: {}", self.left_out.join(", ")));
        }
        lines
    }
}

/// The first of these, and how many more there are.
fn named(all: &BTreeSet<String>) -> String {
    const NAMED: usize = 10;
    let first: Vec<&str> = all.iter().take(NAMED).map(String::as_str).collect();
    let more = if all.len() > NAMED { format!(" and {} more", all.len() - NAMED) } else { String::new() };
    first.join(", ") + &more
}

impl Covered {
    fn new(row: &VerifyRow) -> Covered {
        let none = Kind::default();
        Covered {
            standby: row.standby.clone(),
            descent: row.descent,
            tables: none,
            sequences: none,
            catalogs: none,
            large_objects: none,
            unknown: Vec::new(),
        }
    }

    fn lines(&self, coverage: &Coverage) -> Vec<String> {
        let descent = self.descent.map_or("not proven to follow the primary".to_owned(), |descent| descent.to_string());
        let mut lines = vec![format!("compared on {} ({descent}):", self.standby)];
        let rows = |kind: Kind| count(kind.rows, "row");
        if self.tables.all > 0 {
            let how = match coverage.equal {
                Equal::Bytes => "each by its hash",
                Equal::Values => "by value: each by its hash, else by the equality of its types, wherever it lies",
            };
            lines.push(format!("  {}: {}, {how}", self.tables.of("table"), rows(self.tables)));
        }
        if self.tables.all > 0 && coverage.equal == Equal::Bytes {
            lines.extend(self.indexes(&coverage.indexes, coverage.seed).iter().map(|line| format!("  {line}")));
        }
        if self.sequences.all > 0 {
            lines.push(format!("  {}: definition and position", self.sequences.of("sequence")));
        }
        match (self.catalogs.all, self.catalogs.compared) {
            (0, _) => {}
            (_, 0) => lines.push("  catalogs: not to an end".to_owned()),
            _ => {
                let all = count(coverage.catalogs, "catalog");
                let all = match coverage.unknown_catalogs.get(&self.standby) {
                    Some(unknown @ 1..) => format!("{} of {all}", coverage.catalogs.saturating_sub(*unknown)),
                    _ => all,
                };
                lines.push(format!("  {all}: {}, as tables", rows(self.catalogs)));
                let indexes = self.indexes(&coverage.catalog_indexes, coverage.seed);
                lines.extend(indexes.iter().map(|line| format!("  of theirs, {line}")));
            }
        }
        match (self.large_objects.all, self.large_objects.compared) {
            (0, _) => {}
            (_, 0) => lines.push("  large objects: not to an end".to_owned()),
            _ => {
                let what = if coverage.equal == Equal::Bytes { "their pages and owners" } else { "their pages" };
                lines.push(format!("  large objects: {} of {what}", rows(self.large_objects)));
            }
        }
        if !self.unknown.is_empty() {
            lines.push(format!("  not to an end: {}", self.unknown.join(", ")));
        }
        lines
    }

    /// What was read of indexes.
    fn indexes(&self, tallies: &BTreeMap<String, Tally>, seed: Option<u64>) -> Vec<String> {
        match tallies.get(&self.standby).filter(|tally| !tally.is_empty()) {
            None => vec!["no index".to_owned()],
            Some(tally) => [vec![tally.words(seed)], tally.not_read_words()].concat(),
        }
    }
}

#[cfg(test)]
mod tests {
    use report::verdict::Verdict;
    use report::verify::{Equal, VerifyRow};

    use super::Coverage;
    use crate::catalogs::Compared;
    use crate::indexes::tally::Tally;
    use crate::table::Finding;

    #[test]
    fn a_catalog_that_was_not_read_is_not_among_those_that_were_compared() {
        let mut coverage = Coverage::new(Equal::Bytes, None);
        coverage.catalogs = 66;
        let row = Finding::only_there(7).row("r", VerifyRow::CATALOGS, "s");
        assert_eq!(row.verdict, Verdict::Broken);
        coverage.add(&row);
        let mut line = |unknown| {
            coverage.compared_catalogs("s", &Compared { row: row.clone(), indexes: Tally::default(), unknown });
            coverage.lines()[1].clone()
        };
        assert_eq!(line(0), "  66 catalogs: 7 rows, as tables");
        assert_eq!(line(1), "  65 of 66 catalogs: 7 rows, as tables");
    }
}
