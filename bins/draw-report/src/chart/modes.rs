//! The price list: what one pays, throughput and latency, against what one gets for it, lag, outage and loss. A small picture
//! for each two of them, in which a cell is a number at its medians, with lines from the least to the most.

use std::ops::Range;

use anyhow::Result;
use plotters::coord::ranged1d::{AsRangedCoord, Ranged, ValueFormatter};
use plotters::prelude::{ChartBuilder, Circle, IntoLogRange as _, PathElement, Text};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color as _, RGBColor};
use report::modes::{Cell, FIGURES, Figure, Spread};

use super::colour::{FAINT, INK, SERIES};
use super::labels::{self, Place};
use super::{Area, Screen, axes, filled, round_us, words};

/// Height of one of the small pictures, in pixels.
const HEIGHT: u32 = 230;

/// What stands upwards and what sideways, by their columns.
const PAID: [&str; 2] = ["acked_per_s", "commit_p99_us"];
const GOT: [&str; 3] = ["lag_p99_us", "outage_us", "lost"];

/// The colour of a cell, by the place of its kind among the kinds.
pub(crate) fn colour(kind: usize) -> RGBColor {
    SERIES[kind % SERIES.len()]
}

/// A cell in one of the small pictures.
struct Point {
    number: usize,
    kind: usize,
    x: Spread,
    y: Spread,
}

/// Draws all of them; `kinds` says of each cell of which kind it is. `None` if there is no cell that has two figures.
///
/// # Errors
/// If they cannot be painted.
pub(crate) fn modes(cells: &[Cell<'_>], kinds: &[usize], caption: &str) -> Result<Option<String>> {
    let pairs: Vec<(&Figure, &Figure)> =
        PAID.iter().flat_map(|paid| GOT.iter().filter_map(|got| Some((figure(paid)?, figure(got)?)))).collect();
    if pairs.iter().all(|(paid, got)| points(cells, kinds, paid, got).is_empty()) {
        return Ok(None);
    }
    let height = |screen: Screen| match screen {
        Screen::Wide => HEIGHT * 2,
        Screen::Narrow => HEIGHT * 6,
    };
    let paint = |area: &Area<'_>, screen: Screen| {
        let (rows, columns) = if screen == Screen::Wide { (2, 3) } else { (6, 1) };
        for (area, (paid, got)) in area.split_evenly((rows, columns)).iter().zip(&pairs) {
            panel(area, &points(cells, kinds, paid, got), paid, got)?;
        }
        Ok(())
    };
    super::figure_of_height("Throughput and latency against lag, outage and loss", caption, height, paint).map(Some)
}

fn figure(name: &str) -> Option<&'static Figure> {
    FIGURES.iter().find(|figure| figure.name == name)
}

/// Cells without one of the two figures have no place. On a scale of tens nothing has none, so a figure that may be on one is a
/// microsecond, or a write in a second, at least.
fn points(cells: &[Cell<'_>], kinds: &[usize], paid: &Figure, got: &Figure) -> Vec<Point> {
    let spread = |cell: &Cell<'_>, figure: &Figure| {
        let (spread, floor) = (cell.spread(figure)?, u64::from(may_be_by_tens(figure)));
        let [least, median, most] = [spread.least, spread.median, spread.most].map(|value| value.max(floor));
        Some(Spread { least, median, most, ..spread })
    };
    let point = |(index, cell): (usize, &Cell<'_>)| {
        Some(Point { number: index + 1, kind: kinds[index], x: spread(cell, got)?, y: spread(cell, paid)? })
    };
    cells.iter().enumerate().filter_map(point).collect()
}

fn is_time(figure: &Figure) -> bool {
    figure.name.ends_with("_us")
}

/// Lost writes may not: none of them is the figure that one hopes for.
fn may_be_by_tens(figure: &Figure) -> bool {
    figure.name != "lost"
}

/// How far figures may differ on a plain scale: beyond that the small ones lie on the axis.
const TENFOLD: u64 = 10;

/// From where to where an axis goes, and whether on a scale of tens, which then has whole powers at both ends.
fn scale(figure: &Figure, spreads: impl Iterator<Item = Spread> + Clone) -> (Range<u64>, bool) {
    let least = spreads.clone().map(|spread| spread.least).min().unwrap_or(0);
    let most = spreads.map(|spread| spread.most).max().unwrap_or(0);
    if !may_be_by_tens(figure) || most / TENFOLD < least {
        return (0..(most + most / 8).max(4), false);
    }
    let tens = |exponent: u32| 10_u64.saturating_pow(exponent);
    (tens(least.max(1).ilog10())..tens(most.max(1).ilog10() + 1), true)
}

