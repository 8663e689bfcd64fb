//! Against real servers with damage and differences planted in their files: each is found, where it is, and nothing else.

#![allow(clippy::unwrap_used, reason = "the helpers of a test may panic as well as the test")]

mod damage;
mod diff;
#[path = "../common/page.rs"]
mod page;
mod pair;
