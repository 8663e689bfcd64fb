//! A range that a node cannot read is narrowed down until each damaged block is named, so that the others can be compared.

use crate::damage::Side;
use crate::layout::Blocks;
use crate::node::NodeSessions;
use crate::read_error::ReadError;
use crate::reader::{Reader, column};
use crate::recheck::Recheck;
use crate::scan::{both, versions};

/// A range is narrowed down by as many parts each time.
const PARTS: u64 = 4;

impl Recheck<'_> {
    /// Looks into a chunk that one node or both could not read, with their errors. True if a part of it was compared.
    pub(crate) fn unread(
        &mut self,
        chunk: Blocks,
        on_primary: Option<&ReadError>,
        on_standby: Option<&ReadError>,
    ) -> Result<bool, ReadError> {
        if self.found.damage.is_whole()
            || self.lacks_file(Side::Primary, on_primary)? | self.lacks_file(Side::Standby, on_standby)?
        {
            return Ok(false);
        }
        let errors = || on_primary.into_iter().chain(on_standby);
        if let Some(error) = errors().find(|error| matches!(error, ReadError::Index(_))) {
            self.found.planless(error);
            return Ok(false);
        }
        if errors().any(ReadError::may_be_damage) {
            return self.chunk(chunk).map(|()| true);
        }
        for error in errors() {
            self.found.keep(chunk, error);
        }
        Ok(false)
    }

    /// Whether the error is that the table's own file is missing. That counts as one damage, and each read would fail.
    fn lacks_file(&mut self, side: Side, error: Option<&ReadError>) -> Result<bool, ReadError> {
        let Some(error @ ReadError::NoFile(file, _)) = error else { return Ok(false) };
        let oid = self.layout.table.oid;
        let node = self.side(side);
        let own = own_file(node.reader(), oid)?;
        let name = node.name.clone();
        let is_own = own.as_deref() == Some(file);
        if is_own {
            self.found.damage.file(side, &name, file, error);
        } else if is_index(self.side(side).reader(), oid, file)? {
            self.found.planless(error);
            return Ok(true);
        }
        Ok(is_own)
    }

    fn side(&mut self, side: Side) -> &mut NodeSessions {
        match side {
            Side::Primary => self.primary,
            Side::Standby => self.standby,
        }
    }

    /// Finds the damaged blocks of a small range, and compares the others. `end`: the blocks that the table has; `error`:
    /// the one of reading the whole range.
    pub(crate) fn narrow(&mut self, range: Blocks, end: u64, error: &ReadError) -> Result<(), ReadError> {
        let layout = self.layout;
        let (mut open, mut readable) = (vec![range], Vec::new());
        while let Some(part) = open.pop() {
            program::stop::check().map_err(|error| ReadError::Lost(error.to_string()))?;
            if self.found.damage.is_enough() {
                self.give_up(part);
                continue;
            }
            let read = |reader: &mut Reader| versions(reader, layout, part).map(drop);
            let size = part.count(end);
            match both(self.primary.reader(), self.standby.reader(), read) {
                (Ok(()), Ok(())) => readable.push(part),
                (Err(ReadError::Lost(why)), _) | (_, Err(ReadError::Lost(why))) => return Err(ReadError::Lost(why)),
                _ if size > 1 => open.extend(part.split(size.div_ceil(PARTS), end).into_iter().rev()),
                (on_primary, on_standby) => self.name(part.from, on_primary.err().as_ref(), on_standby.err().as_ref()),
            }
        }
        let readable = joined(readable);
        if readable == [range] {
            self.found.unknown.push(format!("{range}: could not be read at first, and then could: {error}"));
        }
        for part in readable {
            match self.rows(part) {
                Err(ReadError::Lost(why)) => return Err(ReadError::Lost(why)),
                Err(error) => self.found.unknown.push(format!("{part}: {error}")),
                Ok(()) => {}
            }
        }
        Ok(())
    }

    /// Keeps what each node says of a single block.
    fn name(&mut self, block: u64, on_primary: Option<&ReadError>, on_standby: Option<&ReadError>) {
        self.found.damage.unreadable();
        let names = [self.primary.name.clone(), self.standby.name.clone()];
        for (side, name, own, other) in
            [(Side::Primary, &names[0], on_primary, on_standby), (Side::Standby, &names[1], on_standby, on_primary)]
        {
            match own {
                Some(error) if error.is_damage() || error.may_be_damage() && other.is_none() => {
                    self.found.damage.block(side, name, block, error);
                }
                Some(error) => self.found.unknown.push(format!("block {block} on {name}: {error}")),
                None => {}
            }
        }
    }

    /// Does not look into a range any more: so many blocks are damaged that nothing can change the verdict.
    pub(crate) fn give_up(&mut self, range: Blocks) {
        self.found.unknown.push(format!("{range}: not looked into any more, so many blocks are damaged"));
    }
}

/// The file that a table begins with on this node.
fn own_file(reader: &mut Reader, oid: u32) -> Result<Option<String>, ReadError> {
    let rows = reader.rows("SELECT pg_catalog.pg_relation_filepath($1::oid)", &[&oid])?;
    rows.first().map_or(Ok(None), |row| column(row, 0))
}

/// Whether a file is the first one of an index of a table. Without it no statement on the table can be planned.
fn is_index(reader: &mut Reader, oid: u32, file: &str) -> Result<bool, ReadError> {
    let sql = "SELECT FROM pg_catalog.pg_index AS i \
               WHERE i.indrelid = $1 AND pg_catalog.pg_relation_filepath(i.indexrelid) = $2";
    Ok(!reader.rows(sql, &[&oid, &file])?.is_empty())
}

/// Ranges in order, those that meet as one.
fn joined(ranges: Vec<Blocks>) -> Vec<Blocks> {
    let mut joined: Vec<Blocks> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if last.to == Some(range.from) => last.to = range.to,
            _ => joined.push(range),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::joined;
    use crate::layout::Blocks;

    #[test]
    fn ranges_that_meet_are_joined() {
        let ranges = [(0, Some(1)), (1, Some(4)), (5, Some(6)), (6, None)].map(|(from, to)| Blocks { from, to });
        let expected = [(0, Some(4)), (5, None)].map(|(from, to)| Blocks { from, to });
        assert_eq!(joined(ranges.to_vec()), expected);
    }
}
