//! Durations on the command line: `500ms`, `5s`, `1m30s`. A unit is needed, and more than nothing.

use std::time::Duration;

pub use report::show::us as show_us;

/// Parses a duration, for clap's `value_parser`.
///
/// # Errors
/// If it has no unit, is shorter than a microsecond, in which all files count, negative or not a duration.
pub fn parse(text: &str) -> Result<Duration, String> {
    let duration = parse_or_zero(text)?;
    if duration.as_micros() == 0 { Err("must be 1us or longer".to_owned()) } else { Ok(duration) }
}

/// As [`parse`], but `0s` is allowed.
///
/// # Errors
/// If it has no unit, is negative or not a duration.
pub fn parse_or_zero(text: &str) -> Result<Duration, String> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("`{text}` has no unit: write {text}s or {text}ms"));
    }
    humantime::parse_duration(text).map_err(|error| format!("{error}: write it like 500ms, 5s or 1m30s"))
}

#[cfg(test)]
mod tests {
    use super::{parse, parse_or_zero};
    use std::time::Duration;

    #[test]
    fn takes_what_people_write() {
        assert_eq!(parse("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_or_zero("0s"), Ok(Duration::ZERO));
    }

    #[test]
    fn refuses_what_is_no_duration() {
        for text in ["", "-1", "-1s", "0", "0s", "1ns", "999ns", "NaN", "10", "1.5", "s", "5 parsecs", "1e9"] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }
}
