use std::collections::BTreeSet;

use super::{Differences, EndedXids, Reads, Version, judge};
use crate::fingerprint::Fingerprint;
use crate::tid::{Tid, Xid};

/// A version at line pointer `offset` of block 0, written by `xmin`.
fn row(key: &str, offset: u16, xmin: u32, hash: i64) -> Version {
    let key = Some(key.to_owned());
    Version { ctid: Tid { block: 0, offset }, xmin: Xid(xmin), xmax: Xid::NONE, key, hash: Fingerprint(hash, 0) }
}

fn keyless(offset: u16, xmin: u32, hash: i64) -> Version {
    Version { key: None, ..row("", offset, xmin, hash) }
}

fn with_xmax(version: Version, xmax: u32) -> Version {
    Version { xmax: Xid(xmax), ..version }
}

/// Rows as one of the three reads shows them.
trait Shown<'a>: IntoIterator<Item = &'a Version> {}
impl<'a, Rows: IntoIterator<Item = &'a Version>> Shown<'a> for Rows {}

fn look<'a>(primary_before: impl Shown<'a>, standby: impl Shown<'a>, primary_after: impl Shown<'a>) -> Differences {
    look_knowing(primary_before, standby, primary_after, &EndedXids::default())
}

fn look_knowing<'a>(
    primary_before: impl Shown<'a>,
    standby: impl Shown<'a>,
    primary_after: impl Shown<'a>,
    ended: &EndedXids,
) -> Differences {
    let rows = |shown: Vec<&Version>| shown.into_iter().cloned().collect();
    let [primary_before, standby, primary_after] =
        [primary_before.into_iter().collect(), standby.into_iter().collect(), primary_after.into_iter().collect()]
            .map(rows);
    judge(&Reads { primary_before, standby, primary_after }, None, ended)
}

fn ended(xmin: &[u32], xmax: &[u32]) -> EndedXids {
    let set = |ids: &[u32]| ids.iter().copied().map(Xid).collect();
    EndedXids { xmin: set(xmin), xmax: set(xmax), shown: None }
}

fn counts(look: &Differences) -> (usize, usize, usize, usize) {
    (look.missing.len(), look.extra.len(), look.different.len(), look.again.len())
}

#[test]
fn equal_reads_prove_nothing() {
    let rows = [row("1", 1, 700, 11), row("2", 2, 700, 22)];
    assert_eq!(look(&rows, &rows, &rows), Differences::default());
}

#[test]
fn a_row_that_stayed_on_the_primary_and_is_not_on_the_standby_is_missing() {
    let rows = [row("1", 1, 700, 11), row("2", 2, 700, 22)];
    let look = look(&rows, &rows[..1], &rows);
    assert_eq!(counts(&look), (1, 0, 0, 0));
    assert_eq!(look.missing[0], rows[1]);
}

#[test]
fn the_same_version_with_another_content_is_different() {
    let (good, bad) = (row("1", 1, 700, 11), row("1", 1, 700, 99));
    let look = look([&good], [&bad], [&good]);
    assert_eq!((counts(&look), look.shown), ((0, 0, 1, 0), vec![bad.hash]));
}

#[test]
fn what_others_can_change_is_different_once_all_have_ended_who_ran_when_it_was_shown() {
    let (good, bad, worse) = (row("1", 1, 700, 11), row("1", 1, 700, 99), row("1", 1, 700, 98));
    let mut ended = EndedXids { shown: Some(std::collections::HashSet::new()), ..EndedXids::default() };
    let first = look_knowing([&good], [&bad], [&good], &ended);
    assert_eq!((counts(&first), first.ask_shown.len()), ((0, 0, 0, 1), 1));
    ended.shown.as_mut().unwrap().extend(first.ask_shown);
    assert_eq!(counts(&look_knowing([&good], [&worse], [&good], &ended)), (0, 0, 0, 1), "that was not shown then");
    assert_eq!(counts(&look_knowing([&good], [&bad], [&good], &ended)), (0, 0, 1, 0));
}

#[test]
fn a_changed_key_is_a_row_missing_and_one_extra() {
    let (good, bad) = (row("1", 1, 700, 11), row("9", 1, 700, 99));
    let first = look([&good], [&bad], [&good]);
    assert_eq!(counts(&first), (1, 0, 0, 1), "the extra row's writer is not known to have ended");
    let second = look_knowing([&good], [&bad], [&good], &ended(&[700], &[]));
    assert_eq!(counts(&second), (1, 1, 0, 0));
}

#[test]
fn a_row_in_a_sync_wait_is_visible_on_the_standby_only_and_no_difference() {
    let waiting = row("1", 1, 700, 11);
    let first = look([], [&waiting], []);
    assert_eq!(counts(&first), (0, 0, 0, 1));
    assert_eq!(first.ask_xmin, BTreeSet::from([Xid(700)]));
    // Its writer ended meanwhile: so the row is there at the next look.
    let second = look_knowing([&waiting], [&waiting], [&waiting], &ended(&[700], &[]));
    assert_eq!(second, Differences::default());
}

#[test]
fn a_row_whose_writer_had_ended_before_the_first_read_is_extra() {
    let ghost = row("1", 1, 700, 11);
    assert_eq!(counts(&look_knowing([], [&ghost], [], &ended(&[700], &[]))), (0, 1, 0, 0));
}

