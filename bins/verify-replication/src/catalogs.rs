//! The catalogs and large objects are tables like any other, and compared like them. Messages name the objects that differ.

use std::collections::BTreeMap;

use cluster::session::Session;
use program::progress::Progress;
use report::verdict::Verdict;
use report::verify::VerifyRow;

use crate::causes::Causes;
use crate::diff::Diff;
use crate::indexes::tally::Tally;
use crate::looks;
use crate::node::{NodeSessions, Standby};
use crate::read_error::ReadError;
use crate::reader::{Reader, column};
use crate::subject::Subject;
use crate::table::{Options, per_second};
use crate::types::{NOTED, Types};

/// How many objects a message names.
const NAMED: usize = 10;

/// Up to this many rows of a catalog are described for people; for a larger catalog the message has only keys.
const DESCRIBED: usize = 20_000;

/// The catalogs that `ANALYZE` writes: they describe data and not the schema, and each primary fills them for itself.
const STATISTICS: [&str; 2] = ["pg_statistic", "pg_statistic_ext_data"];

/// Those that hold large objects.
const LARGE_OBJECTS: [&str; 2] = ["pg_largeobject", "pg_largeobject_metadata"];

/// Columns that maintenance writes in place, which `sql/verify_columns.sql` leaves out, too.
const MAINTAINED: [&str; 8] = [
    "relpages",
    "reltuples",
    "relallvisible",
    "relallfrozen",
    "relfrozenxid",
    "relminmxid",
    "datfrozenxid",
    "datminmxid",
];

#[derive(Clone, Debug)]
pub(crate) struct Catalog {
    table: Subject,
    has_oid: bool,
}

/// All catalogs that can be read.
#[derive(Debug, Default)]
pub(crate) struct Catalogs {
    /// Those that describe what there is.
    pub(crate) schema: Vec<Catalog>,
    /// Those that hold large objects.
    pub(crate) large_objects: Vec<Catalog>,
    /// Those that this role may not read, or that are not compared at rest.
    pub(crate) left_out: Vec<String>,
}

/// Finds the catalogs. `at_rest`: without those that each server fills for itself. `shared`: with those that all databases
/// have in common.
pub(crate) fn find(reader: &mut Reader, at_rest: bool, shared: bool) -> Result<Catalogs, ReadError> {
    let mut catalogs = Catalogs::default();
    for row in reader.rows(cluster::sql!("verify_catalogs"), &[])? {
        let table = Subject { oid: column(&row, 0)?, schema: column(&row, 1)?, name: column(&row, 2)? };
        let (readable, has_oid): (bool, bool) = (column(&row, 3)?, column(&row, 4)?);
        let name = table.name.clone();
        if !shared && column::<bool>(&row, 5)? {
            continue;
        }
        if !readable {
            catalogs.left_out.push(format!("catalog {name} (this role may not read it)"));
        } else if at_rest && STATISTICS.contains(&&*name) {
            catalogs.left_out.push(format!("catalog {name} (each server's own at rest)"));
        } else if LARGE_OBJECTS.contains(&&*name) {
            catalogs.large_objects.push(Catalog { table, has_oid });
        } else {
            catalogs.schema.push(Catalog { table, has_oid });
        }
    }
    Ok(catalogs)
}

/// What was found of some catalogs on one standby.
pub(crate) struct Compared {
    /// With the sums.
    pub(crate) row: VerifyRow,
    /// How much of their indexes was read.
    pub(crate) indexes: Tally,
    /// How many of them were not compared to an end.
    pub(crate) unknown: u64,
}

/// Compares some of them on all standbys: one row for each standby, called `title`.
pub(crate) fn compare(
    primary: &mut NodeSessions,
    standbys: &mut [Standby],
    catalogs: &[Catalog],
    title: (&str, &str),
    options: Options,
    (causes, progress): (&mut Causes, &Progress),
    mut diff: Option<&mut Diff>,
) -> anyhow::Result<Vec<Compared>> {
    let (run, title) = title;
    let mut types = Types::of_catalogs(primary.at_rest);
    let mut sums: Vec<Option<VerifyRow>> = vec![None; standbys.len()];
    let mut more = vec![(Tally::default(), 0); standbys.len()];
    for catalog in catalogs {
        let findings = looks::compare(primary, standbys, &catalog.table, &mut types, options, progress);
        let standbys = standbys.iter_mut().zip(findings).zip(&mut sums).zip(&mut more);
        for (((standby, mut finding), sum), (tally, unknown)) in standbys {
            *unknown += u64::from(finding.is_unknown());
            tally.join(finding.tally());
            let row = finding.row(run, title, &standby.name);
            let name = format!("catalog {}", catalog.table.name);
            finding.tell(&name, &standby.name, progress);
            for why in finding.reasons() {
                causes.add(why, &name, &standby.name);
            }
            if let (Verdict::Broken, Ok(node)) = (row.verdict, &standby.node) {
                for line in differences(catalog, primary, &node.control) {
                    progress.warn(&format!("{name} on {}: {line}", standby.name));
                }
            }
            if let Some(diff) = &mut diff {
                diff.write(&mut finding.found, &catalog.table, primary, standby)?;
            }
            *sum = Some(match sum.take() {
                Some(sum) => add(sum, &row),
                None => row,
            });
        }
        if program::stop::check().is_err() {
            break; // what a signal cut short is no finding, and is not told
        }
    }
    let mut rows: Vec<VerifyRow> = sums.into_iter().flatten().collect();
    if primary.at_rest && title == VerifyRow::CATALOGS {
        for (standby, row) in standbys.iter().zip(&mut rows).filter(|(_, row)| row.verdict == Verdict::Broken) {
            if let Ok(node) = &standby.node
                && [&primary.control, &node.control].into_iter().any(has_temporary_tables)
            {
                row.verdict = Verdict::Unknown;
                progress.warn(&format!("{title} on {}: {TEMPORARY}", standby.name));
            }
        }
    }
    let compared = |(row, (indexes, unknown))| Compared { row, indexes, unknown };
    Ok(rows.into_iter().zip(more).map(compared).collect())
}

