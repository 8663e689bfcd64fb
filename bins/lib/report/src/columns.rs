//! The columns of a row type, without a row.
//!
//! A serde struct is the only list of columns. The csv crate writes the header together with the first row, but a file
//! without rows needs its header too; so this asks `Deserialize` which fields it wants.

use serde::de::{self, Deserialize, Deserializer, Visitor};

/// The column names of `Row`, in order.
///
/// # Panics
/// If `Row` is not a plain struct with named fields: a mistake of ours, found by the first test that writes a row.
pub fn columns<'de, Row: Deserialize<'de>>() -> &'static [&'static str] {
    let mut found = None;
    // The deserialization itself always fails: all it is for is the call of `deserialize_struct`.
    let _ = Row::deserialize(FieldNames { found: &mut found });
    found.expect("a row type is a struct with named fields")
}

struct FieldNames<'a> {
    found: &'a mut Option<&'static [&'static str]>,
}

impl<'de> Deserializer<'de> for FieldNames<'_> {
    type Error = de::value::Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, Self::Error> {
        *self.found = Some(fields);
        Err(de::Error::custom("only the field names were asked for"))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Self::Error> {
        Err(de::Error::custom("not a struct"))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn columns_come_in_the_order_of_the_struct() {
        assert_eq!(super::columns::<crate::settings::SettingRow>(), ["run", "node", "name", "value", "source"]);
    }
}
