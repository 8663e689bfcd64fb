//! A run in words, for people.

use crate::drill::DrillRow;
use crate::fate::{Fate, FateRow};
use crate::judge::Judged;
use crate::lag::{LagRow, LagSummary};
use crate::show::{count, us};
use crate::verdict::Verdict;
use crate::verify::VerifyRow;
use crate::words::{OutageKind, Rejoin};

/// How many lost writes are named; the rest is in `fates.csv`.
const NAMED: usize = 5;

/// How many takeovers and standbys have a line of their own: all of it is to fit a screen of 24 lines.
const TAKEOVERS: usize = 4;
const STANDBYS: usize = 3;

/// A drill that was judged, with its verdict as the last line.
#[must_use]
pub fn drills(judged: &Judged) -> String {
    [takeovers(judged), verdict(judged.verdict)].join("\n")
}

/// The verdict, as the last line of all that is said.
#[must_use]
pub fn verdict(verdict: Verdict) -> String {
    let means = match verdict {
        Verdict::Held => "every promise was seen to be kept",
        Verdict::Broken => "a promise was not kept",
        Verdict::Unknown => "it could not be found out, which is never a pass",
    };
    format!("verdict   {verdict}: {means}")
}

/// Each takeover of a drill, and what is said of the whole run once, below them all; without the verdict.
#[must_use]
pub fn takeovers(judged: &Judged) -> String {
    let mut lines = match &judged.rows[..] {
        [] => Vec::new(),
        [only] => drill(only),
        rows => several(rows, judged.verdict),
    };
    lines.extend(lost_by_name(&judged.fates));
    lines.extend(judged.reasons.iter().map(|reason| format!("          {reason}")));
    lines.join("\n")
}

/// A line for each of several takeovers; of many those that did not hold, and the longest outages.
fn several(rows: &[DrillRow], verdict: Verdict) -> Vec<String> {
    let mut shown: Vec<&DrillRow> = rows.iter().collect();
    shown.sort_by_key(|row| std::cmp::Reverse((row.verdict, row.outage_us)));
    shown.truncate(TAKEOVERS);
    shown.sort_by_key(|row| row.step);
    let mut lines = rows.first().map(what).unwrap_or_default();
    for row in shown {
        let at_least = if row.outage_kind == Some(OutageKind::AtLeast) { "≥ " } else { "" };
        let promoted = row.promotion_us.map_or(String::new(), |after| format!(", promoted {}", us(after)));
        let rejoin = row.rejoin.map_or(String::new(), |how| format!(", {how}"));
        let lost = row.lost.map_or("(not read)".to_owned(), |lost| lost.to_string());
        let (number, outage) = (row.step.unwrap_or(0), seen(row.outage_us));
        lines.push(format!(
            "{number:<10}{} of {}: outage {at_least}{outage}{promoted}{rejoin}, {lost} lost: {}",
            row.fault, row.old_primary, row.verdict
        ));
    }
    let more = rows.len().saturating_sub(TAKEOVERS);
    lines.extend((more > 0).then(|| format!("          and {} more, in drill.csv", count(more as u64, "takeover"))));
    lines.push(format!("run       {verdict} over {} takeovers", rows.len()));
    lines
}

/// What was done to whom.
fn what(row: &DrillRow) -> Vec<String> {
    let rate = row.rate_per_s.map_or("unlimited".to_owned(), |rate| rate.to_string());
    let (clients, standbys) = (count(row.clients, "client"), count(row.standbys, "standby"));
    vec![
        format!("drill     {} of {} under {rate} writes/s from {clients}", row.fault, row.old_primary),
        format!("          sync {}, {standbys}, PostgreSQL {}", row.sync, row.pg_version),
    ]
}

/// One takeover: outage, writes, loss, rejoin.
fn drill(row: &DrillRow) -> Vec<String> {
    let mut lines = what(row);
    lines.extend(outage(row));
    lines.push(format!(
        "writes    {} acked, {} acked without the standby, {} failed, {} unknown, {} skipped",
        row.acked, row.acked_local, row.failed, row.unknown, row.skipped
    ));
    lines.push(loss(row));
    if let Some(how) = row.rejoin {
        lines.push(match how {
            Rejoin::Failed => format!("rejoin    {} failed", row.old_primary),
            how => format!("rejoin    {} by {how} in {}", row.old_primary, seen(row.rejoin_us)),
        });
    }
    lines
}

/// A text that is there, between two others; nothing if it is empty.
fn some(text: String, before: &str, after: &str) -> String {
    if text.is_empty() { text } else { format!("{before}{text}{after}") }
}

