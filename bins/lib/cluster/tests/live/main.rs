//! Against real servers, and one that never answers: deadlines, the fence, TLS.

#![allow(clippy::unwrap_used, reason = "the helpers of a test may panic as well as the test")]

mod fence;
mod mute;
mod tls;
mod topology;
