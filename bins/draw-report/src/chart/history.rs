//! The outages of a history, one after the other.

use anyhow::Result;
use plotters::prelude::{ChartBuilder, Circle};
use plotters::style::{Color as _, RGBColor};
use report::verdict::Verdict;

use super::colour::{BLUE, FAINT, ORANGE, VERMILION};
use super::{Area, Screen, axes, filled, round_us, upright_words};

/// Height of the picture, in pixels.
const HEIGHT: u32 = 220;

/// The outage of one drill.
pub(crate) struct Outage {
    pub(crate) us: u64,
    /// It had no end: it took longer than that.
    pub(crate) open: bool,
    pub(crate) verdict: Verdict,
}

/// Draws outages in the order of their drills, each in the colour of its verdict; `None` if there are none.
///
/// # Errors
/// If it cannot be painted.
pub(crate) fn outages(drills: &[Outage]) -> Result<Option<String>> {
    let Some(longest) = drills.iter().map(|drill| drill.us).max() else { return Ok(None) };
    let caption = "Outage of each drill, from the first to the latest: <b class=\"key blue\">held</b> \
        <b class=\"key vermilion\">broken</b> <b class=\"key orange\">unknown</b>";
    let caption =
        format!("{caption}{}.", if drills.iter().any(|drill| drill.open) { "; a ring: at least so long" } else { "" });
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
        let point = |(index, drill): (usize, &Outage)| {
            let (colour, at) = (colour(drill.verdict), ((index + 1) as f64, drill.us as f64));
            Circle::new(at, 4, if drill.open { colour.stroke_width(2) } else { filled(colour) })
        };
        chart.draw_series(drills.iter().enumerate().map(point))?;
        Ok(())
    };
    super::figure("Outages over time", &caption, HEIGHT, paint).map(Some)
}

fn colour(verdict: Verdict) -> RGBColor {
    match verdict {
        Verdict::Held => BLUE,
        Verdict::Broken => VERMILION,
        Verdict::Unknown => ORANGE,
    }
}
