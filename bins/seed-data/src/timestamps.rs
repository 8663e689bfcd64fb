//! Times of rows: fixed years, not now, so that the same seed gives the same rows on every day.

use crate::csv_line::put_number;
use crate::rng::RowRng;

/// The years in which customers came, from their first day to before the last: 2019 and 2020.
pub(crate) const CUSTOMERS_CAME: (u64, u64) = (17_897, 18_628);

/// The years in which users registered and orders were placed: 2021 to 2024, so after any customer came.
pub(crate) const SINCE_THEN: (u64, u64) = (18_628, 20_089);

const US_PER_DAY: u64 = 86_400_000_000;

/// Picks a time within some days (since 1970-01-01) and writes it as PostgreSQL itself does in UTC:
/// `2021-03-04 05:06:07.089+00`.
pub(crate) fn put_timestamp(out: &mut Vec<u8>, rng: &mut RowRng, (first, end): (u64, u64)) {
    put(out, first * US_PER_DAY + rng.below((end - first) * US_PER_DAY));
}

/// Writes a time given in microseconds since 1970-01-01 00:00 UTC.
fn put(out: &mut Vec<u8>, us: u64) {
    let (year, month, day) = civil(us / US_PER_DAY);
    let (seconds, fraction) = (us % US_PER_DAY / 1_000_000, us % 1_000_000);
    let parts = [
        (year, 4, b'-'),
        (month, 2, b'-'),
        (day, 2, b' '),
        (seconds / 3600, 2, b':'),
        (seconds / 60 % 60, 2, b':'),
        (seconds % 60, 2, b'.'),
        (fraction, 6, b'+'),
    ];
    for (number, width, after) in parts {
        put_number(out, number, width);
        out.push(after);
    }
    out.pop();
    while out.last() == Some(&b'0') && fraction != 0 {
        out.pop(); // PostgreSQL drops the fraction's last zeros
    }
    if fraction == 0 {
        out.truncate(out.len() - ".000000".len());
    }
    out.extend_from_slice(b"+00");
}

/// The date of a day since 1970-01-01 (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn civil(day: u64) -> (u64, u64, u64) {
    let shifted = day + 719_468; // days since 0000-03-01: leap days come last in their year
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153; // from March
    let day = of_year - (153 * month + 2) / 5 + 1;
    let year = year_of_era + era * 400 + u64::from(month >= 10);
    (year, if month < 10 { month + 3 } else { month - 9 }, day)
}

#[cfg(test)]
mod tests {
    use super::{CUSTOMERS_CAME, SINCE_THEN, civil, put};

    fn text(us: u64) -> String {
        let mut out = Vec::new();
        put(&mut out, us);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(11_016), (2000, 2, 29));
        assert_eq!(civil(CUSTOMERS_CAME.0), (2019, 1, 1));
        assert_eq!(civil(SINCE_THEN.0), (2021, 1, 1));
        assert_eq!(civil(SINCE_THEN.1), (2025, 1, 1));
    }

    #[test]
    fn timestamps_look_as_postgresql_prints_them() {
        let noon = 18_628 * 86_400_000_000 + 43_200_000_000;
        assert_eq!(text(noon), "2021-01-01 12:00:00+00");
        assert_eq!(text(noon + 1), "2021-01-01 12:00:00.000001+00");
        assert_eq!(text(noon + 61_250_000), "2021-01-01 12:01:01.25+00");
    }
}
