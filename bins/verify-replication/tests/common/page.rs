//! Pages of a relation's file, and their checksums.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// The bytes of a page.
pub(crate) const PAGE: usize = 8192;

/// Where a page keeps its checksum.
const CHECKSUM: std::ops::Range<usize> = 8..10;

/// `checksumBaseOffsets` of PostgreSQL's `checksum_impl.h`.
const OFFSETS: [u32; 32] = [
    0x5B1F36E9, 0xB8525960, 0x02AB50AA, 0x1DE66D2A, 0x79FF467A, 0x9BB9F8A3, 0x217E7CD2, 0x83E13D2C, 0xF8D4474F,
    0xE39EB970, 0x42C6AE16, 0x993216FA, 0x7B093B5D, 0x98DAFF3C, 0xF718902A, 0x0B1C9CDB, 0xE58F764B, 0x187636BC,
    0x5D7B3BB1, 0xE73DE7DE, 0x92BEC979, 0xCCA6C0B2, 0x304A0979, 0x85AA43D4, 0x783125BB, 0x6CA8EAA2, 0xE407EAC6,
    0x4B5CFC3E, 0x9FBF8C76, 0x15CA20BE, 0xF2CA9FD3, 0x959BD756,
];

/// The checksum that belongs to a page at this block.
fn checksum(page: &[u8], block: u64) -> u16 {
    let mut page = page.to_vec();
    page[CHECKSUM].fill(0);
    let mix = |sum: u32, value: u32| {
        let mixed = sum ^ value;
        mixed.wrapping_mul(16_777_619) ^ (mixed >> 17)
    };
    let mut sums = OFFSETS;
    for row in page.chunks(4 * sums.len()) {
        for (sum, value) in sums.iter_mut().zip(row.chunks(4)) {
            *sum = mix(*sum, u32::from_le_bytes(value.try_into().unwrap()));
        }
    }
    let folded = sums.iter().fold(0, |all, sum| all ^ mix(mix(*sum, 0), 0));
    u16::try_from((folded ^ block as u32) % 65_535 + 1).unwrap()
}

fn open(file: &Path) -> File {
    OpenOptions::new().read(true).write(true).open(file).unwrap()
}

/// Changes a page; its checksum stays as it was.
pub(crate) fn edit(file: &Path, block: u64, change: impl FnOnce(&mut [u8])) {
    let (file, mut page) = (open(file), vec![0; PAGE]);
    file.read_exact_at(&mut page, block * PAGE as u64).unwrap();
    change(&mut page);
    file.write_all_at(&page, block * PAGE as u64).unwrap();
}

/// Changes a page and gives it the checksum that belongs to what it is then.
pub(crate) fn edit_unseen(file: &Path, block: u64, change: impl FnOnce(&mut [u8])) {
    edit(file, block, |page| {
        assert_eq!(
            page[CHECKSUM],
            checksum(page, block).to_le_bytes(),
            "checksums are on, and this is how they are made"
        );
        change(page);
        let checksum = checksum(page, block).to_le_bytes();
        page[CHECKSUM].copy_from_slice(&checksum);
    });
}
