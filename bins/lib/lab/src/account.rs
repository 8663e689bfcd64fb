//! The operating system's user that servers run as. PostgreSQL refuses to run as root.

use std::fs::{self, DirBuilder, File};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, fchown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use program::tool;
use xshell::{Shell, cmd};

/// Users that servers may run as when we are root, by preference.
const CANDIDATES: [&str; 2] = ["postgres", "nobody"];

/// Time for `id`: it may ask a directory server.
const ID_DEADLINE: Duration = Duration::from_secs(10);

/// Time for writing a small file through `cat`.
const WRITE_DEADLINE: Duration = Duration::from_secs(30);

/// Who servers run as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Account {
    /// As ourselves.
    Own,
    /// As somebody else: we are root.
    Other {
        /// User id.
        uid: u32,
        /// Group id.
        gid: u32,
    },
}

impl Account {
    /// Ourselves, or as root an unprivileged user: `postgres` if there is one, else `nobody`.
    ///
    /// # Errors
    /// If we are root and there is nobody else.
    pub fn for_servers() -> Result<Account> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Account::Own);
        }
        let sh = Shell::new()?;
        for user in CANDIDATES {
            let id = |flag: &str| -> Result<u32> {
                let text = tool::run(cmd!(sh, "id {flag} {user}").into(), ID_DEADLINE)?;
                text.parse().with_context(|| format!("id {flag} {user} said {text:?}"))
            };
            if let (Ok(uid), Ok(gid)) = (id("-u"), id("-g")) {
                return Ok(Account::Other { uid, gid });
            }
        }
        program::stop::check()?; // it ended `id`
        bail!("servers cannot run as root, and there is no user {}: make one", CANDIDATES.join(" or "))
    }

    /// Its number.
    #[must_use]
    pub fn uid(self) -> u32 {
        match self {
            Account::Own => rustix::process::geteuid().as_raw(),
            Account::Other { uid, .. } => uid,
        }
    }

    /// Its name, as libpq's `requirepeer` takes it.
    ///
    /// # Errors
    /// If it has none.
    pub fn name(self) -> Result<String> {
        let (sh, uid) = (Shell::new()?, self.uid().to_string());
        tool::run(cmd!(sh, "id -un {uid}").into(), ID_DEADLINE).with_context(|| format!("user {uid} has no name"))
    }

    /// Makes a command run as this account, with none of our own PostgreSQL environment.
    pub fn apply(self, command: &mut Command) {
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PG") {
                command.env_remove(name);
            }
        }
        command.env("LC_ALL", "C");
        // Of libpq, where it knows it (16 and newer): no password, no WAL and no block from a server that does not know the
        // password itself. Older ones take no notice.
        command.env("PGREQUIREAUTH", "scram-sha-256");
        if let Account::Other { uid, gid } = self {
            command.uid(uid).gid(gid); // std drops root's other groups with it
        }
    }

    /// Gives an open file to this account.
    ///
    /// # Errors
    /// What the system says.
    pub fn own(self, file: &File) -> Result<()> {
        match self {
            Account::Own => Ok(()),
            Account::Other { uid, gid } => fchown(file, Some(uid), Some(gid)).context("cannot give a file away"),
        }
    }

    /// Makes a directory of this account's own in one of ours; none may be there.
    ///
    /// # Errors
    /// What the system says.
    pub fn make_dir(self, dir: &Path) -> Result<()> {
        let make = || -> Result<()> {
            DirBuilder::new().mode(0o700).create(dir)?;
            self.own(&File::options().read(true).custom_flags(NO_FOLLOW).open(dir)?)
        };
        make().with_context(|| format!("cannot make {}", dir.display()))
    }

    /// Sees that this account may pass through to a directory.
    ///
    /// # Errors
    /// If it may not.
    pub fn check_reaches(self, dir: &Path) -> Result<()> {
        if self == Account::Own {
            return Ok(());
        }
        let mut command = Command::new("test");
        command.arg("-x").arg(dir).current_dir("/");
        self.apply(&mut command);
        let closed = "a directory above it is closed to others, and servers do not run as root: choose another --home";
        ensure!(tool::output(command, ID_DEADLINE)?.status.success(), "{}: {closed}", dir.display());
        Ok(())
    }

    /// Writes a file that only this account can read, from its first moment on, and puts it in place in one step. The
    /// directory must be ours: in one of the account's own, use [`Account::write`].
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write_private(self, path: &Path, text: &str) -> Result<()> {
        let new = path.with_extension("new");
        let _ = fs::remove_file(&new);
        let write = || -> Result<()> {
            let mut file = File::options().write(true).create_new(true).mode(0o600).open(&new)?;
            self.own(&file)?;
            file.write_all(text.as_bytes())?;
            fs::rename(&new, path)?;
            Ok(())
        };
        write().with_context(|| format!("cannot write {}", path.display()))
    }

    /// Writes a file into a directory of this account's own, as this account: root must not write where somebody else
    /// decides what a name leads to.
    ///
    /// # Errors
    /// What the system says.
    pub fn write(self, path: &Path, text: &str) -> Result<()> {
        if self == Account::Own {
            return self.write_private(path, text);
        }
        let new = path.with_extension("new");
        let mut command = Command::new("sh");
        command.args(["-c", "umask 077; rm -f \"$1\"; cat > \"$1\" && mv -f \"$1\" \"$2\"", "sh"]).args([&new, path]);
        self.apply(&mut command);
        command.current_dir("/");
        let (reader, mut writer) = std::io::pipe().context("cannot make a pipe")?;
        // A configuration file is smaller than a pipe's buffer: this does not wait for its reader.
        writer.write_all(text.as_bytes()).context("cannot fill a pipe")?;
        drop(writer);
        let said = tool::output_with_stdin(&mut command, reader.into(), WRITE_DEADLINE)?;
        ensure!(said.status.success(), "cannot write {}: {}", path.display(), said.stderr.trim());
        Ok(())
    }
}

/// Opens nothing through a symbolic link in the last place of a path.
pub(crate) const NO_FOLLOW: i32 = rustix::fs::OFlags::NOFOLLOW.bits() as i32;
