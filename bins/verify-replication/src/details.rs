//! What rows hold, column by column: hashes to tell which columns differ, and texts where somebody asked for them.

use std::collections::HashMap;

use tokio_postgres::Row;

use crate::fingerprint::Fingerprint;
use crate::layout::Layout;
use crate::read_error::ReadError;
use crate::reader::{Reader, column};
use crate::text::Raw;
use crate::tid::Tid;

/// One row of one node.
#[derive(Clone, Debug)]
pub(crate) struct Seen<T> {
    /// The fingerprint of all of it.
    pub(crate) hash: Fingerprint,
    /// Its length, in bytes.
    pub(crate) bytes: u64,
    /// What is known of each column.
    pub(crate) columns: Vec<T>,
}

/// The rows that are in these places by now, with the two halves of the fingerprint of each column, one after the other.
pub(crate) fn hashes(
    reader: &mut Reader,
    layout: &Layout,
    places: &[Tid],
) -> Result<HashMap<Tid, Seen<i64>>, ReadError> {
    let rows = rows_at(places, |names| reader.raw_rows(&layout.hashes_sql(), &[names]))?;
    rows.iter().map(seen).collect()
}

/// The rows that are in these places by now, as text.
pub(crate) fn texts(
    reader: &mut Reader,
    layout: &Layout,
    places: &[Tid],
) -> Result<HashMap<Tid, Seen<Option<String>>>, ReadError> {
    let rows = rows_at(places, |names| reader.raw_rows(&layout.texts_sql(), &[names]))?;
    let shown = |row: &Row| {
        let (place, Seen { hash, bytes, columns }) = seen::<Option<Raw>>(row)?;
        let columns = reader.texts(columns)?.into_iter().map(|text| text.map(|text| text.text)).collect();
        Ok((place, Seen { hash, bytes, columns }))
    };
    rows.iter().map(shown).collect()
}

/// The rows that are in these places by now, by a statement of [`Layout::places_sql`] whose text is sent as UTF-8.
pub(crate) fn read<T>(reader: &mut Reader, sql: &str, places: &[Tid]) -> Result<HashMap<Tid, Seen<T>>, ReadError>
where
    for<'a> Vec<T>: tokio_postgres::types::FromSql<'a>,
{
    rows_at(places, |names| reader.rows(sql, &[names]))?.iter().map(seen).collect()
}

/// What `read` reads of these places, if there are any.
fn rows_at(
    places: &[Tid],
    read: impl FnOnce(&Vec<String>) -> Result<Vec<Row>, ReadError>,
) -> Result<Vec<Row>, ReadError> {
    if places.is_empty() { Ok(Vec::new()) } else { read(&places.iter().map(Tid::to_string).collect()) }
}

fn seen<T>(row: &Row) -> Result<(Tid, Seen<T>), ReadError>
where
    for<'a> Vec<T>: tokio_postgres::types::FromSql<'a>,
{
    let hash = Fingerprint(column(row, 1)?, column(row, 2)?);
    let bytes = column::<i32>(row, 3)?.unsigned_abs().into();
    Ok((column(row, 0)?, Seen { hash, bytes, columns: column(row, 4)? }))
}

/// Columns with their texts, as a JSON object; NULL is null.
pub(crate) fn json<'a>(columns: impl IntoIterator<Item = (&'a str, Option<&'a str>)>) -> String {
    let mut json = String::from("{");
    for (name, text) in columns {
        if json.len() > 1 {
            json.push_str(", ");
        }
        string(name, &mut json);
        json.push_str(": ");
        match text {
            Some(text) => string(text, &mut json),
            None => json.push_str("null"),
        }
    }
    json.push('}');
    json
}

fn string(text: &str, to: &mut String) {
    to.push('"');
    for c in text.chars() {
        match c {
            '"' => to.push_str("\\\""),
            '\\' => to.push_str("\\\\"),
            '\n' => to.push_str("\\n"),
            '\r' => to.push_str("\\r"),
            '\t' => to.push_str("\\t"),
            c if u32::from(c) < 0x20 => to.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => to.push(c),
        }
    }
    to.push('"');
}

#[cfg(test)]
mod tests {
    use super::json;

    #[test]
    fn an_object_of_texts_is_json_whatever_is_in_them() {
        assert_eq!(json([]), "{}");
        let columns = [("a", Some("x\"\\\n\u{1}é")), ("b\"", None), ("c", Some(""))];
        assert_eq!(json(columns), r#"{"a": "x\"\\\n\u0001é", "b\"": null, "c": ""}"#);
    }
}
