//! The passwords of a lab: random, in files that only their reader can read, at the servers as SCRAM verifiers.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use cluster::file::{Login, Logins};
use cluster::passfile::{self, Entry};
use cluster::secret::Secret;
use program::trust;
use rand::Rng as _;
use rand::distr::Alphanumeric;

use crate::account::{Account, NO_FOLLOW};

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
    /// By role.
    passwords: BTreeMap<String, Secret>,
}

/// The roles of the lab in `dir`, as its cluster file names them.
#[must_use]
pub fn roles(dir: &Path) -> Logins {
    let login = |role: &str| Login { user: role.to_owned(), passfile: dir.join(PASSFILE) };
    Logins {
        admin: login(ADMIN),
        application: login(APPLICATION),
        monitor: login(MONITOR),
        replication: login(REPLICATION),
        rewind: login(REWIND),
    }
}

impl Secrets {
    /// The passwords of the lab in `dir`: read, or made if there are none yet; [`Secrets::write`] keeps them.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn of_lab(dir: &Path) -> Result<Secrets> {
        let file = dir.join(PASSFILE);
        let passwords = if file.exists() {
            let text = trust::read_private(&file)?;
            passfile::parse(&text).into_iter().rev().map(|entry| (entry.user, entry.password)).collect()
        } else {
            ROLES.iter().map(|role| ((*role).to_owned(), random_password())).collect()
        };
        Ok(Secrets { file, passwords })
    }

    /// Writes the caller's file: every role, at the nodes' ports, in the directories of their sockets, and nowhere else.
    /// Whoever gives us another address gets no password of this lab.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, ports: &[u16], sockets: &[PathBuf]) -> Result<()> {
        let at_port = |port: &u16| (Ipv4Addr::LOCALHOST.to_string(), port.to_string());
        let addresses: Vec<_> = ports.iter().map(at_port).chain(sockets.iter().map(at_socket)).collect();
        write(&self.file, Account::Own, &self.entries(&ROLES, &addresses)?)
    }

    /// The password of a role.
    ///
    /// # Errors
    /// If the file has none for it.
    pub fn password(&self, role: &str) -> Result<&Secret> {
        self.passwords.get(role).with_context(|| format!("{} has no password for {role}", self.file.display()))
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

    /// Writes the password file of a node's server: replication and rewind, and no more, and only for the servers whose
    /// sockets are in these directories, which nobody else can enter.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write_for_server(&self, file: &Path, account: Account, sockets: &[PathBuf]) -> Result<()> {
        let addresses: Vec<_> = sockets.iter().map(at_socket).collect();
        write(file, account, &self.entries(&[REPLICATION, REWIND], &addresses)?)
    }

    /// Writes the password file for the containers: replication and rewind, and no more; for the names and the port that nodes
    /// have among themselves, and for no address of this machine.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write_for_containers(&self, file: &Path, hosts: &[String], port: u16) -> Result<()> {
        let addresses: Vec<_> = hosts.iter().map(|host| (host.clone(), port.to_string())).collect();
        let entries = self.entries(&[REPLICATION, REWIND], &addresses)?;
        if !file.exists() {
            return write(file, Account::Own, &entries);
        }
        // Not another file in its place: a container that runs keeps the one that it was given.
        let write = || -> std::io::Result<()> {
            let options = &mut fs::OpenOptions::new();
            let mut there = options.write(true).truncate(true).custom_flags(NO_FOLLOW).open(file)?;
            there.write_all(passfile::render(&entries).as_bytes())
        };
        write().with_context(|| format!("cannot write {}", file.display()))
    }

    fn entries(&self, roles: &[&str], addresses: &[(String, String)]) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for role in roles {
            let password = self.password(role)?;
            entries.extend(addresses.iter().map(|(host, port)| Entry {
                host: host.clone(),
                port: port.clone(),
                dbname: "*".to_owned(),
                user: (*role).to_owned(),
                password: password.clone(),
            }));
        }
        Ok(entries)
    }
}

/// The address of a server whose socket is in this directory, as libpq looks for it.
fn at_socket(dir: impl AsRef<Path>) -> (String, String) {
    (dir.as_ref().display().to_string(), "*".to_owned())
}

/// Writes a password file, unless it says that already.
fn write(file: &Path, account: Account, entries: &[Entry]) -> Result<()> {
    let text = passfile::render(entries);
    if trust::read_plain(file).is_ok_and(|old| old == text) {
        return Ok(());
    }
    account.write_private(file, &text)
}

