//! One row of `customers`.

use crate::countries::COUNTRIES;
use crate::csv_line::{CsvLine, put_number};
use crate::rng::RowRng;
use crate::timestamps::{CUSTOMERS_CAME, put_timestamp};

/// Domains that are reserved for examples (RFC 2606): no mail to an invented customer reaches a real person.
pub(crate) const DOMAINS: &[&str] = &["example.com", "example.net", "example.org"];

/// Writes customer `id`.
pub(crate) fn write(line: &mut CsvLine, id: u64, rng: &mut RowRng) {
    let country = rng.pick(&COUNTRIES);
    let (first, last) = (rng.pick(&country.first_names), rng.pick(&country.last_names));
    line.number(id);
    line.field(|out| {
        out.extend_from_slice(first.text.as_bytes());
        out.push(b' ');
        out.extend_from_slice(last.text.as_bytes());
    });
    line.field(|out| {
        put_login(out, &first.ascii, &last.ascii, id);
        out.push(b'@');
        out.extend_from_slice(rng.pick(DOMAINS).as_bytes());
    });
    line.field(|out| put_phone(out, country.phone, rng));
    let (street, number) = (rng.pick(&country.streets), 1 + rng.below(199));
    line.field(|out| {
        if country.number_first {
            put_number(out, number, 1);
            out.push(b' ');
        }
        out.extend_from_slice(street.as_bytes());
        if !country.number_first {
            out.push(b' ');
            put_number(out, number, 1);
        }
    });
    line.text(rng.pick(&country.cities));
    line.text(country.code);
    line.field(|out| put_timestamp(out, rng, CUSTOMERS_CAME));
}

/// `jurgen.muller42`: unique, because names have no digits and the number is the row's id.
pub(crate) fn put_login(out: &mut Vec<u8>, first: &str, last: &str, id: u64) {
    out.extend_from_slice(first.as_bytes());
    out.push(b'.');
    out.extend_from_slice(last.as_bytes());
    put_number(out, id, 1);
}

fn put_phone(out: &mut Vec<u8>, pattern: &str, rng: &mut RowRng) {
    let mut digits = rng.below(1_000_000_000_000);
    for byte in pattern.bytes() {
        if byte == b'#' {
            put_number(out, digits % 10, 1);
            digits /= 10;
        } else {
            out.push(byte);
        }
    }
}
