//! `--equal values`: what "equal" means between copies that were made by value, by logical replication, a dump or an upgrade.
//!
//! Two nodes agree on a table if for each row of the one there is a row of the other one whose values are all equal, and each row
//! is used once. Tables are matched by schema and name, columns by name, types by name and by what they are made of. Where a
//! row lies, in which leaf of a partitioned table, in which order columns or rows come, and how text sorts, is of no matter; how
//! often a row is there is. Two values are equal if the default equality operator of their type says so, with the column's
//! collation: 1.0 is 1.00, 0 is -0, `1 mon` is `30 days`, `abc` is `Abc` of citext. NULL is equal to NULL and to nothing else. A
//! type without such an operator (json, xml, point) is compared by its bytes or text, and that is said.
//!
//! Rows with equal bytes have equal values. So each node adds up the fingerprints of its rows (`fingerprint.rs`) in buckets, by
//! some bits of the fingerprint itself: one scan and no sort, since the order could differ between two versions of a collation.
//! Where the sums of a bucket differ, its rows are read one by one and matched by their bytes; the copy's server decides about
//! the rest (`judge.rs`). So a difference of bytes never counts as one of values unless the operator has said so, and a miss
//! needs two contents of one fingerprint, 1 in 2^128. Types of users are sent with their oid, which differs between servers, so
//! their values go into the bytes as text.
//!
//! Nobody may write meanwhile (`--at-rest`): two servers that have no WAL in common have no moment in common either. A row
//! that has changed between two reads is noticed, and is then unknown; one that came or went may be called extra or missing.
//!
//! What only physical copies share is not compared: places, indexes' pages, visibility maps, catalogs by their rows, descent.

mod both;
mod buckets;
mod columns;
mod judge;
mod naming;
mod orphans;
mod relations;
mod sequences;
mod shape;
mod table;
mod told;

use std::collections::HashMap;
use std::time::Instant;

use anyhow::{Context as _, Result};
use report::ledger::Ledger;
use report::verify::VerifyRow;

use self::judge::Abilities;
use self::relations::{Chosen, Relations, by_name};
use self::sequences::Wrong;
use self::table::{CopyResult, Here, How};
use crate::causes::with_hint;
use crate::node::{NodeSessions, Standby};
use crate::read_error::ReadError;
use crate::subject::{self, Subject};
use crate::verify::Verify;

/// What is compared by no row, and why.
const NOT_COMPARED: &str = "definitions of views, functions, constraints, defaults, indexes and triggers, privileges, and owners \
     (--equal values is about data: hold `pg_dump --schema-only` of both against each other)";

