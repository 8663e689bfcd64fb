//! `bench verify --honest`: a standby that is as it should be, compared while all goes on that can go on: whatever is
//! called broken is a false alarm, and what is unknown is to be rare, and named.

use std::collections::BTreeSet;
use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use program::run::Run;
use program::sink::Sink;
use program::{child, stop, tool};
use report::bench::HonestBenchRow;
use report::load::LoadRow;
use report::verdict::Verdict;
use report::verify::VerifyRow;

use super::psql::Server;
use super::{Bed, ports};
use crate::step;

/// How commits wait, and how the standby does.
const SETTINGS: [(&str, u64); 4] = [("async", 0), ("async", 60_000), ("on", 0), ("on", 60_000)];

/// What is done beside it, each by a session of its own, again and again. First, the tables for it.
const TABLES: &str = include_str!("honest/tables.sql");
const DISTURBING: [(&str, &str); 6] = [
    ("rewrites", include_str!("honest/rewrites.sql")),
    ("updates", include_str!("honest/updates.sql")),
    ("indexes", include_str!("honest/indexes.sql")),
    ("definitions", include_str!("honest/definitions.sql")),
    ("sequences", include_str!("honest/sequences.sql")),
    ("to_and_fro", include_str!("honest/to_and_fro.sql")),
];

/// Time for one comparison, beyond which it counts as unknown.
const RUN_DEADLINE: Duration = Duration::from_secs(300);
/// Time for one round of what disturbs: commits may wait for the standby.
const ROUND_DEADLINE: Duration = Duration::from_secs(600);
/// Time for write-load to finish.
const GRACE: Duration = Duration::from_secs(30);
/// How many reasons a row tells.
const REASONS: usize = 6;

/// So many comparisons, split over the settings.
///
/// # Errors
/// If a server refuses, or a program cannot do its work.
pub(super) fn run(bed: &Bed<'_>, runs: u64) -> Result<(String, Verdict)> {
    let mut sink = Sink::create_new(&bed.dir.join("bench-honest.csv"))?;
    std::fs::create_dir_all(bed.dir.join("rows"))?;
    let port = ports::nine_free()?;
    let (mut rows, mut loads) = (Vec::new(), [None; SETTINGS.len()]);
    for (n, ((sync, delay_us), load)) in (1..).zip(SETTINGS.into_iter().zip(&mut loads)) {
        let wanted = n * runs / SETTINGS.len() as u64 - rows.len() as u64;
        if wanted == 0 {
            continue;
        }
        bed.progress.step(format!("setting up, sync {sync}"));
        let delay = format!("recovery_min_apply_delay={}ms", delay_us / 1_000);
        let cluster = bed.setup(&["--port", &port.to_string(), "--sync", sync, "--set", &delay])?;
        let server = Server::of(&cluster, port, 0);
        server.ask("understudy", TABLES)?;
        let setting = Setting { bed, cluster: &cluster, server: &server, sync, delay_us };
        *load = Some(setting.compare(wanted, &mut sink, &mut rows)?);
    }
    Ok(summary(&rows, &loads))
}

/// One of the four settings.
struct Setting<'a> {
    bed: &'a Bed<'a>,
    cluster: &'a str,
    server: &'a Server,
    sync: &'a str,
    delay_us: u64,
}

