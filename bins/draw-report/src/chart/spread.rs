//! One figure of several runs: a point for each takeover.

use anyhow::Result;
use plotters::prelude::{ChartBuilder, Circle, EmptyElement, PathElement, Text};
use plotters::style::Color as _;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use report::percentiles::median;

use super::colour::{BLUE, FAINT, INK};
use super::{Area, Screen, axes, filled, round_us, words};
use crate::html;

/// Height of a run's line and of the axis, in pixels.
const LINE: u32 = 26;

/// Draws the outages of runs, each with its name; `None` if there are none.
///
/// # Errors
/// If it cannot be painted.
pub(crate) fn outages(runs: &[(String, Vec<u64>)]) -> Result<Option<String>> {
    let Some(longest) = runs.iter().flat_map(|(_, outages)| outages).max().copied() else { return Ok(None) };
    let names: String = runs.iter().map(|(name, _)| format!("<li>{}</li>", html::text(name))).collect();
    let caption = format!(
        "Outage of each takeover, a line for each run in this order, with a mark at its median; of one without an end its lower bound: <ol>{names}</ol>"
    );
    let count = runs.len();
    let height = LINE * (u32::try_from(count)? + 2);
    let paint = |area: &Area<'_>, screen: Screen| {
        let mut chart = ChartBuilder::on(area)
            .margin(6)
            .margin_right(18)
            .x_label_area_size(26)
            .y_label_area_size(30)
            .build_cartesian_2d(0.0..longest as f64 * 1.05, 0.0..count as f64)?;
        axes(chart.configure_mesh())
            .disable_y_mesh()
            .x_labels(screen.labels())
            .y_labels(0)
            .x_label_formatter(&|outage| round_us(*outage as u64))
            .draw()?;
        for (index, (_, outages)) in runs.iter().enumerate() {
            let y = count as f64 - index as f64 - 0.5;
            let number =
                Text::new((index + 1).to_string(), (-6, 0), words(FAINT).pos(Pos::new(HPos::Right, VPos::Center)));
            chart.draw_series([EmptyElement::at((0.0, y)) + number])?;
            for outage in outages {
                chart.draw_series([Circle::new((*outage as f64, y), 4, filled(BLUE))])?;
            }
            if let Some(middle) = median(outages) {
                let x = middle as f64;
                chart.draw_series([PathElement::new([(x, y - 0.4), (x, y + 0.4)], INK.stroke_width(2))])?;
            }
        }
        Ok(())
    };
    super::figure("Outages of the runs", &caption, height, paint).map(Some)
}