fn outage(row: &DrillRow) -> Vec<String> {
    let at_least = if row.outage_kind == Some(OutageKind::AtLeast) { "at least " } else { "" };
    let resolution = |writes: u64| {
        row.rate_per_s.filter(|rate| *rate > 0).map_or(String::new(), |rate| us(writes * 1_000_000 / rate))
    };
    let end = match &row.new_primary {
        Some(new) if at_least.is_empty() => format!("until {new} acknowledged a write"),
        None if at_least.is_empty() && !row.fault.has_takeover() => {
            format!("until {} acknowledged a write again", row.old_primary)
        }
        _ if row.outage_us.is_none() => String::new(), // nor whether the fault came
        _ => "and nobody acknowledged a write again".to_owned(),
    };
    let resolution = some(resolution(1), "resolution ", &some(resolution(row.clients), " (one client ", "), "));
    let mut lines = vec![
        format!("outage    {at_least}{} {end}", seen(row.outage_us)).trim_end().to_owned(),
        format!("          {resolution}longest gap before {}", seen(row.longest_gap_before_us)),
        format!(
            "          per client {} / {} / {} (min / median / max)",
            seen(row.outage_worker_min_us),
            seen(row.outage_worker_p50_us),
            seen(row.outage_worker_max_us)
        ),
    ];
    lines.extend(if row.fault.has_takeover() { takeover(row) } else { vec![no_takeover(row)] });
    lines.extend(before_the_fault(row));
    lines.extend(after_the_takeover(row.outage_us, row.longest_gap_us, row.longest_gap_before_us));
    if let Some(floor) = row.floor_us {
        let times = row.outage_us.map_or(String::new(), |o| format!(" (× {:.1})", o as f64 / floor.max(1) as f64));
        lines.push(format!("          raw floor of these nodes: {}{times}", us(floor)));
    }
    lines
}

fn takeover(row: &DrillRow) -> Vec<String> {
    vec![
        format!(
            "          noticed after {} (time-out {}), promoted after {}",
            seen(row.detection_us),
            us(row.op_timeout_us),
            seen(row.promotion_us)
        ),
        format!(
            "          first ack {} after the promotion{}; a standby again after {}",
            seen(row.reroute_us),
            some(row.connecting_us.map_or(String::new(), us), " (", " of it the client's own connecting)"),
            seen(row.redundancy_us)
        ),
    ]
}

fn no_takeover(row: &DrillRow) -> String {
    let noticed = match row.detection_us {
        Some(after) => format!("noticed {} after the fault", us(after)),
        None => "no client noticed".to_owned(),
    };
    format!("          nobody was to take over; {noticed} (a client waits for at most {})", us(row.op_timeout_us))
}

/// The part of the outage that lies before the fault, where it is more than the load's own rhythm.
fn before_the_fault(row: &DrillRow) -> Option<String> {
    let (outage, before) = (row.outage_us?, row.outage_before_us?);
    let rhythm_us = row.rate_per_s.map_or(0, |rate| 3 * 1_000_000 / rate.max(1));
    (before > rhythm_us && before * 10 > outage)
        .then(|| format!("          {} of the outage lie before the fault", us(before)))
}

/// A gap after the takeover that was longer than the outage itself: writes were taken again, and then stopped once more.
fn after_the_takeover(outage: Option<u64>, longest_gap: Option<u64>, before: Option<u64>) -> Option<String> {
    let (outage, longest) = (outage?, longest_gap?);
    (longest > outage && Some(longest) > before)
        .then(|| format!("          later no write was acknowledged for {}", us(longest)))
}

fn loss(row: &DrillRow) -> String {
    let number = |number: Option<u64>| number.map_or("(not read)".to_owned(), |number| number.to_string());
    let span = row.rpo_span_us.filter(|span| *span > 0).map_or(String::new(), |span| format!(", over {}", us(span)));
    format!(
        "loss      {} lost{span}; {} of the unknown are there{}",
        row.lost.map_or("(not read)".to_owned(), |lost| count(lost, "acknowledged write")),
        number(row.recovered),
        match row.fault.has_takeover() {
            true => format!("; {} bytes of WAL beyond the fork", number(row.rpo_wal_bytes)),
            false => String::new(),
        }
    )
}

fn lost_by_name(fates: &[FateRow]) -> Option<String> {
    let lost = || fates.iter().filter(|row| row.fate == Fate::Lost);
    let named: Vec<String> = lost().take(NAMED).map(|row| format!("{}/{}", row.worker, row.seq)).collect();
    let more = lost().count().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more, in fates.csv") } else { String::new() };
    (!named.is_empty()).then(|| format!("          lost (worker/seq): {}{more}", named.join(", ")))
}

