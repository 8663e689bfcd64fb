//! The relations of each node, by name, and which of them are compared.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};

use crate::read_error::ReadError;
use crate::reader::{Reader, column};
use crate::subject::Subject;

/// The large objects of a database: their pages are rows of a table that every server has.
const LARGE_OBJECTS: &str = "pg_largeobject";

/// A table, a sequence or something that is not compared.
#[derive(Clone, Debug)]
pub(crate) struct Relation {
    pub(crate) subject: Subject,
    /// Whether statements can name it.
    is_nameable: bool,
    /// `r`, `p`, `m`, `f` or `S`, as in `pg_class`.
    kind: String,
    persistence: String,
    is_populated: bool,
    is_partition: bool,
}

/// All that a node has.
#[derive(Debug, Default)]
pub(crate) struct Relations(Vec<Relation>);

/// What is compared.
#[derive(Debug, Default)]
pub(crate) struct Chosen {
    /// Tables, partitioned ones as a whole, and materialized views.
    pub(crate) tables: Vec<Subject>,
    pub(crate) sequences: Vec<Subject>,
    /// Tables and sequences that no statement can name.
    pub(crate) nameless: Vec<Subject>,
    /// What is not, each with why.
    pub(crate) left_out: Vec<String>,
}

impl Relations {
    /// Asks a node.
    pub(crate) fn read(reader: &mut Reader) -> Result<Relations, ReadError> {
        let rows = reader.raw_rows(cluster::sql!("verify_value_relations"), &[])?;
        let subjects = Subject::of(&rows, reader)?;
        let relation = |(row, (subject, is_nameable)): (&tokio_postgres::Row, (Subject, bool))| {
            Ok(Relation {
                subject,
                is_nameable,
                kind: column(row, 3)?,
                persistence: column(row, 4)?,
                is_populated: column(row, 5)?,
                is_partition: column(row, 6)?,
            })
        };
        Ok(Relations(rows.iter().zip(subjects).map(relation).collect::<Result<_, ReadError>>()?))
    }

    /// What is compared if nothing is named: all, but for partitions by themselves.
    pub(crate) fn all(&self) -> Chosen {
        let mut chosen = Chosen::default();
        self.0.iter().filter(|one| !one.is_partition).for_each(|one| chosen.add(one));
        chosen
    }

    /// What is compared if these are named, by their oids and by what the user calls them.
    pub(crate) fn named(&self, names: &[(u32, &str)]) -> Result<Chosen> {
        let mut chosen = Chosen::default();
        for (oid, name) in names {
            let found = self.0.iter().find(|one| one.subject.oid == *oid);
            let Some(one) = found else { bail!("--table {name}: is no table, materialized view or sequence") };
            chosen.add(one);
            if let Some(why) = chosen.left_out.pop() {
                bail!("--table {name}: {why} cannot be compared");
            }
        }
        for list in [&mut chosen.tables, &mut chosen.sequences] {
            list.sort_by_key(Subject::title);
            list.dedup();
        }
        chosen.left_out.push("all but what --table names".to_owned());
        Ok(chosen)
    }

    /// Tables of this node by schema and name, partitions included.
    pub(crate) fn tables(&self) -> BTreeMap<(&str, &str), &Subject> {
        self.of(&["r", "p", "m"])
    }

    /// Sequences of this node by schema and name.
    pub(crate) fn sequences(&self) -> BTreeMap<(&str, &str), &Subject> {
        self.of(&["S"])
    }

    fn of(&self, kinds: &[&str]) -> BTreeMap<(&str, &str), &Subject> {
        let is_one = |one: &&Relation| kinds.contains(&&*one.kind) && one.persistence != "t" && one.is_nameable;
        let some = self.0.iter().filter(is_one);
        some.map(|one| (by_name(&one.subject), &one.subject)).collect()
    }
}

impl Chosen {
    fn add(&mut self, one: &Relation) {
        let title = one.subject.title();
        match (&*one.kind, &*one.persistence) {
            ("f", _) => self.left_out.push(format!("foreign table {title}")),
            (_, "u") => self.left_out.push(format!("unlogged {title}")),
            (_, "t") => self.left_out.push(format!("temporary {title}")),
            ("m", _) if !one.is_populated => self.left_out.push(format!("materialized view {title} (not populated)")),
            _ if !one.is_nameable => self.nameless.push(one.subject.clone()),
            ("S", _) => self.sequences.push(one.subject.clone()),
            _ => self.tables.push(one.subject.clone()),
        }
    }

    /// Those of them of whose name another node has nothing, not even what is left out.
    pub(crate) fn without(mut self, known: &Relations) -> Chosen {
        let known = |is_nameable: bool| -> BTreeSet<_> {
            known.0.iter().filter(|one| one.is_nameable == is_nameable).map(|one| by_name(&one.subject)).collect()
        };
        let nameable = known(true);
        for list in [&mut self.tables, &mut self.sequences] {
            list.retain(|one| !nameable.contains(&by_name(one)));
        }
        let nameless = known(false);
        self.nameless.retain(|one| !nameless.contains(&by_name(one)));
        self
    }
}

/// How a thing is found on another node.
pub(crate) fn by_name(subject: &Subject) -> (&str, &str) {
    (&subject.schema, &subject.name)
}

/// The table of the pages of large objects, if this role may read it.
pub(crate) fn large_objects(reader: &mut Reader) -> Result<Option<Subject>, ReadError> {
    let sql = "SELECT c.oid FROM pg_catalog.pg_class AS c
                WHERE c.oid = 'pg_catalog.pg_largeobject'::pg_catalog.regclass
                  AND pg_catalog.has_table_privilege(c.oid, 'SELECT')";
    let rows = reader.rows(sql, &[])?;
    let subject = |oid| Subject { oid, schema: "pg_catalog".to_owned(), name: LARGE_OBJECTS.to_owned() };
    rows.first().map(|row| column(row, 0).map(subject)).transpose()
}
