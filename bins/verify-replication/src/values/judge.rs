//! Whether values are equal, asked of the copy's server: it parses the texts of both sides by their types and compares them by
//! each type's own equality.
//!
//! `record_eq` over `ROW(…)` is that equality: of each column it takes the default operator of the type, wherever that is
//! defined (`=` alone would be looked for in the search path, and find another one for citext), and NULL is equal to NULL and
//! to nothing else. `json_to_recordset` calls the input functions of types and no casts, which could be anybody's.

use std::collections::{BTreeSet, HashMap};

use super::columns::Column;
use crate::details::json;
use crate::read_error::ReadError;
use crate::reader::{Reader, column};

/// Columns that are asked about in one statement: `json_to_recordset` gives no more than 1,600, and two for each of these.
const AT_ONCE: usize = 500;

/// The texts of a row, by column.
pub(crate) type Texts = Vec<Option<String>>;

/// How the values of a column are told to be equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Means {
    /// By the type's own equality.
    Operator,
    /// By their bytes or texts, which say all of the value, as for an enum.
    Text,
    /// By their bytes or texts, since the type has no equality of its own.
    NoOperator,
    /// They are equal if their texts are the same. Else it is unknown: to parse the texts would call functions of users.
    Unsafe,
}

/// What a server's types can do, by name: asked once.
#[derive(Debug, Default)]
pub(crate) struct Abilities(HashMap<String, (bool, bool)>);

impl Abilities {
    /// Whether a type has an equality of its own, and a hash that goes with it.
    fn of(&mut self, reader: &mut Reader, kind: &str) -> Result<(bool, bool), ReadError> {
        if let Some(known) = self.0.get(kind) {
            return Ok(*known);
        }
        let one = format!("ROW(NULL::{kind})");
        let equality = works(reader, &format!("SELECT pg_catalog.record_eq({one}, {one})"))?;
        let hash = works(reader, &format!("SELECT pg_catalog.hash_record_extended({one}, 0)"))?;
        self.0.insert(kind.to_owned(), (equality, hash));
        Ok((equality, hash))
    }
}

/// Whether the server can do this: false if it knows no such function for the type (42883).
fn works(reader: &mut Reader, sql: &str) -> Result<bool, ReadError> {
    let mut missing = false;
    let done = reader.read(async |client| match client.query(sql, &[]).await {
        Err(error) if error.code() == Some(&tokio_postgres::error::SqlState::UNDEFINED_FUNCTION) => {
            missing = true;
            Ok(())
        }
        done => done.map(drop),
    });
    done.map(|()| !missing)
}

/// What is known of the columns of one table.
#[derive(Debug)]
pub(crate) struct Judge {
    columns: Vec<Column>,
    means: Vec<Means>,
    /// Whether a column's values can be hashed by what is equal.
    hashable: Vec<bool>,
}

/// Whether two rows are equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The columns in which they differ; without any, the rows are equal.
    Differ(Vec<usize>),
    /// It could not be found out, because of this.
    Undecided(String),
}

impl Verdict {
    /// What is known of some columns, with what is known of others.
    pub(crate) fn and(self, other: Verdict) -> Verdict {
        match (self, other) {
            (Verdict::Differ(mut some), Verdict::Differ(more)) => {
                some.extend(more);
                some.sort_unstable();
                Verdict::Differ(some)
            }
            // One column that differs is enough.
            (Verdict::Differ(some), Verdict::Undecided(_)) | (Verdict::Undecided(_), Verdict::Differ(some))
                if !some.is_empty() =>
            {
                Verdict::Differ(some)
            }
            (undecided @ Verdict::Undecided(_), _) | (_, undecided) => undecided,
        }
    }
}

