//! `bench verify --coverage`: is each relation and each index of a database compared, or else named among what was not? What
//! there is, is counted from the server's own catalog. One database has a thing of each kind that people's schemas have; with
//! `--regress`, another one is that of PostgreSQL's own regression tests.

mod regress;
mod silent;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use program::sink::Sink;
use program::{child, tool};
use report::bench::CoverageBenchRow;
use report::verdict::Verdict;
use report::verify::VerifyRow;

use self::silent::{Relation, Tally};
use super::psql::Server;
use super::{Bed, ports};

/// The database that is made here, and how.
const RENTALS: (&str, &str) = ("rentals", include_str!("rentals.sql"));

/// Every relation of a database.
const RELATIONS: &str = include_str!("relations.sql");

/// Time for comparing one database.
const COMPARE_DEADLINE: Duration = Duration::from_secs(600);

/// The whole benchmark; `regress` is PostgreSQL's source tree, with its regression tests built.
///
/// # Errors
/// If a server refuses, or a program cannot do its work.
pub(super) fn run(bed: &Bed<'_>, regress: Option<&Path>) -> Result<(String, Verdict)> {
    let mut sink = Sink::create_new(&bed.dir.join("bench-coverage.csv"))?;
    let first = ports::nine_free()?;
    bed.progress.step("setting up");
    let port = first.to_string();
    let mut asked = vec!["--port", &port, "--sync", "async"];
    asked.extend(regress.iter().flat_map(|_| regress::SETTINGS.iter().flat_map(|setting| ["--set", setting])));
    let cluster = bed.setup(&asked)?;
    let [primary, standby] = [0, 1].map(|number| Server::of(&cluster, first, number));
    let (mut lines, mut rows) = (vec![HEADER.to_owned()], Vec::new());

    bed.progress.step("making the database rentals");
    primary.ask("postgres", &format!("CREATE DATABASE {}", RENTALS.0))?;
    primary.script(RENTALS.0, &bed.dir.join("rentals.sql"), RENTALS.1)?;
    rows.extend(compare(bed, &primary, &standby, RENTALS.0)?);
    if let Some(source) = regress {
        bed.progress.step("running PostgreSQL's regression tests");
        lines.insert(0, regress::run(bed, &primary, source)?);
        rows.extend(compare(bed, &primary, &standby, regress::DATABASE)?);
    }
    for row in &rows {
        sink.row(row)?;
        lines.push(shown(row));
    }
    let bad = rows.iter().any(|row| row.verdict == Verdict::Broken);
    Ok((lines.join("\n"), if bad { Verdict::Broken } else { Verdict::Held }))
}

/// Compares a database, indexes in full where they can be, and holds what was said against what is there.
fn compare(bed: &Bed<'_>, primary: &Server, standby: &Server, database: &str) -> Result<Vec<CoverageBenchRow>> {
    bed.progress.step(format!("comparing the database {database}"));
    let relations: Vec<Relation> =
        primary.ask(database, RELATIONS)?.lines().map(Relation::read).collect::<Result<_>>()?;
    ensure!(!relations.is_empty(), "the database {database} has no relations");
    let [primary, standby] = [primary, standby].map(|server| server.conninfo(database, "understudy_monitor"));
    let mut command = child::command("verify-replication", &bed.run)?;
    command.args(["--primary", &primary, "--standby", &standby, "--indexes", "all"]);
    let said = tool::output(command, COMPARE_DEADLINE)?;
    std::fs::create_dir_all(bed.dir.join("rows"))?;
    for (kind, text) in [("csv", &said.stdout), ("log", &said.stderr)] {
        let file = bed.dir.join(format!("rows/verify-{database}.{kind}"));
        std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    let rows: Vec<VerifyRow> = report::rows::read(said.stdout.as_bytes())?;
    ensure!(!rows.is_empty(), "nothing of {database} was compared: {}", said.why());
    let tallies = silent::tally(&relations, &rows, &said.stderr);
    Ok(tallies.into_iter().map(|(kind, tally)| row(bed, database, kind, tally)).collect())
}

fn row(bed: &Bed<'_>, database: &str, kind: &str, tally: Tally) -> CoverageBenchRow {
    let Tally { relations, compared, named, silent, broken } = tally;
    CoverageBenchRow {
        run: bed.run.name.clone(),
        database: database.to_owned(),
        kind: kind.to_owned(),
        relations,
        compared,
        named,
        silent,
        broken,
        verdict: if silent + broken > 0 { Verdict::Broken } else { Verdict::Held },
    }
}

const HEADER: &str = "database    kind               there  compared  named  in silence  broken";

fn shown(row: &CoverageBenchRow) -> String {
    format!(
        "{:<10}  {:<17}  {:>5}  {:>8}  {:>5}  {:>10}  {:>6}",
        row.database, row.kind, row.relations, row.compared, row.named, row.silent, row.broken
    )
}
