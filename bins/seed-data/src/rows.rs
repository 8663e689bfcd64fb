//! The rows of a table: a pure function of the recipe and the row's number.

use std::ops::Range;

use crate::dice::Dice;
use crate::line::Line;
use crate::table::{Size, Table};
use crate::{customers, orders, users};

/// Rows that are made and sent together, some 100 KB: large enough for few system calls, small enough to stay in the
/// cache and to hear an interrupt between two of them.
pub(crate) const BLOCK: u64 = 500;

/// What all rows follow from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recipe {
    /// Rows of each table.
    pub(crate) size: Size,
    /// The seed.
    pub(crate) seed: u64,
}

/// Makes rows of one table.
pub(crate) struct Rows {
    table: Table,
    customers: u64,
    dice: Dice,
}

impl Rows {
    /// The rows of `table` after this recipe.
    pub(crate) fn new(table: Table, recipe: Recipe) -> Rows {
        Rows { table, customers: recipe.size.of(Table::Customers), dice: Dice::new(recipe.seed, table) }
    }

    /// Appends the rows with these ids, as lines of CSV.
    pub(crate) fn write(&mut self, ids: Range<u64>, out: &mut Vec<u8>) {
        for id in ids {
            self.dice.seek(id);
            let mut line = Line::begin(out);
            match self.table {
                Table::Customers => customers::write(&mut line, id, &mut self.dice),
                Table::Users => users::write(&mut line, id, self.customers, &mut self.dice),
                Table::Orders => orders::write(&mut line, id, self.customers, &mut self.dice),
            }
            line.end();
        }
    }
}

/// Splits ids into stretches of `length`; the last may be shorter.
pub(crate) fn stretches(ids: Range<u64>, length: u64) -> impl Iterator<Item = Range<u64>> + Send + use<> {
    let end = ids.end;
    let mut begin = ids.start;
    std::iter::from_fn(move || {
        let stretch = begin..end.min(begin.saturating_add(length));
        begin = stretch.end;
        (!stretch.is_empty()).then_some(stretch)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{Recipe, Rows, stretches};
    use crate::table::{Size, Table};

    const RECIPE: Recipe = Recipe { size: Size::exactly(500, 1000, 5000), seed: 1 };

    fn bytes(table: Table, recipe: Recipe, block: u64) -> Vec<u8> {
        let mut rows = Rows::new(table, recipe);
        let mut out = Vec::new();
        for ids in stretches(1..recipe.size.of(table) + 1, block) {
            rows.write(ids, &mut out);
        }
        out
    }

    fn records(table: Table) -> Vec<csv::StringRecord> {
        let text = bytes(table, RECIPE, 500);
        let mut csv = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_slice());
        csv.records().collect::<Result<_, _>>().unwrap()
    }

    fn column(records: &[csv::StringRecord], index: usize) -> Vec<&str> {
        records.iter().map(|record| record.get(index).unwrap()).collect()
    }

    #[test]
    fn the_same_recipe_gives_the_same_bytes_in_whatever_blocks() {
        for table in Table::ALL {
            let whole = bytes(table, RECIPE, u64::MAX);
            for block in [1, 7, 500, 4096] {
                assert!(bytes(table, RECIPE, block) == whole, "{table:?} in blocks of {block}");
            }
            assert!(bytes(table, Recipe { seed: 2, ..RECIPE }, 500) != whole, "{table:?}: another seed, other rows");
        }
    }

    #[test]
    fn a_larger_load_begins_with_the_same_customers() {
        let larger = Recipe { size: Size::exactly(1000, 2000, 10_000), seed: 1 };
        let (few, many) = (bytes(Table::Customers, RECIPE, 500), bytes(Table::Customers, larger, 500));
        assert!(many.starts_with(&few));
    }

    #[test]
    fn a_row_stays_within_its_stretch() {
        for table in Table::ALL {
            let mut rows = Rows::new(table, RECIPE);
            for id in 1..2000 {
                rows.write(id..id + 1, &mut Vec::new());
                assert!(rows.dice.blocks_used(id) <= 4, "{table:?} {id}");
            }
        }
    }

    #[test]
    fn rows_have_the_columns_of_their_table_and_ids_from_one() {
        for table in Table::ALL {
            let records = records(table);
            assert_eq!(records.len() as u64, RECIPE.size.of(table));
            assert!(records.iter().all(|record| record.len() == table.columns().split(',').count()));
            let ids = column(&records, 0);
            assert!(ids.iter().enumerate().all(|(index, id)| *id == (index + 1).to_string()), "{table:?}");
        }
    }

    #[test]
    fn what_must_be_unique_is() {
        for (table, index) in [(Table::Customers, 2), (Table::Users, 2), (Table::Users, 3), (Table::Orders, 6)] {
            let records = records(table);
            let values: HashSet<_> = column(&records, index).into_iter().collect();
            assert_eq!(values.len(), records.len(), "{table:?} column {index}");
        }
    }

    #[test]
    fn rows_refer_to_customers_that_are_there() {
        for table in [Table::Users, Table::Orders] {
            let records = records(table);
            let known: Vec<u64> =
                column(&records, 1).iter().filter(|id| !id.is_empty()).map(|id| id.parse().unwrap()).collect();
            assert!(known.iter().all(|id| (1..=500).contains(id)), "{table:?}");
            assert!(
                known.iter().any(|id| *id <= 50) && known.iter().any(|id| *id > 450),
                "{table:?}: not all over the range"
            );
        }
    }

    #[test]
    fn orders_keep_the_rules_of_their_columns() {
        let records = records(Table::Orders);
        for record in &records {
            assert!(["open", "paid", "shipped", "returned"].contains(&&record[2]), "{record:?}");
            let (whole, cents) = record[3].split_once('.').unwrap();
            assert!(whole.parse::<u64>().unwrap() < 10_000_000_000 && cents.len() == 2, "{record:?}");
            assert!(record[5].starts_with("{\"gift\": ") && record[5].ends_with("\"}"), "{record:?}");
            assert!(record[6].len() == 66 && record[6].starts_with("\\x"), "{record:?}");
        }
        let with_note = records.iter().filter(|record| record[5].contains("note")).count();
        assert!((1000..1500).contains(&with_note), "{with_note} of 5000: one in four was meant");
    }

    #[test]
    fn stretches_cover_everything_once() {
        let all: Vec<_> = stretches(1..11, 4).collect();
        assert_eq!(all, [1..5, 5..9, 9..11]);
        assert_eq!(stretches(1..1, 4).count(), 0);
        assert_eq!(stretches(1..3, u64::MAX).next(), Some(1..3));
    }
}
