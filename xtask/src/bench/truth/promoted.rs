//! What is planted by SQL in a promoted copy, which is then compared at rest.

use std::time::Duration;

use anyhow::{Result, bail};
use report::verify::VerifyRow;

use super::count;
use super::databases::{MAKE, SMALL};
use super::dice::Dice;
use super::plan::{Class, Expected, Plan, Truth};
use super::sequences::{self, Sequence};
use super::sql::{ACTS, Act};
use super::subjects::Subject;
use super::{Nodes, files};
use crate::bench::psql::Server;

/// The database of the tables.
pub(super) const TABLES: &str = "truth_sql";
/// That of the sequences.
const SEQUENCES: &str = "truth_sequences";

/// A table and what is to be done to it.
struct Changed {
    table: String,
    kind: &'static str,
    act: Act,
    subject: Subject,
}

/// What is to be planted.
pub(super) struct Planted {
    changed: Vec<Changed>,
    sequences: Vec<Sequence>,
    /// One in so many of the small databases.
    every: usize,
}

/// Makes the tables, sequences and databases.
///
/// # Errors
/// If the primary refuses.
pub(super) fn make(nodes: &Nodes<'_>, subjects: &[Subject], every: usize, dice: &mut Dice) -> Result<Planted> {
    let mut changed = Vec::new();
    for (kind, act) in ACTS {
        for subject in subjects.iter().filter(|subject| act.suits(subject)) {
            let table = format!("truth.{kind}__{}", subject.name);
            changed.push(Changed { table, kind, act, subject: subject.clone() });
        }
    }
    let text: String = changed.iter().map(|one| one.subject.make(&one.table)).collect();
    nodes.primary.script(TABLES, &nodes.dir.join("sql/tables-make.sql"), &text)?;
    let sequences = sequences::all(20 / every as u64 + 1, dice);
    nodes.primary.ask("postgres", &format!("CREATE DATABASE {SEQUENCES}"))?;
    let text: String = sequences.iter().map(|one| one.make.clone()).collect();
    let text = format!("CREATE SCHEMA truth;\n{text}");
    nodes.primary.script(SEQUENCES, &nodes.dir.join("sql/sequences-make.sql"), &text)?;
    let template = small_name(SMALL[0].kind);
    nodes.primary.ask("postgres", &format!("CREATE DATABASE {template}"))?;
    nodes.primary.script(&template, &nodes.dir.join("sql/small-make.sql"), MAKE)?;
    for small in SMALL.iter().step_by(every).skip(1) {
        let name = small_name(small.kind);
        nodes.primary.ask("postgres", &format!("CREATE DATABASE {name} TEMPLATE {template}"))?;
    }
    Ok(Planted { changed, sequences, every })
}

fn small_name(kind: &str) -> String {
    format!("truth_{kind}")
}

impl Planted {
    /// Promotes the copy, plants all of it, and has `compare` hold each database against its plan.
    ///
    /// # Errors
    /// If a server refuses, or `compare` fails.
    pub(super) fn plant(
        &self,
        nodes: &Nodes<'_>,
        copy: &Server,
        dice: &mut Dice,
        mut compare: impl FnMut(&str, &Plan) -> Result<()>,
    ) -> Result<()> {
        promote(&nodes.primary, copy)?;
        let run = |database: &str, name: &str, text: &str| {
            copy.script(database, &nodes.dir.join(format!("sql/{name}.sql")), text).map(drop)
        };
        let text: String = self.changed.iter().map(|one| one.act.statements(&one.subject, &one.table, dice)).collect();
        run(TABLES, "tables-change", &text)?;
        compare(TABLES, &self.of_tables(nodes, copy)?)?;
        run(SEQUENCES, "sequences-change", &self.sequences.iter().map(|one| &*one.change).collect::<String>())?;
        compare(SEQUENCES, &self.of_sequences())?;
        for small in SMALL.iter().step_by(self.every) {
            let database = small_name(small.kind);
            run(&database, &format!("small-{}", small.kind), small.change)?;
            let expected = |row: &&str| {
                let truth = if small.rows.contains(row) { Truth::Broken } else { Truth::Nothing };
                ((*row).to_owned(), Expected::new(&format!("catalog_{}", small.kind), "sql", Class::Rows, truth))
            };
            let all = [VerifyRow::CATALOGS, VerifyRow::LARGE_OBJECTS];
            let plan: Plan = small.rows.iter().chain(&all).map(expected).collect();
            compare(&database, &plan)?;
        }
        Ok(())
    }

    /// What is expected of each table, of each leaf of a partitioned one, and of each view.
    fn of_tables(&self, nodes: &Nodes<'_>, copy: &Server) -> Result<Plan> {
        let mut plan = Plan::new();
        let sql =
            "SELECT oid::regclass FROM pg_class WHERE relnamespace = 'truth'::regnamespace AND relkind IN ('r', 'm')
                      AND relpersistence = 'p'";
        let said = nodes.primary.ask(TABLES, sql)?;
        let tables: Vec<&str> = said.lines().collect();
        for (table, differing) in count::differing([&nodes.primary, copy], TABLES, &tables, nodes.dir)? {
            let kind = table.trim_start_matches("truth.").split("__").next().unwrap_or_default();
            let expected = Expected::new(&format!("row_{kind}"), "sql", Class::Rows, Truth::Counted);
            plan.insert(table.clone(), Expected { differing, ..expected });
        }
        for one in &self.changed {
            // Nothing to find where something should have been planted would make the benchmark easy.
            let differing = |name: &str| plan.get(name).map(|expected| expected.differing).unwrap_or_default();
            let prefix = format!("{}_", one.table);
            let there = plan.keys().filter(|name| **name == one.table || name.starts_with(&prefix));
            let any = there.map(|name| differing(name)).any(|found| found.here + found.there > 0);
            if any == (one.act == Act::Same) {
                bail!(
                    "{}: {} was planted, and the servers {} there",
                    one.table,
                    one.kind,
                    if any { "differ" } else { "agree" }
                );
            }
        }
        Ok(plan)
    }

    fn of_sequences(&self) -> Plan {
        let expected = |one: &Sequence| {
            let truth = if one.wrong { Truth::Broken } else { Truth::Nothing };
            (format!("sequence {}", one.name), Expected::new(one.kind, "sql", Class::Rows, truth))
        };
        let mut plan: Plan = self.sequences.iter().map(expected).collect();
        // Their definitions are in catalogs, too.
        let catalogs = Expected::new("sequence_catalogs", "sql", Class::Rows, Truth::Broken);
        plan.insert(VerifyRow::CATALOGS.to_owned(), catalogs);
        plan
    }
}

/// Promotes the copy, once it has all that the primary has.
fn promote(primary: &Server, copy: &Server) -> Result<()> {
    files::catch_up(primary, copy)?;
    copy.ask("postgres", "SELECT pg_promote(true, 60)")?;
    for _ in 0..3_000 {
        if copy.ask("postgres", "SELECT pg_is_in_recovery()")? == "f" {
            return Ok(());
        }
        program::stop::pause(Duration::from_millis(20))?;
    }
    bail!("the standby on port {} was not promoted within a minute", copy.port)
}
