//! `bench witness`: takeovers beside an independent writer. It is psql with one plain connection to each node, so that it
//! is there when a node takes writes, to a table of its own, on our clock: what it saw of outage and loss must agree with
//! what the drill says.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use program::clock::Clock;
use program::run::Run;
use program::sink::Sink;
use program::tool;
use report::bench::WitnessBenchRow;
use report::drill::DrillRow;
use report::event::{EventRow, Mark};
use report::show::us;

use super::psql::{Server, client, psql_to};
use super::{Bed, ports};
use crate::step;

/// Sizes of the load beside the witness.
const CLIENTS: [u64; 4] = [1, 8, 64, 300];

/// How long the standby is cut off before the fault, where it is.
const CUT: &str = "800ms";

/// Pause between two writes of the witness: it knows of an outage to within this and the time of a commit.
const PAUSE: Duration = Duration::from_millis(2);

/// Pause before psql is started again on a node that threw it out, or is down: each start takes tens of milliseconds of
/// a processor that the takeover needs.
const START_PAUSE: Duration = Duration::from_millis(100);

/// What psql prints after each statement.
const DONE: &str = "done";

/// Longest time for a statement or a connection of the witness beyond what an outage may take.
const GIVE_UP: &str = "120";

/// Time for a question before and after a takeover.
const DEADLINE: Duration = Duration::from_secs(120);

pub(super) fn run(bed: &Bed<'_>) -> Result<String> {
    let mut sink = Sink::create_new(&bed.dir.join("bench-witness.csv"))?;
    let port = ports::nine_free()?;
    let mut rows = Vec::new();
    for sync in ["on", "async"] {
        bed.progress.step(format!("setting up, sync {sync}"));
        let cluster = bed.setup(&["--port", &port.to_string(), "--sync", sync, "--set", "max_connections=400"])?;
        let psql = Psql([0, 1].map(|number| Server::of(&cluster, port, number)));
        for pair in 1..=bed.args.pairs {
            for (clients, cut) in CLIENTS.into_iter().flat_map(|clients| [(clients, false), (clients, true)]) {
                bed.progress.step(format!("{clients} clients, sync {sync}{}", if cut { ", cut off" } else { "" }));
                let asked = Asked { pair, sync, clients, cut, number: rows.len() + 1 };
                let row = takeover(bed, &cluster, &psql, &asked)?;
                sink.row(&row)?;
                rows.push(row);
            }
        }
    }
    Ok(table(&rows))
}

struct Asked<'a> {
    pair: u64,
    sync: &'a str,
    clients: u64,
    cut: bool,
    number: usize,
}

fn takeover(bed: &Bed<'_>, cluster: &str, psql: &Psql, asked: &Asked<'_>) -> Result<WitnessBenchRow> {
    psql.ask("CREATE TABLE IF NOT EXISTS public.witness (number bigint NOT NULL); TRUNCATE public.witness")?;
    let run = Run { name: format!("{}-{}", bed.run.name, asked.number), clock: bed.run.clock };
    let (out, half) = (bed.dir.join(format!("drill-{}", asked.number)), half(bed.args.duration));
    let (clients, file) = (asked.clients.to_string(), format!("drill-{}.csv", asked.number));
    let out_arg = out.display().to_string();
    let mut args = vec!["--cluster", cluster, "--out", &out_arg, "--before", &half, "--after", &half, "--quiet"];
    args.extend(["--clients", &clients]);
    if asked.cut {
        args.extend(["--cut", CUT]);
    }
    let (stop, clock) = (&AtomicBool::new(false), bed.run.clock);
    let (acks, drilled) = std::thread::scope(|scope| {
        let writing = [0, 1].map(|node| scope.spawn(move || write(psql, node, clock, stop)));
        let drilled = step::run("failover-drill", &args, &run, bed.dir, &file);
        stop.store(true, Ordering::Relaxed);
        (writing.map(std::thread::ScopedJoinHandle::join), drilled)
    });
    drilled?;
    let mut both = Vec::new();
    for acks in acks {
        both.extend(acks.map_err(|_| anyhow::anyhow!("the witness panicked"))??);
    }
    both.sort_unstable_by_key(|(_, at_us)| *at_us);
    let acks = both;
    let drill: DrillRow = program::folder::rows(bed.dir, &file)?.pop().context("the drill left no row")?;
    let there = psql.ask("SELECT number FROM public.witness")?;
    let there: BTreeSet<u64> = there.lines().filter_map(|line| line.parse().ok()).collect();
    let lost = acks.iter().filter(|(number, _)| !there.contains(number)).count() as u64;
    let events: Vec<EventRow> = program::folder::rows(&out, "events.csv")?;
    let t0 = events.iter().find(|event| event.mark == Mark::T0).map(|event| event.at_us);
    let gap_us = t0.and_then(|t0| gap_around(&acks, t0, t0 + drill.promotion_us? + drill.reroute_us?));
    Ok(WitnessBenchRow {
        run: run.name,
        pair: asked.pair,
        sync: asked.sync.to_owned(),
        clients: asked.clients,
        cut: asked.cut,
        outage_us: drill.outage_us,
        witness_gap_us: gap_us,
        lost: drill.lost,
        witness_lost: lost,
        verdict: drill.verdict,
        within: drill.outage_us.zip(gap_us).map(|(outage, gap)| outage.abs_diff(gap) <= (gap / 5).max(50_000)),
    })
}

