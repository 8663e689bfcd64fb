//! The partitions of a table that `--table` names, on a copy at rest. Those of the primary are compared as tables; here are
//! those that only the copy has, and those that belong to another table there.

use std::collections::BTreeSet;

use anyhow::Result;
use cluster::session::Session;

use crate::at_rest::{Otherwise, by_name};
use crate::only_there::OnlyThere;
use crate::subject::{Subject, leaves};
use crate::table::Finding;
use crate::verify::Verify;

/// A partitioned table that a copy has otherwise.
pub(crate) struct Parted {
    pub(crate) title: String,
    /// How.
    pub(crate) otherwise: Otherwise,
    pub(crate) copy: String,
}

impl Verify<'_> {
    /// Looks for partitions of these tables that are partitions on a copy only, or on the primary only.
    pub(crate) fn partitions(&mut self, named: &[Subject]) -> Result<(Vec<OnlyThere>, Vec<Parted>)> {
        let (mut only_there, mut parted) = (Vec::new(), Vec::new());
        let named = if self.primary.at_rest { named } else { &[] };
        for table in named {
            let here = leaves(self.primary.reader(), table)?;
            for standby in &mut self.standbys {
                let Ok(copy) = &mut standby.node else { continue };
                let there = leaves(copy.reader(), table)?;
                // One that is not there at all, or has its name only, is found as any other table.
                let detached = known(&copy.control, &without(&here, &there))?;
                let more = without(&there, &here);
                let attached = known(&self.primary.control, &more)?;
                let new = more.iter().filter(|leaf| !attached.contains(&leaf.title()) && !has_name(&here, leaf));
                for leaf in new {
                    only_there.push(OnlyThere::table(copy, leaf)?);
                }
                let otherwise = match by_name(table, &copy.control)? {
                    Some(Otherwise::Defined(how)) => Some(Otherwise::Parted(how)),
                    Some(otherwise) => Some(otherwise),
                    None => words(&detached, &attached),
                };
                parted.extend(otherwise.map(|otherwise| Parted {
                    title: table.title(),
                    otherwise,
                    copy: standby.name.clone(),
                }));
            }
        }
        Ok((only_there, parted))
    }

    /// Tells what was found.
    pub(crate) fn emit_only_there(&mut self, found: Vec<OnlyThere>, parted: Vec<Parted>) -> Result<()> {
        let only_there = found.into_iter().map(|one| (Finding::only_there(one.rows), one.title, one.copy));
        let nothing = || Finding::unread(None);
        let parted = parted.into_iter().map(|one| (nothing().with_otherwise(one.otherwise), one.title, one.copy));
        for (finding, title, copy) in only_there.chain(parted) {
            finding.tell(&title, &copy, &self.account.progress);
            self.emit(vec![finding.row(&self.account.run, &title, &copy)])?;
        }
        Ok(())
    }
}

/// Those of some tables that are not among others.
fn without(some: &[Subject], others: &[Subject]) -> Vec<Subject> {
    some.iter().filter(|one| others.iter().all(|other| other.oid != one.oid)).cloned().collect()
}

fn has_name(tables: &[Subject], one: &Subject) -> bool {
    tables.iter().any(|other| (&other.schema, &other.name) == (&one.schema, &one.name))
}

/// The titles of those of these tables that a node has.
fn known(node: &Session, tables: &[Subject]) -> Result<BTreeSet<String>> {
    if tables.is_empty() {
        return Ok(BTreeSet::new());
    }
    let oids: Vec<u32> = tables.iter().map(|table| table.oid).collect();
    let rows = node.rows("SELECT c.oid FROM pg_catalog.pg_class AS c WHERE c.oid = ANY ($1)", &[&oids])?;
    let known = rows.iter().map(|row| row.try_get(0)).collect::<Result<BTreeSet<u32>, _>>()?;
    Ok(tables.iter().filter(|table| known.contains(&table.oid)).map(Subject::title).collect())
}

/// Which tables are partitions on one side only, though both have them.
fn words(detached: &BTreeSet<String>, attached: &BTreeSet<String>) -> Option<Otherwise> {
    let words: Vec<String> = [("only on the primary", detached), ("only there", attached)]
        .into_iter()
        .filter(|(_, titles)| !titles.is_empty())
        .map(|(side, titles)| format!("{side}: {}", titles.iter().cloned().collect::<Vec<_>>().join(", ")))
        .collect();
    let said = || format!("other tables are its partitions there ({})", words.join("; "));
    (!words.is_empty()).then(|| Otherwise::Parted(said()))
}
