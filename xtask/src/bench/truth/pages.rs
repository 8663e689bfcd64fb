//! Pages of PostgreSQL's files, changed from outside: with a checksum that is right, or one that is not.

use anyhow::{Context as _, Result, bail, ensure};

use super::dice::Dice;

/// Bytes of a page, unless the server was built otherwise; then its checksums do not fit, and nothing is changed.
pub(super) const PAGE: usize = 8192;
/// Bytes of a page's header.
pub(super) const HEADER: usize = 24;
/// Where the header has the checksum.
const CHECKSUM: usize = 8;

const SUMS: usize = 32;
const FNV_PRIME: u32 = 16_777_619;
/// The seeds of the 32 sums, from PostgreSQL's `checksum_impl.h`.
#[rustfmt::skip]
const SEEDS: [u32; SUMS] = [
    0x5B1F_36E9, 0xB852_5960, 0x02AB_50AA, 0x1DE6_6D2A, 0x79FF_467A, 0x9BB9_F8A3, 0x217E_7CD2, 0x83E1_3D2C,
    0xF8D4_474F, 0xE39E_B970, 0x42C6_AE16, 0x9932_16FA, 0x7B09_3B5D, 0x98DA_FF3C, 0xF718_902A, 0x0B1C_9CDB,
    0xE58F_764B, 0x1876_36BC, 0x5D7B_3BB1, 0xE73D_E7DE, 0x92BE_C979, 0xCCA6_C0B2, 0x304A_0979, 0x85AA_43D4,
    0x7831_25BB, 0x6CA8_EAA2, 0xE407_EAC6, 0x4B5C_FC3E, 0x9FBF_8C76, 0x15CA_20BE, 0xF2CA_9FD3, 0x959B_D756,
];

/// The checksum that a page should have as block `block` of its file (PostgreSQL's `pg_checksum_page`).
fn checksum(page: &[u8], block: u32) -> u16 {
    let mix = |sum: &mut u32, word: u32| {
        let mixed = *sum ^ word;
        *sum = mixed.wrapping_mul(FNV_PRIME) ^ (mixed >> 17);
    };
    let mut sums = SEEDS;
    for (n, word) in page.chunks_exact(4).enumerate() {
        let mut word = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
        if n == CHECKSUM / 4 {
            word &= 0xFFFF_0000; // the checksum itself counts as 0
        }
        mix(&mut sums[n % SUMS], word);
    }
    for _ in 0..2 {
        sums.iter_mut().for_each(|sum| mix(sum, 0));
    }
    let all = sums.into_iter().fold(0, |all, sum| all ^ sum) ^ block;
    (all % 65_535 + 1) as u16
}

/// A file of pages. What is changed is written by [`Pages::write`], to the same file, which keeps its owner.
pub(super) struct Pages {
    file: String,
    bytes: Vec<u8>,
}

impl Pages {
    /// Those of a file, whose checksums are proven to be what we think: else a page would be damaged that should not be.
    ///
    /// # Errors
    /// If it has other checksums.
    pub(super) fn of(file: &str, bytes: Vec<u8>) -> Result<Pages> {
        let pages = Pages { file: file.to_owned(), bytes };
        for block in 0..pages.blocks() {
            let page = pages.page(block);
            let stored = u16_at(page, CHECKSUM);
            ensure!(
                is_zero(page) || stored == checksum(page, block as u32),
                "{} block {block}: its checksum is {stored}: are data checksums off, or pages of another size?",
                pages.file
            );
        }
        Ok(pages)
    }

    pub(super) fn blocks(&self) -> usize {
        self.bytes.len() / PAGE
    }

    pub(super) fn page(&self, block: usize) -> &[u8] {
        &self.bytes[block * PAGE..(block + 1) * PAGE]
    }

    /// Changes a page. `sealed`: and gives it the checksum that it should have then.
    pub(super) fn change(&mut self, block: usize, sealed: bool, change: impl FnOnce(&mut [u8])) {
        let page = &mut self.bytes[block * PAGE..(block + 1) * PAGE];
        change(page);
        if sealed && !is_zero(page) {
            let sum = checksum(page, block as u32);
            page[CHECKSUM..CHECKSUM + 2].copy_from_slice(&sum.to_le_bytes());
        }
    }

    /// Makes a page one of zeros.
    pub(super) fn zero(&mut self, block: usize) {
        self.change(block, false, |page| page.fill(0));
    }

    /// Leaves only the first `bytes` of the file.
    pub(super) fn truncate(&mut self, bytes: usize) {
        self.bytes.truncate(bytes);
    }

    /// The block and place of a text in it.
    pub(super) fn find(&self, text: &str) -> Result<(usize, usize)> {
        let found = self.bytes.windows(text.len()).position(|window| window == text.as_bytes());
        let found = found.with_context(|| format!("{}: {text:?} is not in it", self.file))?;
        Ok((found / PAGE, found % PAGE))
    }

    /// A page that holds something, from `first` to `last`.
    pub(super) fn draw(&self, first: usize, last: usize, dice: &mut Dice) -> Result<usize> {
        let used: Vec<usize> =
            (first..self.blocks().min(last.saturating_add(1))).filter(|block| !is_zero(self.page(*block))).collect();
        match used.get(dice.below(used.len() as u64) as usize) {
            Some(block) => Ok(*block),
            None => bail!("{}: it has no page from {first} on", self.file),
        }
    }

    /// All of them.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Whether a page is one that was never used.
pub(super) fn is_zero(page: &[u8]) -> bool {
    page.iter().all(|byte| *byte == 0)
}

/// The 16 bits at a place of a page, as this machine's byte order has them (little-endian).
pub(super) fn u16_at(page: &[u8], place: usize) -> u16 {
    u16::from_le_bytes([page[place], page[place + 1]])
}

/// As [`u16_at`], 32 bits.
pub(super) fn u32_at(page: &[u8], place: usize) -> u32 {
    u32::from(u16_at(page, place)) | u32::from(u16_at(page, place + 2)) << 16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_hangs_on_every_bit_and_on_the_block() {
        let mut page = vec![0; PAGE];
        page[100] = 7;
        let sum = checksum(&page, 3);
        assert_ne!(sum, checksum(&page, 4));
        page[CHECKSUM] = 0xAB;
        assert_eq!(sum, checksum(&page, 3), "it does not cover itself");
        page[8_191] = 1;
        assert_ne!(sum, checksum(&page, 3));
    }
}