/// A promoted server drops the temporary tables of the sessions that its primary had.
const TEMPORARY: &str = "there are temporary tables on one side, which the other one drops by itself, and the catalogs \
                         tell of them: end the sessions that made them, and compare again";

fn has_temporary_tables(session: &Session) -> bool {
    let sql = "SELECT EXISTS (SELECT FROM pg_catalog.pg_class WHERE relpersistence = 't')";
    session.value(sql, &[]).unwrap_or(true)
}

/// Two rows of one standby as one. What could not be read of one of them is not counted.
fn add(a: VerifyRow, b: &VerifyRow) -> VerifyRow {
    let sum = |a: Option<u64>, b: Option<u64>| if a.is_none() { b } else { Some(a.unwrap_or(0) + b.unwrap_or(0)) };
    let elapsed_us = a.elapsed_us + b.elapsed_us;
    let rows_primary = sum(a.rows_primary, b.rows_primary);
    VerifyRow {
        rows_primary,
        rows_standby: sum(a.rows_standby, b.rows_standby),
        missing: sum(a.missing, b.missing),
        extra: sum(a.extra, b.extra),
        different: sum(a.different, b.different),
        corrupt: sum(a.corrupt, b.corrupt),
        chunks: a.chunks + b.chunks,
        rechecked: a.rechecked + b.rechecked,
        indexes: sum(a.indexes, b.indexes),
        index_faults: sum(a.index_faults, b.index_faults),
        elapsed_us,
        rows_per_s: per_second(rows_primary.unwrap_or(0), elapsed_us),
        verdict: a.verdict.join(b.verdict),
        ..a
    }
}

/// A catalog's rows by their address: what they describe, and a digest to tell two apart.
type Described = BTreeMap<String, (String, String)>;

/// What differs in a catalog, in words: which table, which column, which view. Only for people: what counts was proven
/// before, and what cannot be named here has been called by its key.
fn differences(catalog: &Catalog, primary: &NodeSessions, standby: &Session) -> Vec<String> {
    let Some(sql) = describing(catalog, primary.at_rest) else { return Vec::new() };
    let (Ok(here), Ok(there)) = (described(&primary.control, &sql), described(standby, &sql)) else {
        return Vec::new();
    };
    if here.len().max(there.len()) > DESCRIBED {
        return Vec::new();
    }
    let only = |these: &Described, those: &Described| {
        let names = these.iter().filter(|(key, _)| !those.contains_key(*key));
        names.map(|(_, (name, _))| name.clone()).collect::<Vec<_>>()
    };
    let both = here.iter().filter(|(key, (_, digest))| there.get(*key).is_some_and(|(_, other)| other != digest));
    let different: Vec<String> = both.map(|(_, (name, _))| name.clone()).collect();
    [
        (format!("only on {}", standby.node()), only(&there, &here)),
        (format!("only on {}", primary.control.node()), only(&here, &there)),
        ("different".to_owned(), different),
    ]
    .into_iter()
    .filter(|(_, names)| !names.is_empty())
    .map(|(what, names)| {
        let more = if names.len() > NAMED { format!(", and {} more", names.len() - NAMED) } else { String::new() };
        format!("{what}: {}{more}", names[..names.len().min(NAMED)].join(", "))
    })
    .collect()
}

/// The statement that describes a catalog's rows; none for a catalog whose rows have no address of their own.
fn describing(catalog: &Catalog, at_rest: bool) -> Option<String> {
    let (table, class) = (catalog.table.quoted(), catalog.table.oid);
    let address = match (catalog.table.name.as_str(), catalog.has_oid) {
        ("pg_attribute", _) => "1259, t.attrelid, t.attnum".to_owned(), // of a column, its table in pg_class
        (_, true) => format!("{class}, t.oid, 0"),
        (_, false) => return None,
    };
    let noted: &[&str] = if at_rest { &NOTED } else { &[] };
    let left_out = [&MAINTAINED, noted].concat().join(",");
    Some(format!(
        "SELECT pg_catalog.concat_ws('.', {address}), pg_catalog.pg_describe_object({address}), \
                pg_catalog.md5((pg_catalog.to_jsonb(t) - '{{{left_out}}}'::pg_catalog.text[])::pg_catalog.text) \
           FROM ONLY {table} AS t LIMIT {}",
        DESCRIBED + 1
    ))
}

fn described(session: &Session, sql: &str) -> anyhow::Result<Described> {
    let mut described = Described::new();
    for row in session.rows(sql, &[])? {
        let (key, name): (String, Option<String>) = (row.try_get(0)?, row.try_get(1)?);
        let name = name.unwrap_or_else(|| key.clone());
        described.insert(key, (name, row.try_get(2)?));
    }
    Ok(described)
}
