//! One row of `users`.

use crate::countries::COUNTRIES;
use crate::csv_line::CsvLine;
use crate::customers::{DOMAINS, put_login};
use crate::rng::RowRng;
use crate::timestamps::{SINCE_THEN, put_timestamp};

/// Writes user `id`, who logs in for one of `customers` customers; one in ten for none.
pub(crate) fn write(line: &mut CsvLine, id: u64, customers: u64, rng: &mut RowRng) {
    let country = rng.pick(&COUNTRIES);
    let (first, last) = (rng.pick(&country.first_names), rng.pick(&country.last_names));
    line.number(id);
    if rng.one_in(10) {
        line.null();
    } else {
        line.number(1 + rng.below(customers));
    }
    line.field(|out| put_login(out, &first.ascii, &last.ascii, id));
    line.field(|out| {
        put_login(out, &first.ascii, &last.ascii, id);
        out.push(b'@');
        out.extend_from_slice(rng.pick(DOMAINS).as_bytes());
    });
    line.text(if rng.one_in(8) { "f" } else { "t" });
    line.field(|out| put_timestamp(out, rng, SINCE_THEN));
}
