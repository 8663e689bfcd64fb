//! The types of columns, each with all types in it (elements, attributes, bounds, the base of a domain).

use std::collections::HashMap;

use crate::fingerprint::HashOf;
use crate::read_error::ReadError;
use crate::reader::{Reader, column};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    /// Whether it and all in it have a send function.
    pub(crate) is_sendable: bool,
    /// The type that values are sent as instead.
    pub(crate) sent_as: Option<String>,
    /// An expression over `%s`: what else of a value decides what queries see.
    pub(crate) unsent: Option<String>,
    /// What it is made of: as long as this is the same, the same value is sent as the same bytes.
    pub(crate) parts: String,
}

/// The OID of `pg_class` in every database.
const PG_CLASS: u32 = 1259;

/// What each primary notes there for itself.
pub(crate) const NOTED: [&str; 5] = ["relhasindex", "relhasrules", "relhastriggers", "relhassubclass", "relfilenode"];

/// What was asked of a server so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Types {
    kinds: HashMap<u32, Kind>,
    hash: Option<HashOf>,
    /// Whether each of the servers may have maintained its catalogs for itself.
    at_rest: bool,
}

impl Types {
    /// Nothing known; `at_rest`: as in [`Types::leaves_out`].
    pub(crate) fn of_catalogs(at_rest: bool) -> Types {
        Types { at_rest, ..Types::default() }
    }

    /// Nothing known but how the server hashes bytes and who maintains it, which do not change.
    pub(crate) fn anew(&self) -> Types {
        Types { kinds: HashMap::new(), hash: self.hash, at_rest: self.at_rest }
    }

    /// Whether a column is what VACUUM and ANALYZE note in `pg_class`, in place, of what is gone, or where a rewrite has put the
    /// table: each primary for itself. On a standby it is what its primary has.
    pub(crate) fn leaves_out(&self, table: u32, column: &str) -> bool {
        self.at_rest && table == PG_CLASS && NOTED.contains(&column)
    }

    /// Asks for those of these types that are not known yet.
    pub(crate) fn learn(&mut self, reader: &mut Reader, oids: &[u32]) -> Result<(), ReadError> {
        let new: Vec<u32> = oids.iter().copied().filter(|oid| !self.kinds.contains_key(oid)).collect();
        if new.is_empty() {
            return Ok(());
        }
        for row in reader.catalog_rows(cluster::sql!("verify_types"), &[&new])? {
            let kind = Kind {
                is_sendable: column(&row, 1)?,
                parts: column(&row, 2)?,
                sent_as: column(&row, 3)?,
                unsent: column(&row, 4)?,
            };
            self.kinds.insert(column(&row, 0)?, kind);
        }
        Ok(())
    }

    /// A type that was asked for.
    pub(crate) fn get(&self, oid: u32) -> Result<&Kind, ReadError> {
        self.kinds.get(&oid).ok_or_else(|| ReadError::Unread(format!("type {oid} is gone")))
    }

    /// How this server hashes bytes: asked once.
    pub(crate) fn hash_of(&mut self, reader: &mut Reader) -> Result<HashOf, ReadError> {
        if let Some(known) = self.hash {
            return Ok(known);
        }
        let sql = "SELECT pg_catalog.to_regprocedure('pg_catalog.hashbyteaextended(bytea, bigint)') IS NOT NULL";
        let rows = reader.rows(sql, &[])?;
        let direct = rows.first().map(|row| column::<bool>(row, 0)).transpose()?.unwrap_or(false);
        Ok(*self.hash.insert(if direct { HashOf::Bytes } else { HashOf::ArrayOfBytes }))
    }
}
