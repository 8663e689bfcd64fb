//! Latency of the acknowledged writes, second by second.

use anyhow::Result;
use plotters::prelude::{ChartBuilder, IntoLogRange as _, LineSeries};
use plotters::style::{Color as _, RGBColor};
use report::load::LoadRow;

use super::colour::{BLUE, ORANGE, VERMILION};
use super::{Area, Screen, axes, round_us};

/// Of a load that is shorter, in seconds, several labels are of the same second.
const SHORT: f64 = 10.0;

/// Height of the picture, in pixels.
const HEIGHT: u32 = 220;

/// A figure of one second.
type Figure = fn(&LoadRow) -> Option<u64>;

/// Draws it; `None` if nothing was acknowledged.
///
/// # Errors
/// If it cannot be painted.
pub(crate) fn latency(rows: &[LoadRow]) -> Result<Option<String>> {
    let Some(first) = rows.first() else { return Ok(None) };
    let figures: [(Figure, RGBColor); 3] =
        [(|row| row.p50_us, BLUE), (|row| row.p99_us, ORANGE), (|row| row.max_us, VERMILION)];
    let all = || figures.iter().flat_map(|(figure, _)| rows.iter().filter_map(*figure).map(|us| us.max(1)));
    let Some((least, most)) = all().min().zip(all().max()) else { return Ok(None) };
    let seconds = |row: &LoadRow| (row.at_us - first.at_us.min(row.at_us)) as f64 / 1e6;
    let to = rows.last().map_or(1.0, seconds).max(1.0);
    let caption = "Latency of the acknowledged writes from when each was due, per second of the load (of a long load, the worst of several), on a logarithmic scale: \
        <b class=\"key blue\">median</b> <b class=\"key orange\">99th percentile</b> <b class=\"key vermilion\">longest</b>.";
    let paint = |area: &Area<'_>, screen: Screen| {
        let mut chart = ChartBuilder::on(area)
            .margin(6)
            .margin_right(18)
            .x_label_area_size(26)
            .y_label_area_size(62)
            .build_cartesian_2d(0.0..to, (least / 2..most * 2).log_scale())?;
        axes(chart.configure_mesh())
            .disable_x_mesh()
            .x_labels(screen.labels())
            .y_labels(5)
            .x_label_formatter(&|at| if to < SHORT { format!("{at:.1}") } else { format!("{at:.0}") })
            .y_label_formatter(&|latency| round_us(*latency))
            .draw()?;
        // Of more seconds than there is room for, the worst of each group stands for it.
        let size = rows.len().div_ceil(usize::try_from(screen.most_points())?);
        for (figure, colour) in figures {
            let worst =
                |group: &[LoadRow]| Some((seconds(group.last()?), group.iter().filter_map(figure).max()?.max(1)));
            chart.draw_series(LineSeries::new(rows.chunks(size).filter_map(worst), colour.stroke_width(2)))?;
        }
        Ok(())
    };
    super::figure("Latency of the acknowledged writes over the load", caption, HEIGHT, paint).map(Some)
}
