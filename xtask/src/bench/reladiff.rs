//! reladiff, the fastest public comparer of two databases that we found, on the same table of the same two nodes.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use program::{tool, trust};

use super::psql::Server;

/// Time for one comparison.
const DEADLINE: Duration = Duration::from_secs(1_800);

/// What it is asked to compare.
pub(super) struct Reladiff {
    program: PathBuf,
    /// Its configuration: only there it takes a socket.
    conf: PathBuf,
    passfile: PathBuf,
}

impl Reladiff {
    /// Writes its configuration into `dir`; no password is in it.
    ///
    /// # Errors
    /// If that cannot be written, or there is no reladiff in the path that nobody else could have put there.
    pub(super) fn new(dir: &Path, nodes: &[Server; 2], database: &str, table: &str) -> Result<Reladiff> {
        let program =
            trust::in_path("reladiff", None).context("--reladiff needs it: `pip install 'reladiff[postgresql]'`")?;
        let mut text = String::new();
        for (number, Server { socket, port, .. }) in (1..).zip(nodes) {
            write!(
                text,
                "[database.node{number}]\ndriver = \"postgresql\"\nhost = {socket:?}\nport = {port}\n\
                 database = \"{database}\"\nuser = \"understudy_admin\"\n"
            )?;
        }
        let of = |number| format!("{number}.database = \"node{number}\"\n{number}.table = \"{table}\"\n");
        write!(text, "[run.default]\n[run.both]\n{}{}", of(1), of(2))?;
        let conf = dir.join("reladiff.toml");
        File::create_new(&conf)?.write_all(text.as_bytes())?;
        Ok(Reladiff { program, conf, passfile: nodes[0].passfile.clone() })
    }

    /// Compares all columns by the key `id`; returns how many rows it found equal, and in which time, in microseconds.
    ///
    /// # Errors
    /// If it fails, or finds a difference.
    pub(super) fn compare(&self) -> Result<(u64, u64)> {
        let mut command = Command::new(&self.program);
        command.arg("--conf").arg(&self.conf).args(["--run", "both", "-k", "id", "-c", "%", "--stats"]);
        command.env("PGPASSFILE", &self.passfile);
        let begun = Instant::now();
        let said = tool::output(command, DEADLINE)?;
        let elapsed_us = begun.elapsed().as_micros() as u64;
        let rows = said.stdout.lines().find_map(|line| line.strip_suffix(" rows unchanged")?.parse::<u64>().ok());
        let rows = rows.with_context(|| format!("reladiff did not come to an end: {}", said.why()))?;
        let tells = |line: &str| line.contains(" rows exclusive ") || line.ends_with(" rows updated");
        let differs = said.stdout.lines().any(|line| tells(line) && !line.starts_with("0 "));
        ensure!(!differs, "reladiff finds a difference: {}", said.stdout);
        Ok((rows, elapsed_us))
    }
}
