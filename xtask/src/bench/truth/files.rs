//! What is planted in the files of a stopped standby.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use program::tool;

use super::Nodes;
use super::count;
use super::damage::{self, Damage, Edit, File};
use super::data_dir::DataDir;
use super::dice::Dice;
use super::edit::edit;
use super::plan::{Class, Expected, Plan, Truth};
use super::sql::Act;
use super::subjects::Subject;
use crate::bench::psql::Server;

/// The database.
pub(super) const DATABASE: &str = "truth_files";

/// Time for a standby to stop.
const STOP_DEADLINE: Duration = Duration::from_secs(60);

/// The kind of tables that the standby keeps as they were, with their indexes.
const LEFT: &str = "left_behind";

/// A damaged table.
struct Damaged {
    table: String,
    damage: Damage,
}

/// What is to be planted.
pub(super) struct Planted {
    subjects: Vec<Subject>,
    damaged: Vec<Damaged>,
}

/// Makes the tables. `copies`: of each kind of damage.
///
/// # Errors
/// If the primary refuses.
pub(super) fn make(nodes: &Nodes<'_>, subjects: &[Subject], copies: u64, citext: bool) -> Result<Planted> {
    let mut text: String = subjects.iter().map(|subject| subject.make(&left(subject))).collect();
    let mut damaged = Vec::new();
    for damage in damage::of_tables().into_iter().chain(damage::of_indexes(citext)) {
        for number in 1..=copies {
            let table = format!("truth.{}__{number}", damage.kind);
            text += &fill_in(&damage.make, &table);
            damaged.push(Damaged { table, damage: damage.clone() });
        }
    }
    nodes.primary.script(DATABASE, &nodes.dir.join("sql/files-make.sql"), &text)?;
    Ok(Planted { subjects: subjects.to_vec(), damaged })
}

fn left(subject: &Subject) -> String {
    format!("truth.{LEFT}__{}", subject.name)
}

/// The index of a table, without its schema.
fn index(table: &str) -> String {
    format!("{}_i", table.trim_start_matches("truth."))
}

fn fill_in(text: &str, table: &str) -> String {
    text.replace("{t}", table).replace("{i}", &index(table))
}

impl Planted {
    /// Plants all of it on `standby`, which is stopped and then started by `start`.
    ///
    /// # Errors
    /// If a server refuses, or a file is not what it should be.
    pub(super) fn plant(
        &self,
        nodes: &Nodes<'_>,
        standby: &Server,
        dice: &mut Dice,
        start: impl FnOnce() -> Result<()>,
    ) -> Result<Plan> {
        let data = DataDir::open(&standby.data())?;
        settle(&nodes.primary, standby, true)?;
        let before = self.before(nodes, &data)?;
        let run = |name: &str, text: &str| nodes.primary.script(DATABASE, &nodes.dir.join(name), text);
        run("sql/files-change.sql", &self.changes(dice))?;
        settle(&nodes.primary, standby, true)?;
        let late: String = self.damaged.iter().map(|one| fill_in(&one.damage.late, &one.table)).collect();
        run("sql/files-late.sql", &late)?;
        settle(&nodes.primary, standby, false)?;
        let files = self.files(nodes)?;
        stop(standby, &data)?;
        for (path, bytes) in before {
            data.write(&path, &bytes)?;
        }
        let mut done = String::new();
        for one in self.damaged.iter().filter(|one| one.damage.edit != Edit::Left) {
            let path = files.get(&one.table).with_context(|| format!("{}: it has no such file", one.table))?;
            done += &format!("{}: {}: {}\n", one.table, path, edit(&data, path, one.damage.edit, dice)?);
        }
        std::fs::write(nodes.dir.join("edits.txt"), done)?;
        start()?;
        self.plan(nodes, standby)
    }

    /// What the primary does beyond what stays behind.
    fn changes(&self, dice: &mut Dice) -> String {
        let subjects = self.subjects.iter().filter(|subject| Act::Mixed.suits(subject));
        let left = subjects.map(|subject| Act::Mixed.statements(subject, &left(subject), dice));
        left.chain(self.damaged.iter().map(|one| fill_in(&one.damage.change, &one.table))).collect()
    }

