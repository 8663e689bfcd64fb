//! One line of CSV, in the very form of PostgreSQL's `COPY … TO STDOUT (FORMAT csv)`.
//!
//! Lines go straight into one buffer that is used again and again: no field is allocated. Since this is the server's own
//! form, a table can be compared byte by byte with the rows that it should hold.

/// A line that is being written.
pub(crate) struct CsvLine<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
}

impl<'a> CsvLine<'a> {
    /// Begins a line at the end of `out`.
    pub(crate) fn begin(out: &'a mut Vec<u8>) -> CsvLine<'a> {
        CsvLine { out, first: true }
    }

    pub(crate) fn end(self) {
        self.out.push(b'\n');
    }

    /// A NULL has nothing between the commas.
    pub(crate) fn null(&mut self) {
        if !self.first {
            self.out.push(b',');
        }
        self.first = false;
    }

    pub(crate) fn number(&mut self, number: u64) {
        self.null();
        put_number(self.out, number, 1);
    }

    pub(crate) fn text(&mut self, text: impl AsRef<str>) {
        self.field(|out| out.extend_from_slice(text.as_ref().as_bytes()));
    }

    /// A field that is not empty: `write` appends it to the buffer, and it is quoted afterwards if it must be.
    pub(crate) fn field(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.null();
        let begin = self.out.len();
        write(self.out);
        if self.out[begin..].iter().any(|byte| matches!(byte, b',' | b'"' | b'\n' | b'\r')) {
            self.quote(begin);
        }
    }

    fn quote(&mut self, begin: usize) {
        let plain = self.out.split_off(begin);
        self.out.push(b'"');
        for byte in plain {
            if byte == b'"' {
                self.out.push(b'"');
            }
            self.out.push(byte);
        }
        self.out.push(b'"');
    }
}

/// Appends a decimal number, with zeros in front up to `width` digits (at most 20).
pub(crate) fn put_number(out: &mut Vec<u8>, mut number: u64, width: usize) {
    let mut digits = [b'0'; 20];
    let mut begin = digits.len();
    while number > 0 || digits.len() - begin < width {
        begin -= 1;
        digits[begin] = b'0' + u8::try_from(number % 10).unwrap_or(0); // one digit always fits
        number /= 10;
    }
    out.extend_from_slice(&digits[begin..]);
}

#[cfg(test)]
mod tests {
    use super::{CsvLine, put_number};

    #[test]
    fn quotes_what_csv_must_quote_and_nothing_else() {
        let mut out = Vec::new();
        let mut line = CsvLine::begin(&mut out);
        line.number(0);
        line.null();
        for text in ["O'Keefe", "a,b", "say \"hi\"", "two\nlines", r"\x00ff", "Größe"] {
            line.text(text);
        }
        line.end();
        let expected = "0,,O'Keefe,\"a,b\",\"say \"\"hi\"\"\",\"two\nlines\",\\x00ff,Größe\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn numbers_have_at_least_their_width() {
        let mut out = Vec::new();
        for (number, width) in [(0, 1), (7, 2), (2021, 4), (u64::MAX, 1)] {
            put_number(&mut out, number, width);
            out.push(b' ');
        }
        assert_eq!(out, b"0 07 2021 18446744073709551615 ");
    }
}
