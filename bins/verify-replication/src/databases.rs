//! `--all-databases`: one database after another, beginning with the named one. No session sees two of them.

use anyhow::{Error, Result};
use cluster::args::Cluster;
use cluster::file::LoginKind;
use cluster::server_error::sqlstate;
use cluster::session::Session;
use report::foreign::one_line;
use report::ledger::Ledger;
use report::verify::VerifyRow;

use crate::APPLICATION;
use crate::account::Account;
use crate::args::Args;
use crate::read_error::ReadError;
use crate::reader::{Reader, column};
use crate::subject::database;
use crate::table::{Finding, Options};
use crate::verify::{Scope, Verify};

/// A database beside the one that was named.
struct Database {
    /// As it is shown.
    title: String,
    oid: u32,
    /// For a connection, if it can be connected to.
    name: Option<String>,
    /// Whether it lets anybody in.
    open: bool,
    /// Whether it lets our role in.
    ours: bool,
}

/// Compares all databases of a cluster. One that cannot be reached is unknown; a ledger is in the database that was named.
///
/// # Errors
/// If the named database cannot be reached, stdout cannot be written, or a signal came.
pub(crate) fn compare(
    args: &Args,
    cluster: &Cluster,
    options: Options,
    ledger: Option<&Ledger>,
    account: &mut Account,
) -> Result<()> {
    let (others, standbys, primary) = {
        let scope = Scope { shared_catalogs: true, other_databases: false };
        let mut named = Verify::open(args, cluster, scope, options, account)?;
        let found = (others(named.primary.reader())?, named.standby_names(), named.primary.name.clone());
        named.all(&[], ledger)?;
        found
    };
    for Database { title, oid, name, open, ours } in others {
        program::stop::check()?;
        if !open {
            account.progress.say(&format!("not compared: database {title} (it allows no connections)"));
            continue;
        }
        let why = match name {
            None => "its name is not UTF-8, and no connection can ask for it".to_owned(),
            Some(_) if !ours => "this role may not CONNECT to it".to_owned(),
            Some(name) => match one(args, &cluster.in_database(&name), options, account)? {
                Ok(()) => continue,
                Err(error) if is_not_there(&error) => match called_now(cluster, &primary, oid) {
                    Ok(None) => {
                        account.progress.say(&format!("not compared: database {title} (dropped meanwhile)"));
                        continue;
                    }
                    Ok(Some(now)) => format!("it is called {now} by now"),
                    Err(also) => format!("{error:#}; and whether it was dropped is not known: {also:#}"),
                },
                Err(error) => format!("{error:#}"),
            },
        };
        program::stop::check()?;
        not_compared((&title, args), &why, &standbys, account)?;
    }
    Ok(())
}

/// Compares one of the others. The inner error is a server's about this database, and does not keep us from the next one.
fn one(args: &Args, cluster: &Cluster, options: Options, account: &mut Account) -> Result<Result<(), Error>> {
    let scope = Scope { shared_catalogs: false, other_databases: false };
    let mut verify = match Verify::open(args, cluster, scope, options, account) {
        Ok(verify) => verify,
        Err(error) => return Ok(Err(error)),
    };
    match verify.all(&[], None) {
        Err(error) if error.is::<ReadError>() || sqlstate(&error).is_some() => Ok(Err(error)),
        done => done.map(Ok),
    }
}

fn others(primary: &mut Reader) -> Result<Vec<Database>, ReadError> {
    let sql = "SELECT d.datname::text, d.datallowconn, pg_catalog.has_database_privilege(d.oid, 'CONNECT'), d.oid
                 FROM pg_catalog.pg_database AS d
                WHERE d.datname <> pg_catalog.current_database()
                ORDER BY d.datname";
    let found = |row: &tokio_postgres::Row| {
        let (title, name) = database(column(row, 0)?);
        Ok(Database { title, oid: column(row, 3)?, name, open: column(row, 1)?, ours: column(row, 2)? })
    };
    primary.raw_rows(sql, &[])?.iter().map(found).collect()
}

/// What a database is called on the primary by now; `None`: it was dropped.
fn called_now(cluster: &Cluster, primary: &str, oid: u32) -> Result<Option<String>> {
    let info = cluster.info(cluster.node(primary)?, LoginKind::Monitor)?;
    let session = Session::open(primary, &info, APPLICATION)?;
    let sql = "SELECT pg_catalog.quote_ident(d.datname) FROM pg_catalog.pg_database AS d WHERE d.oid = $1";
    let rows = session.rows(sql, &[&oid])?;
    Ok(rows.first().map(|row| row.try_get::<_, String>(0)).transpose()?.map(|name| one_line(&name).into_owned()))
}

/// Whether the server said that there is no such database (any more).
fn is_not_there(error: &Error) -> bool {
    format!("{error:#}").contains("(SQLSTATE 3D000)")
}

/// A database that was asked for and not seen makes the verdict unknown, with a row for each standby.
fn not_compared((name, args): (&str, &Args), why: &str, standbys: &[String], account: &mut Account) -> Result<()> {
    account.progress.warn(&format!("database {name} was not compared: {why}"));
    for standby in standbys {
        let row = Finding::unread(None).row(&account.run, VerifyRow::CATALOGS, standby);
        account.row(&VerifyRow { database: Some(name.to_owned()), equal: Some(args.equal()), ..row })?;
    }
    Ok(())
}
