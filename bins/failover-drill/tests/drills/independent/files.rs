//! The files of a drill as text: rows, events, and what was read.

use std::collections::BTreeMap;
use std::path::Path;

/// A write's key: worker and number.
pub(crate) type Key = (u64, u64);

/// One row of a CSV file, by the names of its columns. An empty field is an absent one.
pub(crate) type Fields = BTreeMap<String, String>;

/// The rows of a CSV file. A last line without its newline is left out: its writer was killed.
pub(crate) fn rows(path: &Path) -> Vec<Fields> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    rows_of(text.rsplit_once('\n').map_or("", |(whole, _)| whole))
}

/// The rows of CSV text. Every row must have a field for each column.
pub(crate) fn rows_of(text: &str) -> Vec<Fields> {
    let mut csv = csv::Reader::from_reader(text.as_bytes());
    let columns = csv.headers().unwrap().clone();
    let fields = |row: csv::StringRecord| -> Fields {
        let fields = columns.iter().map(str::to_owned).zip(row.iter().map(str::to_owned));
        fields.filter(|(_, value)| !value.is_empty()).collect()
    };
    csv.records().map(|row| fields(row.unwrap())).collect()
}

/// A number in a row; `None` if the field is empty.
pub(crate) fn number(row: &Fields, column: &str) -> Option<u64> {
    row.get(column).map(|text| text.parse().unwrap_or_else(|_| panic!("{column} is {text:?} in {row:?}")))
}

/// The rows of the run that are there, by key: how many times, and whether each is what its key says.
pub(crate) type Present = BTreeMap<Key, Vec<bool>>;

/// What the final read found, from its stretches in `reads.csv`.
pub(crate) fn final_read(path: &Path) -> Present {
    let mut present = Present::new();
    for row in rows(path).iter().filter(|row| row["read"] == "final") {
        let figure = |column| number(row, column).unwrap();
        for seq in figure("first_seq")..=figure("last_seq") {
            let found = vec![row["intact"] == "true"; figure("times") as usize];
            assert_eq!(present.insert((figure("worker"), seq), found), None, "twice in {row:?}");
        }
    }
    present
}

/// The events of `events.csv`.
#[derive(Debug)]
pub(crate) struct Events(pub(crate) Vec<Fields>);

impl Events {
    /// Reads `events.csv`.
    pub(crate) fn read(path: &Path) -> Events {
        Events(rows(path))
    }

    /// All events of a mark.
    pub(crate) fn all(&self, mark: &str) -> Vec<&Fields> {
        self.0.iter().filter(|row| row["mark"] == mark).collect()
    }

    /// Those of one step.
    pub(crate) fn of_step(&self, step: &str) -> Events {
        Events(self.0.iter().filter(|row| row.get("step").is_some_and(|of| of == step)).cloned().collect())
    }

    /// When a mark was first set.
    pub(crate) fn first_us(&self, mark: &str) -> Option<u64> {
        self.all(mark).first().and_then(|row| number(row, "at_us"))
    }
}

/// `X/Y` as a number of bytes.
pub(crate) fn lsn(text: &str) -> u64 {
    let (high, low) = text.split_once('/').unwrap_or_else(|| panic!("{text:?} is no LSN"));
    let [high, low] = [high, low].map(|hex| u64::from_str_radix(hex, 16).unwrap());
    (high << 32) + low
}
