//! `--openmetrics`: the figures as metrics. What is written is OpenMetrics, and all of it gauges, so that it is the older text
//! format of Prometheus as well: the only one that the node exporter's textfile collector reads.
//!
//! Written here, since the library of the field (`prometheus-client`) does not escape the values of labels. No label can have more
//! values than a drill has parts: no name of a run, no time. A figure that is not known has no line.

use std::fmt::Write as _;
use std::path::Path;

use report::drill::DrillRow;
use report::verdict::Verdict;
use report::words::OutageKind;

use super::Outcome;
use crate::drilled::{Comparison, Drilled, Lag};

const PREFIX: &str = "pg_understudy";

/// What a name ends in if its figure has that unit.
const UNITS: [&str; 5] = ["seconds", "bytes", "writes", "rows", "blocks"];

type Labels = Vec<(&'static str, String)>;

/// Metrics on their way out.
struct Page {
    text: String,
    /// What tells two drills apart whose files lie in one directory: the name of the file, at least.
    every: Labels,
}

/// The text of the file of that name.
pub(super) fn text(outcome: &Outcome, path: &Path) -> String {
    let asked = &outcome.asked;
    let drill = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let every = vec![("drill", drill), ("fault", asked.fault.clone()), ("sync", asked.sync.clone())];
    let mut page = Page { text: String::new(), every };
    page.gauge("drill_verdict", "1 for the verdict on the drill, 0 for the other two.", one_of(&[], outcome.verdict));
    page.gauge(
        "drill_ended_timestamp_seconds",
        "When the drill ended, since 1970.",
        vec![(Vec::new(), outcome.ended_unix_s.to_string())],
    );
    page.of_all("drill_duration_seconds", "How long all of it took.", outcome.took_us.map(seconds));
    page.gauge("drill_info", "What was drilled.", info(outcome).into_iter().collect());
    if outcome.are_repetitions() {
        let verdicts = outcome.drills.iter().flat_map(|drill| one_of(&of_drill(drill), drill.verdict));
        page.gauge("run_verdict", "1 for the verdict on a repetition, 0 for the other two.", verdicts.collect());
    }
    for (name, help, figure) in TAKEOVER {
        let figures = outcome.drills.iter().flat_map(|drill| drill.takeovers.iter().map(move |row| (drill, row)));
        let figures = figures.filter_map(|(drill, row)| Some((of_takeover(drill, row), figure(row)?)));
        page.gauge(name, help, figures.collect());
    }
    for (name, help, figure) in LAG {
        let figures = outcome.drills.iter().flat_map(|drill| drill.lag.iter().flatten().map(move |lag| (drill, lag)));
        let figures = figures.filter_map(|(drill, lag)| Some((of_standby(drill, lag), figure(lag)?)));
        page.gauge(name, help, figures.collect());
    }
    for (name, help, figure) in COMPARISON {
        let figures =
            outcome.drills.iter().filter_map(|drill| Some((of_drill(drill), figure(drill.comparison.as_ref()?)?)));
        page.gauge(name, help, figures.collect());
    }
    page.text + "# EOF\n"
}

/// A metric: its name, what it is, and where its value stands.
type Metric<Of> = (&'static str, &'static str, fn(&Of) -> Option<String>);

/// Those of a takeover.
const TAKEOVER: [Metric<DrillRow>; 17] = [
    ("outage_seconds", "From the last ack of the old primary to the first ack of the new one.", |row| {
        row.outage_us.filter(|_| row.outage_kind == Some(OutageKind::Exact)).map(seconds)
    }),
    (
        "outage_at_least_seconds",
        "How long no write was acknowledged where no new ack came: a lower bound of the outage.",
        |row| row.outage_us.filter(|_| row.outage_kind == Some(OutageKind::AtLeast)).map(seconds),
    ),
    ("client_outage_max_seconds", "The longest outage of a client.", |row| row.outage_worker_max_us.map(seconds)),
    ("detection_seconds", "From the fault until a client noticed.", |row| row.detection_us.map(seconds)),
    ("promotion_seconds", "From the fault until the standby was promoted.", |row| row.promotion_us.map(seconds)),
    ("reroute_seconds", "From the promotion to the first ack of the new primary.", |row| row.reroute_us.map(seconds)),
    ("redundancy_seconds", "From the fault until a standby streamed again.", |row| row.redundancy_us.map(seconds)),
    ("rejoin_seconds", "How long bringing the old primary back took.", |row| row.rejoin_us.map(seconds)),
    ("raw_floor_seconds", "What PostgreSQL itself needs on the same nodes.", |row| row.floor_us.map(seconds)),
    ("acked_before_fault_per_second", "Writes acknowledged per second before the fault.", |row| {
        row.acked_before_per_s.map(whole)
    }),
    ("acked_writes", "Writes acknowledged.", |row| Some(whole(row.acked))),
    ("unknown_writes", "Writes whose outcome no client knows.", |row| Some(whole(row.unknown))),
    ("skipped_writes", "Writes that were due and never sent.", |row| Some(whole(row.skipped))),
    ("lost_writes", "Writes that were acknowledged and are gone.", |row| row.lost.map(whole)),
    ("lost_span_seconds", "From the last surviving ack before the first lost write to the last lost one.", |row| {
        row.rpo_span_us.map(seconds)
    }),
    ("wal_beyond_fork_bytes", "WAL of the old timeline that the new primary does not have.", |row| {
        row.rpo_wal_bytes.map(whole)
    }),
    ("divergent_writes", "Writes in the old primary's data directory that the new primary does not have.", |row| {
        row.divergent.map(whole)
    }),
];

/// Those of a standby. With a beat that was never seen no percentile is known, only a bound.
const LAG: [Metric<Lag>; 4] = [
    ("visible_lag_p50_seconds", "Median time until a commit was visible on a standby.", |lag| seen(lag, lag.p50_us)),
    ("visible_lag_p99_seconds", "99th percentile of the time until a commit was visible on a standby.", |lag| {
        seen(lag, lag.p99_us)
    }),
    ("visible_lag_max_seconds", "Longest time until a commit was visible on a standby.", |lag| seen(lag, lag.max_us)),
    ("visible_lag_at_least_seconds", "How long a commit was looked for that was never seen: a lower bound.", |lag| {
        lag.open_us.map(seconds)
    }),
];

/// Those of the comparison of the standbys.
const COMPARISON: [Metric<Comparison>; 6] = [
    ("compared_rows", "Rows of the primary that were compared, once for each standby.", |found| found.rows.map(whole)),
    ("missing_rows", "Rows that a standby lacks.", |found| found.missing.map(whole)),
    ("extra_rows", "Rows that only a standby has.", |found| found.extra.map(whole)),
    ("different_rows", "Rows that are different on a standby.", |found| found.different.map(whole)),
    ("corrupt_blocks", "Blocks that a node cannot read.", |found| found.corrupt.map(whole)),
    ("index_faults", "What is wrong with the indexes of a standby.", |found| found.index_faults.map(whole)),
];

fn seen(lag: &Lag, figure: Option<u64>) -> Option<String> {
    figure.filter(|_| lag.open_us.is_none()).map(seconds)
}

fn seconds(us: u64) -> String {
    format!("{}", us as f64 / 1e6)
}

fn whole(count: u64) -> String {
    count.to_string()
}

fn one_of(labels: &[(&'static str, String)], verdict: Verdict) -> Vec<(Labels, String)> {
    let of = |one: Verdict| {
        let labels = labels.iter().cloned().chain([("verdict", one.to_string())]).collect();
        (labels, u64::from(one == verdict).to_string())
    };
    [Verdict::Held, Verdict::Broken, Verdict::Unknown].map(of).to_vec()
}

fn of_drill(drill: &Drilled) -> Labels {
    vec![("run", drill.number.unwrap_or(1).to_string()), ("counted", drill.counted.to_string())]
}

fn of_takeover(drill: &Drilled, row: &DrillRow) -> Labels {
    of_drill(drill).into_iter().chain([("takeover", row.step.unwrap_or(1).to_string())]).collect()
}

fn of_standby(drill: &Drilled, lag: &Lag) -> Labels {
    of_drill(drill).into_iter().chain([("standby", lag.standby.clone())]).collect()
}

fn info(outcome: &Outcome) -> Option<(Labels, String)> {
    let row = outcome.drills.iter().find_map(|drill| drill.takeovers.first())?;
    let labels = vec![
        ("backend", row.backend.to_string()),
        ("pg_version", row.pg_version.clone()),
        ("standbys", row.standbys.to_string()),
        ("clients", row.clients.to_string()),
        ("rate_per_s", row.rate_per_s.map_or("max".to_owned(), |rate| rate.to_string())),
    ];
    Some((labels, "1".to_owned()))
}

impl Page {
    fn of_all(&mut self, name: &str, help: &str, value: Option<String>) {
        self.gauge(name, help, value.map(|value| (Vec::new(), value)).into_iter().collect());
    }

    /// A metric with all of its values; nothing, if it has none.
    fn gauge(&mut self, name: &str, help: &str, values: Vec<(Labels, String)>) {
        if values.is_empty() {
            return;
        }
        let mut line = |line: std::fmt::Arguments<'_>| self.text.write_fmt(line).expect("a string takes all");
        line(format_args!("# HELP {PREFIX}_{name} {help}\n# TYPE {PREFIX}_{name} gauge\n"));
        let unit = name.rsplit_once('_').map(|(_, unit)| unit).filter(|unit| UNITS.contains(unit));
        unit.into_iter().for_each(|unit| line(format_args!("# UNIT {PREFIX}_{name} {unit}\n")));
        for (labels, value) in values {
            let labels: Vec<String> =
                self.every.iter().chain(&labels).map(|(name, value)| label(name, value)).collect();
            line(format_args!("{PREFIX}_{name}{{{}}} {value}\n", labels.join(",")));
        }
    }
}

fn label(name: &str, value: &str) -> String {
    format!("{name}=\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}