fn panel(area: &Area<'_>, points: &[Point], paid: &Figure, got: &Figure) -> Result<()> {
    let (x, x_by_tens) = scale(got, points.iter().map(|point| point.x));
    let (y, y_by_tens) = scale(paid, points.iter().map(|point| point.y));
    match (x_by_tens, y_by_tens) {
        (false, false) => paint(area, points, (paid, got), x, y),
        (false, true) => paint(area, points, (paid, got), x, y.log_scale()),
        (true, false) => paint(area, points, (paid, got), x.log_scale(), y),
        (true, true) => paint(area, points, (paid, got), x.log_scale(), y.log_scale()),
    }
}

/// One small picture, on whatever scales.
fn paint<X, Y>(area: &Area<'_>, points: &[Point], (paid, got): (&Figure, &Figure), x: X, y: Y) -> Result<()>
where
    X: AsRangedCoord<Value = u64>,
    Y: AsRangedCoord<Value = u64>,
    X::CoordDescType: Ranged<ValueType = u64> + ValueFormatter<u64>,
    Y::CoordDescType: Ranged<ValueType = u64> + ValueFormatter<u64>,
{
    let mut chart = ChartBuilder::on(area)
        .margin(6)
        .margin_right(20)
        .x_label_area_size(42)
        .y_label_area_size(72)
        .build_cartesian_2d(x, y)?;
    let shown = |figure: &Figure, value: u64| if is_time(figure) { round_us(value) } else { value.to_string() };
    axes(chart.configure_mesh())
        .axis_desc_style(words(FAINT))
        .x_desc(got.heading)
        .y_desc(paid.heading)
        .x_labels(4)
        .y_labels(4)
        .x_label_formatter(&|value| shown(got, *value))
        .y_label_formatter(&|value| shown(paid, *value))
        .draw()?;
    for point in points {
        let line = colour(point.kind).stroke_width(1);
        let (x, y) = (point.x, point.y);
        let (left, right) = ((x.least, y.median), (x.most, y.median));
        let (below, above) = ((x.median, y.least), (x.median, y.most));
        chart.draw_series([PathElement::new([left, right], line), PathElement::new([below, above], line)])?;
    }
    let medians = points.iter().map(|point| (point.x.median, point.y.median));
    chart.draw_series(medians.clone().zip(points).map(|(at, point)| Circle::new(at, 4, filled(colour(point.kind)))))?;
    let inside = chart.plotting_area();
    let (left, top) = (inside.get_x_axis_pixel_range().start, inside.get_y_axis_pixel_range().start);
    let in_pixels = |at| {
        let (x, y) = inside.map_coordinate(&at);
        (x - left, y - top)
    };
    numbers(&inside.strip_coord_spec(), medians.map(in_pixels).zip(points))
}

/// The number of each point, with a line to it where it is not beside it.
fn numbers<'a>(area: &Area<'_>, points: impl Iterator<Item = (Place, &'a Point)>) -> Result<()> {
    let points: Vec<(usize, Place)> = points.map(|(at, point)| (point.number, at)).collect();
    let (width, height) = area.dim_in_pixel();
    let size = (i32::try_from(width)?, i32::try_from(height)?);
    for ((number, at), label) in points.iter().zip(labels::place(&points, size)) {
        if let Some(end) = label.line {
            area.draw(&PathElement::new([*at, end], FAINT.stroke_width(1)))?;
        }
        let style = words(INK).pos(Pos::new(HPos::Left, VPos::Top));
        area.draw(&Text::new(number.to_string(), label.at, style))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use report::modes::{FIGURES, Spread};

    use super::scale;

    #[test]
    fn a_scale_begins_at_nothing_unless_figures_differ_tenfold() {
        let spread = |least, most| Spread { least, median: least, most, count: 2 };
        let of = |name: &str, spreads: &[Spread]| {
            let figure = FIGURES.iter().find(|figure| figure.name == name).unwrap();
            scale(figure, spreads.iter().copied())
        };
        assert_eq!(of("lag_p99_us", &[spread(1_600, 8_000), spread(2_000, 2_500)]), (0..9_000, false));
        assert_eq!(of("lag_p99_us", &[spread(1_600, 8_000), spread(2_000, 25_000)]), (1_000..100_000, true));
        assert_eq!(of("acked_per_s", &[spread(3_000, 8_000)]), (0..9_000, false));
        assert_eq!(of("acked_per_s", &[spread(100, 8_000)]), (100..10_000, true));
        assert_eq!(of("lost", &[spread(1, 80)]), (0..90, false));
        assert_eq!(of("lost", &[spread(0, 0)]), (0..4, false));
        assert_eq!(of("lag_p99_us", &[spread(1, 1_000)]), (1..10_000, true));
    }
}
