//! What the figures mean, and nothing else.
//!
//! One file per CSV schema, the ledger and its judge, marks, verdicts and percentiles. Everything here is a pure
//! function of its arguments: no clock, no network, no file but a reader that is handed in. That is what makes each
//! figure testable without a server, and recomputable years later from the CSV files of a run.

pub mod bench;
pub mod columns;
pub mod diff;
pub mod drill;
pub mod event;
pub mod fate;
pub mod foreign;
pub mod glance;
pub mod lag;
pub mod ledger;
pub mod load;
pub mod lsn;
pub mod marks;
pub mod payload;
pub mod percentiles;
pub mod rows;
pub mod seed;
pub mod settings;
pub mod show;
pub mod summary;
pub mod timeline;
pub mod verdict;
pub mod verify;
