//! The system columns of a row: where it lies, and who wrote it.

use std::error::Error;
use std::fmt;

use tokio_postgres::types::{FromSql, Type, accepts};

/// Where a row lies: block and line pointer. The same on every physical standby.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Tid {
    /// The block, from 0.
    pub(crate) block: u32,
    /// The line pointer, from 1.
    pub(crate) offset: u16,
}

impl fmt::Display for Tid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({},{})", self.block, self.offset)
    }
}

impl<'a> FromSql<'a> for Tid {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Tid, Box<dyn Error + Sync + Send>> {
        let (block, offset) = raw.split_at_checked(4).ok_or("a tid has six bytes")?;
        Ok(Tid { block: u32::from_be_bytes(block.try_into()?), offset: u16::from_be_bytes(offset.try_into()?) })
    }

    accepts!(TID);
}

/// A transaction id as a row keeps it: the lower 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Xid(pub u32);

impl Xid {
    /// No transaction: the `xmax` of a row that nobody deleted, updated or locked.
    pub(crate) const NONE: Xid = Xid(0);
}

impl<'a> FromSql<'a> for Xid {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Xid, Box<dyn Error + Sync + Send>> {
        Ok(Xid(u32::from_be_bytes(raw.try_into()?)))
    }

    accepts!(XID);
}
