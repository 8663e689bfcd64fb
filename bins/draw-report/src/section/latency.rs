//! Latency before, during and after each takeover.

use anyhow::Result;
use program::judged::Drill;
use report::percentiles::Percentiles;
use report::show::us;
use report::takeovers::Takeover;

use super::{note, section};
use crate::chart::latency as picture;
use crate::html;
use crate::run::Run;

/// # Errors
/// If the picture cannot be painted.
pub(crate) fn latency(run: &Run) -> Result<String> {
    let Some(drill) = run.drill() else { return Ok(String::new()) };
    let picture = match &run.load {
        Ok(rows) => picture::latency(rows)?.unwrap_or_else(|| note("Nothing was acknowledged.")),
        Err(error) => note(&format!("No picture: {error:#}")),
    };
    let head = ["", "writes", "median", "p95", "p99", "longest"].map(str::to_owned);
    let rows: Vec<_> =
        run.takeovers.iter().flat_map(|takeover| rows(drill, takeover, run.takeovers.len() > 1)).collect();
    let table = html::table("figures", &head, &rows);
    let caption = "Before: known before the fault (T0). During: from T0 until every client was well again (T5; without it until the \
        end). After: from then on. A write that was due in the outage waited for its end, so its latency holds what it waited.";
    Ok(section("Latency", &format!("{table}<p class=\"caption\">{caption}</p>\n{picture}")))
}

/// A row for each of the three, of one takeover.
fn rows(drill: &Drill, takeover: &Takeover, numbered: bool) -> Vec<Vec<String>> {
    let Some(t0) = takeover.marks.t0_us else { return Vec::new() };
    let well = takeover.marks.t5_us.unwrap_or(u64::MAX);
    let (from, to) = (takeover.moments.start, takeover.moments.end);
    let number = if numbered { format!(" ({})", takeover.step) } else { String::new() };
    [("before", from..t0), ("during", t0..well.min(to)), ("after", well.min(to)..to)]
        .into_iter()
        .map(|(name, moments)| {
            let mut found = Percentiles::default();
            let acks = drill.evidence.ledger.acks.iter().filter(|ack| moments.contains(&ack.at_us));
            acks.filter_map(|ack| ack.latency_us).for_each(|us| found.record(us));
            let figure = |percentile: &str, value: Option<u64>| {
                html::figure(&format!("latency_{name}_{percentile}_us"), value, &value.map_or("–".to_owned(), us))
            };
            vec![
                format!("{name}{number}"),
                found.count().to_string(),
                figure("p50", found.at(50.0)),
                figure("p95", found.at(95.0)),
                figure("p99", found.at(99.0)),
                figure("max", found.max()),
            ]
        })
        .collect()
}