#[test]
fn a_frozen_row_is_settled_by_its_frozen_writer() {
    // What verify_settled.sql says of ids 1 and 2: nobody who runs.
    let ghost = row("1", 1, 2, 11);
    assert_eq!(counts(&look_knowing([], [&ghost], [], &ended(&[2], &[]))), (0, 1, 0, 0));
    let rows = [row("2", 2, 2, 22)];
    assert_eq!(counts(&look(&rows, [], &rows)), (1, 0, 0, 0));
}

#[test]
fn a_delete_in_a_sync_wait_is_no_missing_row() {
    // The deleter's commit is replayed there; here it waits, its row is visible, and its id stands in xmax.
    let rows = [with_xmax(row("1", 1, 700, 11), 701)];
    let first = look(&rows, [], &rows);
    assert_eq!(counts(&first), (0, 0, 0, 1));
    assert_eq!(first.ask_xmax, BTreeSet::from([Xid(701)]));
    // Ended before the first read, and the row still visible: it was rolled back, or only a lock.
    assert_eq!(counts(&look_knowing(&rows, [], &rows, &ended(&[], &[701]))), (1, 0, 0, 0));
    // Another one came between the reads.
    let later = [with_xmax(row("1", 1, 700, 11), 702)];
    assert_eq!(counts(&look_knowing(&rows, [], &later, &ended(&[], &[701]))), (0, 0, 0, 1));
}

#[test]
fn an_update_in_a_sync_wait_is_no_difference() {
    let old = [with_xmax(row("1", 1, 700, 11), 701)];
    let new = [row("1", 2, 701, 12)];
    assert_eq!(counts(&look(&old, &new, &old)), (0, 0, 0, 1));
}

#[test]
fn a_row_updated_between_the_reads_agrees_with_either() {
    let (old, new) = (row("1", 1, 700, 11), row("1", 2, 701, 12));
    assert_eq!(look([&old], [&new], [&new]), Differences::default());
    assert_eq!(look([&old], [&old], [&new]), Differences::default());
}

#[test]
fn a_row_updated_twice_between_the_reads_is_looked_at_again() {
    let versions = [row("1", 1, 700, 11), row("1", 2, 701, 12), row("1", 3, 702, 13)];
    let look = look(&versions[..1], &versions[1..2], &versions[2..]);
    assert_eq!(counts(&look), (0, 0, 0, 1));
}

#[test]
fn rows_that_came_or_went_between_the_reads_are_no_difference() {
    let rows = [row("1", 1, 700, 11)];
    assert_eq!(look(&rows, [], []), Differences::default());
    assert_eq!(look([], [], &rows), Differences::default());
    assert_eq!(look([], &rows, &rows), Differences::default());
}

#[test]
fn an_old_version_risen_again_on_the_standby_is_extra() {
    let (old, new) = (row("1", 1, 700, 11), row("1", 2, 701, 12));
    let there = [old, new.clone()];
    let look = look_knowing([&new], &there, [&new], &ended(&[700, 701], &[]));
    assert_eq!(counts(&look), (0, 1, 0, 0));
    assert_eq!(look.extra[0].xmin, Xid(700));
}

#[test]
fn a_table_altered_between_the_reads_proves_nothing() {
    let (before, after) = (row("1", 1, 700, 11), row("1", 1, 700, 77));
    assert_eq!(counts(&look([&before], &[row("1", 1, 700, 55)], [&after])), (0, 0, 0, 1));
}

#[test]
fn only_what_was_open_is_looked_at_again() {
    let rows = [row("1", 1, 700, 11), row("2", 2, 700, 22)];
    let reads = Reads { primary_before: rows.to_vec(), standby: vec![], primary_after: rows.to_vec() };
    let look = judge(&reads, Some(&BTreeSet::from(["2".to_owned()])), &EndedXids::default());
    assert_eq!(look.missing, rows[1..]);
}

#[test]
fn rows_without_a_key_are_told_apart_by_their_place() {
    let twins = [keyless(1, 700, 11), keyless(2, 700, 11)];
    assert_eq!(look(&twins, &twins, &twins), Differences::default());
    let look = look(&twins, &twins[..1], &twins);
    assert_eq!(look.missing, twins[1..]);
}

/// The rule that all cases above are instances of, over every small history: whatever the order of commits, waits and
/// reads, a standby that only lags or runs ahead is never called broken.
#[test]
fn no_honest_history_of_one_row_proves_a_difference() {
    // Versions of one key over time; the writer of version n deletes version n - 1 and may wait between becoming
    // visible on the standby and on the primary. `here` and `there` count the commits visible on each node.
    for (here1, there, here2) in (0..4_u32).flat_map(|a| (a..4).flat_map(move |b| (a..=b).map(move |c| (a, b, c)))) {
        // The standby may show what the primary still waits with (there > here2), never less than the first read.
        let shown = |visible: u32, waiting: bool| -> Vec<Version> {
            if visible == 0 {
                return vec![];
            }
            let version = row("1", visible as u16, 699 + visible, i64::from(visible));
            vec![if waiting { with_xmax(version, 700 + visible) } else { version }]
        };
        let primary_before = shown(here1, here1 < there);
        let primary_after = shown(here2, here2 < there);
        // Known to have ended before the first read: exactly what it shows as committed.
        let known = ended(&(700..700 + here1).collect::<Vec<_>>(), &(700..700 + here1).collect::<Vec<_>>());
        let look = look_knowing(&primary_before, &shown(there, false), &primary_after, &known);
        assert_eq!((look.missing.len(), look.extra.len(), look.different.len()), (0, 0, 0), "{here1} {there} {here2}");
    }
}