impl Verify<'_> {
    /// Compares all there is by value, or what `names` say.
    ///
    /// # Errors
    /// If a name leads to nothing, stdout cannot be written, or a signal came.
    pub(crate) fn all_by_value(&mut self, names: &[String], ledger: Option<&Ledger>) -> Result<()> {
        let here = Relations::read(self.primary.reader())?;
        let chosen = match names.is_empty() {
            true => here.all(),
            false => {
                let find = |name: &String| {
                    subject::resolve(self.control(), name)?
                        .with_context(|| format!("--table {name}: there is none on the primary"))
                };
                let oids = names.iter().map(find).collect::<Result<Vec<_>>>()?;
                here.named(&oids.into_iter().zip(names.iter().map(String::as_str)).collect::<Vec<_>>())?
            }
        };
        self.begin()?;
        self.coverage.left_out.clone_from(&chosen.left_out);
        if names.is_empty() {
            if self.says_other_databases() {
                self.coverage.left_out.extend(subject::other_databases(self.primary.reader())?);
            }
            self.coverage.left_out.push(NOT_COMPARED.to_owned());
        }
        self.nameless(&chosen.nameless.iter().map(Subject::title).collect::<Vec<_>>())?;
        let compared = self.each_copy(&chosen, names.is_empty().then_some(&here));
        self.causes.tell(&self.account.progress);
        compared?;
        self.ledger(ledger)?;
        self.end();
        Ok(())
    }

    /// All tables on all copies, then all sequences; if that is all there is `here`, then also what only copies have, and large
    /// objects.
    fn each_copy(&mut self, chosen: &Chosen, here: Option<&Relations>) -> Result<()> {
        let there: Vec<Option<Relations>> = self
            .standbys
            .iter_mut()
            .map(|standby| match standby.node.as_mut().map(|node| Relations::read(node.reader())) {
                Ok(Ok(relations)) => Some(relations),
                Ok(Err(error)) => {
                    standby.node = Err(error.to_string());
                    None
                }
                Err(_) => None,
            })
            .collect();
        let mut known: Vec<Abilities> = there.iter().map(|_| Abilities::default()).collect();
        let tables: Vec<_> = there.iter().map(|there| there.as_ref().map(Relations::tables)).collect();
        for table in &chosen.tables {
            let copies: Vec<_> = tables.iter().map(|there| there.as_ref()?.get(&by_name(table)).copied()).collect();
            self.table_by_value(table, &table.title(), &copies, &mut known)?;
        }
        self.sequences_by_value(&chosen.sequences, &there)?;
        if let Some(here) = here {
            self.only_on_copies(here, &there)?;
            self.large_objects(&mut known)?;
        }
        Ok(())
    }

    /// One table on all copies.
    fn table_by_value(
        &mut self,
        table: &Subject,
        title: &str,
        copies: &[Option<&Subject>],
        known: &mut [Abilities],
    ) -> Result<()> {
        program::stop::check()?;
        self.account.progress.begin(title.to_owned(), copies.len() as u64);
        let how = How { chunk_blocks: self.options.chunk_blocks, title };
        let mut here = if self.primary.is_gone() {
            Err(ReadError::Lost(self.primary.why_gone()))
        } else {
            Here::read(&mut self.primary, table)
        };
        let mut rows = Vec::new();
        for ((standby, there), known) in self.standbys.iter_mut().zip(copies).zip(known) {
            let begun = Instant::now();
            let primary = &mut self.primary;
            let found = match (&mut here, &mut standby.node, there) {
                (_, Err(_), _) => CopyResult::unknown(None),
                (Err(error), Ok(_), _) => CopyResult::unread(crate::damage::Side::Primary, error, &primary.name),
                (Ok(here), Ok(_), None) => {
                    let rows = here.rows(primary, how).ok();
                    let counts = rows.map(|rows| [rows, 0, 0]);
                    let words = "it is not there: all of its rows are missing".to_owned();
                    CopyResult { rows_primary: rows, rows_standby: Some(0), counts, ..CopyResult::broken(words) }
                }
                (Ok(here), Ok(copy), Some(there)) => {
                    let diff = self.account.diff.as_mut();
                    table::compare((primary, here), (copy, there), known, how, diff)?
                }
            };
            self.account.progress.advance(1);
            for words in &found.warnings {
                self.account.progress.warn(&format!("{title} on {}: {words}", standby.name));
            }
            for why in with_hint(found.reasons.clone(), table, &self.primary.control) {
                self.causes.add(why, title, &standby.name);
            }
            self.coverage.by_bytes.extend(found.by_bytes.iter().cloned());
            rows.push(found.row(&self.account.run, title, &standby.name, begun));
        }
        program::stop::check()?; // what a signal cut short is no finding
        self.emit(rows)
    }

    /// What copies have and the primary has not.
    fn only_on_copies(&mut self, here: &Relations, there: &[Option<Relations>]) -> Result<()> {
        for (index, relations) in there.iter().enumerate() {
            let Some(relations) = relations else { continue };
            let more = relations.all().without(here);
            let mut rows = Vec::new();
            for (subject, is_table) in
                more.tables.iter().map(|one| (one, true)).chain(more.sequences.iter().map(|one| (one, false)))
            {
                let standby = &mut self.standbys[index];
                let Ok(copy) = &mut standby.node else { continue };
                let (begun, words) = (Instant::now(), "the primary has none of that name".to_owned());
                let how = How { chunk_blocks: self.options.chunk_blocks, title: "" };
                let count = match is_table {
                    true => Here::read(copy, subject).and_then(|mut its| its.rows(copy, how)).ok(),
                    false => Some(1),
                };
                let counts = count.map(|count| [0, count, 0]);
                let found =
                    CopyResult { rows_primary: Some(0), rows_standby: count, counts, ..CopyResult::broken(words) };
                let title = if is_table { subject.title() } else { format!("sequence {}", subject.title()) };
                self.account.progress.warn(&format!("{title} on {}: {}", standby.name, found.warnings[0]));
                rows.push(found.row(&self.account.run, &title, &standby.name, begun));
            }
            for nameless in more.nameless {
                let (title, name) = (nameless.title(), self.standbys[index].name.clone());
                self.causes.add(subject::NAMELESS.to_owned(), &title, &name);
                rows.push(CopyResult::unknown(None).row(&self.account.run, &title, &name, Instant::now()));
            }
            program::stop::check()?;
            self.emit(rows)?;
        }
        Ok(())
    }

    /// Large objects, by the pages of their content.
    fn large_objects(&mut self, known: &mut [Abilities]) -> Result<()> {
        let here = match relations::large_objects(self.primary.reader()) {
            Ok(Some(here)) => here,
            Ok(None) => {
                self.coverage.left_out.push("large objects (this role may not read them)".to_owned());
                return Ok(());
            }
            Err(error) => {
                self.coverage.left_out.push(format!("large objects (they were not asked for: {error})"));
                return Ok(());
            }
        };
        // The same table with the same oid on every server.
        let copies: Vec<_> = self.standbys.iter().map(|_| Some(&here)).collect();
        self.table_by_value(&here, VerifyRow::LARGE_OBJECTS, &copies, known)
    }

    fn sequences_by_value(&mut self, sequences: &[Subject], there: &[Option<Relations>]) -> Result<()> {
        for (index, relations) in there.iter().enumerate() {
            program::stop::check()?;
            let (run, begun) = (self.account.run.clone(), Instant::now());
            let by_name_there = relations.as_ref().map(Relations::sequences).unwrap_or_default();
            let pairs: Vec<_> = sequences.iter().map(|one| (one, by_name_there.get(&by_name(one)).copied())).collect();
            let Standby { node, name, .. } = &mut self.standbys[index];
            let found = match node {
                Ok(copy) => sequences_of(&mut self.primary, copy, &pairs),
                Err(_) => pairs.iter().map(|_| CopyResult::unknown(None)).collect(),
            };
            let mut rows = Vec::new();
            for ((sequence, _), found) in pairs.iter().zip(found) {
                let title = format!("sequence {}", sequence.title());
                for words in &found.warnings {
                    self.account.progress.warn(&format!("{title} on {name}: {words}"));
                }
                for why in with_hint(found.reasons.clone(), sequence, &self.primary.control) {
                    self.causes.add(why, &title, name);
                }
                rows.push(found.row(&run, &title, name, begun));
            }
            self.emit(rows)?;
        }
        Ok(())
    }
}

