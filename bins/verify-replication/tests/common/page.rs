//! A page of a file, changed as a defect would: with a checksum that is right, or left wrong.

/// Bytes of a page.
const SIZE: usize = 8192;

/// A page in the bytes of a file.
pub(crate) struct Page<'a> {
    pub(crate) bytes: &'a mut [u8],
    pub(crate) block: u32,
}

impl Page<'_> {
    pub(crate) fn at(file: &mut [u8], block: usize) -> Option<Page<'_>> {
        let bytes = file.get_mut(block * SIZE..(block + 1) * SIZE)?;
        Some(Page { bytes, block: block.try_into().ok()? })
    }

    /// Where the item of a line pointer begins; line pointers count from 1.
    fn item(&self, pointer: usize) -> usize {
        let at = 24 + 4 * (pointer - 1);
        usize::from(u16::from_le_bytes([self.bytes[at], self.bytes[at + 1]]) & 0x7FFF)
    }

    /// Exchanges the places in the table that two entries of an index lead to.
    pub(crate) fn exchange_places(&mut self, one: usize, other: usize) {
        let (one, other) = (self.item(one), self.item(other));
        for byte in 0..6 {
            self.bytes.swap(one + byte, other + byte);
        }
    }

    pub(crate) fn set_checksum(&mut self) {
        let sum = checksum(self.bytes, self.block).to_le_bytes();
        self.bytes[8..10].copy_from_slice(&sum);
    }
}

/// The checksum of a page, as `src/include/storage/checksum_impl.h` of PostgreSQL describes it: FNV-1a in 32 lanes over words
/// of four bytes, with the checksum itself taken as 0.
pub(crate) fn checksum(page: &[u8], block: u32) -> u16 {
    const PRIME: u32 = 16_777_619;
    let mut sums = OFFSETS;
    let mix = |sum: u32, word: u32| {
        let mixed = sum ^ word;
        mixed.wrapping_mul(PRIME) ^ (mixed >> 17)
    };
    for (row, words) in page.chunks_exact(4 * sums.len()).enumerate() {
        for (lane, word) in words.chunks_exact(4).enumerate() {
            let mut word = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
            if row == 0 && lane == 2 {
                word &= 0xFFFF_0000;
            }
            sums[lane] = mix(sums[lane], word);
        }
    }
    for _ in 0..2 {
        sums.iter_mut().for_each(|sum| *sum = mix(*sum, 0));
    }
    let sum = sums.iter().fold(0, |all, sum| all ^ sum) ^ block;
    (sum % 65_535 + 1) as u16 // less than 65,536
}

const OFFSETS: [u32; 32] = [
    0x5B1F_36E9,
    0xB852_5960,
    0x02AB_50AA,
    0x1DE6_6D2A,
    0x79FF_467A,
    0x9BB9_F8A3,
    0x217E_7CD2,
    0x83E1_3D2C,
    0xF8D4_474F,
    0xE39E_B970,
    0x42C6_AE16,
    0x9932_16FA,
    0x7B09_3B5D,
    0x98DA_FF3C,
    0xF718_902A,
    0x0B1C_9CDB,
    0xE58F_764B,
    0x1876_36BC,
    0x5D7B_3BB1,
    0xE73D_E7DE,
    0x92BE_C979,
    0xCCA6_C0B2,
    0x304A_0979,
    0x85AA_43D4,
    0x7831_25BB,
    0x6CA8_EAA2,
    0xE407_EAC6,
    0x4B5C_FC3E,
    0x9FBF_8C76,
    0x15CA_20BE,
    0xF2CA_9FD3,
    0x959B_D756,
];
