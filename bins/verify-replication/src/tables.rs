//! All tables of a database: the order in which they are compared, and the report on each.

use anyhow::Result;

use crate::causes::with_hint;
use crate::subject::{Subject, Subjects};
use crate::table::Finding;
use crate::types::Types;
use crate::verify::Verify;
use crate::{locked, looks};

impl Verify<'_> {
    /// All tables: first those that nobody has locked, then the others, once.
    pub(crate) fn tables(&mut self, subjects: &Subjects) -> Result<()> {
        let (mut types, mut locked) = (Types::default(), Vec::new());
        for table in &subjects.tables {
            match locked::is_locked(&mut self.primary, &mut self.standbys, table, locked::glance(locked.len())) {
                true => locked.push(table),
                false => self.table(table, &mut types)?,
            }
        }
        let mut left = locked::Left::new();
        while !locked.is_empty() && !left.is_over() {
            program::stop::check()?;
            for table in std::mem::take(&mut locked) {
                match left.is_locked(&mut self.primary, &mut self.standbys, table) {
                    true => locked.push(table),
                    false => self.table(table, &mut types)?,
                }
            }
        }
        locked.into_iter().try_for_each(|table| self.locked_table(table, &mut types))
    }

    fn table(&mut self, table: &Subject, types: &mut Types) -> Result<()> {
        let (primary, standbys) = (&mut self.primary, &mut self.standbys);
        let findings = looks::compare(primary, standbys, table, types, self.options, &self.account.progress);
        self.found(table, findings)
    }

    /// A table whose lock was not released in time: unknown on nodes where it is locked, and compared on the others.
    fn locked_table(&mut self, table: &Subject, types: &mut Types) -> Result<()> {
        if let Some(why) = locked::why(&mut self.primary, table) {
            let findings = self.standbys.iter().map(|_| Finding::unread(Some(why.clone()))).collect();
            return self.found(table, findings);
        }
        let mut taken_out = Vec::new();
        for (index, standby) in self.standbys.iter_mut().enumerate() {
            let why = standby.node.as_mut().ok().and_then(|node| locked::why(node, table));
            if let Some(why) = why {
                taken_out.push((index, why.clone(), std::mem::replace(&mut standby.node, Err(why))));
            }
        }
        let (primary, standbys) = (&mut self.primary, &mut self.standbys);
        let mut findings = looks::compare(primary, standbys, table, types, self.options, &self.account.progress);
        for (index, why, node) in taken_out {
            self.standbys[index].node = node;
            findings[index] = Finding::unread(Some(why));
        }
        self.found(table, findings)
    }

    /// Reports on a table, unless it was dropped from the primary meanwhile.
    fn found(&mut self, table: &Subject, findings: Vec<Finding>) -> Result<()> {
        program::stop::check()?; // what a signal cut short is no finding
        let title = table.title();
        // One that does not answer is not asked about each table.
        let asks = findings.iter().any(Finding::is_unknown) && self.primary.silent().is_none();
        let dropped = asks && table.is_dropped(&self.primary.control);
        if dropped {
            self.coverage.left_out.push(format!("{title} (dropped meanwhile)"));
        }
        let mut rows = Vec::new();
        for (standby, mut finding) in self.standbys.iter_mut().zip(findings) {
            if dropped && finding.is_unknown() {
                continue;
            }
            finding.tell(&title, &standby.name, &self.account.progress);
            self.coverage.read_indexes(&standby.name, finding.tally());
            for why in with_hint(finding.reasons(), table, &self.primary.control) {
                self.causes.add(why, &title, &standby.name);
            }
            rows.push(finding.row(&self.account.run, &title, &standby.name));
            if let Some(diff) = &mut self.account.diff {
                diff.write(&mut finding.found, table, &mut self.primary, standby)?;
            }
        }
        self.emit(rows)
    }
}
