//! The comparison of one database on all standbys, from the first session to the last message.

use anyhow::{Result, ensure};
use cluster::args::Cluster;
use cluster::file::LoginKind;
use cluster::session::Session;
use cluster::topology;
use report::ledger::Ledger;
use report::verify::{Descent, Equal, VerifyRow};

use crate::account::Account;
use crate::args::Args;
use crate::causes::Causes;
use crate::coverage::Coverage;
use crate::indexes::Indexes;
use crate::node::{NodeSessions, Standby};
use crate::read_error::ReadError;
use crate::reader::column;
use crate::subject::{self, NAMELESS, Subjects};
use crate::table::{Finding, Options};
use crate::{APPLICATION, catalogs, collation, descent, ledger, sequences};

/// What belongs to the comparison of one database.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope {
    /// The catalogs that all databases have in common.
    pub(crate) shared_catalogs: bool,
    /// That other databases are not compared, to be said at the end.
    pub(crate) other_databases: bool,
}

/// One database on all nodes.
pub(crate) struct Verify<'a> {
    pub(crate) account: &'a mut Account,
    database: String,
    scope: Scope,
    equal: Equal,
    pub(crate) options: Options,
    pub(crate) primary: NodeSessions,
    pub(crate) standbys: Vec<Standby>,
    pub(crate) coverage: Coverage,
    pub(crate) causes: Causes,
}

