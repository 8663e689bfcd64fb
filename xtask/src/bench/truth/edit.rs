//! One change of one file of a stopped standby.

use anyhow::{Context as _, Result};

use super::btree;
use super::damage::{Edit, MARK};
use super::data_dir::DataDir;
use super::dice::Dice;
use super::pages::{HEADER, PAGE, Pages};

/// A bit that turns one digit into another one.
const BIT: u8 = 1;

/// A line pointer that is dead: its flags, and neither a place nor a length.
const DEAD: u32 = 3 << 15;

/// Does to a file what `edit` says; returns what was done, in words.
///
/// # Errors
/// If the file is not what it should be: then nothing is changed.
pub(super) fn edit(data: &DataDir, file: &str, edit: Edit, dice: &mut Dice) -> Result<String> {
    if edit == Edit::Remove {
        data.remove(file)?;
        return Ok("the file is gone".to_owned());
    }
    let mut pages = Pages::of(file, data.read(file)?)?;
    let done = change(&mut pages, edit, dice).with_context(|| file.to_owned())?;
    data.write(file, pages.bytes())?;
    Ok(done)
}

fn change(pages: &mut Pages, edit: Edit, dice: &mut Dice) -> Result<String> {
    let no_leaf = "the index has no leaf with two rows";
    Ok(match edit {
        Edit::Flip { sealed } => {
            let (block, place) = flip_place(pages, dice)?;
            pages.change(block, sealed, |page| page[place] ^= BIT);
            format!("block {block}, byte {place}")
        }
        Edit::Break { first, last } => broken(pages, first, last, dice)?,
        Edit::Bury => {
            let block = pages.draw(0, usize::MAX, dice)?;
            let pointer = HEADER + 4 * dice.below(20) as usize;
            pages.change(block, true, |page| page[pointer..pointer + 4].copy_from_slice(&DEAD.to_le_bytes()));
            format!("block {block}, byte {pointer}")
        }
        Edit::Zero => {
            let block = pages.draw(0, usize::MAX, dice)?;
            pages.zero(block);
            format!("block {block}")
        }
        Edit::Cut { in_page } => {
            let whole = pages.blocks() - 1;
            pages.truncate(whole * PAGE + if in_page { PAGE / 2 } else { 0 });
            format!("{whole} blocks are left")
        }
        Edit::ZeroLeaf => {
            let block = btree::leaf(pages, dice).context(no_leaf)?;
            pages.zero(block);
            format!("block {block}")
        }
        Edit::BreakLeaf => {
            let block = btree::leaf(pages, dice).context(no_leaf)?;
            broken(pages, block, block, dice)?
        }
        Edit::ExchangeTids => {
            let block = btree::leaf(pages, dice).context(no_leaf)?;
            pages.change(block, true, |page| btree::exchange_tids(page, dice));
            format!("block {block}")
        }
        Edit::AllVisible => {
            pages.change(0, true, |page| page[HEADER] |= 1);
            "block 0 of the table".to_owned()
        }
        Edit::Left | Edit::Remove => String::new(), // not done to pages
    })
}

/// The last byte of a mark in the file, whose rows are numbered from 1.
fn flip_place(pages: &Pages, dice: &mut Dice) -> Result<(usize, usize)> {
    let row = format!("{MARK}{:06}", 1 + dice.below(50));
    let (block, place) = pages.find(&row)?;
    Ok((block, place + row.len() - 1))
}

/// Flips a bit in the last bytes of a page, where a table and an index have what they hold, or their special space.
fn broken(pages: &mut Pages, first: usize, last: usize, dice: &mut Dice) -> Result<String> {
    let block = pages.draw(first, last, dice)?;
    let place = PAGE - 1 - dice.below(64) as usize;
    pages.change(block, false, |page| page[place] ^= BIT);
    Ok(format!("block {block}, byte {place}"))
}
