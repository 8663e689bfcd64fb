//! Differences that are planted by SQL, in tables of a promoted copy.

use super::dice::Dice;
use super::subjects::Subject;

/// What is done to a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Update,
    Delete,
    Insert,
    Exchange,
    Repeat,
    Unrepeat,
    /// Rows are written anew with what they have, and lie elsewhere then: no difference.
    Same,
    /// Some of each.
    Mixed,
}

/// All of them, as they are called.
pub(super) const ACTS: [(&str, Act); 7] = [
    ("update", Act::Update),
    ("delete", Act::Delete),
    ("insert", Act::Insert),
    ("exchange", Act::Exchange),
    ("repeat", Act::Repeat),
    ("unrepeat", Act::Unrepeat),
    ("same", Act::Same),
];

/// Rows that are changed in one table.
const MANY: u64 = 4;

impl Act {
    /// Whether it means something for this table. Tables of a single type differ in their values only.
    pub(super) fn suits(self, subject: &Subject) -> bool {
        let of_a_type = subject.name.starts_with("t_");
        // A view that is refreshed on a copy leaves its traces in the catalogs there, too.
        if self != Act::Mixed && !subject.changed.is_empty() {
            return false;
        }
        match self {
            Act::Insert => !of_a_type,
            Act::Repeat | Act::Unrepeat => subject.repeats,
            Act::Delete => !of_a_type && subject.rows > 0,
            Act::Update | Act::Exchange | Act::Same | Act::Mixed => subject.rows > 0,
        }
    }

    /// The statements that do it, to rows drawn at random.
    pub(super) fn statements(self, subject: &Subject, table: &str, dice: &mut Dice) -> String {
        let rows = dice.some(MANY, subject.rows);
        // Values come in threes: the next row has another one.
        let next = |n: u64| n % subject.rows + 1;
        let each = |act: &dyn Fn(u64) -> String| rows.iter().map(|n| act(*n)).collect::<String>();
        let exchange = |n: u64| subject.update(n, next(n)) + &subject.update(next(n), n);
        let statements = match self {
            Act::Update => each(&|n| subject.update(n, n + 1)),
            Act::Delete => each(&|n| subject.delete(n)),
            Act::Insert => (1..=MANY).map(|n| subject.insert(subject.rows + n)).collect(),
            Act::Exchange => rows.first().map(|n| exchange(*n)).unwrap_or_default(),
            Act::Repeat => each(&|n| subject.repeat(n, true)),
            Act::Unrepeat => each(&|n| subject.repeat(n, false)),
            Act::Same => each(&|n| subject.update(n, n)),
            Act::Mixed => {
                rows.iter().skip(2).map(|n| subject.update(*n, n + 1)).collect::<String>()
                    + &rows.first().map(|n| subject.delete(*n)).unwrap_or_default()
                    + &subject.insert(subject.rows + 1)
            }
        };
        (statements + &subject.changed).replace("{t}", table) + "\n"
    }
}