impl Setting<'_> {
    /// Compares so many times under load; returns how many writes per second were acknowledged meanwhile.
    fn compare(&self, runs: u64, sink: &mut Sink<HonestBenchRow>, rows: &mut Vec<HonestBenchRow>) -> Result<u64> {
        let Setting { bed, cluster, .. } = *self;
        let file = format!("rows/load-{}-{}.csv", self.sync, self.delay_us);
        let load = ["--cluster", cluster, "--rate", "max", "--clients", "4", "--quiet"];
        let run = Run { name: format!("{}-{}-{}", bed.run.name, self.sync, self.delay_us), clock: bed.run.clock };
        let mut load = step::start("write-load", &load, &run, bed.dir, &file)?;
        let done = &AtomicBool::new(false);
        std::thread::scope(|scope| {
            let disturbing = DISTURBING.map(|(name, sql)| scope.spawn(move || self.disturb(name, sql, done)));
            let compared: Result<()> = (0..runs).try_for_each(|_| {
                let row = self.one(rows.len() as u64 + 1)?;
                sink.row(&row)?;
                rows.push(row);
                Ok(())
            });
            done.store(true, Ordering::Relaxed);
            for thread in disturbing {
                thread.join().map_err(|_| anyhow::anyhow!("a thread panicked"))??;
            }
            compared
        })?;
        let status = load.finish(GRACE)?;
        ensure!(status.success(), "write-load did not do its work: {}", step::log_tail(bed.dir, "write-load"));
        let seconds: Vec<LoadRow> = program::folder::rows(bed.dir, &file)?;
        Ok(seconds.iter().map(|second| second.acked).sum::<u64>() / (seconds.len() as u64).max(1))
    }

    /// Runs a script again and again, until it is done. A statement that fails is as good as one that does not: somebody
    /// else may have dropped what it works on.
    fn disturb(&self, name: &str, sql: &str, done: &AtomicBool) -> Result<()> {
        let file = self.bed.dir.join(format!("{name}.sql"));
        std::fs::write(&file, sql).with_context(|| file.display().to_string())?;
        while !done.load(Ordering::Relaxed) {
            let mut psql = self.server.psql("understudy")?;
            psql.args(["--set", "ON_ERROR_STOP=0", "--output", "/dev/null"]);
            let script = File::open(&file).with_context(|| file.display().to_string())?;
            tool::output_with_stdin(&mut psql, script.into(), ROUND_DEADLINE)?;
            stop::pause(Duration::from_millis(10))?;
        }
        Ok(())
    }

    /// One comparison.
    fn one(&self, number: u64) -> Result<HonestBenchRow> {
        self.bed.progress.step(format!("comparison {number}, sync {}, delay {} µs", self.sync, self.delay_us));
        let mut command = child::command("verify-replication", &self.bed.run)?;
        command.args(["--cluster", self.cluster, "--quiet", "--recheck-for", "3s"]);
        let begun = Instant::now();
        let (rows, verdict, said) = match tool::output(command, RUN_DEADLINE) {
            Ok(output) => {
                let rows = report::rows::read::<VerifyRow>(output.stdout.as_bytes())
                    .ok()
                    .filter(|_| !output.stdout.is_empty());
                let verdict = Verdict::from_exit_code(output.status.code());
                if verdict != Verdict::Held {
                    self.keep(number, &output)?;
                }
                let killed = output.status.code().is_none().then(|| format!("it ended by {}", output.status));
                (rows, verdict, output.stderr + &killed.unwrap_or_default())
            }
            Err(error) if error.is::<tool::TimedOut>() => (None, Verdict::Unknown, format!("{error:#}")),
            Err(error) => return Err(error),
        };
        let count = |verdict| Some(rows.as_ref()?.iter().filter(|row| row.verdict == verdict).count() as u64);
        Ok(HonestBenchRow {
            run: self.bed.run.name.clone(),
            number,
            sync: self.sync.to_owned(),
            apply_delay_us: self.delay_us,
            elapsed_us: begun.elapsed().as_micros() as u64,
            held: count(Verdict::Held),
            unknown: count(Verdict::Unknown),
            broken: count(Verdict::Broken),
            verdict,
            why: reasons(&said),
        })
    }

    /// Keeps what a comparison said that did not hold.
    fn keep(&self, number: u64, output: &tool::Output) -> Result<()> {
        let stem = format!("rows/verify-{number}");
        std::fs::write(self.bed.dir.join(format!("{stem}.csv")), &output.stdout)?;
        std::fs::write(self.bed.dir.join(format!("{stem}.log")), &output.stderr)?;
        Ok(())
    }
}

/// Why it did not hold, in the program's words: each once, without its numbers.
fn reasons(said: &str) -> Option<String> {
    let mut reasons = BTreeSet::new();
    for line in said.lines().filter(|line| !line.trim().is_empty()) {
        let mut text = String::new();
        for c in line.trim().chars().take(160) {
            match c.is_ascii_digit() {
                true if text.ends_with('N') => {}
                true => text.push('N'),
                false => text.push(c),
            }
        }
        reasons.insert(text);
    }
    let more = reasons.len().saturating_sub(REASONS);
    let mut reasons: Vec<String> = reasons.into_iter().take(REASONS).collect();
    reasons.extend((more > 0).then(|| format!("and {more} more")));
    (!reasons.is_empty()).then(|| reasons.join(" | "))
}

fn summary(rows: &[HonestBenchRow], loads: &[Option<u64>]) -> (String, Verdict) {
    let mut lines = vec!["sync   delay   runs  held  unknown  broken  acked/s".to_owned()];
    let loads = SETTINGS.iter().zip(loads).filter_map(|(setting, load)| Some((setting, (*load)?)));
    for ((sync, delay_us), load) in loads {
        let of = rows.iter().filter(|row| row.sync == *sync && row.apply_delay_us == *delay_us);
        let verdicts: Vec<Verdict> = of.map(|row| row.verdict).collect();
        let count = |verdict| verdicts.iter().filter(|one| **one == verdict).count();
        lines.push(format!(
            "{sync:<5}  {:>3} ms  {:>4}  {:>4}  {:>7}  {:>6}  {load:>7}",
            delay_us / 1_000,
            verdicts.len(),
            count(Verdict::Held),
            count(Verdict::Unknown),
            count(Verdict::Broken)
        ));
    }
    let of = |what: &str, count: fn(&HonestBenchRow) -> Option<u64>| {
        format!("{} {what}", rows.iter().filter_map(count).sum::<u64>())
    };
    let uncounted = rows.iter().filter(|row| row.held.is_none()).count();
    lines.push(format!(
        "their rows: {}, {}, {}{}",
        of("held", |row| row.held),
        of("unknown", |row| row.unknown),
        of("broken", |row| row.broken),
        if uncounted > 0 { format!("; {uncounted} left none that can be counted") } else { String::new() }
    ));
    let broken = rows.iter().any(|row| row.verdict == Verdict::Broken);
    (lines.join("\n"), if broken { Verdict::Broken } else { Verdict::Held })
}

#[cfg(test)]
mod tests {
    use super::reasons;

    #[test]
    fn a_reason_is_told_once_whatever_its_numbers() {
        let said = "t on node2: 12 rows still changing\nt on node2: 7 rows still changing\n\nu: gone\n";
        assert_eq!(reasons(said).as_deref(), Some("t on nodeN: N rows still changing | u: gone"));
        assert_eq!(reasons("\n"), None);
    }
}
