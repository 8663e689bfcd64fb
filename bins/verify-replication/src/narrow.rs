//! A range that a node cannot read: narrowed down until each damaged block is named, so that the others can be compared.

use crate::damage::Side;
use crate::layout::Blocks;
use crate::node::Node;
use crate::reader::{Reader, Trouble, column};
use crate::recheck::Recheck;
use crate::scan::{both, versions};

/// A range is narrowed down by as many parts each time.
const PARTS: u64 = 4;

impl Recheck<'_> {
    /// Looks into a chunk that one of the nodes, or both, could not read, with why. True if something of it was compared.
    ///
    /// # Errors
    /// Why the table cannot be read any further.
    pub(crate) fn unread(
        &mut self,
        chunk: Blocks,
        here: Option<&Trouble>,
        there: Option<&Trouble>,
    ) -> Result<bool, Trouble> {
        if self.found.damage.is_whole()
            || self.lacks_file(Side::Primary, here)? | self.lacks_file(Side::Standby, there)?
        {
            return Ok(false);
        }
        let troubles = || here.into_iter().chain(there);
        if let Some(trouble) = troubles().find(|trouble| matches!(trouble, Trouble::Index(_))) {
            self.found.planless(trouble);
            return Ok(false);
        }
        if troubles().any(Trouble::may_be_damage) {
            return self.chunk(chunk).map(|()| true);
        }
        for trouble in troubles() {
            self.found.keep(chunk, trouble);
        }
        Ok(false)
    }

    /// Whether the trouble is that the table's own file is not there. Then it is one damage, and each read would fail.
    fn lacks_file(&mut self, side: Side, trouble: Option<&Trouble>) -> Result<bool, Trouble> {
        let Some(trouble @ Trouble::NoFile(file, _)) = trouble else { return Ok(false) };
        let oid = self.layout.table.oid;
        let node = self.side(side);
        let own = own_file(node.reader(), oid)?;
        let name = node.name.clone();
        let is_own = own.as_deref() == Some(file);
        if is_own {
            self.found.damage.file(side, &name, file, trouble);
        } else if is_index(self.side(side).reader(), oid, file)? {
            self.found.planless(trouble);
            return Ok(true);
        }
        Ok(is_own)
    }

    fn side(&mut self, side: Side) -> &mut Node {
        match side {
            Side::Primary => self.primary,
            Side::Standby => self.standby,
        }
    }

    /// Finds the damaged blocks of a range of a few, and compares the others. `end`: the blocks that the table has;
    /// `trouble`: what was said when the whole range was read.
    ///
    /// # Errors
    /// Why the table cannot be read any further.
    pub(crate) fn narrow(&mut self, range: Blocks, end: u64, trouble: &Trouble) -> Result<(), Trouble> {
        let layout = self.layout;
        let (mut open, mut readable) = (vec![range], Vec::new());
        while let Some(part) = open.pop() {
            program::stop::check().map_err(|error| Trouble::Lost(error.to_string()))?;
            if self.found.damage.is_enough() {
                self.give_up(part);
                continue;
            }
            let read = |reader: &mut Reader| versions(reader, layout, part).map(drop);
            let size = part.count(end);
            match both(self.primary.reader(), self.standby.reader(), read) {
                (Ok(()), Ok(())) => readable.push(part),
                (Err(Trouble::Lost(why)), _) | (_, Err(Trouble::Lost(why))) => return Err(Trouble::Lost(why)),
                _ if size > 1 => open.extend(part.split(size.div_ceil(PARTS), end).into_iter().rev()),
                (here, there) => self.name(part.from, here.err().as_ref(), there.err().as_ref()),
            }
        }
        let readable = joined(readable);
        if readable == [range] {
            self.found.unknown.push(format!("{range}: could not be read at first, and then could: {trouble}"));
        }
        for part in readable {
            match self.rows(part) {
                Err(Trouble::Lost(why)) => return Err(Trouble::Lost(why)),
                Err(trouble) => self.found.unknown.push(format!("{part}: {trouble}")),
                Ok(()) => {}
            }
        }
        Ok(())
    }

    /// Keeps what each node says of a single block.
    fn name(&mut self, block: u64, here: Option<&Trouble>, there: Option<&Trouble>) {
        self.found.damage.unreadable();
        let names = [self.primary.name.clone(), self.standby.name.clone()];
        for (side, name, own, other) in
            [(Side::Primary, &names[0], here, there), (Side::Standby, &names[1], there, here)]
        {
            match own {
                Some(trouble) if trouble.is_damage() || trouble.may_be_damage() && other.is_none() => {
                    self.found.damage.block(side, name, block, trouble);
                }
                Some(trouble) => self.found.unknown.push(format!("block {block} on {name}: {trouble}")),
                None => {}
            }
        }
    }

    /// Leaves a range as it is: so much of the table is damaged that the verdict cannot become any other.
    pub(crate) fn give_up(&mut self, range: Blocks) {
        self.found.unknown.push(format!("{range}: not looked into any more, so many blocks are damaged"));
    }
}

/// The file that a table begins with on this node.
fn own_file(reader: &mut Reader, oid: u32) -> Result<Option<String>, Trouble> {
    let rows = reader.rows("SELECT pg_catalog.pg_relation_filepath($1::oid)", &[&oid])?;
    rows.first().map_or(Ok(None), |row| column(row, 0))
}

/// Whether a file is the first one of an index of a table. Without it no statement on the table can be planned.
fn is_index(reader: &mut Reader, oid: u32, file: &str) -> Result<bool, Trouble> {
    let sql = "SELECT FROM pg_catalog.pg_index AS i WHERE i.indrelid = $1 AND pg_catalog.pg_relation_filepath(i.indexrelid) = $2";
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
