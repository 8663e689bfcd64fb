//! Sequences by name: their definitions and positions. Logical replication carries neither, and a dump has them as they were
//! when it was made. A copy that takes over with a sequence that is behind hands out keys that exist already.

use cluster::ident::literal;

use crate::sequence_state::Sequence;
use crate::subject::Subject;

/// What is wrong with a copy's sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// It would hand out values that the primary has handed out.
    Behind(String),
    /// It is defined otherwise, or stands further on.
    Other(String),
}

/// Compares a sequence of the copy with the primary's; `None`: they are the same.
pub(crate) fn compare(sequence: &Subject, here: &Sequence, there: &Sequence) -> Option<Wrong> {
    if here.definition != there.definition {
        let words = format!("it is defined otherwise: {} there, {} here", there.definition, here.definition);
        return Some(Wrong::Other(words));
    }
    if (here.last, here.called) == (there.last, there.called) {
        return None;
    }
    let (ours, theirs) = (place(here), place(there));
    let forward = here.definition.increment > 0;
    let is_behind = if forward { order(there) < order(here) } else { order(there) > order(here) };
    let (last, called) = (here.last, here.called);
    let stand = format!("{theirs} there, {ours} here");
    Some(match is_behind {
        true => Wrong::Behind(format!(
            "it is behind: {stand}. Logical replication does not carry sequences: before the copy takes over, \
             SELECT setval({}, {last}, {called}) there",
            literal(&sequence.quoted())
        )),
        false => Wrong::Other(format!("it is further on: {stand}")),
    })
}

fn order(one: &Sequence) -> (i64, bool) {
    // Of the same value, the one that has handed it out is further on; downwards, the comparison is the other way round.
    (one.last, one.called == (one.definition.increment > 0))
}

fn place(one: &Sequence) -> String {
    if one.called { one.last.to_string() } else { format!("{} (not handed out yet)", one.last) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sequence_state::Definition;
    use crate::tid::Xid;

    fn at(increment: i64, last: i64, called: bool) -> Sequence {
        let (min, max) = (i64::MIN, i64::MAX);
        let definition = Definition { kind: "bigint".into(), start: 1, increment, min, max, cache: 1, cycle: false };
        Sequence { definition, writers: [Xid(2), Xid(3)], last, called, logged: 7 }
    }

    fn judged(here: &Sequence, there: &Sequence) -> Option<char> {
        let subject = Subject { oid: 1, schema: "public".into(), name: "s's".into() };
        compare(&subject, here, there).map(|wrong| match wrong {
            Wrong::Behind(words) => {
                assert!(words.contains("setval('\"public\".\"s''s\"', "), "{words}");
                'b'
            }
            Wrong::Other(_) => 'o',
        })
    }

    #[test]
    fn only_the_same_place_is_right() {
        for (here, there, expected) in [
            (at(1, 5, true), Sequence { logged: 0, writers: [Xid(9), Xid(9)], ..at(1, 5, true) }, None),
            (at(1, 5, true), at(1, 4, true), Some('b')),
            (at(1, 5, true), at(1, 5, false), Some('b')),
            (at(1, 5, false), at(1, 5, true), Some('o')),
            (at(1, 5, true), at(1, 6, true), Some('o')),
            (at(-1, -5, true), at(-1, -4, true), Some('b')),
            (at(-1, -5, true), at(-1, -5, false), Some('b')),
            (at(-1, -5, false), at(-1, -5, true), Some('o')),
            (at(-1, -5, true), at(-1, -6, true), Some('o')),
            (at(1, 5, true), at(2, 5, true), Some('o')),
        ] {
            assert_eq!(judged(&here, &there), expected, "{here:?} {there:?}");
        }
    }
}
