//! One row of `orders`.

use crate::countries::NOTE_WORDS;
use crate::csv_line::{CsvLine, put_number};
use crate::rng::RowRng;
use crate::timestamps::{SINCE_THEN, put_timestamp};

/// Each state is as frequent in the table as in this list: most orders are shipped.
const STATES: &[&str] = &["open", "paid", "paid", "shipped", "shipped", "shipped", "shipped", "shipped", "returned"];

const CHANNELS: &[&str] = &["web", "web", "app", "app", "phone", "shop"];

/// Writes order `id` of one of `customers` customers; those with low numbers order more often.
pub(crate) fn write(line: &mut CsvLine, id: u64, customers: u64, rng: &mut RowRng) {
    let items = 1 + rng.below(5);
    line.number(id);
    line.number(1 + rng.below(customers).min(rng.below(customers)));
    line.text(rng.pick(STATES));
    line.field(|out| put_amount(out, items * (99 + rng.below(19_900))));
    line.field(|out| put_timestamp(out, rng, SINCE_THEN));
    line.field(|out| put_details(out, items, rng));
    line.field(|out| put_bytea(out, &rng.bytes()));
}

/// Cents as `numeric(12,2)`.
fn put_amount(out: &mut Vec<u8>, cents: u64) {
    put_number(out, cents / 100, 1);
    out.push(b'.');
    put_number(out, cents % 100, 2);
}

/// An object in `jsonb`'s own form: keys by length, then by letter, a space after `:` and `,`.
fn put_details(out: &mut Vec<u8>, items: u64, rng: &mut RowRng) {
    out.extend_from_slice(if rng.one_in(12) { b"{\"gift\": true" } else { b"{\"gift\": false" });
    if rng.one_in(4) {
        out.extend_from_slice(b", \"note\": \"");
        for _ in 0..1 + rng.below(6) {
            out.extend_from_slice(rng.pick(NOTE_WORDS).as_bytes());
            out.push(b' ');
        }
        out.pop();
        out.push(b'"');
    }
    out.extend_from_slice(b", \"items\": ");
    put_number(out, items, 1);
    out.extend_from_slice(b", \"channel\": \"");
    out.extend_from_slice(rng.pick(CHANNELS).as_bytes());
    out.extend_from_slice(b"\"}");
}

fn put_bytea(out: &mut Vec<u8>, bytes: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.extend_from_slice(b"\\x");
    for byte in bytes {
        out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
    }
}
