//! What "equal" means: the bytes of a row, as its server sends them to a client that reads binary.
//!
//! `record_send` writes each column's type, length (NULL has one of its own) and bytes, so that no two contents give the
//! same message (xml as the text that it is: it is sent without its declaration): NULL and 0, 1.0 and 1.00, 0 and -0, `a` and `A` of citext, `{1,2}` and `{{1},{2}}` differ, whatever the
//! type's own equality says of them. The message is hashed twice, 64 bits each, with different seeds; the hash mixes all
//! bytes, so values that two rows exchange do not cancel in a sum, as they do in sums of `hash_record_extended` over the
//! values themselves: that is linear in the columns.
//!
//! Hashes of rows are added up exactly, in any order, and the count stands beside them: a row that is there twice counts
//! twice. Two different contents pass for equal with a chance of 1 in 2^128. That is a chance, not a proof against
//! somebody who picks contents to that end: the hash is no cryptographic one.

/// The two seeds. Any two would do.
const SEEDS: [i64; 2] = [0x243F_6A88_85A3_08D3, 0x1319_8A2E_0370_7344];

/// The hash of a row's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Fingerprint(pub i64, pub i64);

/// Which of the server's functions hashes bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HashOf {
    /// `hashbyteaextended`, from PostgreSQL 18 on.
    Bytes,
    /// `hash_array_extended` of an array of one element: that hash and a constant more, so that both nodes need the same one.
    ArrayOfBytes,
}

impl HashOf {
    /// The two halves of the fingerprint of `bytes`, as two columns of a statement.
    pub(crate) fn columns(self, bytes: &str) -> [String; 2] {
        SEEDS.map(|seed| match self {
            HashOf::Bytes => format!("pg_catalog.hashbyteaextended({bytes}, {seed})"),
            HashOf::ArrayOfBytes => format!("pg_catalog.hash_array_extended(ARRAY[{bytes}], {seed})"),
        })
    }
}

/// The bytes of a row, as an expression over the values of its columns. `ROW(…)` is read faster than the whole-row
/// variable, which copies the row first.
pub(crate) fn row_bytes(values: &[String]) -> String {
    format!("pg_catalog.record_send(ROW({}))", values.join(", "))
}

/// A column as it goes into the row's bytes; as text if its type cannot be sent. `ROW(…)::text` calls the type's output
/// function, where a cast of the column could be anybody's, and tells NULL from an empty string.
///
/// `sent_as`: a type that has the same bytes, and whose send function tells all of them.
pub(crate) fn value(quoted: &str, is_sendable: bool, sent_as: Option<&str>) -> String {
    match sent_as {
        Some(other) => format!("t.{quoted}::pg_catalog.{other}"),
        None if is_sendable => format!("t.{quoted}"),
        None => format!("ROW(t.{quoted})::text"),
    }
}

/// The same, with what is not sent of it: `unsent`, an expression over `%s`.
pub(crate) fn with_unsent(value: String, quoted: &str, unsent: Option<&str>) -> String {
    match unsent {
        Some(unsent) => format!("ROW({value}, {})", unsent.replace("%s", &format!("t.{quoted}"))),
        None => value,
    }
}
