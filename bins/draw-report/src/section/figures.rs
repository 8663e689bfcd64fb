//! The figures that people ask for first, each with what it has to be read with.

use program::judged::Drill;
use report::drill::DrillRow;
use report::lag::{LagRow, LagSummary};
use report::show::{count, us};
use report::words::{OutageKind, Rejoin};

use crate::html;
use crate::run::Run;

/// The headline figures of a run's first takeover, or of its worst ones if there are several, as tiles.
pub(crate) fn figures(run: &Run) -> String {
    let Some(drill) = run.drill() else { return String::new() };
    let mut tiles = Vec::new();
    if let [row] = &drill.judged.rows[..] {
        tiles.extend([outage(row), lost(row), promoted(row)]);
        tiles.extend(redundancy(row));
        tiles.extend(rejoin(row));
        tiles.extend(floor(row));
    } else {
        tiles.extend(of_several(drill));
    }
    if let Some(Ok(rows)) = &run.judged.lag {
        tiles.extend(lag(rows));
    }
    format!("<div class=\"tiles\">{}</div>\n", tiles.concat())
}

fn tile(name: &str, figure: &str, beside: &str) -> String {
    format!("<div class=\"tile\"><h3>{name}</h3>{figure}<p>{}</p></div>\n", html::text(beside))
}

fn seen(time: Option<u64>) -> String {
    time.map_or("not seen".to_owned(), us)
}

fn outage(row: &DrillRow) -> String {
    let at_least = if row.outage_kind == Some(OutageKind::AtLeast) { "≥ " } else { "" };
    let figure = html::figure("outage_us", row.outage_us, &format!("{at_least}{}", seen(row.outage_us)));
    let resolution = match row.rate_per_s {
        Some(rate) => format!("± {} (the time between two writes); ", us(1_000_000 / rate.max(1))),
        None => String::new(),
    };
    let before = format!("longest gap before the fault {}", seen(row.longest_gap_before_us));
    tile("Outage", &figure, &format!("{resolution}{before}"))
}

fn lost(row: &DrillRow) -> String {
    let shown = row.lost.map_or("not read".to_owned(), |lost| lost.to_string());
    let beside = format!("of {} acknowledged; {} had an unknown outcome", row.acked, count(row.unknown, "write"));
    tile("Lost writes", &html::figure("lost", row.lost, &shown), &beside)
}

fn promoted(row: &DrillRow) -> String {
    let beside = format!("a client noticed after {}", seen(row.detection_us));
    let name = if row.fault.has_takeover() { "Promoted after" } else { "Noticed after" };
    match row.fault.has_takeover() {
        true => tile(name, &html::figure("promotion_us", row.promotion_us, &seen(row.promotion_us)), &beside),
        false => tile(name, &html::figure("detection_us", row.detection_us, &seen(row.detection_us)), ""),
    }
}

fn redundancy(row: &DrillRow) -> Option<String> {
    let figure = html::figure("redundancy_us", row.redundancy_us, &seen(row.redundancy_us));
    row.fault.has_takeover().then(|| tile("A standby again after", &figure, "from the fault until one streamed"))
}

fn rejoin(row: &DrillRow) -> Option<String> {
    let beside = match row.rejoin? {
        Rejoin::Rewind => format!("{} came back by pg_rewind", row.old_primary),
        Rejoin::Clone => format!("{} came back by a base backup", row.old_primary),
        Rejoin::Failed => format!("{} did not come back", row.old_primary),
    };
    Some(tile("Rejoin", &html::figure("rejoin_us", row.rejoin_us, &seen(row.rejoin_us)), &beside))
}

fn floor(row: &DrillRow) -> Option<String> {
    let floor = row.floor_us?;
    let times = row.outage_us.map_or(String::new(), |outage| {
        format!("; the outage is {:.1} times that", outage as f64 / floor.max(1) as f64)
    });
    let beside = format!("kill, pg_ctl promote, first write on these nodes{times}");
    Some(tile("Raw floor", &html::figure("floor_us", Some(floor), &us(floor)), &beside))
}

/// What is said of several takeovers: the worst of each figure.
fn of_several(drill: &Drill) -> Vec<String> {
    let rows = &drill.judged.rows;
    if rows.is_empty() {
        return vec![tile("Takeovers", "none", "the verdict says why")];
    }
    let longest = rows.iter().map(|row| row.outage_us).max().flatten();
    let of = match rows.iter().filter(|row| row.outage_us.is_some()).count() {
        seen if seen == rows.len() => format!("of {seen} takeovers"),
        seen => format!("of {seen} of {} takeovers: the others' were not seen", rows.len()),
    };
    let at_least = rows.iter().any(|row| row.outage_kind == Some(OutageKind::AtLeast));
    let shown = format!("{}{}", if at_least { "≥ " } else { "" }, seen(longest));
    let lost = rows.iter().map(|row| row.lost).sum::<Option<u64>>();
    let said = lost.map_or("not read".to_owned(), |lost| lost.to_string());
    let acked: u64 = rows.iter().map(|row| row.acked).sum();
    vec![
        tile("Longest outage", &html::figure("outage_us", longest, &shown), &of),
        tile("Lost writes", &html::figure("lost", lost, &said), &format!("of {acked} acknowledged")),
    ]
}

/// The lag of each standby.
fn lag(rows: &[LagRow]) -> Vec<String> {
    let standbys = LagSummary::by_standby(rows);
    let tile_of = |(name, summary): (&str, LagSummary)| {
        let lost = summary.lost();
        let (lag, open) = summary.finish();
        let mut beside =
            format!("median {}, longest {}; {}", seen(lag.at(50.0)), seen(lag.max()), count(lag.count(), "beat"));
        if let Some(open) = open {
            beside.push_str(&format!("; one never seen, for ≥ {}", us(open)));
        }
        if lost > 0 {
            beside.push_str(&format!("; {} lost with their timeline", count(lost, "beat")));
        }
        let p99 = lag.at(99.0);
        tile(&format!("Lag of {} (p99)", html::text(name)), &html::figure("lag_p99_us", p99, &seen(p99)), &beside)
    };
    standbys.into_iter().map(tile_of).collect()
}
