//! The time line around a takeover: what became of the writes in each interval, and the marks T0 to T5.

use anyhow::Result;
use plotters::prelude::{ChartBuilder, PathElement, Rectangle, Text};
use plotters::style::Color as _;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use program::judged::Drill;
use report::takeovers::Takeover;

use super::colour::{BLUE, CUT, FAINT, INK, ORANGE, OUTAGE, SKY, VERMILION};
use super::{Area, Screen, axes, filled, round_us, upright_words, width_px, words};
use crate::bins::Bins;

/// Height of the picture, in pixels.
const HEIGHT: u32 = 320;

/// The share of the height above the highest bar, where the marks have their names.
const ROOM_FOR_NAMES: f64 = 0.62;

/// The least and the most that is shown before and after, in microseconds.
const PAD_US: (u64, u64) = (200_000, 5_000_000);

/// The longest time that is shown after a fault that nobody answered.
const WITHOUT_T4_US: u64 = 10_000_000;

/// What the four colours of a bar mean, from below.
const STACK: [plotters::style::RGBColor; 4] = [BLUE, SKY, VERMILION, ORANGE];

/// Draws it; `None` if there was no fault to draw it around.
///
/// # Errors
/// If it cannot be painted.
pub(crate) fn time_line(drill: &Drill, takeover: &Takeover) -> Result<Option<String>> {
    let Some(t0_us) = takeover.marks.t0_us else { return Ok(None) };
    let window = window(takeover, t0_us);
    let caption = "Writes per interval by when their outcome became known, in seconds from the fault (T0): \
        <b class=\"key blue\">acked</b> <b class=\"key sky\">acked without the standby</b> <b class=\"key vermilion\">failed</b> \
        <b class=\"key orange\">unknown</b>. The <b class=\"key outage\">band</b> is the outage, from the last old ack (T1) to the \
        first new one (T4); the <b class=\"key cut\">grey band</b>, if there is one, the time in which the standbys were cut off.";
    let alt = format!("Time line of takeover {}: writes per interval around the fault", takeover.step);
    let paint = |area: &Area<'_>, screen: Screen| {
        let bins = Bins::count(&drill.evidence.ledger, window, t0_us, screen.most_points());
        paint(area, screen, takeover, &bins, t0_us)
    };
    super::figure(&alt, caption, HEIGHT, paint).map(Some)
}

/// From when to when it is drawn: the outage with what lies around it.
fn window(takeover: &Takeover, t0_us: u64) -> (u64, u64) {
    let marks = &takeover.marks;
    let first = [marks.t1_us, takeover.cut_begun_us, Some(t0_us)].into_iter().flatten().min().unwrap_or(t0_us);
    let unanswered = || takeover.last_us.min(t0_us + WITHOUT_T4_US);
    let last = marks.t4_us.unwrap_or_else(unanswered).max(marks.t3_us.unwrap_or(t0_us)).max(t0_us);
    let pad = ((last - first) / 2).clamp(PAD_US.0, PAD_US.1);
    let from = first.saturating_sub(pad).max(takeover.moments.start);
    (from, (last + pad).min(takeover.last_us.max(last + 1)))
}

/// The marks that lie in the picture, with what is said of them, in the order of time.
fn marks(takeover: &Takeover, (from, to): (u64, u64)) -> Vec<(u64, &'static str)> {
    let of = &takeover.marks;
    let first_new = if takeover.fault.has_takeover() { "T4 first new ack" } else { "T4 acked again" };
    let mut marks: Vec<(u64, &str)> = [
        (of.t1_us, "T1 last old ack"),
        (of.t0_us, "T0 the fault"),
        (of.t2_us, "T2 noticed"),
        (of.t3_us, "T3 promoted"),
        (of.t4_us, first_new),
        (of.t5_us, "T5 all clients well"),
    ]
    .into_iter()
    .filter_map(|(at, name)| Some((at.filter(|at| (from..=to).contains(at))?, name)))
    .collect();
    marks.sort();
    marks
}

