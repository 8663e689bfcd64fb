//! Free ports for a lab.

use std::net::TcpListener;

use anyhow::{Context as _, Result};

/// The first of `many` free ports in a row, below those that outgoing connections take. At most ten.
///
/// # Errors
/// If there are none.
pub(super) fn free(many: u16) -> Result<u16> {
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let first = (16_000 + (std::process::id() % 700) as u16 * 10..32_000 - many).step_by(2);
    let found = first.into_iter().find(|port| (*port..port + many).all(free));
    found.with_context(|| format!("there are no {many} free ports in a row below 32000"))
}
