//! A matrix in TOML: what varies, and what does not. Each combination of what varies is a cell, and a cell is a drill: the words
//! of a `cargo xtask drill` that anybody can hold by hand.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use report::foreign::in_line;
use report::modes::FACTORS;
use serde::Deserialize;
use toml::Value;

use crate::drill;

/// The matrices that are there by name.
pub(super) const BUILT_IN: [(&str, &str); 4] = [
    ("sync-modes", include_str!("../../../matrices/sync-modes.toml")),
    ("lag-under-load", include_str!("../../../matrices/lag-under-load.toml")),
    ("takeover", include_str!("../../../matrices/takeover.toml")),
    ("versions", include_str!("../../../matrices/versions.toml")),
];

/// What a file may hold. Each factor is one value or a list of them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    about: String,
    repetitions: u64,
    duration: String,
    rows: u64,
    backend: String,
    sync: Option<Value>,
    standbys: Option<Value>,
    clients: Option<Value>,
    rate: Option<Value>,
    settings: Option<Value>,
    fault: Option<Value>,
    pg_version: Option<Value>,
    pg_bin: Option<Value>,
}

impl Default for File {
    fn default() -> File {
        File {
            about: String::new(),
            repetitions: 3,
            duration: "6s".to_owned(),
            rows: 2_000,
            backend: "local".to_owned(),
            sync: None,
            standbys: None,
            clients: None,
            rate: None,
            settings: None,
            fault: None,
            pg_version: None,
            pg_bin: None,
        }
    }
}

/// A value of a factor: as it is named, and as the words of a drill.
#[derive(Clone, Debug, PartialEq)]
struct Level {
    shown: String,
    words: Vec<String>,
}

/// A matrix that was read and checked.
#[derive(Debug)]
pub(super) struct Matrix {
    /// What it is for, in a sentence.
    pub(super) about: String,
    /// How often each cell is held.
    pub(super) repetitions: u64,
    /// The cells, in the order of the file.
    pub(super) cells: Vec<Cell>,
}

/// One combination.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Cell {
    /// The values of [`FACTORS`], empty where there is none.
    pub(super) factors: [String; FACTORS.len()],
    /// The words of its drill.
    pub(super) words: Vec<String>,
}

impl Cell {
    /// The drill that it is.
    ///
    /// # Errors
    /// What is wrong with its words.
    pub(super) fn drill(&self) -> Result<drill::Args> {
        drill::Args::of(&self.words)
    }

    /// The value of a factor.
    pub(super) fn factor(&self, name: &str) -> &str {
        FACTORS.iter().position(|factor| *factor == name).map_or("", |at| self.factors[at].as_str())
    }
}

impl Matrix {
    /// Reads the text of a matrix; `file` is how errors name it.
    ///
    /// # Errors
    /// What is unknown or cannot be, by file, line and key, with what is possible.
    pub(super) fn parse(file: &str, text: &str) -> Result<Matrix> {
        let asked: File = toml::from_str(text).map_err(|error| anyhow!("{}", placed(file, text, &error)))?;
        Matrix::of(&asked).with_context(|| file.to_owned())
    }

    fn of(asked: &File) -> Result<Matrix> {
        ensure!((1..=1000).contains(&asked.repetitions), "`repetitions`: {}: give 1 to 1000", asked.repetitions);
        ensure!(
            ["local", "compose"].contains(&&*asked.backend),
            "`backend`: {:?}: use local or compose",
            asked.backend
        );
        let common =
            words(&[("duration", &asked.duration), ("rows", &asked.rows.to_string()), ("backend", &asked.backend)]);
        drill::Args::of(&common)?;
        ensure!(
            asked.pg_version.is_none() || asked.pg_bin.is_none(),
            "`pg_version` and `pg_bin` both say which PostgreSQL: give one of them"
        );
        let given = [
            (&asked.sync, Some("on")),
            (&asked.standbys, Some("1")),
            (&asked.clients, Some("8")),
            (&asked.rate, Some("500")),
            (&asked.settings, None),
            (&asked.fault, Some("kill")),
            (&asked.pg_version, None),
            (&asked.pg_bin, None),
        ];
        let mut cells = vec![Cell { factors: Default::default(), words: common }];
        for (at, (given, default)) in given.into_iter().enumerate() {
            let levels = levels(FACTORS[at], given.as_ref(), default)?;
            let with = |cell: &Cell, level: &Level| {
                let mut cell = cell.clone();
                cell.factors[at].clone_from(&level.shown);
                cell.words.extend(level.words.iter().cloned());
                cell
            };
            cells = cells.iter().flat_map(|cell| levels.iter().map(move |level| with(cell, level))).collect();
        }
        for cell in &mut cells {
            if cell.factor("sync") == "async" {
                // Nobody has promised that it is anywhere else: what is lost is a price, and no broken promise.
                cell.words.extend(words(&[("max-lost", &u64::MAX.to_string())]));
            }
            cell.drill()?;
        }
        Ok(Matrix { about: asked.about.clone(), repetitions: asked.repetitions, cells })
    }

