//! The outages of a history, one after the other.

use anyhow::Result;
use plotters::prelude::{ChartBuilder, Circle};
use plotters::style::RGBColor;
use report::verdict::Verdict;

use super::colour::{BLUE, FAINT, ORANGE, VERMILION};
use super::{Area, Screen, axes, filled, round_us, upright_words};

/// Height of the picture, in pixels.
const HEIGHT: u32 = 220;

/// Draws outages in the order of their drills, each in the colour of its verdict; `None` if there are none.
///
/// # Errors
/// If it cannot be painted.
pub(crate) fn outages(drills: &[(u64, Verdict)]) -> Result<Option<String>> {
    let Some(longest) = drills.iter().map(|(outage, _)| *outage).max() else { return Ok(None) };
    let caption = "Outage of each drill, from the first to the latest: <b class=\"key blue\">held</b> \
        <b class=\"key vermilion\">broken</b> <b class=\"key orange\">unknown</b>.";
    let paint = |area: &Area<'_>, screen: Screen| {
        let mut chart = ChartBuilder::on(area)
            .margin(6)
            .margin_right(18)
            .x_label_area_size(26)
            .y_label_area_size(72)
            .build_cartesian_2d(0.5..drills.len() as f64 + 0.5, 0.0..longest.max(1) as f64 * 1.1)?;
        axes(chart.configure_mesh())
            .disable_x_mesh()
            .axis_desc_style(upright_words(FAINT))
            .x_labels(screen.labels().min(drills.len()))
            .y_labels(5)
            .x_label_formatter(&|number| format!("{number:.0}"))
            .y_label_formatter(&|outage| round_us(*outage as u64))
            .draw()?;
        let point = |(index, (outage, verdict)): (usize, &(u64, Verdict))| {
            Circle::new(((index + 1) as f64, *outage as f64), 4, filled(colour(*verdict)))
        };
        chart.draw_series(drills.iter().enumerate().map(point))?;
        Ok(())
    };
    super::figure("Outages over time", caption, HEIGHT, paint).map(Some)
}

fn colour(verdict: Verdict) -> RGBColor {
    match verdict {
        Verdict::Held => BLUE,
        Verdict::Broken => VERMILION,
        Verdict::Unknown => ORANGE,
    }
}
