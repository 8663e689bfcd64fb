//! What a node cannot read because it is damaged there: which blocks, which files, and what the server said.

use std::collections::{BTreeMap, BTreeSet};

use crate::difference::{NAMED, Words};
use crate::read_error::ReadError;

/// Damaged blocks of one table after which no more are looked for: one would be enough, and each takes some reads.
const MOST: usize = 1_000;

/// How many ranges of blocks a message names.
const RANGES: usize = 50;

/// Where something is damaged.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Spot {
    /// A block of the table; or what it refers to, such as the parts of a long value.
    Block(u64),
    /// A file that is not there.
    File(String),
    /// Something else, by its name.
    Other(String),
}

/// Whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    Primary,
    Standby,
}

/// The damage of one table on the primary and one standby.
#[derive(Debug, Default)]
pub(crate) struct Damage {
    spots: BTreeSet<(Side, Spot)>,
    words: Words,
    /// What the nodes are called on which blocks are damaged.
    nodes: BTreeMap<Side, String>,
    /// Blocks that could not be read, also where they count once for a file that is not there.
    blocks: usize,
    /// Whether the table's own file is not there: then nothing of it can be read.
    whole: bool,
}

impl Damage {
    /// How many blocks and files are damaged.
    pub(crate) fn count(&self) -> u64 {
        self.spots.len() as u64
    }

    pub(crate) fn is_none(&self) -> bool {
        self.spots.is_empty()
    }

    /// Whether one of them is damaged there.
    pub(crate) fn is_on(&self, side: Side) -> bool {
        self.spots.iter().any(|(of, _)| *of == side)
    }

    /// Whether no more is to be looked for.
    pub(crate) fn is_enough(&self) -> bool {
        self.whole || self.blocks >= MOST
    }

    /// Whether a file of the table itself is not there.
    pub(crate) fn is_whole(&self) -> bool {
        self.whole
    }

    /// What is damaged, in order.
    pub(crate) fn spots(&self) -> impl Iterator<Item = &(Side, Spot)> {
        self.spots.iter()
    }

    /// Counts a block that was looked at by itself and could not be read.
    pub(crate) fn unreadable(&mut self) {
        self.blocks += 1;
    }

    /// Keeps that `node` cannot read a block.
    pub(crate) fn block(&mut self, side: Side, node: &str, block: u64, error: &ReadError) {
        self.nodes.insert(side, node.to_owned());
        let spot = match error {
            ReadError::NoFile(file, _) => Spot::File(file.clone()),
            _ => Spot::Block(block),
        };
        self.add(side, spot, format!("damaged on {node}: block {block}: {error}"));
    }

    /// Keeps that the table's own file is not there on `node`.
    pub(crate) fn file(&mut self, side: Side, node: &str, file: &str, error: &ReadError) {
        self.whole = true;
        self.add(side, Spot::File(file.to_owned()), format!("damaged on {node}: {error}"));
    }

    /// Keeps that something else is damaged.
    pub(crate) fn other(&mut self, side: Side, what: String, error: &ReadError) {
        let sentence = format!("{what}: {error}");
        self.add(side, Spot::Other(what), sentence);
    }

    fn add(&mut self, side: Side, spot: Spot, sentence: String) {
        if self.spots.insert((side, spot)) {
            self.words.push(sentence);
        }
    }

    /// What there is to say: what the server said of the first few, and where all of them are.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.words.lines().take(NAMED).collect();
        for (side, node) in &self.nodes {
            let blocks: Vec<u64> = self
                .spots
                .iter()
                .filter_map(|(of, spot)| match spot {
                    Spot::Block(block) if of == side => Some(*block),
                    _ => None,
                })
                .collect();
            if !blocks.is_empty() {
                lines.push(format!("damaged on {node}: {}", ranges(&blocks)));
            }
        }
        lines
    }
}

/// Blocks in order, as `blocks 1, 5 to 7 and 9`, with a bound.
fn ranges(blocks: &[u64]) -> String {
    let ranges: Vec<_> = blocks.chunk_by(|a, b| a + 1 == *b).collect();
    let named: Vec<String> = ranges
        .iter()
        .take(RANGES)
        .map(|range| match range {
            [one] => one.to_string(),
            several => format!("{} to {}", several[0], several[several.len() - 1]),
        })
        .collect();
    let rest: usize = ranges.iter().skip(RANGES).map(|range| range.len()).sum();
    let more = if rest > 0 { format!(", and {rest} more") } else { String::new() };
    format!("block{} {}{more}", if blocks.len() == 1 { "" } else { "s" }, named.join(", "))
}

#[cfg(test)]
mod tests {
    use super::ranges;

    #[test]
    fn blocks_are_named_in_ranges_with_a_bound() {
        assert_eq!(ranges(&[7]), "block 7");
        assert_eq!(ranges(&[1, 5, 6, 7, 9]), "blocks 1, 5 to 7, 9");
        let odd: Vec<u64> = (0..60).map(|n| 2 * n).collect();
        assert!(ranges(&odd).ends_with("98, and 10 more"), "{}", ranges(&odd));
    }
}
