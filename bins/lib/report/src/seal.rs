//! Seals: whether a file is what it was when it was finished.
//!
//! They are against damage (a line gone, doubled, cut), not against forgers: who writes a file can write its seal.

use std::fmt;
use std::io::Read;

use md5::{Digest as _, Md5};

/// The lines of a file and its MD5: what `wc -l` and `md5sum` say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seal {
    /// Lines, the header among them.
    pub lines: u64,
    /// MD5 of all bytes, in hexadecimal digits.
    pub md5: String,
}

impl Seal {
    /// Reads a file to its end.
    ///
    /// # Errors
    /// What reading says.
    pub fn of(mut input: impl Read) -> std::io::Result<Seal> {
        let (mut digest, mut lines, mut buffer) = (Md5::new(), 0, vec![0; 1 << 16]);
        loop {
            match input.read(&mut buffer)? {
                0 => return Ok(Seal { lines, md5: hex(&digest.finalize()) }),
                length => {
                    digest.update(&buffer[..length]);
                    lines += buffer[..length].iter().filter(|byte| **byte == b'\n').count() as u64;
                }
            }
        }
    }
}

impl fmt::Display for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} lines with MD5 {}", self.lines, self.md5)
    }
}

/// Bytes in hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::Seal;

    #[test]
    fn is_what_wc_and_md5sum_say() {
        // printf 'a\nb\n' | tee >(wc -l) | md5sum
        let seal = Seal::of(&b"a\nb\n"[..]).unwrap();
        assert_eq!(seal.to_string(), "2 lines with MD5 dd8c6a395b5dd36c56d23275028f526c");
    }
}
