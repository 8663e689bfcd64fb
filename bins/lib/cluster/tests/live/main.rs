//! Against real servers, and one that never answers: deadlines, catching up, TLS, poolers, strangers.

#![allow(clippy::unwrap_used, reason = "the helpers of a test may panic as well as the test")]

mod catch_up;
mod mute;
mod pooler;
mod strangers;
mod tls;
mod topology;
mod words;
