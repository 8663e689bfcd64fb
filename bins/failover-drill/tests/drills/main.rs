//! Whole drills on real servers, held against a judge that shares no code with the one inside.
//!
//! `cargo build --release --workspace --bins && cargo test --release -p failover-drill`
//!
//! The programs must have been built: a drill starts `write-load`, and cargo builds only this package's for its tests.
//! Every test ends in [`support::Lab`] being dropped, which proves that no process and no directory is left.

#![allow(clippy::unwrap_used, reason = "the helpers of a test may panic as well as the test")]

mod another_user;
mod blind;
mod compose;
mod faults;
mod frozen_containers;
mod held;
mod independent;
mod interrupted;
mod judged_again;
mod lossy;
mod ordinary;
mod refused;
mod rejoin;
mod second_primary;
mod silent;
mod soak;
mod strangers;
mod support;
mod thief;
mod witness;
