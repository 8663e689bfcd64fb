//! Where a sequence stands, and how far ahead a standby may stand. Pure: no server.
//!
//! The WAL is written for up to 32 values in advance: a standby that replayed such a record stands at the last of
//! them. How many of those the primary has not handed out yet is in its own `log_cnt`: a standby may be ahead by as
//! many increments and no more. Values for a cache are handed out at once, and are within the primary's last value.

use crate::tid::Xid;

/// The most values that are logged in advance (`SEQ_LOG_VALS` of PostgreSQL's `sequence.c`).
const LOGGED_AHEAD: i64 = 32;

/// How a sequence is defined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Definition {
    /// The type of its values.
    pub(crate) kind: String,
    /// Where it begins.
    pub(crate) start: i64,
    /// From one value to the next.
    pub(crate) increment: i64,
    pub(crate) min: i64,
    pub(crate) max: i64,
    /// Values that one session takes at once.
    pub(crate) cache: i64,
    /// Whether it begins anew at its end.
    pub(crate) cycle: bool,
}

impl std::fmt::Display for Definition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Definition { kind, start, increment, min, max, cache, cycle } = self;
        let cycle = if *cycle { "cycle" } else { "no cycle" };
        write!(f, "{kind} from {start} by {increment}, {min} to {max}, cache {cache}, {cycle}")
    }
}

/// A sequence as one node shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sequence {
    pub(crate) definition: Definition,
    /// Who wrote its rows in `pg_sequence` and `pg_class`.
    pub(crate) writers: [Xid; 2],
    /// Its last value; the first one to come, if none was handed out yet.
    pub(crate) last: i64,
    /// Whether `last` was handed out.
    pub(crate) called: bool,
    /// How many values are logged and not handed out yet.
    pub(crate) logged: i64,
}

/// What is wrong with a standby's sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// It would hand out a value again.
    Behind,
    /// Further ahead than the WAL of this primary can bring it, or between two of its values.
    Elsewhere,
    /// It is defined otherwise.
    Defined,
}

/// What is wrong with what the standby showed between two reads of the primary; `None`: nothing.
pub(crate) fn compare(first: &Sequence, standby: &Sequence, second: &Sequence) -> Option<Wrong> {
    if explains(first, standby) || explains(second, standby) || is_between(first, standby, second) {
        return None;
    }
    if standby.definition != second.definition {
        return Some(Wrong::Defined);
    }
    let behind = steps(second, standby).is_some_and(|(whole, _)| whole < 0);
    Some(if behind || second.called && !standby.called { Wrong::Behind } else { Wrong::Elsewhere })
}

/// Whether a primary at rest explains what the standby shows.
fn explains(primary: &Sequence, standby: &Sequence) -> bool {
    if primary.definition != standby.definition || primary.called != standby.called {
        return false;
    }
    let most = if primary.called { primary.logged.clamp(0, LOGGED_AHEAD) } else { 0 };
    steps(primary, standby).is_some_and(|(whole, rest)| rest == 0 && (0..=i128::from(most)).contains(&whole))
}

/// Whether the standby is somewhere on the way that the primary went between two reads.
fn is_between(first: &Sequence, standby: &Sequence, second: &Sequence) -> bool {
    let one_kind = first.definition == second.definition && first.definition == standby.definition;
    if !one_kind || !second.called || first.called && !standby.called {
        return false;
    }
    let (Some((from, rest)), Some((way, _))) = (steps(first, standby), steps(first, second)) else { return false };
    let most = way + i128::from(second.logged.clamp(0, LOGGED_AHEAD));
    way >= 0 && rest == 0 && (0..=most).contains(&from)
}

/// Whole increments from one to the other, and what is left over beyond them.
fn steps(from: &Sequence, to: &Sequence) -> Option<(i128, i128)> {
    let increment = i128::from(from.definition.increment);
    let forward = (i128::from(to.last) - i128::from(from.last)) * increment.signum();
    let (whole, rest) = (forward.checked_div_euclid(increment.abs())?, forward.checked_rem_euclid(increment.abs())?);
    Some((whole, rest))
}

#[cfg(test)]
mod tests {
    use super::Wrong::{Behind, Defined, Elsewhere};
    use super::*;

    fn at(last: i64, logged: i64) -> Sequence {
        by(1, last, logged)
    }

    fn by(increment: i64, last: i64, logged: i64) -> Sequence {
        let (min, max) = (i64::MIN, i64::MAX);
        let definition = Definition { kind: "bigint".into(), start: 1, increment, min, max, cache: 1, cycle: false };
        Sequence { definition, writers: [Xid(2), Xid(2)], last, called: true, logged }
    }

    fn fresh(last: i64) -> Sequence {
        Sequence { called: false, ..at(last, 0) }
    }

    fn rest(primary: &Sequence, standby: &Sequence) -> Option<Wrong> {
        compare(primary, standby, primary)
    }

    #[test]
    fn ahead_by_what_is_logged_and_not_by_one_more() {
        for (primary, standby, wrong) in [
            (at(1, 32), at(1, 32), None),
            (at(1, 32), at(33, 0), None),
            (at(1, 32), at(34, 0), Some(Elsewhere)),
            (at(5, 28), at(33, 0), None),
            (at(5, 28), at(34, 0), Some(Elsewhere)),
            (at(5, 28), at(4, 0), Some(Behind)),
            (at(1, 1_000), at(34, 0), Some(Elsewhere)), // a log_cnt that cannot be
            (at(1, 32), at(1_000_000_000_000, 0), Some(Elsewhere)),
            (by(-5, -5, 32), by(-5, -165, 0), None),
            (by(-5, -5, 32), by(-5, -170, 0), Some(Elsewhere)),
            (by(-5, -5, 32), by(-5, 0, 0), Some(Behind)),
            (by(10, 11, 32), by(10, 22, 0), Some(Elsewhere)), // no value of it
            (by(10, 11, 32), by(10, 9, 0), Some(Behind)),
            (by(1, i64::MIN, 32), by(1, i64::MAX, 0), Some(Elsewhere)),
        ] {
            assert_eq!(rest(&primary, &standby), wrong, "{primary:?} {standby:?}");
        }
    }

    #[test]
    fn one_that_has_not_begun_stands_at_the_same_first_value() {
        assert_eq!(rest(&fresh(1), &fresh(1)), None);
        assert_eq!(rest(&fresh(1), &fresh(2)), Some(Elsewhere));
        assert_eq!(rest(&fresh(1), &at(33, 0)), Some(Elsewhere));
        assert_eq!(rest(&at(1, 32), &fresh(1)), Some(Behind));
    }

    #[test]
    fn another_definition_is_named_as_such() {
        assert_eq!(rest(&at(1, 32), &by(2, 33, 0)), Some(Defined));
    }

    #[test]
    fn on_the_way_that_the_primary_went_is_fine() {
        assert_eq!(compare(&at(1, 32), &at(66, 0), &at(100, 5)), None);
        assert_eq!(compare(&at(1, 32), &at(105, 0), &at(100, 5)), None);
        assert_eq!(compare(&at(1, 32), &at(106, 0), &at(100, 5)), Some(Elsewhere));
        assert_eq!(compare(&fresh(1), &at(33, 0), &at(2, 31)), None);
        assert_eq!(compare(&at(50, 0), &at(40, 0), &at(100, 5)), Some(Behind));
    }
}