impl Judge {
    /// Asks what the types of a copy's columns can do.
    pub(crate) fn new(reader: &mut Reader, columns: &[Column], known: &mut Abilities) -> Result<Judge, ReadError> {
        let (mut means, mut hashable) = (Vec::new(), Vec::new());
        for column in columns {
            let (equality, hash) = if column.is_text { (true, false) } else { known.of(reader, &column.base)? };
            means.push(match (column.is_text, equality, column.calls) {
                (true, ..) => Means::Text,
                (_, false, _) => Means::NoOperator,
                (_, _, true) => Means::Unsafe,
                _ => Means::Operator,
            });
            hashable.push(hash && !column.calls);
        }
        Ok(Judge { columns: columns.to_vec(), means, hashable })
    }

    /// How a column's values are told to be equal.
    pub(crate) fn means(&self, n: usize) -> Means {
        self.means[n]
    }

    /// Which of these columns give a name to a row: equal values have the same hash. Some are enough, where there are many.
    pub(crate) fn naming(&self, of: &[usize]) -> Vec<usize> {
        of.iter().copied().filter(|n| self.hashable[*n]).take(AT_ONCE).collect()
    }

    /// How `json_to_recordset` is to read a field for a column, and the value that it then is.
    fn field(&self, name: &str, n: usize) -> (String, String) {
        let Column { base, collation, .. } = &self.columns[n];
        let (kind, value) = match &**base {
            // It would take a string for a value of JSON. Nobody but a superuser can make a cast between these two.
            "jsonb" => ("text", format!("u.{name}::pg_catalog.jsonb")),
            base => (base, format!("u.{name}")),
        };
        let collate = collation.as_ref().map(|collation| format!(" COLLATE {collation}")).unwrap_or_default();
        (format!("{name} {kind}"), value + &collate)
    }

    /// A hash over these columns of each row: the same for equal ones, whatever their bytes. `None`: the server does not take
    /// the row's values.
    pub(crate) fn names(
        &self,
        reader: &mut Reader,
        by: &[usize],
        rows: &[Texts],
    ) -> Result<Vec<Option<i64>>, ReadError> {
        if by.is_empty() {
            return Ok(vec![Some(0); rows.len()]); // all may be equal
        }
        let fields = by.iter().map(|n| self.field(&format!("a{n}"), *n));
        let (fields, values): (Vec<_>, Vec<_>) = fields.unzip();
        let sql = format!(
            "SELECT u.n::int8, pg_catalog.hash_record_extended(ROW({}), 0) FROM pg_catalog.json_to_recordset($1::text::json) \
             AS u (n int8, {})",
            values.join(", "),
            fields.join(", ")
        );
        let object = |row: usize| {
            let fields = by.iter().map(|n| (format!("a{n}"), rows[row][*n].as_deref()));
            object(row, fields)
        };
        let mut names = vec![None; rows.len()];
        ask(reader, &sql, 0..rows.len(), &object, &mut |row, name| names[row] = name.ok())?;
        Ok(names)
    }

    /// Which of these columns differ, of each pair of rows. Only those are looked at.
    pub(crate) fn equal(
        &self,
        reader: &mut Reader,
        pairs: &[(Texts, Texts)],
        asked: &[Vec<usize>],
    ) -> Result<Vec<Verdict>, ReadError> {
        let wanted: BTreeSet<usize> = asked.iter().flatten().copied().collect();
        let wanted: Vec<usize> = wanted.into_iter().collect();
        let mut verdicts = vec![Verdict::Differ(Vec::new()); pairs.len()];
        for wanted in wanted.chunks(AT_ONCE) {
            self.equal_in(reader, (pairs, asked), wanted, &mut verdicts)?;
        }
        Ok(verdicts)
    }

