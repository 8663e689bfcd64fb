//! A table for each type that a column can have: base types, domains, enums, composites, ranges, arrays, the types of
//! contrib's extensions. A type that gets none is named, with why.

use anyhow::Result;

use super::literals::{arrays, of, pick};
use super::subjects::Subject;
use crate::bench::psql::Server;

/// Extensions of contrib that bring types.
const EXTENSIONS: [&str; 8] = ["citext", "hstore", "ltree", "isn", "seg", "cube", "lo", "intarray"];

/// Extensions that find damage, which verify-replication may use where they are.
const CHECKERS: [&str; 2] = ["amcheck", "pg_visibility"];

/// A collation that calls what differs in case only equal, where the server has ICU.
const CASELESS: &str = "CREATE COLLATION truth.ignoring_case (provider = icu, locale = 'und-u-ks-level2', deterministic = \
                        false); CREATE DOMAIN truth.caseless AS text COLLATE truth.ignoring_case";

/// All types, with what they are made of.
const TYPES: &str = "
SELECT format_type(t.oid, -1), t.typtype, COALESCE(format_type(e.oid, -1), ''), COALESCE(e.typdelim, ','),
       CASE WHEN t.typtype = 'p' THEN 'a pseudo-type'
            WHEN e.typtype = 'p' THEN 'an array of a pseudo-type'
            WHEN c.relkind IN ('r', 'v', 'm', 'S', 'f', 'p') THEN 'the row type of a catalog or table'
            WHEN ec.relkind IN ('r', 'v', 'm', 'S', 'f', 'p') THEN 'an array of row types of a catalog or table'
            ELSE '' END
  FROM pg_type AS t
  LEFT JOIN pg_class AS c ON c.oid = t.typrelid
  LEFT JOIN pg_type AS e ON e.oid = t.typelem AND t.typcategory = 'A'
  LEFT JOIN pg_class AS ec ON ec.oid = e.typrelid
 WHERE t.typisdefined
 ORDER BY t.oid";

/// What came of it.
pub(super) struct Covered {
    pub(super) subjects: Vec<Subject>,
    /// What has no table, each with why.
    pub(super) left_out: Vec<String>,
}

/// Makes the types of our own and of extensions, as far as the server has them.
///
/// # Errors
/// If the server refuses what every server takes.
pub(super) fn make(server: &Server, database: &str) -> Result<Vec<String>> {
    server.ask(database, include_str!("own_types.sql"))?;
    let mut left_out = Vec::new();
    for extension in EXTENSIONS.iter().chain(&CHECKERS) {
        if server.ask(database, &format!("CREATE EXTENSION {extension}")).is_err() {
            left_out.push(format!("extension {extension} (the server has none)"));
        }
    }
    if server.ask(database, CASELESS).is_err() {
        left_out.push("a collation that ignores case (the server has no ICU)".to_owned());
    }
    Ok(left_out)
}

/// Every type of a database: a subject, or why there is none. `every`: one in so many, and the others left out.
///
/// # Errors
/// If the types cannot be read.
pub(super) fn all(server: &Server, database: &str, every: usize) -> Result<Covered> {
    let mut covered = Covered { subjects: Vec::new(), left_out: Vec::new() };
    let (mut skipped, mut rows) = (0, 0);
    for line in server.ask(database, TYPES)?.lines() {
        let fields: Vec<&str> = line.split('|').collect();
        let [kind, _, element, delimiter, why] = fields[..] else { continue };
        let values = match element {
            "" => of(kind).map(|values| values.map(str::to_owned)),
            _ => {
                of(kind).map(|values| values.map(str::to_owned)).or_else(|| of(element).map(|of| arrays(of, delimiter)))
            }
        };
        match (why, values) {
            ("", Some(values)) => {
                if covered.subjects.len() + skipped >= rows * every {
                    rows += 1;
                    covered.subjects.push(subject(kind, &values));
                } else {
                    skipped += 1;
                }
            }
            ("", None) => covered.left_out.push(format!("type {kind} (no values are known that it takes)")),
            (why, _) => covered.left_out.push(format!("type {kind} ({why})")),
        }
    }
    if skipped > 0 {
        covered.left_out.push(format!("{skipped} types that the small form leaves to the whole one"));
    }
    Ok(covered)
}

/// The table of one type.
fn subject(kind: &str, values: &[String; 3]) -> Subject {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let name: String = kind.replace("[]", "_array").chars().map(plain).collect();
    Subject::keyed(
        &format!("t_{name}"),
        &format!("id int PRIMARY KEY, v {kind}, w text"),
        &format!("@, {}, 'w' || (@)", pick(values, kind, "@")),
        &format!("v = {}", pick(values, kind, "@")),
    )
}
