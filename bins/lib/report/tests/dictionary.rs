//! `reports/README.md` explains every column of every file and every value of every enum, and nothing that is not there.

use std::collections::BTreeMap;
use std::path::Path;

use report::bench::{
    BackendBenchRow, CoverageBenchRow, HonestBenchRow, LagBenchRow, LoadBenchRow, TruthBenchRow, VerifyBenchRow,
    WitnessBenchRow,
};
use report::columns::columns;
use report::compare::CompareRow;
use report::diff::{DiffKind, DiffRow};
use report::drill::DrillRow;
use report::event::{EventRow, Mark};
use report::fate::{Fate, FateRow};
use report::history::HistoryRow;
use report::lag::{LagRow, LagStatus};
use report::ledger::{Event, LedgerRow, Outcome};
use report::load::LoadRow;
use report::modes::ModeRow;
use report::plan::PlanRow;
use report::programs::ProgramRow;
use report::reads::{ReadKind, ReadRow};
use report::runs::RunRow;
use report::seed::SeedRow;
use report::settings::SettingRow;
use report::verdict::Verdict;
use report::verify::{Descent, VerifyRow};
use report::words::Fault;
use serde::de::{self, Deserialize, Deserializer, Visitor};

/// The entries of the dictionary: first cells of its tables, by heading.
struct Dictionary {
    entries: BTreeMap<String, Vec<String>>,
}

impl Dictionary {
    /// An entry is a table row that begins with `| `name` |`; it belongs to the heading above it.
    fn read() -> Dictionary {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../reports/README.md");
        let text = std::fs::read_to_string(&path).expect("reports/README.md is there");
        let mut entries: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut heading = String::new();
        for line in text.lines() {
            if let Some(title) = line.strip_prefix("## ").or_else(|| line.strip_prefix("### ")) {
                title.clone_into(&mut heading);
                assert!(entries.insert(heading.clone(), Vec::new()).is_none(), "two headings {heading:?}");
            } else if let Some((name, rest)) = line.strip_prefix("| `").and_then(|line| line.split_once("` | ")) {
                let explained = rest.split('|').any(|cell| cell.trim().len() > 3);
                assert!(explained, "`{name}` under {heading:?} has no explanation");
                entries.entry(heading.clone()).or_default().push(name.to_owned());
            }
        }
        Dictionary { entries }
    }

    fn under(&self, heading: &str) -> &[String] {
        self.entries.get(heading).unwrap_or_else(|| panic!("reports/README.md has no heading {heading:?}"))
    }
}

/// The values of an enum, in order, as serde knows them.
fn values<'de, Enum: Deserialize<'de>>() -> &'static [&'static str] {
    let mut found = None;
    let _ = Enum::deserialize(VariantNames { found: &mut found });
    found.expect("an enum of unit variants")
}

struct VariantNames<'a> {
    found: &'a mut Option<&'static [&'static str]>,
}

impl<'de> Deserializer<'de> for VariantNames<'_> {
    type Error = de::value::Error;

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, Self::Error> {
        *self.found = Some(variants);
        Err(de::Error::custom("only the names were asked for"))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Self::Error> {
        Err(de::Error::custom("not an enum"))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

#[test]
fn every_column_has_its_entry_in_its_order_and_no_entry_is_without_a_column() {
    let dictionary = Dictionary::read();
    for (file, columns) in [
        ("drill.csv", columns::<DrillRow>()),
        ("plan.csv", columns::<PlanRow>()),
        ("reads.csv", columns::<ReadRow>()),
        ("programs.csv", columns::<ProgramRow>()),
        ("events.csv", columns::<EventRow>()),
        ("ledger.csv", columns::<LedgerRow>()),
        ("load.csv", columns::<LoadRow>()),
        ("lag.csv", columns::<LagRow>()),
        ("verify.csv", columns::<VerifyRow>()),
        ("diff.csv", columns::<DiffRow>()),
        ("fates.csv", columns::<FateRow>()),
        ("settings.csv", columns::<SettingRow>()),
        ("seed.csv", columns::<SeedRow>()),
        ("runs.csv", columns::<RunRow>()),
        ("compare.csv", columns::<CompareRow>()),
        ("history.csv", columns::<HistoryRow>()),
        ("modes.csv", columns::<ModeRow>()),
        ("bench-backends.csv", columns::<BackendBenchRow>()),
        ("bench-witness.csv", columns::<WitnessBenchRow>()),
        ("bench-lag.csv", columns::<LagBenchRow>()),
        ("bench-load.csv", columns::<LoadBenchRow>()),
        ("bench-verify.csv", columns::<VerifyBenchRow>()),
        ("bench-coverage.csv", columns::<CoverageBenchRow>()),
        ("bench-truth.csv", columns::<TruthBenchRow>()),
        ("bench-honest.csv", columns::<HonestBenchRow>()),
    ] {
        assert_eq!(dictionary.under(file), columns, "{file}: left is the dictionary, right is the struct");
    }
}

#[test]
fn every_value_has_its_entry() {
    let dictionary = Dictionary::read();
    for (heading, values) in [
        ("Events of the ledger", values::<Event>()),
        ("Outcomes", values::<Outcome>()),
        ("Fates", values::<Fate>()),
        ("Reads", values::<ReadKind>()),
        ("Marks", values::<Mark>()),
        ("Faults", values::<Fault>()),
        ("Status of a sample", values::<LagStatus>()),
        ("Verdicts", values::<Verdict>()),
        ("Descent of a standby", values::<Descent>()),
        ("Kinds of difference", values::<DiffKind>()),
    ] {
        assert_eq!(dictionary.under(heading), values, "{heading}: left is the dictionary, right is the enum");
    }
}

#[test]
fn every_row_type_is_in_the_dictionary() {
    // A new `pub struct …Row` has to be added above, and to reports/README.md.
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    for entry in sources.read_dir().expect("src is there") {
        let text = std::fs::read_to_string(entry.expect("an entry").path()).expect("a source file");
        let name = |line: &str| Some(line.strip_prefix("pub struct ")?.split_once("Row {")?.0.to_owned());
        found.extend(text.lines().filter_map(name));
    }
    found.sort();
    let known = [
        "BackendBench",
        "Compare",
        "CoverageBench",
        "Diff",
        "Drill",
        "Event",
        "Fate",
        "History",
        "HonestBench",
        "Lag",
        "LagBench",
        "Ledger",
        "Load",
        "LoadBench",
        "Mode",
        "Plan",
        "Program",
        "Read",
        "Run",
        "Seed",
        "Setting",
        "TruthBench",
        "Verify",
        "VerifyBench",
        "WitnessBench",
    ];
    assert_eq!(found, known);
}
