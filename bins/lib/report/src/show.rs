//! Figures as people read them.

/// Microseconds as people read them: `1.23 s`, `4.56 ms`, `789 µs`.
#[must_use]
pub fn us(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..1_000_000 => format!("{:.2} ms", us as f64 / 1e3),
        _ => format!("{:.2} s", us as f64 / 1e6),
    }
}

/// A count with its noun, in the singular where it is one.
#[must_use]
pub fn count(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::{count, us};

    #[test]
    fn shows_three_digits_or_so() {
        assert_eq!(us(789), "789 µs");
        assert_eq!(us(4_560), "4.56 ms");
        assert_eq!(us(1_230_000), "1.23 s");
    }

    #[test]
    fn one_is_singular() {
        assert_eq!((count(1, "standby"), count(3, "write")), ("1 standby".to_owned(), "3 writes".to_owned()));
    }
}
