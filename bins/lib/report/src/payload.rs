//! The payload of a ledger row: a pure function of its key, so that a changed row can be told from a missing one.

use std::fmt::Write as _;

use md5::{Digest as _, Md5};

/// The payload of the write `(run, worker, seq)`: what `md5('run/worker/seq')` says in psql.
#[must_use]
pub fn payload(run: &str, worker: u32, seq: u64) -> String {
    let mut key = String::with_capacity(run.len() + 24);
    write!(key, "{run}/{worker}/{seq}").expect("writing to a string cannot fail");
    let mut text = String::with_capacity(32);
    for byte in Md5::digest(key.as_bytes()) {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn is_what_psql_says() {
        // psql -Atc "select md5('demo/3/17')"
        assert_eq!(super::payload("demo", 3, 17), "105ff92dd30f10e977b48611cb609ae3");
    }
}
