//! `--all-databases`: one database after another, beginning with the named one. No session sees two of them.

use anyhow::{Error, Result};
use cluster::args::Cluster;
use cluster::session::Session;
use report::ledger::Ledger;
use report::verify::VerifyRow;

use crate::account::Account;
use crate::args::Args;
use crate::table::{Finding, Options};
use crate::verify::{Scope, Verify};

/// A database beside the one that was named.
struct Database {
    name: String,
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
    let (others, standbys) = {
        let scope = Scope { shared_catalogs: true, other_databases: false };
        let mut named = Verify::open(args, cluster, scope, options, account)?;
        let found = (others(named.control())?, named.standby_names());
        named.all(&[], ledger)?;
        found
    };
    for Database { name, open, ours } in others {
        program::stop::check()?;
        if !open {
            account.progress.say(&format!("not compared: database {name} (it allows no connections)"));
            continue;
        }
        let compared = match ours {
            true => {
                let scope = Scope { shared_catalogs: false, other_databases: false };
                Verify::open(args, &cluster.in_database(&name), scope, options, account).map(Some)
            }
            false => Ok(None),
        };
        match compared {
            Ok(Some(mut verify)) => verify.all(&[], None)?,
            Ok(None) => not_compared((&name, args), "this role may not CONNECT to it", &standbys, account)?,
            Err(error) if is_dropped(&error) => {
                account.progress.say(&format!("not compared: database {name} (dropped meanwhile)"));
            }
            Err(error) => {
                program::stop::check()?;
                not_compared((&name, args), &format!("{error:#}"), &standbys, account)?;
            }
        }
    }
    Ok(())
}

fn others(primary: &Session) -> Result<Vec<Database>> {
    let sql = "SELECT d.datname::text, d.datallowconn, pg_catalog.has_database_privilege(d.oid, 'CONNECT')
                 FROM pg_catalog.pg_database AS d
                WHERE d.datname <> pg_catalog.current_database()
                ORDER BY d.datname";
    let database = |row: &tokio_postgres::Row| -> Result<Database> {
        Ok(Database { name: row.try_get(0)?, open: row.try_get(1)?, ours: row.try_get(2)? })
    };
    primary.rows(sql, &[])?.iter().map(database).collect()
}

/// Whether the server said that there is no such database (any more).
fn is_dropped(error: &Error) -> bool {
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
