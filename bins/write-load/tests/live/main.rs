//! Against real servers: what the ledger says of a write is what became of it, whatever was done to the servers.

#![allow(clippy::unwrap_used, reason = "the helpers of a test may panic as well as the test")]

mod answers;
mod begin;
mod command_line;
mod keeping;
mod outages;
mod pace;
mod support;
mod sync_wait;