    /// Leaves only cells whose factor has one of these values: `sync=on,async`.
    ///
    /// # Errors
    /// If the matrix has no such factor or value.
    pub(super) fn keep_only(&mut self, only: &str) -> Result<()> {
        let (name, wanted) =
            only.split_once('=').with_context(|| format!("--only {only}: write it as sync=on,async"))?;
        ensure!(FACTORS.contains(&name), "--only {only}: `{name}` is no factor; there are {}", FACTORS.join(", "));
        let there: BTreeSet<&str> = self.cells.iter().map(|cell| cell.factor(name)).collect();
        let wanted: Vec<&str> = wanted.split(',').collect();
        for value in &wanted {
            let known: Vec<&str> = there.iter().copied().collect();
            ensure!(there.contains(value), "--only {only}: `{name}` is never `{value}` here, but {}", known.join(", "));
        }
        let wanted: BTreeSet<String> = wanted.into_iter().map(str::to_owned).collect();
        self.cells.retain(|cell| wanted.contains(cell.factor(name)));
        Ok(())
    }
}

/// What the parser says, with the line that it says it of.
fn placed(file: &str, text: &str, error: &toml::de::Error) -> String {
    format!("{file}: {}", in_line(text, error.span().map(|span| span.start), error.message()))
}

/// `--name value` for each.
fn words(options: &[(&str, &str)]) -> Vec<String> {
    options.iter().flat_map(|(name, value)| [format!("--{}", name.replace('_', "-")), (*value).to_owned()]).collect()
}

/// The values of a factor. One that the file does not name has the default of a drill, if that is a value at all.
fn levels(name: &str, given: Option<&Value>, default: Option<&str>) -> Result<Vec<Level>> {
    let Some(given) = given else {
        let level = |shown: &str| Level { shown: shown.to_owned(), words: words(&[(name, shown)]) };
        return Ok(vec![default.map_or(Level { shown: String::new(), words: Vec::new() }, level)]);
    };
    let each = match given {
        Value::Array(list) => list.as_slice(),
        one => std::slice::from_ref(one),
    };
    ensure!(!each.is_empty(), "`{name}` is an empty list: there would be no cell");
    let mut levels: Vec<Level> = Vec::new();
    for value in each {
        let level = level(name, value).with_context(|| format!("`{name}`: {value}"))?;
        ensure!(!levels.contains(&level), "`{name}`: {value} is there twice");
        levels.push(level);
    }
    Ok(levels)
}

fn level(name: &str, value: &Value) -> Result<Level> {
    if name == "settings" {
        return settings(value);
    }
    let shown = match value {
        // As a row says it, whatever its zeros: `--resume` looks for the drills of a cell by that.
        Value::String(word) => word.parse().map_or_else(|_| word.clone(), |number: u64| number.to_string()),
        Value::Integer(number) => number.to_string(),
        _ => bail!("neither a word nor a whole number"),
    };
    let words = words(&[(name, &shown)]);
    drill::Args::of(&words)?;
    let number = || shown.parse::<u64>().unwrap_or_default();
    match name {
        "standbys" => ensure!((1..=8).contains(&number()), "give 1 to 8"),
        "pg_bin" => ensure!(shown.starts_with('/'), "give the whole path, from /"),
        _ => {}
    }
    Ok(Level { shown, words })
}

/// `{ wal_compression = "on", shared_buffers = "64MB" }`
fn settings(value: &Value) -> Result<Level> {
    let table = value.as_table().context("write settings as { name = \"value\" }, none of them as {}")?;
    let mut level = Level { shown: String::new(), words: Vec::new() };
    for (name, value) in table {
        let value = match value {
            Value::String(word) => word.clone(),
            Value::Integer(number) => number.to_string(),
            Value::Float(number) => number.to_string(),
            Value::Boolean(yes) => if *yes { "on" } else { "off" }.to_owned(),
            _ => bail!("`{name}` is neither a word nor a number"),
        };
        ensure!(!name.is_empty() && !name.contains(['=', ' ']), "`{name}` is not the name of a setting");
        ensure!(!value.contains(['\n', '\r']), "the value of `{name}` has a line break");
        let setting = format!("{name}={value}");
        let space = if level.shown.is_empty() { "" } else { " " };
        level.shown += &format!("{space}{setting}");
        level.words.extend(["--set".to_owned(), setting]);
    }
    Ok(level)
}

