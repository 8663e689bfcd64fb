//! One row of `orders`.

use crate::dice::Dice;
use crate::line::{Line, put_number};
use crate::moment::{SINCE_THEN, put_moment};
use crate::world::NOTE_WORDS;

/// Most orders are done with: each state as often as it stands here.
const STATES: &[&str] = &["open", "paid", "paid", "shipped", "shipped", "shipped", "shipped", "shipped", "returned"];

const CHANNELS: &[&str] = &["web", "web", "app", "app", "phone", "shop"];

/// Writes order `id` of one of `customers` customers; those with low numbers order more often.
pub(crate) fn write(line: &mut Line, id: u64, customers: u64, dice: &mut Dice) {
    let items = 1 + dice.below(5);
    line.number(id);
    line.number(1 + dice.below(customers).min(dice.below(customers)));
    line.text(dice.pick(STATES));
    line.field(|out| put_amount(out, items * (99 + dice.below(19_900))));
    line.field(|out| put_moment(out, dice, SINCE_THEN));
    line.field(|out| put_details(out, items, dice));
    line.field(|out| put_bytea(out, &dice.bytes()));
}

/// Cents as `numeric(12,2)`.
fn put_amount(out: &mut Vec<u8>, cents: u64) {
    put_number(out, cents / 100, 1);
    out.push(b'.');
    put_number(out, cents % 100, 2);
}

/// An object in `jsonb`'s own form: keys by length, then by letter, a space after `:` and `,`.
fn put_details(out: &mut Vec<u8>, items: u64, dice: &mut Dice) {
    out.extend_from_slice(if dice.one_in(12) { b"{\"gift\": true" } else { b"{\"gift\": false" });
    if dice.one_in(4) {
        out.extend_from_slice(b", \"note\": \"");
        for _ in 0..1 + dice.below(6) {
            out.extend_from_slice(dice.pick(NOTE_WORDS).as_bytes());
            out.push(b' ');
        }
        out.pop();
        out.push(b'"');
    }
    out.extend_from_slice(b", \"items\": ");
    put_number(out, items, 1);
    out.extend_from_slice(b", \"channel\": \"");
    out.extend_from_slice(dice.pick(CHANNELS).as_bytes());
    out.extend_from_slice(b"\"}");
}

fn put_bytea(out: &mut Vec<u8>, bytes: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.extend_from_slice(b"\\x");
    for byte in bytes {
        out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
    }
}
