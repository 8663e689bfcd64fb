use std::collections::BTreeMap;

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use report::diff::DiffKind;

use super::Leftovers;
use crate::difference::{Difference, Place};
use crate::fingerprint::Fingerprint;
use crate::tid::Tid;

fn row(key: Option<u32>, standby: bool, block: u32, hash: i64) -> Difference {
    let place = Some(Place { part: 0, ctid: Tid { block, offset: 1 }, hash: Fingerprint(hash, -hash) });
    let key = key.map(|key| format!("key {key}"));
    let (primary, standby) = if standby { (None, place) } else { (place, None) };
    Difference { key, primary, standby }
}

fn settled(rows: &[Difference], limit: usize) -> Vec<Difference> {
    let mut leftovers = Leftovers::within(limit);
    rows.iter().for_each(|row| leftovers.add(row.clone()).unwrap());
    let mut left = Vec::new();
    leftovers
        .settle(&mut |difference| {
            left.push(difference);
            Ok(())
        })
        .unwrap();
    left
}

/// How many of each kind, by key, and without a key by content.
fn counts(left: &[Difference]) -> BTreeMap<(String, DiffKind), usize> {
    let mut counts = BTreeMap::new();
    for one in left {
        let name = one.key.clone().unwrap_or_else(|| format!("{:?}", one.place().unwrap().hash));
        *counts.entry((name, one.kind())).or_default() += 1;
    }
    counts
}

fn kinds(left: &[Difference]) -> Vec<DiffKind> {
    left.iter().map(Difference::kind).collect()
}

const ALL_IN_MEMORY: usize = usize::MAX;

#[test]
fn a_row_that_lies_elsewhere_is_equal_if_its_content_is() {
    assert_eq!(settled(&[row(Some(1), false, 1, 11), row(Some(1), true, 5, 11)], ALL_IN_MEMORY), []);
    let changed = settled(&[row(Some(1), false, 1, 11), row(Some(1), true, 5, 12)], ALL_IN_MEMORY);
    assert_eq!(kinds(&changed), [DiffKind::Different]);
    let risen = [row(Some(1), false, 1, 11), row(Some(1), true, 5, 12), row(Some(1), true, 6, 11)];
    assert_eq!(settled(&risen, ALL_IN_MEMORY), [row(Some(1), true, 5, 12)], "what is equal is matched first");
}

#[test]
fn rows_without_a_key_are_matched_as_a_multiset() {
    let rows = [
        row(None, false, 1, 11),
        row(None, false, 2, 11),
        row(None, false, 3, 33),
        row(None, true, 7, 11),
        row(None, true, 8, 44),
    ];
    let left = settled(&rows, ALL_IN_MEMORY);
    assert_eq!(kinds(&left), [DiffKind::Missing, DiffKind::Missing, DiffKind::Extra]);
    assert_eq!((&left[1], &left[2]), (&rows[2], &rows[4]));
}

#[test]
fn what_went_through_files_gives_the_same_as_in_memory() {
    for seed in 0..40 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let (names, contents) = (random.random_range(1..2_000), random.random_range(1..50));
        let keyed = random.random_bool(0.5);
        let mut rows = Vec::new();
        for block in 0..random.random_range(0..4_000) {
            let key = keyed.then(|| random.random_range(0..names));
            rows.push(row(key, random.random_bool(0.5), block, random.random_range(0..contents)));
        }
        let in_memory = settled(&rows, ALL_IN_MEMORY);
        for limit in [0, 1_000, 100_000] {
            assert_eq!(counts(&settled(&rows, limit)), counts(&in_memory), "seed {seed}, limit {limit}");
        }
    }
}

#[test]
fn many_rows_of_one_content_take_no_memory() {
    let rows: Vec<_> = (0..20_000).map(|block| row(None, block % 3 == 0, block, 7)).collect();
    let left = settled(&rows, 1_000);
    assert_eq!(left.len(), 20_000 - 2 * rows.iter().filter(|row| row.standby.is_some()).count());
    assert!(left.iter().all(|one| one.kind() == DiffKind::Missing));
}
