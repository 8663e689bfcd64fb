//! `bench load`: `write-load --rate max` beside `pgbench -M prepared` with the same one-row INSERT on the same server.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use program::sink::Sink;
use program::tool;
use report::bench::LoadBenchRow;
use report::load::LoadRow;

use super::psql::client;
use super::{Bed, mid, ports, rusage};
use crate::step;

/// How many clients write.
const CLIENTS: [u64; 3] = [1, 8, 32];

/// Time for pgbench beyond that of its load.
const GRACE: Duration = Duration::from_secs(60);

/// The same INSERT as `sql/ledger_insert.sql`, with keys of pgbench's own.
const SCRIPT: &str = "\
\\set seq :seq + 1
INSERT INTO understudy.ledger (run, worker, seq, payload)
VALUES (:run, :client_id, :seq, '105ff92dd30f10e977b48611cb609ae3');
";

pub(super) fn run(bed: &Bed<'_>) -> Result<String> {
    let mut sink = Sink::create_new(&bed.dir.join("bench-load.csv"))?;
    let port = ports::nine_free()?.to_string();
    bed.progress.step("setting up");
    // A new lab on a port of our choice: its first node, the primary, listens there.
    let cluster = bed.setup(&["--port", &port, "--sync", "async"])?;
    let script = bed.dir.join("insert.sql");
    std::fs::write(&script, SCRIPT)?;
    let passfile = Path::new(&cluster).with_file_name("passfile");
    let mut rows = Vec::new();
    for clients in CLIENTS {
        for pair in 1..=bed.args.pairs {
            bed.progress.step(format!("{clients} clients, pair {pair} of {}", bed.args.pairs));
            let ours = ours(bed, &cluster, clients, pair)?;
            sink.row(&ours)?;
            let peer = pgbench(bed, &port, &script, &passfile, clients, pair)?;
            sink.row(&peer)?;
            rows.push((ours, peer));
        }
    }
    Ok(table(&rows))
}

fn ours(bed: &Bed<'_>, cluster: &str, clients: u64, pair: u64) -> Result<LoadBenchRow> {
    let rows = format!("load-{clients}-{pair}.csv");
    let run = program::run::Run { name: format!("{}-{clients}-{pair}", bed.run.name), clock: bed.run.clock };
    let (number, duration) = (clients.to_string(), format!("{}ms", bed.args.duration.as_millis()));
    std::fs::create_dir_all(bed.dir.join("rows"))?;
    let ledger = bed.dir.join("rows").join(format!("ledger-{clients}-{pair}.csv")).display().to_string();
    let args = [
        "--cluster",
        cluster,
        "--quiet",
        "--rate",
        "max",
        "--clients",
        &number,
        "--duration",
        &duration,
        "--ledger",
        &ledger,
    ];
    let before = rusage::children_us()?;
    step::run("write-load", &args, &run, bed.dir, &format!("rows/{rows}"))?;
    let cpu_us = rusage::children_us()? - before;
    let seconds: Vec<LoadRow> = program::folder::rows(bed.dir, &format!("rows/{rows}"))?;
    let acked: u64 = seconds.iter().map(|row| row.acked).sum();
    let cpu_per_write_us = per_write(cpu_us, acked).context("write-load")?;
    std::fs::remove_file(&ledger)?; // tens of megabytes, and it has done its work
    Ok(LoadBenchRow {
        run: bed.run.name.clone(),
        clients,
        pair,
        program: "write-load".to_owned(),
        per_s: acked as f64 / bed.args.duration.as_secs_f64(),
        client_cpu_us: cpu_per_write_us,
    })
}

fn pgbench(bed: &Bed<'_>, port: &str, script: &Path, passfile: &Path, clients: u64, pair: u64) -> Result<LoadBenchRow> {
    let (number, seconds) = (clients.to_string(), bed.args.duration.as_secs().max(1).to_string());
    let run = format!("run='pgbench-{}-{clients}-{pair}'", bed.run.name);
    let mut command = client("pgbench")?;
    // One thread: write-load has one, too.
    command.args(["--no-vacuum", "--protocol", "prepared", "--client", &number, "--jobs", "1", "--time", &seconds]);
    command.arg("--file").arg(script).args(["--define", &run, "--define", "seq=0"]);
    command.args(["--host", "127.0.0.1", "--port", port, "--username", "understudy_app", "understudy"]);
    command.env("PGPASSFILE", passfile);
    let before = rusage::children_us()?;
    let said = tool::run(command, bed.args.duration + GRACE)?;
    let cpu_us = rusage::children_us()? - before;
    let word_after = |what: &str| said.lines().find_map(|line| line.strip_prefix(what)?.split_whitespace().next());
    let transactions = word_after("number of transactions actually processed:").and_then(|word| word.parse().ok());
    Ok(LoadBenchRow {
        run: bed.run.name.clone(),
        clients,
        pair,
        program: "pgbench".to_owned(),
        per_s: word_after("tps =").and_then(|word| word.parse().ok()).context("pgbench says no tps")?,
        client_cpu_us: per_write(cpu_us, transactions.context("pgbench says no count")?).context("pgbench")?,
    })
}

/// CPU time of the client for each write, in microseconds. Without a write there is no such figure.
fn per_write(cpu_us: u64, writes: u64) -> Result<f64> {
    ensure!(writes > 0, "not one write was acknowledged: there is nothing to compare");
    Ok(cpu_us as f64 / writes as f64)
}

fn table(rows: &[(LoadBenchRow, LoadBenchRow)]) -> String {
    let mut lines =
        vec!["medians      write-load/s  pgbench/s  ratio of pairs  CPU µs per write: ours, pgbench".to_owned()];
    for clients in CLIENTS {
        let pairs = || rows.iter().filter(|(ours, _)| ours.clients == clients);
        let mid = |digits: usize, figure: &dyn Fn(&(LoadBenchRow, LoadBenchRow)) -> f64| {
            mid(&pairs().map(figure).collect::<Vec<_>>(), |figure| format!("{figure:.digits$}"))
        };
        lines.push(format!(
            "{clients:>2} clients  {:>13}  {:>9}  {:>14}  {:>22}, {}",
            mid(0, &|(ours, _)| ours.per_s),
            mid(0, &|(_, peer)| peer.per_s),
            mid(2, &|(ours, peer)| ours.per_s / peer.per_s),
            mid(1, &|(ours, _)| ours.client_cpu_us),
            mid(1, &|(_, peer)| peer.client_cpu_us)
        ));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::{CLIENTS, per_write, table};

    #[test]
    fn no_write_has_no_cost() {
        assert!(per_write(5_000, 0).unwrap_err().to_string().contains("not one write"));
        assert!((per_write(5_000, 2).unwrap() - 2_500.0).abs() < f64::EPSILON);
    }

    #[test]
    fn a_table_without_rows_shows_no_figure() {
        let text = table(&[]);
        assert_eq!(text.lines().count(), 1 + CLIENTS.len());
        for line in text.lines().skip(1) {
            let figures = line.split_once("clients").unwrap().1;
            assert!(figures.contains('-') && !figures.contains('0'), "{line}");
        }
    }
}
