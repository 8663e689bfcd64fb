//! Where the outage went: before the fault, until the promotion, until a client was back.

use anyhow::Result;
use plotters::prelude::{ChartBuilder, PathElement, Rectangle};
use plotters::style::{Color as _, RGBColor};
use report::show::us;
use report::takeovers::Takeover;

use super::colour::{self, BLUE, GREEN, INK, ORANGE, PURPLE};
use super::{Area, Screen, filled};
use crate::html;

/// Height of the picture, in pixels.
const HEIGHT: u32 = 36;

/// A part of the outage.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Part {
    pub(crate) name: &'static str,
    pub(crate) us: u64,
    colour: RGBColor,
}

/// The parts, in the order of time: together they are the outage. None, if it has no end.
pub(crate) fn parts(takeover: &Takeover) -> Vec<Part> {
    let marks = &takeover.marks;
    let (Some(t0), Some(t1), Some(t4)) = (marks.t0_us, marks.t1_us, marks.t4_us) else { return Vec::new() };
    let has_takeover = takeover.fault.has_takeover();
    let answer = if has_takeover { marks.t3_us } else { takeover.thawed_us };
    let (Some(answer), fault) = (answer, t0.clamp(t1, t4)) else { return Vec::new() };
    let answer = answer.clamp(fault, t4);
    let connecting = marks.connecting_us.unwrap_or(0).min(t4 - answer);
    // What was on its way is acknowledged after the fault, and the outage begins with the last of it.
    let until = match (has_takeover, t1 > t0) {
        (true, false) => "from the fault until the standby was promoted",
        (true, true) => "from the last ack until the standby was promoted",
        (false, false) => "while the primary was frozen",
        (false, true) => "from the last ack while the primary was frozen",
    };
    let part = |name, us, colour| Part { name, us, colour };
    let mut parts = vec![
        part("before the fault, without an ack", fault - t1, ORANGE),
        part(until, answer - fault, BLUE),
        part("until a client was acknowledged", t4 - answer - connecting, GREEN),
        part("the load's own connecting", connecting, PURPLE),
    ];
    parts.retain(|part| part.us > 0);
    parts
}

/// Draws them; `None` if the outage has no end.
///
/// # Errors
/// If they cannot be painted.
pub(crate) fn picture(takeover: &Takeover) -> Result<Option<String>> {
    let parts = parts(takeover);
    let all_us: u64 = parts.iter().map(|part| part.us).sum();
    if all_us == 0 {
        return Ok(None);
    }
    let marks = &takeover.marks;
    let noticed = marks.t2_us.zip(marks.t1_us).map(|(t2, t1)| t2.saturating_sub(t1)).filter(|at| *at <= all_us);
    let keys: String = parts
        .iter()
        .map(|part| {
            let colour = colour::number(part.colour);
            let share = part.us as f64 * 100.0 / all_us as f64;
            let shown = html::figure("part_us", Some(part.us), &us(part.us));
            format!("<li><b class=\"key c{}\">{}</b> {shown} ({share:.0} %)</li>", &colour[1..], part.name)
        })
        .collect();
    let line = match (noticed, marks.t2_us.zip(marks.t0_us)) {
        (Some(_), Some((t2, t0))) => {
            format!("The line is the moment at which the first client noticed, {} after the fault.", us(t2 - t0))
        }
        _ => String::new(),
    };
    let paint = |area: &Area<'_>, _: Screen| {
        let mut chart = ChartBuilder::on(area).margin(2).build_cartesian_2d(0.0..all_us as f64, 0.0..1.0)?;
        let mut from = 0.0;
        for part in &parts {
            let to = from + part.us as f64;
            chart.draw_series([Rectangle::new([(from, 0.0), (to, 1.0)], filled(part.colour))])?;
            from = to;
        }
        if let Some(at) = noticed {
            chart.draw_series([PathElement::new([(at as f64, 0.0), (at as f64, 1.0)], INK.stroke_width(2))])?;
        }
        Ok(())
    };
    let caption = format!("<ul class=\"parts\">{keys}</ul>{line}");
    super::figure("Where the outage went", &caption, HEIGHT, paint).map(Some)
}

#[cfg(test)]
mod tests {
    use super::parts;
    use crate::run::Run;
    use crate::section::tests::sample;

    #[test]
    fn the_parts_are_together_the_outage() {
        for name in ["drill-held", "drill-broken"] {
            let run = Run::read(&sample(name)).unwrap();
            let takeover = &run.takeovers[0];
            let sum: u64 = parts(takeover).iter().map(|part| part.us).sum();
            assert_eq!(Some(sum), takeover.marks.outage_us(), "{name}");
        }
    }

    #[test]
    fn an_outage_without_an_end_has_no_parts() {
        let mut run = Run::read(&sample("drill-held")).unwrap();
        run.takeovers[0].marks.t4_us = None;
        assert!(parts(&run.takeovers[0]).is_empty());
    }
}
