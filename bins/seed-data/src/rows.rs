//! The rows of a table: a pure function of the spec and the row's id.

use std::ops::Range;

use crate::csv_line::CsvLine;
use crate::rng::RowRng;
use crate::table::{Size, Table};
use crate::{customers, orders, users};

/// Rows that are made and sent together, some 100 KB: large enough for few system calls, small enough to stay in the
/// cache and to notice a signal between two blocks.
pub(crate) const BLOCK: u64 = 500;

/// All rows follow from this.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spec {
    pub(crate) size: Size,
    pub(crate) seed: u64,
}

/// Makes the rows of one table.
pub(crate) struct Rows {
    table: Table,
    customers: u64,
    rng: RowRng,
}

impl Rows {
    pub(crate) fn new(table: Table, spec: Spec) -> Rows {
        Rows { table, customers: spec.size.of(Table::Customers), rng: RowRng::new(spec.seed, table) }
    }

    /// Appends the rows with these ids, as lines of CSV.
    pub(crate) fn write(&mut self, ids: Range<u64>, out: &mut Vec<u8>) {
        for id in ids {
            self.rng.seek(id);
            let mut line = CsvLine::begin(out);
            match self.table {
                Table::Customers => customers::write(&mut line, id, &mut self.rng),
                Table::Users => users::write(&mut line, id, self.customers, &mut self.rng),
                Table::Orders => orders::write(&mut line, id, self.customers, &mut self.rng),
            }
            line.end();
        }
    }
}

/// Splits ids into ranges of `length`; the last one may be shorter.
pub(crate) fn ranges(ids: Range<u64>, length: u64) -> impl Iterator<Item = Range<u64>> + Send + use<> {
    let end = ids.end;
    let mut begin = ids.start;
    std::iter::from_fn(move || {
        let range = begin..end.min(begin.saturating_add(length));
        begin = range.end;
        (!range.is_empty()).then_some(range)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{Rows, Spec, ranges};
    use crate::table::{Size, Table};

    const SPEC: Spec = Spec { size: Size::exactly(500, 1000, 5000), seed: 1 };

    fn bytes(table: Table, spec: Spec, block: u64) -> Vec<u8> {
        let mut rows = Rows::new(table, spec);
        let mut out = Vec::new();
        for ids in ranges(1..spec.size.of(table) + 1, block) {
            rows.write(ids, &mut out);
        }
        out
    }

    fn records(table: Table) -> Vec<csv::StringRecord> {
        let text = bytes(table, SPEC, 500);
        let mut csv = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_slice());
        csv.records().collect::<Result<_, _>>().unwrap()
    }

    fn column(records: &[csv::StringRecord], index: usize) -> Vec<&str> {
        records.iter().map(|record| record.get(index).unwrap()).collect()
    }

    #[test]
    fn the_same_spec_gives_the_same_bytes_in_whatever_blocks() {
        for table in Table::ALL {
            let whole = bytes(table, SPEC, u64::MAX);
            for block in [1, 7, 500, 4096] {
                assert!(bytes(table, SPEC, block) == whole, "{table:?} in blocks of {block}");
            }
            assert!(bytes(table, Spec { seed: 2, ..SPEC }, 500) != whole, "{table:?}: another seed, other rows");
        }
    }

    #[test]
    fn a_larger_load_begins_with_the_same_customers() {
        let larger = Spec { size: Size::exactly(1000, 2000, 10_000), seed: 1 };
        let (few, many) = (bytes(Table::Customers, SPEC, 500), bytes(Table::Customers, larger, 500));
        assert!(many.starts_with(&few));
    }

    #[test]
    fn a_row_stays_within_its_stretch() {
        for table in Table::ALL {
            let mut rows = Rows::new(table, SPEC);
            for id in 1..2000 {
                rows.write(id..id + 1, &mut Vec::new());
                assert!(rows.rng.blocks_used(id) <= 4, "{table:?} {id}");
            }
        }
    }

    #[test]
    fn rows_have_the_columns_of_their_table_and_ids_from_one() {
        for table in Table::ALL {
            let records = records(table);
            assert_eq!(records.len() as u64, SPEC.size.of(table));
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
    fn ranges_cover_everything_once() {
        let all: Vec<_> = ranges(1..11, 4).collect();
        assert_eq!(all, [1..5, 5..9, 9..11]);
        assert_eq!(ranges(1..1, 4).count(), 0);
        assert_eq!(ranges(1..3, u64::MAX).next(), Some(1..3));
    }
}
