//! What is compared: which tables and sequences, and what is left out.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, bail, ensure};
use cluster::ident::{literal, quote, shown};
use cluster::server_error::sqlstate;
use cluster::session::Session;
use report::foreign::one_line;
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;

use crate::read_error::{ANOTHER, ReadError};
use crate::reader::{Reader, column};
use crate::text::{Raw, Shown};

/// A table or a sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subject {
    /// Its oid: the same on every physical standby.
    pub(crate) oid: u32,
    pub(crate) schema: String,
    pub(crate) name: String,
}

impl Subject {
    /// The relations of some rows of [`Reader::raw_rows`] that begin with oid, schema and name; and whether statements can
    /// name them. In SQL_ASCII a name may be of bytes that are no UTF-8, and a statement is.
    pub(crate) fn of(rows: &[Row], reader: &mut Reader) -> Result<Vec<(Subject, bool)>, ReadError> {
        let mut names = Vec::with_capacity(2 * rows.len());
        for row in rows {
            names.extend([column::<Option<Raw>>(row, 1)?, column(row, 2)?]);
        }
        let mut names = reader.texts(names)?.into_iter().flatten();
        let mut subjects = Vec::with_capacity(rows.len());
        for row in rows {
            let (Some(schema), Some(name)) = (names.next(), names.next()) else { break };
            let is_nameable = schema.is_whole && name.is_whole;
            subjects.push((Subject { oid: column(row, 0)?, schema: schema.text, name: name.text }, is_nameable));
        }
        Ok(subjects)
    }

    /// Whether it was dropped from the primary since it was found there. If that cannot be asked: no.
    pub(crate) fn is_dropped(&self, primary: &Session) -> bool {
        let sql = "SELECT NOT EXISTS (SELECT FROM pg_catalog.pg_class WHERE oid = $1)";
        primary.value(sql, &[&self.oid]).unwrap_or(false)
    }

    /// As rows and messages call it.
    pub(crate) fn title(&self) -> String {
        format!("{}.{}", quote_where_needed(&self.schema), quote_where_needed(&self.name))
    }

    /// As statements call it.
    pub(crate) fn quoted(&self) -> String {
        format!("{}.{}", quote(&self.schema), quote(&self.name))
    }

    /// The rows `t` of this very relation, with a condition to which more can be added. Its name could have passed to another
    /// relation. So the server looks the name up a second time when it plans the statement, with the relation locked, and
    /// refuses another oid: by a value that cannot be converted, since SQL has no other way to raise an error.
    pub(crate) fn rows(&self) -> String {
        let (name, oid) = (self.quoted(), self.oid);
        let (again, refusal) = (literal(&name), literal(&format!("{} {ANOTHER}", self.title())));
        format!(
            "ONLY {name} AS t WHERE CASE {again}::pg_catalog.regclass::pg_catalog.oid WHEN {oid}::pg_catalog.oid THEN true \
             ELSE {refusal}::pg_catalog.text::pg_catalog.bool END"
        )
    }
}

/// A name as it has to be written, so that `"a.b"."c"` and `"a"."b.c"` are told apart.
pub(crate) fn quote_where_needed(name: &str) -> String {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let bare = name.chars().all(plain) && name.starts_with(|c: char| !c.is_ascii_digit());
    if bare { name.to_owned() } else { shown(name) }
}

/// Why something that no statement can name is unknown.
pub(crate) const NAMELESS: &str =
    "its name is no text of this database's encoding that can be sent as UTF-8: no statement can name it";

/// All that is compared.
#[derive(Debug, Default)]
pub(crate) struct Subjects {
    /// Tables and materialized views; of partitioned tables the leaves.
    pub(crate) tables: Vec<Subject>,
    pub(crate) sequences: Vec<Subject>,
    /// Tables and sequences that no statement can name, by title.
    pub(crate) nameless: Vec<String>,
    /// What is not compared, each with why.
    pub(crate) left_out: Vec<String>,
    /// Partitioned tables that were named; their leaves are among the tables.
    pub(crate) partitioned: Vec<Subject>,
    /// Names that lead to nothing on this node.
    pub(crate) not_here: Vec<String>,
}

impl Subjects {
    fn count(&self) -> usize {
        self.tables.len() + self.sequences.len() + self.nameless.len()
    }
}

/// Finds what to compare: everything, or the relations of `names`. With `say_others`, `left_out` has the other databases.
///
/// # Errors
/// If a name leads to something that cannot be compared. A name that leads to nothing is in [`Subjects::not_here`].
pub(crate) fn find(control: &Session, reader: &mut Reader, names: &[String], say_others: bool) -> Result<Subjects> {
    let mut subjects = Subjects::default();
    let mut left_out = Vec::new();
    if names.is_empty() {
        add(reader, None, &mut subjects, &mut left_out)?;
        if say_others {
            left_out.extend(other_databases(reader)?);
        }
    }
    for name in names {
        let before = subjects.count();
        let Some(oid) = resolve(control, name)? else {
            subjects.not_here.push(name.clone());
            continue;
        };
        let partitioned = subjects.partitioned.len();
        add(reader, Some(oid), &mut subjects, &mut left_out)?;
        let is_partitioned = subjects.partitioned.len() > partitioned;
        if subjects.count() == before {
            match left_out.pop() {
                Some(why) => bail!("--table {name}: {why} cannot be compared"),
                None if is_partitioned => left_out.push(format!("{name} (it has no partitions)")),
                None => bail!("--table {name}: is no table, materialized view or sequence"),
            }
        }
    }
    for list in [&mut subjects.tables, &mut subjects.sequences, &mut subjects.partitioned] {
        list.sort_by_key(Subject::title);
        let mut known = BTreeSet::new();
        list.retain(|one| known.insert(one.oid)); // two names may have led to one, before and after it was renamed
    }
    subjects.nameless.sort();
    subjects.nameless.dedup();
    if !names.is_empty() {
        left_out.push("all but what --table names".to_owned());
    }
    subjects.left_out = left_out;
    Ok(subjects)
}

