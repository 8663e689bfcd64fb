use super::{Compared, compare};
use crate::drill::DrillRow;
use crate::runs::Repetition;
use crate::verdict::Verdict::{self, Broken, Held, Unknown};

/// Numbers that look drawn by chance and are the same each time (xorshift).
struct Draw(u64);

impl Draw {
    /// Evenly below 1.
    fn unit(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Skewed, as times are: a floor and an exponential tail, in whole milliseconds, so that there are ties.
    fn time_us(&mut self) -> u64 {
        50_000 + (-self.unit().ln() * 20.0) as u64 * 1_000
    }
}

fn row() -> DrillRow {
    let files = crate::evidence::tests::Files::of_a_drill_that_held();
    crate::judge::judge(&files.read().unwrap()).unwrap().rows.remove(0)
}

fn drawn(draw: &mut Draw, like: &DrillRow, count: usize, times: f64) -> Vec<Repetition> {
    let one = |draw: &mut Draw| {
        let mut drill = like.clone();
        for figure in [&mut drill.outage_us, &mut drill.promotion_us, &mut drill.reroute_us, &mut drill.redundancy_us] {
            *figure = Some((draw.time_us() as f64 * times) as u64);
        }
        (drill.rejoin_us, drill.lost, drill.verdict) = (Some(draw.time_us()), Some(0), Held);
        Repetition { drill, beside: None }
    };
    (0..count).map(|_| one(draw)).collect()
}

fn verdict(before: &[Repetition], after: &[Repetition]) -> Verdict {
    compare(("a", "b"), before, after, 5.0).verdict
}

#[test]
fn of_two_thousand_equal_pairs_at_most_one_in_twenty_is_called_worse() {
    let (mut draw, row) = (Draw(1), row());
    let worse = (0..2_000).filter(|_| {
        let (a, b) = (drawn(&mut draw, &row, 8, 1.0), drawn(&mut draw, &row, 8, 1.0));
        verdict(&a, &b) == Broken
    });
    let worse = worse.count();
    assert!(worse <= 100, "{worse} of 2000");
}

#[test]
fn half_as_much_again_is_found_in_ten_and_ten() {
    let (mut draw, row) = (Draw(2), row());
    let found = (0..200).filter(|_| {
        let (a, b) = (drawn(&mut draw, &row, 10, 1.0), drawn(&mut draw, &row, 10, 1.5));
        verdict(&a, &b) == Broken
    });
    let found = found.count();
    assert!(found >= 180, "{found} of 200");
}

#[test]
fn better_is_not_worse_and_a_significant_trifle_is_not_either() {
    let (mut draw, row) = (Draw(3), row());
    let (a, b) = (drawn(&mut draw, &row, 10, 1.0), drawn(&mut draw, &row, 10, 0.5));
    assert_eq!(verdict(&a, &b), Held);
    let mut shifted = a.clone();
    let exact = |runs: &mut Vec<Repetition>, base: u64| {
        for (index, run) in runs.iter_mut().enumerate() {
            run.drill.outage_us = Some(base + index as u64);
        }
    };
    let mut a = a;
    exact(&mut a, 100_000);
    exact(&mut shifted, 101_000);
    assert_eq!(verdict(&a, &shifted), Held, "1 %");
    exact(&mut shifted, 110_000);
    assert_eq!(verdict(&a, &shifted), Broken, "10 %");
}

#[test]
fn what_was_not_seen_is_no_pass() {
    let (mut draw, row) = (Draw(4), row());
    let a = drawn(&mut draw, &row, 8, 1.0);
    assert_eq!(verdict(&a, &a[..4]), Unknown, "too few");
    assert_eq!(verdict(&a, &[]), Unknown, "none");
    let changed = |change: fn(&mut DrillRow)| {
        let mut b = a.clone();
        change(&mut b[3].drill);
        verdict(&a, &b)
    };
    assert_eq!(changed(|_| ()), Held);
    assert_eq!(changed(|row| row.lost = None), Unknown, "a figure is missing");
    assert_eq!(changed(|row| row.outage_kind = Some(crate::words::OutageKind::AtLeast)), Unknown, "a bound");
    assert_eq!(changed(|row| row.verdict = Unknown), Unknown);
    assert_eq!(changed(|row| row.verdict = Broken), Broken);
}

/// What was never seen took longer than all that was: without it the earlier run looks better than it is.
#[test]
fn a_figure_that_is_missing_here_and_there_makes_nothing_worse() {
    let (mut draw, row) = (Draw(6), row());
    let (mut a, b) = (drawn(&mut draw, &row, 10, 1.0), drawn(&mut draw, &row, 10, 4.0));
    a.iter_mut().step_by(2).for_each(|run| run.drill.redundancy_us = None);
    let of = |name: &str| {
        let rows = compare(("a", "b"), &a, &b, 5.0).rows;
        rows.into_iter().find(|row| row.figure == name).unwrap()
    };
    assert_eq!((of("redundancy_us").verdict, of("redundancy_us").p_worse), (Unknown, None));
    assert_eq!(of("outage_us").verdict, Broken, "which was seen each time");
}

#[test]
fn promises_that_are_broken_more_often_are_no_pass() {
    let (mut draw, row) = (Draw(7), row());
    let broken = |draw: &mut Draw, times: usize| {
        let mut runs = drawn(draw, &row, 10, 1.0);
        runs.iter_mut().take(times).for_each(|run| run.drill.verdict = Broken);
        runs
    };
    let found = |draw: &mut Draw, was, is| {
        let (a, mut b) = (broken(draw, was), broken(draw, is));
        b.iter_mut().zip(&a).for_each(|(b, a)| b.drill = DrillRow { verdict: b.drill.verdict, ..a.drill.clone() });
        verdict(&a, &b)
    };
    for (was, is, expected) in [(0, 1, Broken), (1, 10, Broken), (1, 2, Unknown), (2, 2, Held), (10, 1, Held)] {
        assert_eq!(found(&mut draw, was, is), expected, "{was} before, {is} after");
    }
}

#[test]
fn apples_and_pears_are_named_and_so_is_what_neither_has() {
    let (mut draw, row) = (Draw(5), row());
    let a = drawn(&mut draw, &row, 8, 1.0);
    let mut b = a.clone();
    b.iter_mut().for_each(|run| run.drill.clients = 77);
    let Compared { rows, warnings, .. } = compare(("a", "b"), &a, &b, 5.0);
    assert!(
        warnings.iter().any(|said| said.starts_with("clients differs: ") && said.ends_with("77 after")),
        "{warnings:?}"
    );
    assert!(warnings.iter().any(|said| said.starts_with("lag_p99_us is in neither")), "{warnings:?}");
    assert!(rows.iter().all(|row| row.figure != "lag_p99_us"));
}
