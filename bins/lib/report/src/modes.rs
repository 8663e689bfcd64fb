//! `modes.csv`: the price list of `cargo xtask bench modes`. A row is one drill of one cell of a matrix; here is also what
//! is made of all of them: the cells, in an order, each with the spread of its figures.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::percentiles::median;
use crate::show::{count, us};
use crate::verdict::Verdict;
use crate::words::{Backend, Fault, OutageKind, SyncMode};

/// One drill of one cell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModeRow {
    /// The run of the drill, as in its `drill.csv`.
    pub run: String,
    /// Its turn, from 1: in which place it was held.
    pub turn: u64,
    /// Which of the cell's repetitions, from 1.
    pub repetition: u64,
    /// The folder of the drill, beside this file.
    pub folder: String,
    /// How the nodes are run.
    pub backend: Backend,
    /// The sync mode.
    pub sync: SyncMode,
    /// Standbys at the start.
    pub standbys: u64,
    /// Clients writing.
    pub clients: u64,
    /// Writes due per second; empty for `max`.
    pub rate_per_s: Option<u64>,
    /// Server settings of the cell, `name=value` with a space between them; empty without any.
    pub settings: Option<String>,
    /// The fault that was injected.
    pub fault: Fault,
    /// The major version of PostgreSQL that the matrix asks for; empty if it asks for none.
    pub pg_version_asked: Option<u64>,
    /// The directory of PostgreSQL's programs that the matrix asks for; empty if it asks for none.
    pub pg_bin_asked: Option<String>,
    /// The full version, as in `drill.csv`; empty if no drill began.
    pub pg_version: Option<String>,
    /// The verdict on the drill, its standbys and its files; lost writes of `async` are a figure and not `broken`.
    pub verdict: Verdict,
    /// Why it is not `held`.
    pub why: Option<String>,
    /// Writes acknowledged per second, from the first ack to the fault; this and the next four are empty without a fault.
    pub acked_per_s: Option<u64>,
    /// Median time from when a write was due to its ack, of those acknowledged before the fault.
    pub commit_p50_us: Option<u64>,
    /// 99th percentile of the same.
    pub commit_p99_us: Option<u64>,
    /// Median visible lag before the fault, by its upper bound, of the standby that has the longest.
    pub lag_p50_us: Option<u64>,
    /// 99th percentile of the same; of both, none if it falls upon a beat that was not seen by then.
    pub lag_p99_us: Option<u64>,
    /// As in `drill.csv`.
    pub outage_us: Option<u64>,
    /// As in `drill.csv`.
    pub outage_kind: Option<OutageKind>,
    /// As in `drill.csv`.
    pub floor_us: Option<u64>,
    /// As in `drill.csv`.
    pub lost: Option<u64>,
    /// As in `drill.csv`.
    pub rpo_span_us: Option<u64>,
    /// As in `drill.csv`.
    pub rpo_wal_bytes: Option<u64>,
    /// Time for all of it, from the setting up of the lab to its end.
    pub elapsed_us: u64,
}

/// The factors of a matrix, in the order in which its cells are listed: the keys of its file.
pub const FACTORS: [&str; 8] = ["sync", "standbys", "clients", "rate", "settings", "fault", "pg_version", "pg_bin"];

impl ModeRow {
    /// What makes its cell, as the matrix's file has it: the values of [`FACTORS`], empty where there is none.
    #[must_use]
    pub fn factors(&self) -> [String; FACTORS.len()] {
        [
            self.sync.to_string(),
            self.standbys.to_string(),
            self.clients.to_string(),
            self.rate_per_s.map_or("max".to_owned(), |rate| rate.to_string()),
            self.settings.clone().unwrap_or_default(),
            self.fault.to_string(),
            self.pg_version_asked.map(|major| major.to_string()).unwrap_or_default(),
            self.pg_bin_asked.clone().unwrap_or_default(),
        ]
    }

    /// In which order cells are listed: as the words are, and numbers by their size.
    fn place(&self) -> impl Ord + use<> {
        let sync = SyncMode::ALL.iter().position(|mode| *mode == self.sync);
        let fault = Fault::ALL.iter().position(|fault| *fault == self.fault);
        let postgresql = (self.pg_version_asked, self.pg_bin_asked.clone());
        let rate = self.rate_per_s.unwrap_or(u64::MAX);
        (sync, self.standbys, self.clients, rate, self.settings.clone(), fault, postgresql)
    }

