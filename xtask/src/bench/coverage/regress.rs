//! The database that PostgreSQL's own regression tests leave.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use program::{tool, trust};

use super::super::Bed;
use super::super::psql::Server;

/// What the tests call their database.
pub(super) const DATABASE: &str = "regression";

/// What the tests need of a server.
pub(super) const SETTINGS: [&str; 2] = ["allow_in_place_tablespaces=on", "max_prepared_transactions=10"];

/// Time for all tests: a minute on an idle machine.
const DEADLINE: Duration = Duration::from_secs(1_800);

/// Runs the tests on the primary, and says how many passed: some write to files as the server's user, who may not here.
///
/// # Errors
/// If they are not built, or left no result.
pub(super) fn run(bed: &Bed<'_>, primary: &Server, source: &Path) -> Result<String> {
    let tests = source.join("src/test/regress");
    let built = [tests.join("pg_regress"), tests.join("regress.so")];
    ensure!(
        built.iter().all(|file| file.is_file()),
        "{} is not built: in the source tree of the server's major version, `./configure && make -C src/backend \
         generated-headers && make -C src/test/regress`",
        built[0].display()
    );
    let output = bed.dir.join("regress");
    std::fs::create_dir_all(&output)?;
    let psql = trust::in_path("psql", None)?;
    let (tests, bin) = (std::fs::canonicalize(&tests)?, psql.parent().context("psql lies nowhere")?);
    // As ourselves, root if we are, and it reads the lab's passwords: it must be nobody else's.
    let mut command = Command::new(trust::of_programs(&tests.join("pg_regress"), None)?);
    command.env("PGPASSFILE", &primary.passfile).current_dir(&output);
    command.args(["--port", &primary.port.to_string(), "--user", "understudy_admin", "--dbname", DATABASE]);
    command.arg("--host").arg(&primary.socket).arg("--bindir").arg(bin);
    command.arg("--dlpath").arg(&tests).arg("--inputdir").arg(&tests).arg("--outputdir").arg(&output);
    command.arg("--schedule").arg(tests.join("parallel_schedule"));
    let ended = tool::output(command, DEADLINE)?;
    let counts = ended.stdout.lines().map(str::trim).find(|line| line.contains("tests") && line.ends_with('.'));
    let counts = counts.with_context(|| format!("pg_regress did not come to an end: {}", ended.why()))?;
    Ok(format!("PostgreSQL's regression tests: {counts}"))
}
