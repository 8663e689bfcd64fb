//! Leaves of a btree, as their pages show them (PostgreSQL's `nbtree.h`).

use super::dice::Dice;
use super::pages::{HEADER, Pages, is_zero, u16_at, u32_at};

/// Flags of a page: a leaf, the meta page, and pages that are deleted or half dead.
const LEAF: u16 = 1;
const NOT_IN_USE: u16 = 4 | 8 | 16;
/// In a tuple's info: its TID is not one of a single row.
const OTHER_TID: u16 = 0x2000;
/// Bytes of a TID.
const TID: usize = 6;

/// A leaf with two rows or more, drawn at random; not the root, where there are others.
pub(super) fn leaf(index: &Pages, dice: &mut Dice) -> Option<usize> {
    let leaves: Vec<usize> = (1..index.blocks()).filter(|block| is_leaf(index.page(*block))).collect();
    leaves.get(dice.below(leaves.len() as u64) as usize).copied()
}

fn is_leaf(page: &[u8]) -> bool {
    if is_zero(page) {
        return false;
    }
    let special = usize::from(u16_at(page, 16));
    let flags = u16_at(page, special + 12);
    flags & LEAF != 0 && flags & NOT_IN_USE == 0 && tids(page).len() >= 2
}

/// Where the TIDs of a leaf's rows are in its page.
fn tids(page: &[u8]) -> Vec<usize> {
    let (lower, special) = (usize::from(u16_at(page, 12)), usize::from(u16_at(page, 16)));
    let has_high_key = u32_at(page, special + 4) != 0; // there is a page to the right
    let pointers = (HEADER..lower).step_by(4).skip(usize::from(has_high_key));
    let tuples = pointers.map(|pointer| (u32_at(page, pointer) & 0x7FFF) as usize);
    tuples.filter(|tuple| u16_at(page, tuple + TID) & OTHER_TID == 0).collect()
}

/// Exchanges the TIDs of two rows of a leaf: each key then leads to the other one's row.
pub(super) fn exchange_tids(page: &mut [u8], dice: &mut Dice) {
    let tids = tids(page);
    if let [a, b] = dice.some(2, tids.len() as u64)[..] {
        let [a, b] = [a, b].map(|number| tids[number as usize - 1]);
        (0..TID).for_each(|byte| page.swap(a + byte, b + byte));
    }
}
