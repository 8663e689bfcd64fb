//! Free ports for a lab.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result};

/// The first of nine free ports in a row, below those that outgoing connections take. Chosen as scratch labs of tests choose
/// theirs (`first_port` in `bins/lib/lab/src/scratch.rs`, which this runner does not link): tens that begin at 17000, the tenth
/// port of which is kept until the process ends, so that no other benchmark and no test takes any of them, also while no
/// server listens there.
///
/// # Errors
/// If there are none.
pub(super) fn nine_free() -> Result<u16> {
    static HELD: Mutex<Vec<TcpListener>> = Mutex::new(Vec::new());
    let listen = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok();
    let begin = (std::process::id() % 1_500) as u16 * 10;
    let (first, tenth) = (0..15_000)
        .step_by(10)
        .map(|offset| 17_000 + (begin + offset) % 15_000)
        .filter_map(|first| Some((first, listen(first + 9)?)))
        .find(|(first, _)| (*first..first + 9).all(|port| listen(port).is_some()))
        .context("there are no ten free ports in a row between 17000 and 32000")?;
    HELD.lock().unwrap_or_else(PoisonError::into_inner).push(tenth);
    Ok(first)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::nine_free;

    #[test]
    fn nobody_is_given_what_another_one_has_though_no_server_listens_there() {
        let (one, two) = (nine_free().unwrap(), nine_free().unwrap());
        assert!(one.abs_diff(two) >= 10, "{one} and {two}");
        let tenth = |first: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, first + 9));
        assert!(tenth(one).is_err() && tenth(two).is_err(), "a test would take them");
    }
}
