//! Sequences that a promoted copy moved, or defines otherwise.

use super::dice::Dice;

/// What is done to a sequence: its kind, how it was made, what is done to it on the copy, and whether that is wrong.
type Moved = (&'static str, &'static str, &'static str, bool);

/// `{s}` is the sequence, `{n}` a number from 1 to 1000, `{m}` one from 1 to 9.
const MOVED: [Moved; 10] = [
    ("sequence_same", "", "SELECT 1;", false),
    ("sequence_far_ahead", "", "SELECT setval('{s}', 100000 + {n});", true),
    ("sequence_one_too_far", "", "SELECT setval('{s}', last_value + 1) FROM {s};", true),
    ("sequence_behind", "", "SELECT setval('{s}', 1 + {m});", true),
    ("sequence_between", "INCREMENT 10", "SELECT setval('{s}', last_value + {m}) FROM {s};", true),
    ("sequence_increment", "", "ALTER SEQUENCE {s} INCREMENT 2;", true),
    ("sequence_maximum", "", "ALTER SEQUENCE {s} MAXVALUE 99999{n};", true),
    ("sequence_cycle", "", "ALTER SEQUENCE {s} CYCLE;", true),
    ("sequence_type", "", "ALTER SEQUENCE {s} AS int;", true),
    ("sequence_start", "", "ALTER SEQUENCE {s} START 1{m};", true),
];

/// A sequence and what becomes of it.
pub(super) struct Sequence {
    pub(super) kind: &'static str,
    pub(super) name: String,
    pub(super) make: String,
    pub(super) change: String,
    pub(super) wrong: bool,
}

/// `many` sequences of each kind. Each stands somewhere that WAL was written for, with a random part of it used.
pub(super) fn all(many: u64, dice: &mut Dice) -> Vec<Sequence> {
    let mut all = Vec::new();
    for (kind, made, change, wrong) in MOVED {
        for number in 1..=many {
            let name = format!("truth.{kind}__{number}");
            let used = 100 + dice.below(60);
            let make = format!(
                "CREATE SEQUENCE {name} {made}; SELECT count(nextval('{name}')) FROM generate_series(1, {used});\n"
            );
            let change = change.replace("{s}", &name).replace("{n}", &(1 + dice.below(1_000)).to_string());
            let change = change.replace("{m}", &(1 + dice.below(9)).to_string()) + "\n";
            all.push(Sequence { kind, name, make, change, wrong });
        }
    }
    all
}