/// The longest gap between two acks that is open at some moment from T0 to T4.
fn gap_around(acks: &[(u64, u64)], t0_us: u64, t4_us: u64) -> Option<u64> {
    let gaps = acks.windows(2).map(|pair| (pair[0].1, pair[1].1));
    gaps.filter(|(begin, end)| *end >= t0_us && *begin <= t4_us).map(|(begin, end)| end - begin).max()
}

/// Writes numbers on a node, one after the other, until it is told to stop; returns which were acknowledged, and when. A
/// standby refuses them, until it is promoted.
fn write(psql: &Psql, node: u16, clock: Clock, stop: &AtomicBool) -> Result<Vec<(u64, u64)>> {
    let (mut acks, mut number, mut session) = (Vec::new(), u64::from(node), None);
    while !stop.load(Ordering::Relaxed) {
        let mut on = match session.take() {
            Some(on) => on,
            None => psql.open(node)?,
        };
        number += 2; // a number is used once, whatever becomes of it; the two nodes have one half each
        match on.insert(number) {
            Answer::Acknowledged => acks.push((number, clock.now_us())),
            Answer::Refused => {}
            Answer::Gone => {
                std::thread::sleep(START_PAUSE);
                continue;
            }
        }
        session = Some(on);
        std::thread::sleep(PAUSE);
    }
    Ok(acks)
}

/// How psql comes in.
const LOGIN: [&str; 2] = ["understudy", "understudy_admin"];

/// psql, and the two nodes.
struct Psql([Server; 2]);

impl Psql {
    fn ask(&self, sql: &str) -> Result<String> {
        let [database, user] = LOGIN;
        let [one, other] = &self.0;
        // Of what is given twice, libpq takes the last.
        let both = format!(
            "host={},{} port={},{} target_session_attrs=read-write connect_timeout=2",
            one.socket.display(),
            other.socket.display(),
            one.port,
            other.port
        );
        let mut psql = psql_to(&format!("{} {both}", one.conninfo(database, user)))?;
        psql.args(["--command", sql]);
        tool::run(psql, DEADLINE)
    }

    /// A connection to the first (0) or the second (1) node, whatever it is now.
    fn open(&self, node: u16) -> Result<Talking> {
        let [database, user] = LOGIN;
        let own = self.0[usize::from(node)].conninfo(database, user);
        let psql = client("psql")?;
        let mut command = Command::new("timeout");
        command.arg(GIVE_UP).arg(psql.get_program());
        command.args(["-XqAt", &format!("{own} connect_timeout=2 application_name=witness")]);
        command.envs(psql.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.stderr(Stdio::null()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("cannot start psql")?;
        let answers = BufReader::new(child.stdout.take().context("psql has no stdout")?);
        Ok(Talking { child, answers })
    }
}

/// A psql that waits for statements.
struct Talking {
    child: Child,
    answers: BufReader<std::process::ChildStdout>,
}

/// What became of a statement.
enum Answer {
    Acknowledged,
    /// The server did not take it: it is a standby.
    Refused,
    /// The connection is lost, and what became of the statement is not known.
    Gone,
}

impl Talking {
    /// Writes a number.
    fn insert(&mut self, number: u64) -> Answer {
        let Some(stdin) = &mut self.child.stdin else { return Answer::Gone };
        let sql = format!("INSERT INTO public.witness VALUES ({number}) RETURNING number; \\echo {DONE}");
        let (mut answer, mut acknowledged) = (String::new(), false);
        if writeln!(stdin, "{sql}").is_err() {
            return Answer::Gone;
        }
        while self.answers.read_line(&mut answer).is_ok_and(|length| length > 0) {
            match answer.trim() {
                DONE if acknowledged => return Answer::Acknowledged,
                DONE => return Answer::Refused,
                said => acknowledged = said.parse() == Ok(number),
            }
            answer.clear();
        }
        Answer::Gone
    }
}

impl Drop for Talking {
    fn drop(&mut self) {
        drop(self.child.stdin.take()); // psql ends at the end of its input
        let _ = self.child.wait();
    }
}

fn half(duration: Duration) -> String {
    format!("{}ms", (duration.as_millis() / 2).max(1))
}

fn table(rows: &[WitnessBenchRow]) -> String {
    let show = |figure: Option<u64>| figure.map_or("-".to_owned(), us);
    let mut lines = vec!["sync   clients  cut   outage      witness's gap  lost  witness lost  agree".to_owned()];
    for row in rows {
        // Without a cut `async` may lose the last millisecond, of the one or of the other.
        let either = row.sync == "async" && !row.cut;
        let agree = match row.within.zip(row.lost) {
            Some((within, lost)) if within && (either || (lost > 0) == (row.witness_lost > 0)) => "yes",
            Some(_) => "NO",
            None => "-",
        };
        lines.push(format!(
            "{:<5}  {:>7}  {:<4}  {:<10}  {:<13}  {:>4}  {:>12}  {agree}",
            row.sync,
            row.clients,
            if row.cut { CUT } else { "-" },
            show(row.outage_us),
            show(row.witness_gap_us),
            row.lost.map_or("-".to_owned(), |lost| lost.to_string()),
            row.witness_lost
        ));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::gap_around;

    #[test]
    fn the_gap_that_is_open_around_the_fault() {
        let acks = [(1, 0), (2, 900), (3, 1_000), (4, 1_400), (5, 1_450), (6, 9_000)];
        assert_eq!(gap_around(&acks, 1_100, 1_380), Some(400), "neither what was before nor what came later");
        assert_eq!(gap_around(&acks[..3], 1_100, 1_380), None, "it was never acknowledged again");
    }
}