/// The leaves of a partitioned table on a node that can be compared; none if it is not there.
pub(crate) fn leaves(reader: &mut Reader, partitioned: &Subject) -> Result<Vec<Subject>, ReadError> {
    let mut subjects = Subjects::default();
    add(reader, Some(partitioned.oid), &mut subjects, &mut Vec::new())?;
    match subjects.nameless.first() {
        Some(title) => Err(ReadError::Unread(format!("{title}: {NAMELESS}"))),
        None => Ok(subjects.tables),
    }
}

/// The other databases of the cluster, as one remark.
pub(crate) fn other_databases(reader: &mut Reader) -> Result<Option<String>, ReadError> {
    let sql = "SELECT d.datname::text FROM pg_catalog.pg_database AS d
                WHERE d.datallowconn AND d.datname <> pg_catalog.current_database() ORDER BY d.datname";
    let rows = reader.raw_rows(sql, &[])?;
    let names: Vec<String> =
        rows.iter().map(|row| Ok(database(column(row, 0)?).0)).collect::<Result<_, ReadError>>()?;
    Ok((!names.is_empty()).then(|| format!("other databases ({})", names.join(", "))))
}

/// How rows and messages call a database, and its name for a connection. That is UTF-8, and goes to the server as it is: one
/// whose name was written in another encoding cannot be connected to.
pub(crate) fn database(raw: Raw) -> (String, Option<String>) {
    let Shown { text, is_whole } = raw.shown();
    (if one_line(&text) == text { text.clone() } else { shown(&text) }, is_whole.then_some(text))
}

/// The relation of a name, looked for where this role's own statements would look: our session has another path.
const RESOLVE: &str = "
    WITH own AS MATERIALIZED (SELECT pg_catalog.set_config('search_path', s.reset_val, true)
                                FROM pg_catalog.pg_settings AS s WHERE s.name OPERATOR(pg_catalog.=) 'search_path')
    SELECT pg_catalog.to_regclass($1::text)::pg_catalog.oid FROM own";

/// Has the server resolve a name, first as it would stand in a statement, then letter by letter.
/// `None` if there is none.
pub(crate) fn resolve(control: &Session, name: &str) -> Result<Option<u32>> {
    ensure!(!name.contains('\0'), "--table {name:?}: a name cannot hold a NUL");
    for text in [name.to_owned(), quote(name)] {
        match control.value::<Option<u32>>(RESOLVE, &[&text]) {
            Ok(Some(oid)) => return Ok(Some(oid)),
            Ok(None) => {}
            Err(error) if is_no_name(&error) => {}
            Err(error) => return Err(error).with_context(|| format!("--table {name}")),
        }
    }
    Ok(None)
}

/// Whether the server said that this cannot be a relation's name at all.
fn is_no_name(error: &anyhow::Error) -> bool {
    let codes = [
        SqlState::INVALID_NAME,
        SqlState::SYNTAX_ERROR,
        SqlState::FEATURE_NOT_SUPPORTED, // `other_database.schema.table`
        SqlState::INVALID_SCHEMA_NAME,
        SqlState::INSUFFICIENT_PRIVILEGE,
    ];
    sqlstate(error).is_some_and(|code| codes.contains(code))
}

fn add(reader: &mut Reader, oid: Option<u32>, to: &mut Subjects, left_out: &mut Vec<String>) -> Result<(), ReadError> {
    let rows = reader.raw_rows(cluster::sql!("verify_relations"), &[&oid])?;
    for (row, (subject, is_nameable)) in rows.iter().zip(Subject::of(&rows, reader)?) {
        let (kind, persistence): (&str, &str) = (column(row, 3)?, column(row, 4)?);
        let title = subject.title();
        match (kind, persistence) {
            ("p", _) => to.partitioned.push(subject), // its leaves come with it
            ("f", _) => left_out.push(format!("foreign table {title}")),
            (_, "u") => left_out.push(format!("unlogged {title}")),
            (_, "t") => left_out.push(format!("temporary {title}")),
            ("m", _) if !column::<bool>(row, 5)? => {
                left_out.push(format!("materialized view {title} (not populated)"));
            }
            ("S", _) if !is_nameable => to.nameless.push(format!("sequence {title}")),
            ("r" | "m", _) if !is_nameable => to.nameless.push(title),
            ("r" | "m", _) => to.tables.push(subject),
            ("S", _) => to.sequences.push(subject),
            _ => {}
        }
    }
    Ok(())
}
