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

/// Two figures in microseconds that are held against each other: to the microsecond, where they would look alike otherwise.
#[must_use]
pub fn apart(one: u64, other: u64) -> (String, String) {
    match (us(one), us(other)) {
        (a, b) if a == b && one != other => (format!("{one} µs"), format!("{other} µs")),
        shown => shown,
    }
}

/// A count with its noun, in the singular where it is one.
#[must_use]
pub fn count(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// The rows that one line may take on a screen.
const ROWS: usize = 3;

/// What stands before the reasons of a verdict, and before what goes on below.
const INDENT: &str = "          ";

/// How many reasons a screen shows.
const REASONS: usize = 3;

/// A summary for a screen of `width` columns. A line that is longer goes on below, indented as what stands beside a word is, and
/// is cut where it would take more than three rows. Of many reasons the first are shown, and the last: what could not be done is
/// said last, and is often why the others are there.
#[must_use]
pub fn for_screen(text: &str, width: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let is_reason = |line: &&str| {
        let said = line.strip_prefix(INDENT).unwrap_or_default();
        said.starts_with("broken: ") || said.starts_with("unknown: ")
    };
    let mut shown = Vec::new();
    for run in lines.chunk_by(|a, b| is_reason(a) == is_reason(b)) {
        match run {
            [first @ .., last] if is_reason(last) && run.len() > REASONS => {
                let (first, hidden) = first.split_at(REASONS - 1);
                shown.extend(first.iter().map(|line| fold(line, width)));
                shown.push(format!("{INDENT}… and {} …", count(hidden.len() as u64, "more reason")));
                shown.push(fold(last, width));
            }
            _ => shown.extend(run.iter().map(|line| fold(line, width))),
        }
    }
    shown.join("\n")
}

fn fold(line: &str, width: usize) -> String {
    let (mut rows, mut used) = (vec![String::new()], 0);
    for word in line.split_inclusive(' ') {
        let length = word.trim_end().chars().count();
        if used + length > width && used > INDENT.len() {
            if rows.len() == ROWS {
                let last = &mut rows[ROWS - 1];
                *last = last.trim_end().chars().take(width.saturating_sub(2)).collect::<String>() + " …";
                break;
            }
            rows.push(INDENT.to_owned());
            used = INDENT.len();
        }
        rows.last_mut().expect("there is one").push_str(word);
        used += word.chars().count();
    }
    rows.iter().map(|row| row.trim_end()).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::{apart, count, for_screen, us};

    #[test]
    fn a_long_line_goes_on_below() {
        let line = |count| format!("loss      {}", "twenty letters here. ".repeat(count));
        let folded = for_screen(&line(5), 80);
        assert!(folded.lines().all(|line| line.chars().count() <= 80), "{folded}");
        assert!(folded.lines().skip(1).all(|line| line.starts_with("          ")) && folded.lines().count() == 2);
        assert_eq!(for_screen("short\nshort ", 80), "short\nshort");
        for width in [20, 40, 80, 200] {
            let cut = for_screen(&line(100), width);
            assert!(cut.lines().count() == 3 && cut.ends_with(" …"), "{cut}");
            assert!(cut.lines().all(|line| line.chars().count() <= width), "{cut}");
        }
    }

    #[test]
    fn of_many_reasons_the_first_and_the_last_are_on_the_screen() {
        let reasons: Vec<String> = (1..=6).map(|number| format!("          unknown: {number}")).collect();
        let said = format!("drill     a\n{}\nverdict   unknown", reasons.join("\n"));
        let shown: Vec<String> = for_screen(&said, 80).lines().map(|line| line.trim().to_owned()).collect();
        let expected =
            ["drill     a", "unknown: 1", "unknown: 2", "… and 3 more reasons …", "unknown: 6", "verdict   unknown"];
        assert_eq!(shown, expected);
        let few = format!("{}\nverdict   unknown", reasons[..3].join("\n"));
        assert_eq!(for_screen(&few, 80), few);
    }

    #[test]
    fn shows_three_digits_or_so() {
        assert_eq!(us(789), "789 µs");
        assert_eq!(us(4_560), "4.56 ms");
        assert_eq!(us(1_230_000), "1.23 s");
    }

    #[test]
    fn what_is_too_much_by_a_microsecond_does_not_look_as_if_it_were_not() {
        let words = |(a, b): (&str, &str)| (a.to_owned(), b.to_owned());
        assert_eq!(apart(100_001, 100_000), words(("100001 µs", "100000 µs")));
        assert_eq!(apart(129_000, 100_000), words(("129.00 ms", "100.00 ms")));
        assert_eq!(apart(100_000, 100_000), words(("100.00 ms", "100.00 ms")));
    }

    #[test]
    fn one_is_singular() {
        assert_eq!((count(1, "standby"), count(3, "write")), ("1 standby".to_owned(), "3 writes".to_owned()));
    }
}