    /// The factor as people read it.
    fn shown(&self, factor: &str) -> String {
        match factor {
            "sync" => self.sync.to_string(),
            "standbys" => count(self.standbys, "standby"),
            "clients" => count(self.clients, "client"),
            "rate" => {
                self.rate_per_s.map_or("as many writes as possible".to_owned(), |rate| format!("{rate} writes/s"))
            }
            "settings" => self.settings.clone().unwrap_or("no settings".to_owned()),
            "fault" => self.fault.to_string(),
            "pg_bin" => format!("in {}", self.pg_bin_asked.as_deref().unwrap_or("?")),
            _ => {
                let asked = self.pg_version_asked.map(|major| major.to_string()).or_else(|| self.pg_bin_asked.clone());
                format!("PostgreSQL {}", self.pg_version.clone().or(asked).unwrap_or("?".to_owned()))
            }
        }
    }
}

/// The drills of one cell.
#[derive(Clone, Debug)]
pub struct Cell<'a> {
    /// What it has that not all cells have.
    pub label: String,
    /// Its sync mode.
    pub sync: SyncMode,
    /// Its drills.
    pub rows: Vec<&'a ModeRow>,
}

/// What all cells have in common, in words, and the cells in order.
#[must_use]
pub fn cells(rows: &[ModeRow]) -> (String, Vec<Cell<'_>>) {
    let mut sorted: Vec<&ModeRow> = rows.iter().collect();
    sorted.sort_by_key(|row| (row.place(), row.turn));
    // Who asked for directories has the versions that are in them; a directory is named where that does not tell it from others.
    let versions: BTreeSet<&String> = rows.iter().filter_map(|row| row.pg_version.as_ref()).collect();
    let dirs: BTreeSet<&Option<String>> = rows.iter().map(|row| &row.pg_bin_asked).collect();
    let differ = |at: usize| rows.iter().any(|row| row.factors()[at] != rows[0].factors()[at]);
    let varies = |at: usize| match FACTORS[at] {
        "pg_version" => differ(at) || versions.len() > 1,
        _ => differ(at),
    };
    let (varying, common): (Vec<usize>, Vec<usize>) = (0..FACTORS.len()).partition(|at| varies(*at));
    let words = |row: &ModeRow, places: &[usize]| {
        let is_told = |at: &&usize| FACTORS[**at] != "pg_bin" || dirs.len() > versions.len().max(1);
        places.iter().filter(is_told).map(|at| row.shown(FACTORS[*at])).collect::<Vec<_>>().join(", ")
    };
    let mut cells: Vec<Cell<'_>> = Vec::new();
    for row in sorted {
        match cells.last_mut().filter(|cell| cell.rows[0].factors() == row.factors()) {
            Some(cell) => cell.rows.push(row),
            None => cells.push(Cell { label: words(row, &varying), sync: row.sync, rows: vec![row] }),
        }
    }
    for cell in &mut cells {
        // Of a drill that could not begin the version is not known; of another one of the cell it may be.
        let known = cell.rows.iter().find(|row| row.pg_version.is_some()).unwrap_or(&cell.rows[0]);
        cell.label = words(known, &varying);
    }
    let known = rows.iter().find(|row| row.pg_version.is_some()).or(rows.first());
    (known.map(|row| words(row, &common)).unwrap_or_default(), cells)
}

/// A figure of the price list.
pub struct Figure {
    /// The column.
    pub name: &'static str,
    /// As a heading.
    pub heading: &'static str,
    /// Where it stands; `None` where it was not seen.
    pub of: fn(&ModeRow) -> Option<u64>,
    /// How people read it.
    pub show: fn(u64) -> String,
}

/// The figures of the price list: what one pays and what one gets.
pub const FIGURES: [Figure; 5] = [
    Figure { name: "acked_per_s", heading: "acked/s", of: |row| row.acked_per_s, show: number },
    Figure { name: "commit_p99_us", heading: "commit p99", of: |row| row.commit_p99_us, show: us },
    Figure { name: "lag_p99_us", heading: "lag p99", of: |row| row.lag_p99_us, show: us },
    Figure { name: "outage_us", heading: "outage", of: |row| row.outage_us, show: us },
    Figure { name: "lost", heading: "lost", of: |row| row.lost, show: number },
];

fn number(number: u64) -> String {
    number.to_string()
}

/// The spread of one figure over a cell's drills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread {
    /// The least.
    pub least: u64,
    /// The middle.
    pub median: u64,
    /// The most.
    pub most: u64,
    /// Of how many drills.
    pub count: usize,
}

impl Cell<'_> {
    /// The spread of a figure; `None` if no drill of the cell has it.
    #[must_use]
    pub fn spread(&self, figure: &Figure) -> Option<Spread> {
        let found: Vec<u64> = self.rows.iter().filter_map(|row| (figure.of)(row)).collect();
        let (least, most) = (*found.iter().min()?, *found.iter().max()?);
        Some(Spread { least, median: median(&found)?, most, count: found.len() })
    }

    /// Whether one of its outages has no end: their figures are lower bounds.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.rows.iter().any(|row| row.outage_kind == Some(OutageKind::AtLeast))
    }
}

