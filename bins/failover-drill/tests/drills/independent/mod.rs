//! A second judge, written from `docs/figures.md` alone.
//!
//! It shares no code with the judge inside the drill: it reads the files as text and the servers by SQL of its own, and
//! recomputes every figure that can be recomputed from outside. Where the two differ, one of them reads that page wrongly.

mod check;
mod fates;
mod files;
mod ledger;
mod marks;
mod on_paper;

pub(crate) use self::check::check;
pub(crate) use self::fates::Fates;
pub(crate) use self::files::{Events, Fields, Key, Present, final_read, lsn, number, rows, rows_of};
pub(crate) use self::ledger::{Ack, Ledger};
pub(crate) use self::marks::{Marks, gaps_us, lower_median};
