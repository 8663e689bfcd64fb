//! The columns of a table. Two servers must have the same names with the same types, in whatever order.

use cluster::ident::quote;

use crate::fingerprint::value;
use crate::read_error::ReadError;
use crate::reader::{Reader, column};
use crate::subject::{Subject, quote_where_needed};

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// Its type, as people call it and any server with the same types.
    pub(crate) kind: String,
    /// The type that values are parsed as: for a domain its base type, so that its checks are not called.
    pub(crate) base: String,
    /// A collation that is not the default one, quoted.
    pub(crate) collation: Option<String>,
    /// Where it stands in the primary key, from 1.
    pub(crate) key: Option<i32>,
    /// Whether each server sends it as the same bytes.
    is_sent_alike: bool,
    /// Whether its text says all of its value.
    pub(crate) is_text: bool,
    /// Whether to parse it would call functions of the database's users.
    pub(crate) calls: bool,
    /// What the types of users in it are made of.
    parts: String,
}

/// Reads the columns of a table, in the order of their names.
pub(crate) fn read(reader: &mut Reader, table: &Subject) -> Result<Vec<Column>, ReadError> {
    let column = |row: &tokio_postgres::Row| {
        Ok(Column {
            name: column(row, 0)?,
            kind: column(row, 1)?,
            base: column(row, 2)?,
            collation: column(row, 3)?,
            key: column(row, 4)?,
            is_sent_alike: column(row, 5)?,
            is_text: column(row, 6)?,
            calls: column(row, 7)?,
            parts: column(row, 8)?,
        })
    };
    reader.rows(cluster::sql!("verify_value_columns"), &[&table.oid])?.iter().map(column).collect()
}

impl Column {
    /// How it goes into the bytes of a row: as text if two servers might send the same value as other bytes.
    pub(crate) fn in_bytes(&self) -> String {
        value(&quote(&self.name), self.is_sent_alike, self.sent_as())
    }

    /// An xml is sent and printed without its declaration; its bytes are those of a text.
    fn sent_as(&self) -> Option<&'static str> {
        match self.base.as_str() {
            "xml" => Some("text"),
            "xml[]" => Some("text[]"),
            _ => None,
        }
    }

    /// Its value as text, by the type's output function: a cast could be anybody's.
    pub(crate) fn text(&self) -> String {
        let column = match self.sent_as() {
            Some(_) => self.in_bytes(),
            None => format!("t.{}", quote(&self.name)),
        };
        format!("CASE WHEN pg_catalog.num_nulls({column}) = 0 THEN pg_catalog.format('%s', {column}) END")
    }

    fn is_alike(&self, other: &Column) -> bool {
        (&self.kind, &self.base, &self.parts) == (&other.kind, &other.base, &other.parts)
    }
}

/// The columns of the primary key in its order, by their place among `columns`; none if there is no key.
pub(crate) fn key(columns: &[Column]) -> Vec<usize> {
    let mut key: Vec<usize> = (0..columns.len()).filter(|n| columns[*n].key.is_some()).collect();
    key.sort_by_key(|n| columns[*n].key);
    key
}

/// Which columns one side lacks, or has of another type, in words; `None`: they are the same.
pub(crate) fn otherwise(here: &[Column], there: &[Column]) -> Option<String> {
    let only = |these: &[Column], those: &[Column]| {
        let lacking = these.iter().filter(|one| those.iter().all(|other| other.name != one.name));
        lacking.map(|one| quote_where_needed(&one.name)).collect::<Vec<_>>()
    };
    let twin = |one: &Column| there.iter().find(|other| other.name == one.name);
    let retyped = |one: &Column| twin(one).filter(|other| !one.is_alike(other)).map(|other| words(one, other));
    let words: Vec<String> = [
        ("only on the primary", only(here, there)),
        ("only there", only(there, here)),
        ("of another type", here.iter().filter_map(retyped).collect()),
    ]
    .into_iter()
    .filter(|(_, names)| !names.is_empty())
    .map(|(what, names)| format!("{what}: {}", names.join(", ")))
    .collect();
    (!words.is_empty())
        .then(|| format!("it has other columns there ({}); its rows were not compared", words.join("; ")))
}

fn words(here: &Column, there: &Column) -> String {
    let name = quote_where_needed(&here.name);
    match here.kind == there.kind {
        true => format!("{name} ({}, which is made otherwise there)", here.kind),
        false => format!("{name} ({} there, {} here)", there.kind, here.kind),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A column of that name and type.
    pub(crate) fn column(name: &str, kind: &str) -> Column {
        Column {
            name: name.to_owned(),
            kind: kind.to_owned(),
            base: kind.to_owned(),
            collation: None,
            key: None,
            is_sent_alike: true,
            is_text: false,
            calls: false,
            parts: String::new(),
        }
    }

    #[test]
    fn columns_are_matched_by_name_and_type() {
        let here = [column("a", "integer"), column("b", "text"), column("c", "public.pair")];
        assert_eq!(otherwise(&here, &here), None);
        let pair = Column { parts: "public.pair c x integer".to_owned(), ..column("c", "public.pair") };
        let there = [column("a", "bigint"), pair, column("D", "text")];
        let said = otherwise(&here, &there).unwrap();
        for words in [
            "only on the primary: b;",
            "only there: \"D\";",
            "of another type: a (bigint there, integer here), c (public.pair, which is made otherwise there)",
        ] {
            assert!(said.contains(words), "{words}: {said}");
        }
    }

    #[test]
    fn the_key_is_in_its_own_order() {
        let place = |name, key| Column { key, ..column(name, "integer") };
        assert_eq!(key(&[place("a", Some(2)), place("b", None), place("c", Some(1))]), [2, 0]);
    }
}
