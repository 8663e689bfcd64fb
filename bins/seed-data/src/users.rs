//! One row of `users`.

use crate::customers::{DOMAINS, put_login};
use crate::dice::Dice;
use crate::line::Line;
use crate::moment::{SINCE_THEN, put_moment};
use crate::world::COUNTRIES;

/// Writes user `id`, who logs in for one of `customers` customers; one in ten for none.
pub(crate) fn write(line: &mut Line, id: u64, customers: u64, dice: &mut Dice) {
    let country = dice.pick(&COUNTRIES);
    let (first, last) = (dice.pick(&country.first_names), dice.pick(&country.last_names));
    line.number(id);
    if dice.one_in(10) {
        line.null();
    } else {
        line.number(1 + dice.below(customers));
    }
    line.field(|out| put_login(out, &first.ascii, &last.ascii, id));
    line.field(|out| {
        put_login(out, &first.ascii, &last.ascii, id);
        out.push(b'@');
        out.extend_from_slice(dice.pick(DOMAINS).as_bytes());
    });
    line.text(if dice.one_in(8) { "f" } else { "t" });
    line.field(|out| put_moment(out, dice, SINCE_THEN));
}
