//! Differences in the order in which they came: a few in memory, the others in a temporary file without a name.
//!
//! The file is in the directory that `TMPDIR` names, else in `/tmp`. It disappears when the program ends, however that is.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, SeekFrom, Write as _};

use anyhow::{Context as _, Result};

use crate::difference::{Difference, Place};
use crate::fingerprint::Fingerprint;
use crate::tid::Tid;

/// A key's length if there is none.
const NO_KEY: u32 = u32::MAX;

/// A list of differences that takes no more memory than `limit` bytes.
#[derive(Debug)]
pub(crate) struct Spool {
    buffer: Vec<u8>,
    limit: usize,
    file: Option<File>,
    count: u64,
}

impl Spool {
    pub(crate) fn new(limit: usize) -> Spool {
        Spool { buffer: Vec::new(), limit, file: None, count: 0 }
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn push(&mut self, difference: &Difference) -> Result<()> {
        encode(difference, &mut self.buffer);
        self.count += 1;
        if self.buffer.len() > self.limit {
            self.write_out().with_context(cannot_keep)?;
        }
        Ok(())
    }

    fn write_out(&mut self) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(tempfile::tempfile()?),
        };
        file.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }

    /// Reads all of them from the first on. Nothing can be added after that.
    ///
    /// # Errors
    /// If the temporary file cannot be read; also each of the differences may then be an error.
    pub(crate) fn read(&mut self) -> Result<impl Iterator<Item = Result<Difference>>> {
        if let Some(file) = &mut self.file {
            file.seek(SeekFrom::Start(0)).with_context(cannot_keep)?;
        }
        let written: Box<dyn Read + '_> = match &self.file {
            Some(file) => Box::new(BufReader::with_capacity(1 << 16, file)),
            None => Box::new(io::empty()),
        };
        let mut all = written.chain(&self.buffer[..]);
        Ok((0..self.count).map(move |_| decode(&mut all).with_context(cannot_keep)))
    }
}

fn cannot_keep() -> String {
    format!("cannot keep what differs in a temporary file in {} (TMPDIR)", std::env::temp_dir().display())
}

fn encode(difference: &Difference, to: &mut Vec<u8>) {
    let sides = u8::from(difference.primary.is_some()) | u8::from(difference.standby.is_some()) << 1;
    to.push(sides);
    for place in [difference.primary, difference.standby].into_iter().flatten() {
        to.extend(place.part.to_le_bytes());
        to.extend(place.ctid.block.to_le_bytes());
        to.extend(place.ctid.offset.to_le_bytes());
        to.extend(place.hash.0.to_le_bytes());
        to.extend(place.hash.1.to_le_bytes());
    }
    match &difference.key {
        Some(key) => {
            to.extend(u32::try_from(key.len()).unwrap_or(NO_KEY - 1).to_le_bytes()); // a field has at most 1 GiB
            to.extend(key.as_bytes());
        }
        None => to.extend(NO_KEY.to_le_bytes()),
    }
}

fn decode(from: &mut impl Read) -> io::Result<Difference> {
    let [sides] = bytes(from)?;
    let primary = (sides & 1 != 0).then(|| place(from)).transpose()?;
    let standby = (sides & 2 != 0).then(|| place(from)).transpose()?;
    let length = u32::from_le_bytes(bytes(from)?);
    let key = (length != NO_KEY).then(|| {
        let mut key = vec![0; length as usize];
        from.read_exact(&mut key)?;
        String::from_utf8(key).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    });
    Ok(Difference { key: key.transpose()?, primary, standby })
}

fn place(from: &mut impl Read) -> io::Result<Place> {
    let part = u32::from_le_bytes(bytes(from)?);
    let ctid = Tid { block: u32::from_le_bytes(bytes(from)?), offset: u16::from_le_bytes(bytes(from)?) };
    let hash = Fingerprint(i64::from_le_bytes(bytes(from)?), i64::from_le_bytes(bytes(from)?));
    Ok(Place { part, ctid, hash })
}

fn bytes<const N: usize>(from: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}