#[cfg(test)]
mod tests {
    use super::{FIGURES, ModeRow, Spread, cells};

    const HEADER: &str = "run,turn,repetition,folder,backend,sync,standbys,clients,rate_per_s,settings,fault,\
        pg_version_asked,pg_bin_asked,pg_version,verdict,why,acked_per_s,commit_p50_us,commit_p99_us,lag_p50_us,\
        lag_p99_us,outage_us,outage_kind,floor_us,lost,rpo_span_us,rpo_wal_bytes,elapsed_us\n";

    fn rows(lines: &[&str]) -> Vec<ModeRow> {
        crate::rows::read(format!("{HEADER}{}\n", lines.join("\n")).as_bytes()).unwrap()
    }

    #[test]
    fn cells_are_in_order_and_named_by_what_they_differ_in() {
        let rows = rows(&[
            "r-1,1,1,run-1,local,on,2,8,,,kill,,,15.18,held,,900,1,5,1,7,60,exact,,0,0,0,9",
            "r-2,2,1,run-2,local,async,10,8,,,kill,,,15.18,held,,800,1,5,1,7,60,exact,,3,0,0,9",
            "r-3,3,2,run-3,local,on,2,8,,,kill,,,15.18,held,,700,1,5,1,9,80,at_least,,0,0,0,9",
            "r-4,4,1,run-4,local,async,2,8,,,kill,,,,unknown,it could not begin,,,,,,,,,,,,9",
        ]);
        let (common, cells) = cells(&rows);
        assert_eq!(common, "8 clients, as many writes as possible, no settings, kill, PostgreSQL 15.18");
        let labels: Vec<&str> = cells.iter().map(|cell| cell.label.as_str()).collect();
        assert_eq!(labels, ["async, 2 standbys", "async, 10 standbys", "on, 2 standbys"]);
        let spreads: Vec<_> = FIGURES.iter().map(|figure| cells[2].spread(figure)).collect();
        assert_eq!(spreads[0], Some(Spread { least: 700, median: 700, most: 900, count: 2 }));
        assert_eq!(spreads[2], Some(Spread { least: 7, median: 7, most: 9, count: 2 }));
        assert!(cells[2].is_open() && !cells[1].is_open());
        assert!(FIGURES.iter().all(|figure| cells[0].spread(figure).is_none()), "what was not seen is no 0");
    }

    #[test]
    fn a_version_stands_for_its_directory_and_is_known_if_one_drill_began() {
        let rows = rows(&[
            "r-1,1,1,run-1,local,on,1,8,500,,kill,,/a/bin,,unknown,why,,,,,,,,,,,,9",
            "r-2,2,2,run-2,local,on,1,8,500,,kill,,/a/bin,16.4,held,,500,1,5,1,9,80,exact,,0,0,0,9",
            "r-3,3,1,run-3,local,on,1,8,500,,kill,15,,15.18,held,,500,1,5,1,9,80,exact,,0,0,0,9",
        ]);
        let (common, cells) = cells(&rows);
        assert_eq!(common, "on, 1 standby, 8 clients, 500 writes/s, no settings, kill");
        let labels: Vec<&str> = cells.iter().map(|cell| cell.label.as_str()).collect();
        assert_eq!(labels, ["PostgreSQL 16.4", "PostgreSQL 15.18"]);
    }

    #[test]
    fn directories_of_other_versions_have_no_version_in_common_and_of_one_version_are_named() {
        let row = |dir: &str, version: &str| {
            format!("r-1,1,1,run-1,local,on,1,8,500,,kill,,{dir},{version},held,,500,1,5,1,9,80,exact,,0,0,0,9")
        };
        let said = |lines: [String; 2]| {
            let rows = rows(&lines.each_ref().map(String::as_str));
            let (common, cells) = cells(&rows);
            (common, cells.iter().map(|cell| cell.label.clone()).collect::<Vec<_>>())
        };
        let (common, labels) = said([row("/a", "16.14"), row("/b", "15.20")]);
        assert_eq!(common, "on, 1 standby, 8 clients, 500 writes/s, no settings, kill");
        assert_eq!(labels, ["PostgreSQL 16.14", "PostgreSQL 15.20"]);
        let (common, labels) = said([row("/a", "15.20"), row("/b", "15.20")]);
        assert_eq!(common, "on, 1 standby, 8 clients, 500 writes/s, no settings, kill, PostgreSQL 15.20");
        assert_eq!(labels, ["in /a", "in /b"]);
    }
}