impl Verify<'_> {
    /// Opens all sessions. A standby that cannot be reached is kept, with why.
    pub(crate) fn open<'a>(
        args: &Args,
        cluster: &Cluster,
        scope: Scope,
        options: Options,
        account: &'a mut Account,
    ) -> Result<Verify<'a>> {
        let (how, at_rest) = (args.opening(), args.at_rest);
        let found = match (args.equal(), at_rest) {
            (Equal::Values, _) => topology::by_value(cluster, LoginKind::Monitor, APPLICATION)?,
            (Equal::Bytes, true) => topology::as_they_stand(cluster, LoginKind::Monitor, APPLICATION)?,
            (Equal::Bytes, false) => topology::ask(cluster, LoginKind::Monitor, APPLICATION)?,
        };
        if !at_rest {
            cluster.check_primary(&found.primary.0)?;
        }
        let (node, control) = found.primary;
        let mut primary = NodeSessions::open(cluster, &node, control, how)?;
        let mut standbys = Vec::new();
        let database = database(&mut primary)?;
        for (node, control) in found.standbys {
            let mut opened = NodeSessions::open(cluster, &node, control, how);
            if let Ok(node) = &mut opened {
                if args.equal() == Equal::Bytes {
                    check_database(&database, &primary.name, node)?;
                }
                collation::check(node, &account.progress);
            }
            standbys.push(Standby::new(node.name, opened));
        }
        for (node, error) in found.unreachable {
            standbys.push(Standby::new(node.name, Err(error)));
        }
        ensure!(!standbys.is_empty(), "there is no standby to compare with {}", primary.name);
        // Tables come in the order of the cluster file whoever answered.
        standbys.sort_by_key(|standby| cluster.nodes.iter().position(|node| node.name == standby.name));
        let equal = args.equal();
        let coverage = Coverage::new(equal, (options.indexes == Indexes::Sample).then_some(options.draw.seed));
        Ok(Verify { account, database, scope, equal, options, primary, standbys, coverage, causes: Causes::default() })
    }

    /// A session for short questions on the primary.
    pub(crate) fn control(&self) -> &Session {
        &self.primary.control
    }

    /// The standbys, also those that cannot be reached.
    pub(crate) fn standby_names(&self) -> Vec<String> {
        self.standbys.iter().map(|standby| standby.name.clone()).collect()
    }

    /// Compares all there is, or what `names` say.
    ///
    /// # Errors
    /// If a name leads to nothing, stdout cannot be written, or a signal came.
    pub(crate) fn all(&mut self, names: &[String], ledger: Option<&Ledger>) -> Result<()> {
        if self.equal == Equal::Values {
            return self.all_by_value(names, ledger);
        }
        let subjects =
            &subject::find(&self.primary.control, &mut self.primary.readers[0], names, self.scope.other_databases)?;
        let mut only_there = self.only_there(&subjects.not_here)?;
        let (partitions, parted) = self.partitions(&subjects.partitioned)?;
        only_there.extend(partitions);
        self.begin()?;
        self.coverage.left_out.clone_from(&subjects.left_out);
        self.emit_only_there(only_there, parted)?;
        self.nameless(&subjects.nameless)?;
        let compared = self.tables(subjects).and_then(|()| self.sequences(subjects));
        self.causes.tell(&self.account.progress);
        compared?;
        if names.is_empty() {
            self.catalogs()?;
        }
        self.ledger(ledger)?;
        self.still_standbys()?;
        self.end();
        Ok(())
    }

    /// Sees that no standby was promoted while it was compared: from then on it follows nobody, and no row would tell. One that was has
    /// a row without figures.
    fn still_standbys(&mut self) -> Result<()> {
        let mut promoted = Vec::new();
        for standby in &mut self.standbys {
            let Ok(node) = &mut standby.node else { continue };
            node.revive();
            if let (false, None, Err(error)) = (node.at_rest, node.lost(), node.still_recovers()) {
                node.lose(&error);
                promoted.push(Finding::unread(None).row(&self.account.run, VerifyRow::CATALOGS, &standby.name));
            }
        }
        self.emit(promoted)
    }

    /// Begins with the database, once it is known what to compare.
    pub(crate) fn begin(&mut self) -> Result<()> {
        self.account.begin_database(&self.database)?;
        if !self.scope.other_databases {
            self.account.progress.say(&format!("database {}:", self.database));
        }
        self.descent()
    }

    /// Says what was compared.
    pub(crate) fn end(&self) {
        self.account.progress.finish();
        self.coverage.lines().iter().for_each(|line| self.account.progress.say(line));
    }

    /// Whether it is to be said that other databases are not compared.
    pub(crate) fn says_other_databases(&self) -> bool {
        self.scope.other_databases
    }

    /// Proves that each standby follows this primary, or gives it up.
    fn descent(&mut self) -> Result<()> {
        if self.primary.at_rest {
            for standby in self.standbys.iter_mut().filter(|standby| standby.node.is_ok()) {
                standby.descent = Some(Descent::AtRest);
            }
        } else {
            let (limit, since) = (self.options.limits.catch_up, &mut self.account.since);
            descent::prove(&self.primary, &mut self.standbys, limit, since)?;
        }
        self.give_up_lost();
        Ok(())
    }

    /// Tables and sequences that no statement can name are unknown, each with a row.
    pub(crate) fn nameless(&mut self, titles: &[String]) -> Result<()> {
        for title in titles {
            let finding = Finding::unread(Some(NAMELESS.to_owned()));
            let mut rows = Vec::new();
            for standby in &self.standbys {
                self.causes.add(NAMELESS.to_owned(), title, &standby.name);
                rows.push(finding.row(&self.account.run, title, &standby.name));
            }
            self.emit(rows)?;
        }
        Ok(())
    }

    fn sequences(&mut self, subjects: &Subjects) -> Result<()> {
        if subjects.sequences.is_empty() {
            return Ok(());
        }
        let (limit, sequences) = (self.options.limits.catch_up, &subjects.sequences);
        let (rows, dropped) = sequences::compare(
            &mut self.primary,
            &mut self.standbys,
            sequences,
            limit,
            &self.account.run,
            (&mut self.causes, &self.account.progress),
        );
        program::stop::check()?;
        self.coverage.left_out.extend(dropped.iter().map(|name| format!("sequence {name} (dropped meanwhile)")));
        self.emit(rows)
    }

    /// Catalogs and large objects; a row for all of each on one standby.
    fn catalogs(&mut self) -> Result<()> {
        let at_rest = self.primary.at_rest;
        if self.nobody_left() {
            return self.no_catalogs();
        }
        let Ok(found) = catalogs::find(self.primary.reader(), at_rest, self.scope.shared_catalogs) else {
            return self.no_catalogs();
        };
        self.coverage.left_out.extend(found.left_out);
        self.coverage.catalogs = found.schema.len() as u64;
        for (title, some) in [(VerifyRow::CATALOGS, &found.schema), (VerifyRow::LARGE_OBJECTS, &found.large_objects)] {
            let (primary, standbys) = (&mut self.primary, &mut self.standbys);
            let (Account { run, progress, diff, .. }, causes) = (&mut *self.account, &mut self.causes);
            let told = (causes, &*progress);
            let rows = catalogs::compare(primary, standbys, some, (run, title), self.options, told, diff.as_mut())?;
            self.causes.tell(&self.account.progress);
            for compared in &rows {
                self.coverage.compared_catalogs(&compared.row.standby, compared);
            }
            let rows = rows.into_iter().map(|compared| compared.row).collect();
            program::stop::check()?;
            self.emit(rows)?;
        }
        Ok(())
    }

    /// The rows for catalogs of which not even a list could be read.
    fn no_catalogs(&mut self) -> Result<()> {
        program::stop::check()?;
        let none = Finding::unread(None);
        let rows = self
            .standbys
            .iter()
            .map(|standby| none.row(&self.account.run, VerifyRow::CATALOGS, &standby.name))
            .collect();
        self.emit(rows)
    }

    /// Looks for what was acknowledged, if there is a ledger.
    pub(crate) fn ledger(&mut self, ledger: Option<&Ledger>) -> Result<()> {
        let Some(ledger) = ledger else { return Ok(()) };
        let limit = self.options.limits.catch_up;
        let rows = ledger::compare(
            &mut self.primary,
            &mut self.standbys,
            ledger,
            limit,
            &self.account.run,
            &self.account.progress,
        );
        program::stop::check()?;
        self.emit(rows)
    }

    /// Whether every standby is given up. Then the primary, which may be gone itself, need not be read.
    fn nobody_left(&self) -> bool {
        self.standbys.iter().all(|standby| standby.node.is_err())
    }

    /// Gives up each standby that was lost while it was read, with one message. If the primary is lost, so are all, in one
    /// message.
    fn give_up_lost(&mut self) {
        let primary_gone = self.primary.is_gone();
        for standby in &mut self.standbys {
            standby.node.iter_mut().for_each(NodeSessions::revive);
            let gone = standby.node.as_ref().ok().filter(|node| node.is_gone()).map(NodeSessions::why_gone);
            if let Some(why) = gone {
                standby.node = Err(why);
            }
            if let Err(why) = &standby.node
                && !standby.told
                && !primary_gone
            {
                self.account.progress.warn(&format!("{} is excluded from further checks: {why}", standby.name));
                standby.told = true;
            }
        }
        if primary_gone && self.standbys.iter().any(|standby| !standby.told) {
            let why = self.primary.why_gone();
            self.account.progress.warn(&format!(
                "{} is gone, so all standbys are excluded from further checks: {why}",
                self.primary.name
            ));
            for standby in &mut self.standbys {
                standby.node = Err(why.clone());
                standby.told = true;
            }
        }
    }

    /// Writes rows, joins their verdicts, and notes who is gone.
    pub(crate) fn emit(&mut self, rows: Vec<VerifyRow>) -> Result<()> {
        self.give_up_lost();
        for mut row in rows {
            row.descent = self.standbys.iter().find(|standby| standby.name == row.standby).and_then(|s| s.descent);
            row.database = Some(self.database.clone());
            row.equal = Some(self.equal);
            self.coverage.add(&row);
            self.account.row(&row)?;
        }
        Ok(())
    }
}

/// Two databases of one cluster have nothing in common.
fn check_database(here: &str, primary: &str, standby: &mut NodeSessions) -> Result<()> {
    let there = database(standby)?;
    let standby = &standby.name;
    ensure!(here == there, "{primary} leads to the database {here}, {standby} to {there}: they have to be the same");
    Ok(())
}

/// What the database of a node is called in rows and messages.
fn database(node: &mut NodeSessions) -> Result<String, ReadError> {
    let rows = node.reader().raw_rows("SELECT pg_catalog.current_database()::text", &[])?;
    let Some(row) = rows.first() else { return Err(ReadError::Unread("a database without a name".to_owned())) };
    Ok(subject::database(column(row, 0)?).0)
}
