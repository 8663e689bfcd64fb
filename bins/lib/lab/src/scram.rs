//! SCRAM verifiers (RFC 5802, PostgreSQL's `pg_authid.rolpassword`) made on the client's side: the server never sees a
//! password, and its log cannot hold one.

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

/// How often the password is hashed. Stretching makes guessing of poor passwords slow; ours are 128 random bits, which no
/// stretching makes stronger. With the usual 4096 each handshake costs the client milliseconds of CPU, and hundreds of
/// clients at once after a takeover would show in the outage.
const ITERATIONS: u32 = 1;

/// The verifier of a password of plain ASCII, as `CREATE ROLE … PASSWORD` takes it.
pub(crate) fn verifier(password: &str, salt: &[u8]) -> Result<String> {
    verifier_of(password, salt, ITERATIONS)
}

fn verifier_of(password: &str, salt: &[u8], iterations: u32) -> Result<String> {
    let mut block = hmac(password.as_bytes(), &[salt, &1_u32.to_be_bytes()].concat())?;
    let mut salted = block;
    for _ in 1..iterations {
        block = hmac(password.as_bytes(), &block)?;
        salted.iter_mut().zip(block).for_each(|(sum, byte)| *sum ^= byte);
    }
    let stored_key = Sha256::digest(hmac(&salted, b"Client Key")?);
    let server_key = hmac(&salted, b"Server Key")?;
    let [salt, stored, server] = [salt, &stored_key[..], &server_key].map(|bytes| STANDARD.encode(bytes));
    Ok(format!("SCRAM-SHA-256${iterations}:{salt}${stored}:{server}"))
}

fn hmac(key: &[u8], message: &[u8]) -> Result<[u8; 32]> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key)?;
    mac.update(message);
    Ok(mac.finalize().into_bytes().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by PostgreSQL's own `pg_be_scram_build_secret`, as the tests of postgres-protocol have it.
    #[test]
    fn is_what_postgresql_makes() {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        assert_eq!(
            verifier_of("pencil", &salt, 4096).unwrap(),
            "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:\
             wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
        );
    }
}
