//! CSV as it is read from a folder that anybody may have made. What its fields say is shown, and a field with a line end in it
//! could show a line that passes for ours (`verdict   held`). No program of ours writes such a field.

use std::io::{Error, ErrorKind, Read, Result};

const WHY: &str = "a field in it has several lines, and no program of ours writes such a file";

/// A reader that refuses a field of several lines.
#[derive(Debug)]
pub struct OneLineFields<R> {
    inner: R,
    at: At,
}

/// Where the next byte is, as the csv crate reads it: a quote counts at the beginning of a field only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Beginning,
    Plain,
    Quoted,
    /// Behind a quote in a quoted field: the end of that, or the first of two, which stand for one.
    Quote,
    /// Behind a line end in a field. Whoever reads on after an error reads nothing more.
    Refused,
}

impl<R> OneLineFields<R> {
    pub(crate) fn of(inner: R) -> OneLineFields<R> {
        OneLineFields { inner, at: At::Beginning }
    }
}

impl<R: Read> Read for OneLineFields<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let count = self.inner.read(buffer)?;
        for byte in &buffer[..count] {
            self.at = match (self.at, byte) {
                (At::Refused, _) | (At::Quoted, b'\n' | b'\r') => At::Refused,
                (At::Quoted, b'"') => At::Quote,
                (At::Quoted, _) | (At::Beginning | At::Quote, b'"') => At::Quoted,
                (_, b',' | b'\n' | b'\r') => At::Beginning,
                _ => At::Plain,
            };
        }
        match self.at {
            At::Refused => Err(Error::new(ErrorKind::InvalidData, WHY)),
            _ => Ok(count),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::OneLineFields;

    /// By the csv crate itself: whether a field of several lines is in it, and whether it was refused.
    fn has_and_is_refused(text: &str) -> (bool, bool) {
        let fields = |input: &mut dyn std::io::Read| -> Result<Vec<String>, csv::Error> {
            let mut csv = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(input);
            let records = csv.records().collect::<Result<Vec<_>, _>>()?;
            Ok(records.iter().flat_map(|record| record.iter().map(str::to_owned)).collect())
        };
        let has = fields(&mut text.as_bytes()).unwrap().iter().any(|field| field.contains(['\n', '\r']));
        (has, fields(&mut OneLineFields::of(text.as_bytes())).is_err())
    }

    #[test]
    fn a_field_of_several_lines_is_refused_however_its_quotes_are_hidden() {
        for (text, has) in [
            ("a,b\n1,2\n", false),
            ("\"a, b\",\"say \"\"a\"\"\"\n", false),
            ("\"a\nverdict   held\",b\n", true),
            ("a,\"b\rc\"\n", true),
            ("x\"y,\"\nz\"\n", true),
            ("x\"y\nz\n", false),
            ("\"a\"b\"\nc\n", false),
            ("\"a\"\"\nb\"\n", true),
            ("a\r\n\"b\"\r\nc\r\n", false),
        ] {
            assert_eq!(has_and_is_refused(text), (has, has), "{text:?}");
        }
        // All that can be made of these, up to eight letters.
        let letters = ['a', '"', ',', '\n'];
        for length in 1..=8_u32 {
            for number in 0..4_usize.pow(length) {
                let text: String = (0..length).map(|at| letters[number / 4_usize.pow(at) % 4]).collect();
                let (has, refused) = has_and_is_refused(&text);
                assert!(refused || !has, "{text:?}");
                let mut input = OneLineFields::of(text.as_bytes());
                let (mut all, again) = (Vec::new(), &mut Vec::new());
                assert_eq!(input.read_to_end(&mut all).is_err(), refused, "{text:?}");
                assert_eq!(input.read_to_end(again).is_err(), refused, "{text:?}: it was read on");
            }
        }
    }
}
