//! The passwords of a lab: random, in files that only their reader can read, at the servers as SCRAM verifiers.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use cluster::file::{Login, Roles};
use cluster::passfile::{self, Entry};
use cluster::secret::Secret;
use program::trust;
use rand::Rng as _;
use rand::distr::Alphanumeric;

use crate::account::Account;

/// The roles of a lab. `sql/roles.sql` says what each may do.
pub const ROLES: [&str; 5] = [ADMIN, APPLICATION, MONITOR, REPLICATION, REWIND];
/// The administrator: the superuser that `initdb` makes.
pub const ADMIN: &str = "understudy_admin";
/// The application.
pub const APPLICATION: &str = "understudy_app";
/// Monitoring.
pub const MONITOR: &str = "understudy_monitor";
/// Streaming WAL.
pub const REPLICATION: &str = "understudy_replication";
/// `pg_rewind`.
pub const REWIND: &str = "understudy_rewind";

/// Letters and digits of a password: 24 of 62 are 142 bits.
const PASSWORD_LENGTH: usize = 24;

/// The caller's password file, in the lab's directory.
const PASSFILE: &str = "passfile";

/// The passwords of one lab, and the caller's file of them.
#[derive(Clone, Debug)]
pub struct Secrets {
    /// The caller's password file: all roles.
    pub file: PathBuf,
    entries: Vec<Entry>,
}

/// The roles of the lab in `dir`, as its cluster file names them.
#[must_use]
pub fn roles(dir: &Path) -> Roles {
    let login = |role: &str| Login { user: role.to_owned(), passfile: dir.join(PASSFILE) };
    Roles {
        admin: login(ADMIN),
        application: login(APPLICATION),
        monitor: login(MONITOR),
        replication: login(REPLICATION),
        rewind: login(REWIND),
    }
}

impl Secrets {
    /// The passwords of the lab in `dir`: read, or made if there are none yet.
    ///
    /// # Errors
    /// If the file can be neither read nor made.
    pub fn of_lab(dir: &Path) -> Result<Secrets> {
        let file = dir.join(PASSFILE);
        if file.exists() {
            let text = trust::read_private(&file)?;
            return Ok(Secrets { entries: passfile::parse(&text), file });
        }
        let entries: Vec<Entry> = ROLES.iter().map(|role| entry("*", role, random_password())).collect();
        Account::Own.write_private(&file, &passfile::render(&entries))?;
        Ok(Secrets { file, entries })
    }

    /// The password of a role.
    ///
    /// # Errors
    /// If the file has none for it.
    pub fn password(&self, role: &str) -> Result<&Secret> {
        let entry = self.entries.iter().find(|entry| entry.user == role);
        Ok(&entry.with_context(|| format!("{} has no password for {role}", self.file.display()))?.password)
    }

    /// How to log in as a role.
    #[must_use]
    pub fn login(&self, role: &str) -> Login {
        Login { user: role.to_owned(), passfile: self.file.clone() }
    }

    /// What goes into `ALTER ROLE … PASSWORD`: the verifier, so that no log can hold the password.
    ///
    /// # Errors
    /// If the role has no password.
    pub fn verifier(&self, role: &str) -> Result<String> {
        let salt: [u8; 16] = rand::random();
        crate::scram::verifier(self.password(role)?.reveal(), &salt)
    }

    /// Writes the password file of a node's server: replication and rewind, and no more.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write_for_server(&self, file: &Path, account: Account) -> Result<()> {
        let entries = [
            entry("*", REPLICATION, self.password(REPLICATION)?.clone()),
            entry("*", REWIND, self.password(REWIND)?.clone()),
        ];
        account.write_private(file, &passfile::render(&entries))
    }
}

fn entry(dbname: &str, user: &str, password: Secret) -> Entry {
    Entry { host: "*".into(), port: "*".into(), dbname: dbname.into(), user: user.into(), password }
}

fn random_password() -> Secret {
    let letters = rand::rng().sample_iter(Alphanumeric).take(PASSWORD_LENGTH).map(char::from);
    Secret::new(letters.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn made_once_kept_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let first = Secrets::of_lab(dir.path()).unwrap();
        let again = Secrets::of_lab(dir.path()).unwrap();
        assert_eq!(first.password(ADMIN).unwrap(), again.password(ADMIN).unwrap());
        assert_ne!(first.password(ADMIN).unwrap(), first.password(APPLICATION).unwrap());
        assert_eq!(fs::metadata(&first.file).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_server_gets_no_more_than_it_needs() {
        let dir = tempfile::tempdir().unwrap();
        let secrets = Secrets::of_lab(dir.path()).unwrap();
        let file = dir.path().join("server");
        secrets.write_for_server(&file, Account::Own).unwrap();
        let users: Vec<_> =
            passfile::parse(&fs::read_to_string(&file).unwrap()).into_iter().map(|entry| entry.user).collect();
        assert_eq!(users, [REPLICATION, REWIND]);
    }

    #[test]
    fn a_verifier_does_not_hold_the_password() {
        let dir = tempfile::tempdir().unwrap();
        let secrets = Secrets::of_lab(dir.path()).unwrap();
        let verifier = secrets.verifier(ADMIN).unwrap();
        assert!(verifier.starts_with("SCRAM-SHA-256$1:"));
        assert!(!verifier.contains(secrets.password(ADMIN).unwrap().reveal()));
    }
}