    /// The files that stay as they are now.
    fn before(&self, nodes: &Nodes<'_>, data: &DataDir) -> Result<Vec<(String, Vec<u8>)>> {
        let tables = format!(
            "WITH kept AS (SELECT oid, reltoastrelid FROM pg_class WHERE relname LIKE '{LEFT}\\_\\_%' AND relkind IN ('r', 'm')
                           AND relpersistence = 'p')
             SELECT pg_relation_filepath(relation) FROM (
                 SELECT oid AS relation FROM kept UNION SELECT reltoastrelid FROM kept WHERE reltoastrelid <> 0
                 UNION SELECT indexrelid FROM pg_index, kept WHERE indrelid IN (kept.oid, reltoastrelid)) AS relations"
        );
        let mut paths: Vec<String> = nodes.primary.ask(DATABASE, &tables)?.lines().map(str::to_owned).collect();
        let files = self.files(nodes)?;
        let left = self.damaged.iter().filter(|one| one.damage.edit == Edit::Left);
        paths.extend(left.filter_map(|one| files.get(&one.table).cloned()));
        paths.into_iter().map(|path| Ok((path.clone(), data.read(&path)?))).collect()
    }

    /// The file that is damaged, by table.
    fn files(&self, nodes: &Nodes<'_>) -> Result<BTreeMap<String, String>> {
        let mut script = String::new();
        for one in &self.damaged {
            let relation = format!("'{}'::regclass", one.table);
            let path = match one.damage.file {
                File::Table => format!("pg_relation_filepath({relation})"),
                File::Index => format!("pg_relation_filepath('truth.{}'::regclass)", index(&one.table)),
                File::Toast => {
                    format!("(SELECT pg_relation_filepath(reltoastrelid) FROM pg_class WHERE oid = {relation})")
                }
                File::VisibilityMap => format!("pg_relation_filepath({relation}) || '_vm'"),
            };
            script += &format!("SELECT '{}', {path};\n", one.table);
        }
        let said = nodes.primary.script(DATABASE, &nodes.dir.join("sql/files-where.sql"), &script)?;
        let pair = |line: &str| line.split_once('|').map(|(table, path)| (table.to_owned(), path.to_owned()));
        Ok(said.lines().filter_map(pair).collect())
    }

    /// What is expected of each table.
    fn plan(&self, nodes: &Nodes<'_>, standby: &Server) -> Result<Plan> {
        let mut plan = Plan::new();
        let of =
            "SELECT oid::regclass FROM pg_class WHERE relkind IN ('r', 'm') AND relpersistence = 'p' AND relname LIKE ";
        let kept = nodes.primary.ask(DATABASE, &format!("{of}'{LEFT}\\_\\_%'"))?;
        for table in kept.lines() {
            plan.insert(table.to_owned(), Expected::new(LEFT, "file", Class::Rows, Truth::Counted));
        }
        for one in &self.damaged {
            let Damage { kind, class, truth, .. } = &one.damage;
            plan.insert(one.table.clone(), Expected::new(kind, "file", *class, *truth));
        }
        let counted = plan.iter().filter(|(_, expected)| expected.truth == Truth::Counted);
        let tables: Vec<&str> = counted.map(|(table, _)| &**table).collect();
        let differing = count::differing([&nodes.primary, standby], DATABASE, &tables, nodes.dir)?;
        for (table, differing) in differing {
            if let Some(expected) = plan.get_mut(&table) {
                expected.differing = differing;
            }
        }
        Ok(plan)
    }
}

/// Has everything on disk on both, and nothing in the WAL that would be replayed over it. With `vacuum`, frozen too.
pub(super) fn settle(primary: &Server, standby: &Server, vacuum: bool) -> Result<()> {
    if vacuum {
        primary.ask(DATABASE, "VACUUM FREEZE")?;
    }
    primary.ask(DATABASE, "CHECKPOINT")?;
    catch_up(primary, standby)?;
    standby.ask(DATABASE, "CHECKPOINT")?;
    Ok(())
}

/// Waits until the standby has replayed what the primary has written.
pub(super) fn catch_up(primary: &Server, standby: &Server) -> Result<()> {
    let mark = primary.ask("postgres", "SELECT pg_current_wal_lsn()")?;
    for _ in 0..3_000 {
        if standby.ask("postgres", &format!("SELECT pg_last_wal_replay_lsn() >= '{mark}'"))? == "t" {
            return Ok(());
        }
        program::stop::pause(Duration::from_millis(20))?;
    }
    anyhow::bail!("the standby on port {} did not replay {mark} within a minute", standby.port)
}

/// Stops a standby, as its own user and in a session of its own: what it says of its programs is its own word.
fn stop(standby: &Server, data: &DataDir) -> Result<()> {
    let programs = standby.ask("postgres", "SELECT setting FROM pg_config WHERE name = 'BINDIR'")?;
    let mut command = Command::new(tool::SETSID);
    if rustix::process::geteuid().is_root() {
        let (uid, gid) = data.owner;
        command.arg("setpriv").args([format!("--reuid={uid}"), format!("--regid={gid}")]);
        command.args(["--clear-groups", "--"]);
    }
    command.arg(Path::new(&programs).join("pg_ctl"));
    command.args(["stop", "--mode", "fast", "--wait", "--pgdata"]).arg(&data.path).current_dir("/");
    tool::run(command, STOP_DEADLINE)?;
    ensure!(!data.path.join("postmaster.pid").exists(), "the standby on port {} still runs", standby.port);
    Ok(())
}