fn paint(area: &Area<'_>, screen: Screen, takeover: &Takeover, bins: &Bins, t0_us: u64) -> Result<()> {
    let to_us = bins.begin_us(bins.bins.len());
    let seconds = |at_us: u64| (at_us as f64 - t0_us as f64) / 1e6;
    let most = bins.most().max(1) as f64;
    let top = most * (1.0 + ROOM_FOR_NAMES);
    let mut chart = ChartBuilder::on(area)
        .margin(6)
        .margin_right(18)
        .x_label_area_size(26)
        .y_label_area_size(52)
        .build_cartesian_2d(seconds(bins.from_us)..seconds(to_us), 0.0..top)?;
    let band = |from: Option<u64>, to: Option<u64>, colour| {
        let (from, to) = (from?.max(bins.from_us), to?.min(to_us));
        (from < to).then(|| Rectangle::new([(seconds(from), 0.0), (seconds(to), top)], filled(colour)))
    };
    let of = &takeover.marks;
    chart.draw_series(band(takeover.cut_begun_us, of.t0_us, CUT))?;
    chart.draw_series(band(of.t1_us, of.t4_us.or(Some(to_us)), OUTAGE))?;
    axes(chart.configure_mesh())
        .disable_x_mesh()
        .axis_desc_style(upright_words(FAINT))
        .x_labels(screen.labels())
        .y_labels(5)
        .x_label_formatter(&|at| if at.abs() < 0.005 { "0".to_owned() } else { format!("{at:+.2}") })
        .y_label_formatter(&|count| if *count <= most { format!("{count:.0}") } else { String::new() })
        .y_desc(format!("writes per {}", round_us(bins.length_us)))
        .draw()?;
    for (index, bin) in bins.bins.iter().enumerate() {
        let (left, right) = (seconds(bins.begin_us(index)), seconds(bins.begin_us(index + 1)));
        let mut below = 0.0;
        for (count, colour) in bin.counts().into_iter().zip(STACK).filter(|(count, _)| *count > 0) {
            let above = below + count as f64;
            chart.draw_series([Rectangle::new([(left, below), (right, above)], filled(colour))])?;
            below = above;
        }
    }
    let room = f64::from(screen.width()) - 76.0;
    let span = seconds(to_us) - seconds(bins.from_us);
    for (row, (at, name)) in marks(takeover, (bins.from_us, to_us)).into_iter().enumerate() {
        // Each name is below the one before, and its line ends there: no line crosses a name.
        let (x, y) = (seconds(at), top - (top - most) * (row as f64 + 0.1) / 6.3);
        chart.draw_series([PathElement::new([(x, 0.0), (x, y)], INK.stroke_width(1))])?;
        // To the left of its line where there is no room to the right.
        let left_px = (x - seconds(bins.from_us)) / span * room;
        let fits = left_px + width_px(name) < room;
        let (side, gap) = if fits { (HPos::Left, 4.0) } else { (HPos::Right, -4.0) };
        let style = words(INK).pos(Pos::new(side, VPos::Top));
        chart.draw_series([Text::new(name, (x + gap / room * span, y), style)])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use report::words::Fault;

    use crate::run::Run;

    #[test]
    fn the_window_holds_the_outage_and_a_bit_around_it_and_marks_stand_in_order() {
        let run = Run::read(&crate::section::tests::sample("drill-broken")).unwrap();
        let takeover = &run.takeovers[0];
        let t0 = takeover.marks.t0_us.unwrap();
        let window = super::window(takeover, t0);
        assert!(window.0 < takeover.cut_begun_us.unwrap() && takeover.marks.t4_us.unwrap() < window.1, "{window:?}");
        let marks = super::marks(takeover, window);
        let names: Vec<&str> = marks.iter().map(|(_, name)| &name[..2]).collect();
        assert_eq!(names, ["T1", "T0", "T2", "T3", "T4", "T5"]);
        assert!(marks.is_sorted());
        let mut unanswered = takeover.clone();
        (unanswered.marks.t4_us, unanswered.fault) = (None, Fault::Freeze);
        assert!(super::window(&unanswered, t0).1 >= t0);
    }
}
