//! The outage of each client, from its own last old ack to its own first new one, the shortest first.

use anyhow::Result;
use plotters::prelude::{ChartBuilder, Rectangle};
use report::takeovers::Takeover;

use super::colour::BLUE;
use super::{Area, Screen, axes, filled, round_us};

/// Height of the picture, in pixels.
const HEIGHT: u32 = 180;

/// For how many clients there is room at least: two bars are not to fill the picture.
const FEWEST: usize = 12;

/// Draws it; `None` if no client came back.
///
/// # Errors
/// If it cannot be painted.
pub(crate) fn clients(takeover: &Takeover) -> Result<Option<String>> {
    let mut outages: Vec<(u64, u32)> =
        takeover.marks.worker_outages_us.iter().map(|(worker, outage)| (*outage, *worker)).collect();
    outages.sort_unstable();
    let Some((longest, _)) = outages.last().copied() else { return Ok(None) };
    let stranded = match takeover.marks.workers_stranded {
        0 => String::new(),
        some => format!(" {} that wrote before the fault never came back.", report::show::count(some, "client")),
    };
    let caption = format!(
        "Outage of each client, the shortest first: from its own last old ack to its own first new one.{stranded}"
    );
    let paint = |area: &Area<'_>, screen: Screen| {
        let room = usize::try_from(screen.most_points())?.min(outages.len()).max(1);
        // Of more clients than there is room for, the longest outage of each group stands for it.
        let size = outages.len().div_ceil(room);
        let bars: Vec<u64> = outages.chunks(size).filter_map(|group| group.last()).map(|(outage, _)| *outage).collect();
        let mut chart = ChartBuilder::on(area)
            .margin(6)
            .x_label_area_size(8)
            .y_label_area_size(62)
            .build_cartesian_2d(0.0..bars.len().max(FEWEST) as f64, 0.0..longest as f64 * 1.1)?;
        axes(chart.configure_mesh())
            .disable_x_mesh()
            .x_labels(0)
            .y_labels(4)
            .y_label_formatter(&|outage| round_us(*outage as u64))
            .draw()?;
        for (index, outage) in bars.iter().enumerate() {
            let (left, right) = (index as f64 + 0.1, index as f64 + 0.9);
            chart.draw_series([Rectangle::new([(left, 0.0), (right, *outage as f64)], filled(BLUE))])?;
        }
        Ok(())
    };
    super::figure("Outage of each client", &caption, HEIGHT, paint).map(Some)
}
