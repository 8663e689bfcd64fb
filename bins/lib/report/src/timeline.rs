//! Timeline history files: where one timeline left another.

use crate::lsn::Lsn;

/// Where timeline `new` left timeline `old`, from the text of the history file of `new`.
///
/// A line reads `parent<TAB>switch point<TAB>reason` (PostgreSQL, "Continuous Archiving", Timelines).
/// `None` if `new` does not descend from `old`.
#[must_use]
pub fn fork_lsn(history: &str, old: u32) -> Option<Lsn> {
    history
        .lines()
        .map(|line| line.split('#').next().unwrap_or("").split_whitespace())
        .find_map(|mut words| (words.next()?.parse::<u32>().ok()? == old).then(|| words.next()?.parse().ok())?)
}

/// The timeline that a WAL segment's name begins with: 2 of `00000002000000000000000A`.
#[must_use]
pub fn of_wal_file(name: &str) -> Option<u32> {
    name.get(..8).and_then(|digits| u32::from_str_radix(digits, 16).ok())
}

#[cfg(test)]
mod tests {
    use super::{fork_lsn, of_wal_file};

    const HISTORY: &str = "1\t0/3000148\tno recovery target specified\n\n2\t0/50000A0\tbefore 2026-01-01 00:00:00+00\n";

    #[test]
    fn finds_the_switch_point_of_the_parent() {
        assert_eq!(fork_lsn(HISTORY, 1).unwrap().to_string(), "0/3000148");
        assert_eq!(fork_lsn(HISTORY, 2).unwrap().to_string(), "0/50000A0");
        assert_eq!(fork_lsn(HISTORY, 3), None);
        assert_eq!(fork_lsn("# only a comment\n", 1), None);
    }

    #[test]
    fn reads_the_timeline_of_a_segment() {
        assert_eq!(of_wal_file("0000001A0000000000000003"), Some(26));
        assert_eq!(of_wal_file("0000"), None);
    }
}