    /// The same of some columns, added to what is known of each pair.
    fn equal_in(
        &self,
        reader: &mut Reader,
        (pairs, asked): (&[(Texts, Texts)], &[Vec<usize>]),
        wanted: &[usize],
        verdicts: &mut [Verdict],
    ) -> Result<(), ReadError> {
        let (mut fields, mut values) = (Vec::new(), Vec::new());
        for n in wanted {
            let [(a, one), (b, two)] = ["a", "b"].map(|side| self.field(&format!("{side}{n}"), *n));
            fields.extend([a, b]);
            values.push(format!("pg_catalog.record_eq(ROW({one}), ROW({two}))"));
        }
        let sql = format!(
            "SELECT u.n::int8, ARRAY[{}]::bool[] FROM pg_catalog.json_to_recordset($1::text::json) AS u (n int8, {})",
            values.join(", "),
            fields.join(", ")
        );
        let object = |pair: usize| {
            let (here, there) = &pairs[pair];
            let both = |n: &usize| [(format!("a{n}"), here[*n].as_deref()), (format!("b{n}"), there[*n].as_deref())];
            // What is not asked of this pair is NULL on both sides.
            object(pair, asked[pair].iter().filter(|n| wanted.contains(n)).flat_map(both))
        };
        let open = (0..pairs.len()).filter(|pair| asked[*pair].iter().any(|n| wanted.contains(n)));
        ask(reader, &sql, open, &object, &mut |pair, equal: Result<Vec<bool>, String>| {
            let said = match equal {
                Ok(equal) => {
                    let differ = wanted.iter().zip(equal).filter(|(_, equal)| !equal);
                    Verdict::Differ(differ.map(|(n, _)| *n).collect())
                }
                Err(why) => Verdict::Undecided(why),
            };
            let known = std::mem::replace(&mut verdicts[pair], Verdict::Differ(Vec::new()));
            verdicts[pair] = known.and(said);
        })
    }
}

/// One row for `json_to_recordset`, with its number.
fn object<'a>(number: usize, fields: impl Iterator<Item = (String, Option<&'a str>)>) -> String {
    let number = number.to_string();
    let fields: Vec<_> = fields.collect();
    let named = fields.iter().map(|(name, text)| (name.as_str(), *text));
    json(std::iter::once(("n", Some(number.as_str()))).chain(named))
}

/// Asks the server about some rows, and hands on what it says of each. Where it does not take one of them, they are asked about
/// in halves, down to that one.
fn ask<T>(
    reader: &mut Reader,
    sql: &str,
    rows: impl Iterator<Item = usize>,
    object: &dyn Fn(usize) -> String,
    tell: &mut dyn FnMut(usize, Result<T, String>),
) -> Result<(), ReadError>
where
    for<'a> T: tokio_postgres::types::FromSql<'a>,
{
    let mut open: Vec<Vec<usize>> = vec![rows.collect()];
    while let Some(rows) = open.pop() {
        if rows.is_empty() {
            continue;
        }
        let objects: Vec<String> = rows.iter().map(|row| object(*row)).collect();
        let json = format!("[{}]", objects.join(","));
        match reader.rows(sql, &[&json]) {
            Ok(said) => {
                for row in said {
                    let number = column::<i64>(&row, 0)?.unsigned_abs() as usize;
                    tell(number, Ok(column(&row, 1)?));
                }
            }
            Err(ReadError::Lost(why)) => return Err(ReadError::Lost(why)),
            Err(error) if rows.len() == 1 => tell(rows[0], Err(error.to_string())),
            Err(_) => {
                let (some, others) = rows.split_at(rows.len() / 2);
                open.extend([some.to_vec(), others.to_vec()]);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Verdict::{Differ, Undecided};

    #[test]
    fn one_column_that_differs_is_enough() {
        let undecided = || Undecided("why".to_owned());
        assert_eq!(Differ(vec![2]).and(Differ(vec![1])), Differ(vec![1, 2]));
        assert_eq!(Differ(vec![2]).and(undecided()), Differ(vec![2]));
        assert_eq!(undecided().and(Differ(vec![1])), Differ(vec![1]));
        assert_eq!(undecided().and(Differ(vec![])), undecided());
        assert_eq!(Differ(vec![]).and(undecided()), undecided());
        assert_eq!(Differ(vec![]).and(Differ(vec![])), Differ(vec![]));
    }
}
