//! From what was seen to the row of `drill.csv` and its verdict.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use anyhow::{Context as _, Result};
use program::sink::Sink;
use report::drill::{DrillRow, Findings, Flow, verdict};
use report::fate::{self, Fate, FateRow, Fates, rpo_span_us};
use report::ledger::{Ledger, Outcome, Write};
use report::marks::{Marks, Seen, marks, silence_allowed_us, silence_us};
use report::verdict::Verdict;

use crate::check::is_sync;
use crate::live::{Facts, Live};

/// A drill, judged.
pub(crate) struct Judged {
    pub(crate) row: DrillRow,
    pub(crate) reasons: Vec<String>,
    pub(crate) fates: Fates,
}

impl Judged {
    /// Something could not be done after the verdict was found.
    pub(crate) fn could_not(&mut self, error: &anyhow::Error) {
        self.row.verdict = self.row.verdict.join(Verdict::Unknown);
        self.reasons.push(format!("{}: {error:#}", Verdict::Unknown));
    }
}

/// Judges a drill by its ledger and what it saw.
pub(crate) fn judge(live: &Live<'_>, rate: &str, fault: &str, max_lost: u64) -> Result<Judged> {
    let path = live.dir.join("ledger.csv");
    let file = File::open(&path).with_context(|| path.display().to_string())?;
    let ledger = Ledger::read(BufReader::new(file)).with_context(|| path.display().to_string())?;
    let facts = &live.facts;
    let seen =
        Seen { t0_us: facts.t0_us, out_of_recovery_us: facts.out_of_recovery_us, redundant_us: facts.redundant_us };
    let marks = marks(&ledger, seen);
    let fates = facts.present.as_ref().map(|present| fate::judge(&ledger, present)).unwrap_or_default();
    let (verdict, reasons) = verdict(&findings(live, &ledger, &marks, &fates, max_lost));
    let mut row = row(live, &ledger, &marks, &fates);
    row.rate_per_s = rate.parse().ok();
    row.fault = fault.to_owned();
    row.verdict = verdict;
    Ok(Judged { row, reasons, fates })
}

/// How the load flowed when it mattered. After a cut in a sync mode silence is what is promised.
fn flow(live: &Live<'_>, ledger: &Ledger) -> Flow {
    let cut_us = live.facts.cut_us.filter(|_| is_sync(live.lab));
    let silent_us = cut_us.or(live.facts.t0_us).and_then(|moment| silence_us(&ledger.acks, moment));
    let after_cut = live.facts.all_cut_us.zip(live.facts.t0_us).filter(|_| !is_sync(live.lab)).map(|(cut, t0)| {
        let lost_if_any = |write: &&Write| {
            write.outcome == Outcome::Acked && write.sent_us.is_some_and(|sent| sent >= cut) && write.at_us <= t0
        };
        ledger.writes.values().filter(lost_if_any).count() as u64
    });
    let allowed_us = silence_allowed_us(live.plan.rate.parse().ok());
    Flow { silent_us, allowed_us, at_cut: cut_us.is_some(), after_cut }
}

/// How late the load read the last ack of the old primary: none was made after its last process was gone.
fn read_late_us(live: &Live<'_>, ledger: &Ledger) -> Option<u64> {
    let old = ledger.acks.iter().filter(|ack| ack.timeline <= live.old_timeline()).map(|ack| ack.at_us).max();
    Some(old?.saturating_sub(live.facts.fault_proven_us?))
}

fn findings(live: &Live<'_>, ledger: &Ledger, marks: &Marks, fates: &Fates, max_lost: u64) -> Findings {
    let facts = &live.facts;
    Findings {
        flow: flow(live, ledger),
        fault_proven: facts.fault_proven_us.is_some(),
        final_read: facts.present.is_some(),
        ledger_complete: ledger.complete,
        acks: ledger.acks.len() as u64,
        promotion_ordered: facts.promotion_ordered,
        acked_on_new_timeline: marks.t4_us.is_some(),
        load_lived: facts.load_lived,
        lost: fates.count(Fate::Lost),
        max_lost,
        phantom: fates.count(Fate::Phantom),
        unexpected: fates.count(Fate::Unexpected),
        duplicate: fates.count(Fate::Duplicate),
        corrupt: fates.count(Fate::Corrupt),
        holes: fates.holes,
        primaries: facts.primaries,
        rejoined: facts.rejoined.as_ref().filter(|_| !facts.port_taken).map(Result::is_ok),
        not_streaming: facts.not_streaming.clone(),
        read_late_us: read_late_us(live, ledger),
        could_not: facts.could_not.iter().cloned().chain(live.events.failure()).collect(),
    }
}

