//! Why something could not be found out: one warning for each cause, however many tables it is about.

use cluster::ident::quote;
use cluster::session::Session;
use program::progress::Progress;

use crate::subject::Subject;

/// How many tables a warning names.
const NAMED: usize = 5;

/// The SQLSTATE of a missing privilege, and of row security that is not to be obeyed, as our errors show it.
const PRIVILEGE: &str = "(SQLSTATE 42501)";

/// Causes, and what each is about.
#[derive(Debug, Default)]
pub(crate) struct Causes(Vec<Cause>);

#[derive(Debug)]
struct Cause {
    why: String,
    titles: Vec<String>,
    standbys: Vec<String>,
}

impl Causes {
    /// Notes why a thing is unknown on a standby.
    pub(crate) fn add(&mut self, why: String, title: &str, standby: &str) {
        let known = self.0.iter().position(|cause| cause.why == why);
        let index = known.unwrap_or_else(|| {
            self.0.push(Cause { why, titles: Vec::new(), standbys: Vec::new() });
            self.0.len() - 1
        });
        let Cause { titles, standbys, .. } = &mut self.0[index];
        // Things come in order, each on all standbys at once or all on one standby after the other.
        for (names, name) in [(titles, title), (standbys, standby)] {
            if !names.iter().rev().any(|known| known == name) {
                names.push(name.to_owned());
            }
        }
    }

    /// Says all of them, and forgets them.
    pub(crate) fn tell(&mut self, progress: &Progress) {
        self.0.drain(..).for_each(|cause| progress.warn(&cause.to_string()));
    }
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Cause { why, titles, standbys } = self;
        write!(f, "{}", titles[..titles.len().min(NAMED)].join(", "))?;
        if titles.len() > NAMED {
            write!(f, " and {} more", titles.len() - NAMED)?;
        }
        write!(f, " on {}: {why}", standbys.join(", "))
    }
}

/// Reasons that say what to do: for a table that this role may not read, or not wholly, the GRANT to run instead of the
/// server's message for each part.
pub(crate) fn with_hint(reasons: Vec<String>, table: &Subject, primary: &Session) -> Vec<String> {
    if !reasons.iter().any(|reason| reason.contains(PRIVILEGE)) {
        return reasons;
    }
    match hint(table, primary) {
        Ok(Some(hint)) => vec![hint],
        _ => reasons,
    }
}

fn hint(table: &Subject, primary: &Session) -> anyhow::Result<Option<String>> {
    let sql = "SELECT current_user::text, pg_catalog.has_schema_privilege(n.oid, 'USAGE')
                      AND pg_catalog.has_table_privilege(c.oid, 'SELECT'),
                      pg_catalog.row_security_active(c.oid)
                 FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
                WHERE c.oid = $1";
    let rows = primary.rows(sql, &[&table.oid])?;
    let Some(row) = rows.first() else { return Ok(None) };
    let (role, readable, filtered): (String, bool, bool) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    let role = quote(&role);
    Ok(match (readable, filtered) {
        (false, _) => Some(format!("the role {role} may not read it: GRANT pg_read_all_data TO {role}")),
        (true, true) => Some(format!("row security would hide rows from the role {role}: ALTER ROLE {role} BYPASSRLS")),
        (true, false) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::Causes;

    #[test]
    fn one_cause_is_one_line_with_a_few_names() {
        let mut causes = Causes::default();
        for n in 1..=100 {
            for standby in ["b", "c"] {
                causes.add("it is locked".to_owned(), &format!("t{n}"), standby);
            }
        }
        causes.add("it is gone".to_owned(), "u", "c");
        let lines: Vec<_> = causes.0.iter().map(ToString::to_string).collect();
        assert_eq!(lines, ["t1, t2, t3, t4, t5 and 95 more on b, c: it is locked", "u on c: it is gone"]);
    }
}
