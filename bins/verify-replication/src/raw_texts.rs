//! Texts that were read as bytes, as they are shown to people: each is converted by itself, on its own server.

use crate::read_error::{ReadError, is_of_conversion};
use crate::reader::{Reader, column};
use crate::text::{Raw, Shown};

impl Reader {
    /// Texts of [`Reader::raw_rows`] as they are shown. What becomes of one depends on its own bytes alone, so that two nodes
    /// call the same thing by the same name.
    pub(crate) fn texts(&mut self, raw: Vec<Option<Raw>>) -> Result<Vec<Option<Shown>>, ReadError> {
        let is_foreign = self.is_foreign();
        let (converts, mut texts) = (|raw: &Raw| is_foreign && !raw.0.is_ascii(), Vec::with_capacity(raw.len()));
        let (mut open, mut places) = (Vec::new(), Vec::new());
        for (place, raw) in raw.into_iter().enumerate() {
            match raw {
                Some(raw) if converts(&raw) => {
                    open.push(raw.0);
                    places.push(place);
                    texts.push(None);
                }
                other => texts.push(other.map(Raw::shown)),
            }
        }
        let mut converted = Vec::with_capacity(open.len());
        self.convert(&open, &mut converted)?;
        for (place, text) in places.into_iter().zip(converted) {
            texts[place] = Some(text);
        }
        Ok(texts)
    }

    /// Has the server convert texts of its encoding. It fails for all of them if it fails for one, so they are halved then.
    fn convert(&mut self, raw: &[Vec<u8>], converted: &mut Vec<Shown>) -> Result<(), ReadError> {
        if raw.is_empty() {
            return Ok(());
        }
        let sql =
            "SELECT pg_catalog.convert_from(raw.bytes, pg_catalog.current_setting('server_encoding')::pg_catalog.name)
                     FROM pg_catalog.unnest($1::pg_catalog.bytea[]) WITH ORDINALITY AS raw (bytes, n) ORDER BY raw.n";
        match (self.rows(sql, &[&raw]), raw) {
            (Ok(rows), _) => {
                for row in rows {
                    converted.push(Shown { text: column(&row, 0)?, is_whole: true });
                }
                Ok(())
            }
            (Err(error), _) if !is_of_conversion(&error.to_string()) => Err(error),
            (Err(_), [one]) => {
                converted.push(Shown::escaped(one));
                Ok(())
            }
            (Err(_), several) => {
                let (first, second) = several.split_at(several.len() / 2);
                self.convert(first, converted)?;
                self.convert(second, converted)
            }
        }
    }
}