/// The visible lag of each standby, a line each.
#[must_use]
pub fn lag(rows: &[LagRow]) -> String {
    let standbys = LagSummary::by_standby(rows);
    let line = |(name, summary): (&str, LagSummary)| {
        let gone = match summary.lost() {
            0 => String::new(),
            lost => format!("; {} lost with their timeline", count(lost, "beat")),
        };
        let (lag, open) = summary.finish();
        let bound = open.map_or(String::new(), |open| format!("; one beat never seen, for ≥ {}", us(open)));
        format!(
            "lag       {name}: visible after p50 {}, p99 {}, max {}; {}{bound}",
            seen(lag.at(50.0)),
            seen(lag.at(99.0)),
            seen(lag.max()),
            count(lag.count(), "beat")
        ) + &gone
    };
    let more = standbys.len().saturating_sub(STANDBYS) as u64;
    let mut lines: Vec<String> = standbys.into_iter().take(STANDBYS).map(line).collect();
    lines.extend((more > 0).then(|| format!("          and {} more, in lag.csv", count(more, "standby"))));
    lines.join("\n")
}

/// The comparison of all tables and standbys, in a line.
#[must_use]
pub fn verify(rows: &[VerifyRow]) -> String {
    let tables = || rows.iter().filter(|row| row.is_table());
    let sum = |figure: fn(&VerifyRow) -> Option<u64>| tables().filter_map(figure).sum::<u64>();
    let unread = match tables().filter(|row| row.missing.is_none()).count() as u64 {
        0 => String::new(),
        some => format!(" ({} not read)", count(some, "table")),
    };
    let indexes = match rows.iter().filter_map(|row| row.index_faults).sum::<u64>() {
        0 => String::new(),
        some => format!(", {} of indexes", count(some, "fault")),
    };
    let verdict = rows.iter().map(|row| row.verdict).max().unwrap_or(Verdict::Unknown);
    format!(
        "standbys  {} compared{unread}: {} missing, {} extra, {} different, {} corrupt{indexes}: {verdict}",
        count(sum(|row| row.rows_standby.and(row.rows_primary)), "row"),
        sum(|row| row.missing),
        sum(|row| row.extra),
        sum(|row| row.different),
        sum(|row| row.corrupt)
    )
}

fn seen(time: Option<u64>) -> String {
    time.map_or("(not seen)".to_owned(), us)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Below the last takeover they would pass for its own.
    #[test]
    fn what_was_lost_in_a_run_of_several_takeovers_is_named_below_the_run() {
        let mut evidence = crate::evidence::tests::Files::of_a_drill_that_held().read().unwrap();
        let (done, read) = (crate::event::Mark::FinalReadDone, evidence.reads.last_mut().unwrap());
        read.last_seq = 98;
        evidence.events.iter_mut().filter(|event| event.mark == done).for_each(|event| event.count = Some(98));
        let mut judged = crate::judge::judge(&evidence).unwrap();
        let one = drills(&judged);
        assert!(one.contains("lost (worker/seq): 0/99") && one.contains("1 acknowledged writes are lost"), "{one}");
        judged.rows.push(judged.rows[0].clone());
        let two = drills(&judged);
        let (takeovers, run) = two.split_once("\nrun       broken over 2 takeovers\n").unwrap();
        assert!(run.contains("lost (worker/seq): 0/99") && run.contains("1 acknowledged writes are lost"), "{two}");
        assert!(!takeovers.contains("worker/seq") && !takeovers.contains("are lost"), "{two}");
        // Of many not more than a screen holds, and the verdict last.
        judged.rows = vec![judged.rows[0].clone(); 40];
        let reason = crate::reasons::Reason { step: None, verdict: Verdict::Broken, why: "word ".repeat(500) };
        judged.reasons = vec![reason; 40];
        let many = crate::show::for_screen(&drills(&judged), 80);
        assert!(many.contains("and 36 takeovers more") && many.contains("and 37 more reasons"), "{many}");
        assert!(many.lines().count() <= 20 && many.lines().all(|line| line.chars().count() <= 80), "{many}");
        assert!(many.lines().last().is_some_and(|line| line.starts_with("verdict   broken: ")), "{many}");
    }

    /// What was refused or could not begin has no row, and its reasons are said all the same.
    #[test]
    fn reasons_without_a_takeover_are_said() {
        let mut evidence = crate::evidence::tests::Files::of_a_drill_that_held().read().unwrap();
        evidence.events.retain(|event| event.mark != crate::event::Mark::StepBegun);
        let said = drills(&crate::judge::judge(&evidence).unwrap());
        assert!(said.contains("no step of the drill had begun"), "{said:?}");
    }

    #[test]
    fn a_gap_after_the_takeover_is_told_if_it_is_longer_than_the_outage() {
        let told = |outage, longest, before| after_the_takeover(Some(outage), Some(longest), Some(before));
        assert_eq!(told(60_000, 2_500_000, 5_000).unwrap().trim(), "later no write was acknowledged for 2.50 s");
        assert_eq!(told(60_000, 60_000, 5_000), None, "the outage is the longest gap");
        assert_eq!(told(60_000, 90_000, 90_000), None, "it lay before the fault");
    }
}