#[cfg(test)]
mod tests {
    use super::{BUILT_IN, Matrix};

    fn refused(text: &str) -> String {
        format!("{:#}", Matrix::parse("mine.toml", text).unwrap_err())
    }

    #[test]
    fn those_in_the_repository_are_as_large_as_they_say() {
        let sizes = BUILT_IN.map(|(name, text)| {
            let matrix = Matrix::parse(name, text).unwrap();
            assert!(!matrix.about.is_empty(), "{name}");
            (name, matrix.cells.len(), matrix.repetitions)
        });
        assert_eq!(sizes, [("sync-modes", 8, 5), ("lag-under-load", 10, 3), ("takeover", 1, 100), ("versions", 10, 5)]);
    }

    #[test]
    fn each_combination_is_a_cell_once() {
        let text = "sync = ['async', 'on']\nstandbys = [1, 2, 3]\nrate = [500, 'max']\nfault = 'stop'\n\
                    settings = [{}, { wal_compression = true, shared_buffers = '64MB' }]";
        let matrix = Matrix::parse("mine.toml", text).unwrap();
        assert_eq!((matrix.cells.len(), matrix.repetitions), (2 * 3 * 2 * 2, 3));
        for (index, cell) in matrix.cells.iter().enumerate() {
            assert!(!matrix.cells[..index].contains(cell), "{cell:?}");
            let is_async = cell.factor("sync") == "async";
            assert_eq!(cell.words.contains(&"--max-lost".to_owned()), is_async, "{cell:?}");
        }
        let last = &matrix.cells[23];
        assert_eq!(last.factors, ["on", "3", "8", "max", "shared_buffers=64MB wal_compression=on", "stop", "", ""]);
        let set = ["--set", "shared_buffers=64MB", "--set", "wal_compression=on"].map(str::to_owned);
        assert!(last.words.windows(4).any(|words| words == set), "{last:?}");
    }

    #[test]
    fn what_is_unknown_is_refused_by_file_and_key_with_what_is_possible() {
        for (text, words) in [
            ("repetitions = 2\nsunc = 'on'", &["mine.toml: line 2", "`sunc`", "`sync`", "`pg_version`"][..]),
            ("sync = ['on', 'sometimes']", &["mine.toml: `sync`: \"sometimes\"", "remote_apply"]),
            ("fault = 'flood'", &["`fault`", "freeze"]),
            ("standbys = 0", &["`standbys`: 0", "1 to 8"]),
            ("standbys = -1", &["`standbys`: -1"]),
            ("clients = [8, 6000]", &["`clients`: 6000", "1..=5000"]),
            ("rate = ['max', 'fast']", &["`rate`: \"fast\"", "1 to 1000000"]),
            ("rate = 1.5", &["`rate`: 1.5", "whole number"]),
            ("rate = []", &["`rate`", "empty list"]),
            ("sync = ['on', 'on']", &["`sync`: \"on\"", "twice"]),
            ("rate = [500, '0500']", &["`rate`: \"0500\"", "twice"]),
            ("settings = 'wal_compression=on'", &["`settings`", "{ name = "]),
            ("settings = { 'a=b' = 1 }", &["`a=b` is not the name"]),
            ("repetitions = 0", &["`repetitions`: 0", "1 to 1000"]),
            ("repetitions = 'many'", &["mine.toml: line 1, `repetitions`: "]),
            ("duration = '6'", &["mine.toml", "--duration", "has no unit"]),
            ("backend = 'auto'", &["`backend`", "local or compose"]),
            ("pg_version = 15\npg_bin = '/a'", &["give one of them"]),
            ("pg_bin = 'bin'", &["`pg_bin`", "from /"]),
            ("sync = ", &["mine.toml: line 1, `sync`: "]),
        ] {
            let said = refused(text);
            assert!(words.iter().all(|word| said.contains(word)), "{text}: {said}");
            assert!(!said.contains("--help"), "{said}");
        }
    }

    #[test]
    fn of_a_matrix_a_part_can_be_held() {
        let mut matrix = Matrix::parse("versions", BUILT_IN[3].1).unwrap();
        for (only, words) in [
            ("pg_version", "--only pg_version: write it as"),
            ("version=15", "there are sync, standbys"),
            ("pg_version=15,19", "is never `19` here, but 14, 15, 16, 17, 18"),
        ] {
            let said = matrix.keep_only(only).unwrap_err().to_string();
            assert!(said.contains(words), "{said}");
        }
        matrix.keep_only("pg_version=15,16").unwrap();
        matrix.keep_only("sync=on").unwrap();
        let left: Vec<&str> = matrix.cells.iter().map(|cell| cell.factor("pg_version")).collect();
        assert_eq!(left, ["15", "16"]);
    }
}
