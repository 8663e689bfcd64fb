//! Visible lag of each standby over the run. A sample is a range, between which and which the commit became visible; what is
//! still open has a lower end only, and is drawn as an arrow.

use std::collections::BTreeMap;

use anyhow::Result;
use plotters::prelude::{ChartBuilder, Circle, EmptyElement, IntoLogRange as _, PathElement, Text, TriangleMarker};
use plotters::style::Color as _;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use report::lag::{LagRow, LagStatus};
use report::takeovers::Takeover;

use super::colour::{self, INK};
use super::{Area, Screen, axes, filled, round_us, words};
use crate::html;

/// Height of the picture, in pixels.
const HEIGHT: u32 = 260;

/// The shortest lag that has a place of its own on the axis, in microseconds.
const SHORTEST_US: u64 = 100;

/// What one standby showed in one interval of the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Column {
    /// The least and the most that the lag of a beat was.
    seen_us: Option<(u64, u64)>,
    /// The longest lower bound of a beat that was not seen yet.
    open_us: Option<u64>,
}

/// Draws it; `None` without a sample.
///
/// # Errors
/// If it cannot be painted.
pub(crate) fn lag(rows: &[LagRow], takeovers: &[Takeover]) -> Result<Option<String>> {
    let times = || rows.iter().map(|row| row.at_us);
    let Some((from, to)) = times().min().zip(times().max()) else { return Ok(None) };
    let longest = rows.iter().filter_map(|row| row.visible_max_us.max(row.visible_min_us)).max().unwrap_or(0);
    let standbys: Vec<&str> =
        rows.iter().map(|row| &*row.standby).collect::<std::collections::BTreeSet<_>>().into_iter().collect();
    let keys: String = standbys
        .iter()
        .enumerate()
        .map(|(index, name)| {
            format!(" <b class=\"key series{}\">{}</b>", index % colour::SERIES.len(), html::text(name))
        })
        .collect();
    let caption = format!(
        "Visible lag by the clock of one process, in seconds of the run, on a logarithmic scale:{keys}. A line reaches from the \
         least to the most that it can have been; a triangle is a commit that was not visible yet, after at least that long. \
         Lines from top to bottom are faults (T0)."
    );
    let paint = |area: &Area<'_>, screen: Screen| {
        let step_us = (to - from).div_ceil(screen.most_points()).max(1);
        let mut chart = ChartBuilder::on(area)
            .margin(6)
            .margin_right(18)
            .x_label_area_size(26)
            .y_label_area_size(62)
            .build_cartesian_2d(
            0.0..((to - from) as f64 / 1e6).max(0.001),
            (SHORTEST_US..(longest * 2).max(SHORTEST_US * 100)).log_scale(),
        )?;
        axes(chart.configure_mesh())
            .disable_x_mesh()
            .x_labels(screen.labels())
            .y_labels(6)
            .x_label_formatter(&|at| format!("{at:.0}"))
            .y_label_formatter(&|lag| round_us(*lag))
            .draw()?;
        let seconds = |at_us: u64| (at_us.max(from) - from) as f64 / 1e6;
        for t0 in takeovers.iter().filter_map(|takeover| takeover.marks.t0_us).filter(|t0| (from..=to).contains(t0)) {
            let (x, top) = (seconds(t0), (longest * 2).max(SHORTEST_US * 100));
            chart.draw_series([PathElement::new([(x, SHORTEST_US), (x, top)], INK.stroke_width(1))])?;
            let style = words(INK).pos(Pos::new(HPos::Left, VPos::Top));
            chart.draw_series([EmptyElement::at((x, top)) + Text::new("T0", (4, 0), style)])?;
        }
        for (index, standby) in standbys.iter().enumerate() {
            let colour = colour::SERIES[index % colour::SERIES.len()];
            for (column, found) in columns(rows, standby, from, step_us) {
                let x = seconds(from + column * step_us + step_us / 2);
                if let Some((least, most)) = found.seen_us {
                    let (least, most) = (least.max(SHORTEST_US), most.max(SHORTEST_US));
                    chart.draw_series([PathElement::new([(x, least), (x, most)], colour.stroke_width(2))])?;
                    chart.draw_series([Circle::new((x, most), 2, filled(colour))])?;
                }
                if let Some(open) = found.open_us {
                    chart.draw_series([TriangleMarker::new((x, open.max(SHORTEST_US)), 5, colour.stroke_width(1))])?;
                }
            }
        }
        Ok(())
    };
    super::figure("Visible lag of each standby over the run", &caption, HEIGHT, paint).map(Some)
}

/// The samples of a standby by interval, in order.
fn columns(rows: &[LagRow], standby: &str, from_us: u64, step_us: u64) -> BTreeMap<u64, Column> {
    let mut columns = BTreeMap::new();
    for row in rows.iter().filter(|row| row.standby == standby) {
        let column = columns.entry((row.at_us - from_us) / step_us).or_insert(Column { seen_us: None, open_us: None });
        match (row.status, row.visible_min_us, row.visible_max_us) {
            (LagStatus::Seen, Some(least), Some(most)) => {
                let (low, high) = column.seen_us.unwrap_or((least, most));
                column.seen_us = Some((low.min(least), high.max(most)));
            }
            (LagStatus::AtLeast | LagStatus::Unreachable, Some(least), _) => {
                column.open_us = column.open_us.max(Some(least));
            }
            _ => {}
        }
    }
    columns
}

#[cfg(test)]
mod tests {
    use report::lag::LagRow;

    use super::{Column, columns};

    #[test]
    fn an_interval_keeps_the_least_and_the_most_and_what_is_open() {
        let text = "run,at_us,standby,beat,visible_min_us,visible_max_us,write_lag_us,flush_lag_us,replay_lag_us,sent_gap_bytes,\
            write_gap_bytes,flush_gap_bytes,replay_gap_bytes,slot_kept_bytes,state,sync_state,status\n\
            r,1000,a,1,50,90,,,,,,,,,,,seen\nr,1100,a,2,20,70,,,,,,,,,,,seen\nr,1200,b,2,1,2,,,,,,,,,,,seen\n\
            r,2500,a,3,400,,,,,,,,,,,,at_least\nr,2600,a,3,500,,,,,,,,,,,,unreachable\nr,3600,a,3,,,,,,,,,,,,,beat_lost\n";
        let rows: Vec<LagRow> = report::rows::read(text.as_bytes()).unwrap();
        let found: Vec<_> = columns(&rows, "a", 1_000, 1_000).into_iter().collect();
        assert_eq!(
            found,
            [
                (0, Column { seen_us: Some((20, 90)), open_us: None }),
                (1, Column { seen_us: None, open_us: Some(500) }),
                (2, Column { seen_us: None, open_us: None })
            ]
        );
    }
}