/// What is found of each sequence on a copy.
fn sequences_of(
    primary: &mut NodeSessions,
    copy: &mut NodeSessions,
    pairs: &[(&Subject, Option<&Subject>)],
) -> Vec<CopyResult> {
    let read = |node: &mut NodeSessions, which: Vec<&Subject>| crate::sequences::read(node.reader(), &which);
    let here = read(primary, pairs.iter().map(|(here, _)| *here).collect());
    let there = read(copy, pairs.iter().filter_map(|(_, there)| *there).collect());
    let (mut here, mut there) = match (here, there) {
        (Ok(here), Ok(there)) => (here, there),
        (Err(error), _) | (_, Err(error)) => {
            return pairs.iter().map(|_| CopyResult::unknown(Some(format!("it was not read: {error}")))).collect();
        }
    };
    let take =
        |of: &mut HashMap<u32, Result<crate::sequence_state::Sequence, ReadError>>, one: &Subject| of.remove(&one.oid);
    let found = |(one, twin): &(&Subject, Option<&Subject>)| {
        let compared = |counts| CopyResult {
            rows_primary: Some(1),
            rows_standby: Some(1),
            counts: Some(counts),
            ..CopyResult::default()
        };
        let Some(twin) = twin else {
            let found = CopyResult::broken("it is not there".to_owned());
            return CopyResult { rows_primary: Some(1), rows_standby: Some(0), counts: Some([1, 0, 0]), ..found };
        };
        match (take(&mut here, one), take(&mut there, twin)) {
            (Some(Ok(here)), Some(Ok(there))) => match sequences::compare(twin, &here, &there) {
                None => compared([0; 3]),
                Some(Wrong::Behind(words)) => compared([1, 0, 0]).and_broken(words),
                Some(Wrong::Other(words)) => compared([0, 0, 1]).and_broken(words),
            },
            (Some(Err(error)), _) => CopyResult::unread(crate::damage::Side::Primary, &error, &primary.name),
            (_, Some(Err(error))) => CopyResult::unread(crate::damage::Side::Standby, &error, &copy.name),
            _ => CopyResult::unknown(Some("it was dropped meanwhile: somebody writes".to_owned())),
        }
    };
    pairs.iter().map(found).collect()
}
