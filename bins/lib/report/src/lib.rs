//! What the figures mean, and nothing else.
//!
//! One file per CSV schema, the ledger, fates, marks, takeovers, the judge and percentiles. Everything here is a pure
//! function of its arguments: no clock, no network, no file but a reader that is handed in. That is what makes each
//! figure testable without a server, and recomputable years later from the CSV files of a run.

pub mod bench;
pub mod columns;
pub mod compare;
pub mod diff;
pub mod drill;
pub mod event;
pub mod evidence;
pub mod fate;
pub mod flow;
pub mod foreign;
pub mod glance;
pub mod history;
pub mod judge;
pub mod lag;
pub mod ledger;
pub mod ledger_file;
pub mod ledger_row;
pub mod limits;
pub mod load;
pub mod lsn;
pub mod marks;
pub mod modes;
pub mod payload;
pub mod percentiles;
pub mod plan;
pub mod programs;
pub mod rank_test;
pub mod reads;
pub mod reasons;
pub mod rows;
pub mod runs;
pub mod seal;
pub mod seed;
pub mod settings;
pub mod show;
pub mod shown;
pub mod summary;
pub mod takeovers;
pub mod timeline;
pub mod verdict;
pub mod verify;
pub mod words;