fn random_password() -> Secret {
    let letters = rand::rng().sample_iter(Alphanumeric).take(PASSWORD_LENGTH).map(char::from);
    Secret::new(letters.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn lines(file: &Path) -> Vec<String> {
        let cut = |line: &str| line.rsplit_once(':').unwrap().0.to_owned();
        fs::read_to_string(file).unwrap().lines().map(cut).collect()
    }

    #[test]
    fn made_once_kept_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let first = Secrets::of_lab(dir.path()).unwrap();
        first.write(&[15432], &[]).unwrap();
        let again = Secrets::of_lab(dir.path()).unwrap();
        assert_eq!(first.password(ADMIN).unwrap(), again.password(ADMIN).unwrap());
        assert_ne!(first.password(ADMIN).unwrap(), first.password(APPLICATION).unwrap());
        assert_eq!(fs::metadata(&first.file).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_password_is_too_long_to_be_guessed_and_no_other_labs() {
        let labs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let [one, other] = labs.each_ref().map(|dir| Secrets::of_lab(dir.path()).unwrap());
        for role in ROLES {
            let password = one.password(role).unwrap().reveal();
            assert!(password.len() >= 22 && password.bytes().all(|byte| byte.is_ascii_alphanumeric()), "128 bits");
            assert_ne!(password, other.password(role).unwrap().reveal());
        }
    }

    #[test]
    fn what_others_can_read_is_taken_for_no_secret_and_nothing_is_written_through_a_link() {
        let (dir, target) = (tempfile::tempdir().unwrap(), tempfile::NamedTempFile::new().unwrap());
        let secrets = Secrets::of_lab(dir.path()).unwrap();
        secrets.write(&[15432], &[]).unwrap();
        fs::set_permissions(&secrets.file, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(Secrets::of_lab(dir.path()).unwrap_err().to_string().contains("can be read by others"));
        let link = dir.path().join("containers");
        std::os::unix::fs::symlink(target.path(), &link).unwrap();
        secrets.write_for_containers(&link, &["node1.replication".to_owned()], 5432).unwrap_err();
        assert_eq!(fs::read_to_string(target.path()).unwrap(), "");
    }

    #[test]
    fn a_password_is_for_the_ports_of_the_lab_and_follows_them() {
        let dir = tempfile::tempdir().unwrap();
        let secrets = Secrets::of_lab(dir.path()).unwrap();
        let find = |host: &str, port| passfile::find(&secrets.file, host, port, "understudy", MONITOR).unwrap();
        secrets.write(&[15432, 15433], &[]).unwrap();
        assert_eq!(find("127.0.0.1", 15433).as_ref(), Some(secrets.password(MONITOR).unwrap()));
        for (host, port) in [("127.0.0.1", 15434), ("localhost", 15433), ("10.0.0.1", 15433), ("/tmp", 15433)] {
            assert_eq!(find(host, port), None, "{host}:{port}");
        }
        Secrets::of_lab(dir.path()).unwrap().write(&[15432, 15434], &[]).unwrap();
        assert_eq!(find("127.0.0.1", 15433), None, "it has moved");
        assert_eq!(find("127.0.0.1", 15434).as_ref(), Some(secrets.password(MONITOR).unwrap()));
        // A file of before, with a line for anybody, holds the same passwords and loses that line.
        let everywhere = |role: &&str| format!("*:*:*:{role}:{}\n", secrets.password(role).unwrap().reveal());
        fs::write(&secrets.file, ROLES.iter().map(everywhere).collect::<String>()).unwrap();
        Secrets::of_lab(dir.path()).unwrap().write(&[15432], &["/lab/node1/socket".into()]).unwrap();
        assert_eq!(find("127.0.0.1", 15432).as_ref(), Some(secrets.password(MONITOR).unwrap()));
        assert_eq!(find("/lab/node1/socket", 5432).as_ref(), Some(secrets.password(MONITOR).unwrap()));
        assert_eq!((find("10.0.0.1", 15432), find("/lab/node2/socket", 5432)), (None, None));
    }

    #[test]
    fn a_server_gets_no_more_than_it_needs() {
        let dir = tempfile::tempdir().unwrap();
        let secrets = Secrets::of_lab(dir.path()).unwrap();
        let file = dir.path().join("server");
        secrets.write_for_server(&file, Account::Own, &["/lab/node1/socket".into()]).unwrap();
        let of = |role: &str| format!("/lab/node1/socket:*:*:{role}");
        assert_eq!(lines(&file), [of(REPLICATION), of(REWIND)]);
    }

    #[test]
    fn containers_that_run_see_the_names_of_those_that_came_later() {
        let dir = tempfile::tempdir().unwrap();
        let secrets = Secrets::of_lab(dir.path()).unwrap();
        let file = dir.path().join("containers");
        let write = |hosts: &[&str]| {
            let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
            secrets.write_for_containers(&file, &hosts, 5432).unwrap();
        };
        write(&["node1.replication"]);
        let given = fs::File::open(&file).unwrap();
        write(&["node1.replication", "node2.replication"]);
        let seen = std::io::read_to_string(given).unwrap();
        let of = |host: &str, role: &str| format!("{host}.replication:5432:*:{role}");
        let roles = [REPLICATION, REWIND].into_iter();
        let all: Vec<_> = roles.flat_map(|role| ["node1", "node2"].map(|host| of(host, role))).collect();
        assert_eq!(lines(&file), all);
        assert_eq!(seen, fs::read_to_string(&file).unwrap());
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
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
