//! How each program behaves: main and exit codes, stdout, signals, child programs, the clock, progress, durations; whose a
//! path is, and how directories are made.
//!
//! Nothing here knows of PostgreSQL.

pub mod alarm;
pub mod append;
pub mod child;
pub mod clock;
pub mod dirs;
pub mod duration;
pub mod entry;
mod fields;
pub mod folder;
pub mod judged;
pub mod out;
pub mod progress;
pub mod run;
pub mod sink;
pub mod stop;
mod table;
pub mod tool;
pub mod trust;
pub mod users;

pub use entry::main;
