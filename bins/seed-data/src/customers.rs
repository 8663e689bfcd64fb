//! One row of `customers`.

use crate::dice::Dice;
use crate::line::{Line, put_number};
use crate::moment::{CUSTOMERS_CAME, put_moment};
use crate::world::COUNTRIES;

/// Domains that nobody has (RFC 2606): no mail to a made-up customer reaches a real one.
pub(crate) const DOMAINS: &[&str] = &["example.com", "example.net", "example.org"];

/// Writes customer `id`.
pub(crate) fn write(line: &mut Line, id: u64, dice: &mut Dice) {
    let country = dice.pick(&COUNTRIES);
    let (first, last) = (dice.pick(&country.first_names), dice.pick(&country.last_names));
    line.number(id);
    line.field(|out| {
        out.extend_from_slice(first.text.as_bytes());
        out.push(b' ');
        out.extend_from_slice(last.text.as_bytes());
    });
    line.field(|out| {
        put_login(out, &first.ascii, &last.ascii, id);
        out.push(b'@');
        out.extend_from_slice(dice.pick(DOMAINS).as_bytes());
    });
    line.field(|out| put_phone(out, country.phone, dice));
    let (street, number) = (dice.pick(&country.streets), 1 + dice.below(199));
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
    line.text(dice.pick(&country.cities));
    line.text(country.code);
    line.field(|out| put_moment(out, dice, CUSTOMERS_CAME));
}

/// `jurgen.muller42`: unique, because names have no digits and the number is the row's.
pub(crate) fn put_login(out: &mut Vec<u8>, first: &str, last: &str, id: u64) {
    out.extend_from_slice(first.as_bytes());
    out.push(b'.');
    out.extend_from_slice(last.as_bytes());
    put_number(out, id, 1);
}

fn put_phone(out: &mut Vec<u8>, pattern: &str, dice: &mut Dice) {
    let mut digits = dice.below(1_000_000_000_000);
    for byte in pattern.bytes() {
        if byte == b'#' {
            put_number(out, digits % 10, 1);
            digits /= 10;
        } else {
            out.push(byte);
        }
    }
}
