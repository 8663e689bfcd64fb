//! `programs.csv`: how each program of a run ended.

use serde::{Deserialize, Serialize};

use crate::verdict::Verdict;

/// One program that `cargo xtask drill` ran. What it could not find out may stand in no row of its own, only here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramRow {
    /// The run that this row belongs to.
    pub run: String,
    /// Its name.
    pub program: String,
    /// What its exit code said.
    pub verdict: Verdict,
    /// The file that its rows are in.
    pub file: String,
    /// Lines of that file, its header among them.
    pub count: u64,
    /// MD5 of that file.
    pub md5: String,
    /// Of `measure-lag`: the longest lag of a beat before the verdict is `broken`; empty if any is taken, and of other programs.
    pub max_lag_us: Option<u64>,
}