fn row(live: &Live<'_>, ledger: &Ledger, marks: &Marks, fates: &Fates) -> DrillRow {
    let facts = &live.facts;
    let read = facts.present.as_ref();
    let fate = |fate| read.map(|_| fates.count(fate));
    let since_t0 = |mark: Option<u64>| mark.zip(facts.t0_us).map(|(mark, t0)| mark.saturating_sub(t0));
    let workers = marks.worker_outage_us();
    let (outage_us, at_least) = outage(facts, ledger, marks);
    DrillRow {
        run: live.run.name.clone(),
        backend: live.lab.backend.name().to_owned(),
        pg_version: facts.server_version.clone(),
        fault: String::new(),
        sync: live.lab.sync.as_str().to_owned(),
        standbys: facts.standbys,
        clients: u64::from(live.plan.clients),
        rate_per_s: None,
        acked: ledger.count(Outcome::Acked),
        acked_local: ledger.count(Outcome::AckedLocal),
        failed: ledger.count(Outcome::Failed),
        unknown: ledger.count(Outcome::Unknown),
        skipped: ledger.count(Outcome::Skipped),
        lost: fate(Fate::Lost),
        lost_local: fate(Fate::LostLocal),
        recovered: fate(Fate::Recovered),
        phantom: fate(Fate::Phantom),
        unexpected: fate(Fate::Unexpected).filter(|_| ledger.complete),
        duplicate: fate(Fate::Duplicate),
        corrupt: fate(Fate::Corrupt),
        divergent: read.zip(facts.of_old_primary.as_ref()).map(|(new, old)| old.without(new).len() as u64),
        outage_us,
        outage_worker_min_us: workers.map(|(min, _, _)| min),
        outage_worker_p50_us: workers.map(|(_, p50, _)| p50),
        outage_worker_max_us: workers.map(|(_, _, max)| max),
        longest_gap_us: marks.longest_gap_us,
        detection_us: since_t0(marks.t2_us),
        promotion_us: since_t0(marks.t3_us),
        reroute_us: marks.t4_us.zip(marks.t3_us).map(|(t4, t3)| t4 - t3),
        redundancy_us: since_t0(marks.t6_us),
        recover90_us: marks.recover90_us,
        split_us: marks.t4_us.map(|_| marks.split_us),
        split_acked: marks.t4_us.map(|_| marks.split_acked),
        rpo_span_us: read.map(|present| rpo_span_us(ledger, present)),
        rpo_wal_bytes: facts.old_end.zip(facts.fork).map(|(end, fork)| end.bytes_since(fork)),
        rejoin: facts.rejoined.as_ref().map(|how| how.as_ref().map_or("failed", |how| how.as_str()).to_owned()),
        rejoin_us: facts.rejoin_us,
        verdict: Verdict::Unknown,
        outage_kind: outage_us.map(|_| if at_least { "at_least" } else { "exact" }.to_owned()),
        longest_gap_before_us: marks.longest_gap_before_us,
        holes: read.map(|_| fates.holes),
        op_timeout_us: live.plan.op_timeout.as_micros() as u64,
        floor_us: None,
        old_primary: facts.old_primary.clone(),
        new_primary: facts.new_primary.clone(),
        well_us: since_t0(marks.t5_us),
        stranded: marks.t4_us.map(|_| marks.workers_stranded),
        outage_before_us: marks.outage_before_us().filter(|_| facts.fault_proven_us.is_some()),
        connecting_us: marks.connecting_us,
    }
}

/// The outage, and whether it is only a lower bound: no ack came on the new timeline while the load ran.
fn outage(facts: &Facts, ledger: &Ledger, marks: &Marks) -> (Option<u64>, bool) {
    if facts.fault_proven_us.is_none() {
        return (None, false);
    }
    match marks.outage_us(true) {
        Some(exact) => (Some(exact), false),
        None => (marks.t1_us.map(|t1| ledger.last_us.saturating_sub(t1)), true),
    }
}

/// Writes `fates.csv`: every write whose fate is worth a look, by name.
pub(crate) fn write_fates(dir: &Path, fates: &Fates) -> Result<()> {
    let mut sink = Sink::<FateRow>::create_new(&dir.join("fates.csv"))?;
    for row in &fates.named {
        sink.row_unflushed(row)?;
    }
    sink.flush()
}
