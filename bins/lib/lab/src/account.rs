//! The operating system's user that servers run as. PostgreSQL refuses to run as root.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use program::tool;
use xshell::{Shell, cmd};

/// The user that only labs run as, where the machine's owner has made one.
pub(crate) const DEDICATED: &str = "pg-understudy";

/// Users that servers may run as when we are root, by preference.
const CANDIDATES: [&str; 3] = [DEDICATED, "postgres", "nobody"];

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

/// What tools and servers get of our environment. What else is there may be secret, and is nothing to them.
const PASSED_ON: [&str; 6] = ["PATH", "LD_LIBRARY_PATH", "HOME", "TMPDIR", "TZ", "TZDIR"];

impl Account {
    /// Who the servers of the lab in `dir` run as: the user whose its data are; of a new lab, [`Account::for_servers`].
    ///
    /// # Errors
    /// As [`Account::for_servers`], or if that user has mounted something there.
    pub fn of_lab(dir: &Path) -> Result<Account> {
        let chosen = Account::for_servers()?;
        if chosen == Account::Own {
            return Ok(chosen);
        }
        crate::mounts::check_none_of_others(dir)?; // this is the first who looks at what is that user's
        // A lab's directory and those of its nodes are root's: nobody else says what stands there.
        let data = fs::read_dir(dir).into_iter().flatten().flatten().map(|node| node.path().join("data"));
        let owner =
            data.filter_map(|data| fs::symlink_metadata(data).ok()).find(|data| data.is_dir() && data.uid() != 0);
        Ok(owner.map_or(chosen, |data| Account::Other { uid: data.uid(), gid: data.gid() }))
    }

    /// Ourselves, or as root an unprivileged user: the labs' own if there is one, else `postgres`, else `nobody`.
    ///
    /// # Errors
    /// If we are root and there is nobody else.
    pub fn for_servers() -> Result<Account> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Account::Own);
        }
        let Some((uid, gid)) = first_of_candidates(ids) else {
            program::stop::check()?; // it ended `id`
            bail!("servers cannot run as root, and there is no user {}: make one", CANDIDATES.join(" or "))
        };
        let account = Account::Other { uid, gid };
        let missing = "servers are started by setsid and setpriv of util-linux: install them";
        tool::run(account.apply(Command::new("true")), ID_DEADLINE).context(missing)?;
        Ok(account)
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

    /// The same command, run as this account, with nothing of our environment but [`PASSED_ON`].
    ///
    /// As another user it runs in a session of its own, without our terminal: whoever shares a session with root can type
    /// into its terminal (`TIOCSTI`). The session is left while it is still root, so that no process of that user was
    /// ever in ours; hence the two tools of util-linux, and not the user of [`Command`].
    #[must_use]
    pub fn apply(self, command: Command) -> Command {
        let mut command = match self {
            Account::Own => command,
            Account::Other { uid, gid } => in_own_session(&command, uid, gid),
        };
        // A server keeps what it was started with, where its user can read it.
        let own = |value: Option<&OsStr>| value.map(OsStr::to_owned);
        let given: Vec<_> = command.get_envs().map(|(name, value)| (name.to_owned(), own(value))).collect();
        command.env_clear();
        command.envs(std::env::vars_os().filter(|(name, _)| PASSED_ON.iter().any(|passed| name == passed)));
        command.envs(given.into_iter().filter_map(|(name, value)| Some((name, value?))));
        command.env("LC_ALL", "C");
        // Of libpq, where it knows it (16 and newer): no password, no WAL and no block from a server that does not know the
        // password itself. Older ones take no notice.
        command.env("PGREQUIREAUTH", "scram-sha-256");
        command
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
        let command = self.apply(command);
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
        command.current_dir("/");
        let mut command = self.apply(command);
        let (reader, mut writer) = std::io::pipe().context("cannot make a pipe")?;
        // A configuration file is smaller than a pipe's buffer: this does not wait for its reader.
        writer.write_all(text.as_bytes()).context("cannot fill a pipe")?;
        drop(writer);
        let said = tool::output_with_stdin(&mut command, reader.into(), WRITE_DEADLINE)?;
        ensure!(said.status.success(), "cannot write {}: {}", path.display(), said.why());
        Ok(())
    }
}

/// The first of the candidates that this machine has: user and group. Root, by whatever name, is none.
fn first_of_candidates(ids: impl Fn(&str) -> Option<(u32, u32)>) -> Option<(u32, u32)> {
    CANDIDATES.into_iter().filter_map(ids).find(|(uid, _)| *uid != 0)
}

/// The numbers of a user and of its group; `None` if there is none of that name.
fn ids(user: &str) -> Option<(u32, u32)> {
    let sh = Shell::new().ok()?;
    let id =
        |flag: &str| -> Option<u32> { tool::run(cmd!(sh, "id {flag} {user}").into(), ID_DEADLINE).ok()?.parse().ok() };
    Some((id("-u")?, id("-g")?))
}

/// A command as another user, in a session of its own, where no program gives it other rights (`sudo`, say).
fn in_own_session(command: &Command, uid: u32, gid: u32) -> Command {
    let mut own = Command::new(tool::SETSID);
    own.arg("setpriv").args([format!("--reuid={uid}"), format!("--regid={gid}")]);
    own.args(["--clear-groups", "--no-new-privs", "--"]);
    own.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => own.env(name, value),
            None => own.env_remove(name),
        };
    }
    if let Some(dir) = command.get_current_dir() {
        own.current_dir(dir);
    }
    own
}

/// Opens nothing through a symbolic link in the last place of a path.
pub(crate) const NO_FOLLOW: i32 = rustix::fs::OFlags::NOFOLLOW.bits() as i32;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    use std::process::Command;
    use std::time::Duration;

    use program::tool;
    use rustix::process::getsid;

    use super::{Account, first_of_candidates};

    #[test]
    fn the_labs_own_user_comes_first_and_root_is_none() {
        let chosen = |users: &[(&str, u32)]| {
            first_of_candidates(|name| users.iter().find(|(user, _)| *user == name).map(|(_, id)| (*id, id + 1)))
        };
        let (own, postgres, nobody) = (("pg-understudy", 998), ("postgres", 101), ("nobody", 65_534));
        assert_eq!(chosen(&[nobody, postgres, own]), Some((998, 999)));
        assert_eq!(chosen(&[nobody, postgres]), Some((101, 102)));
        assert_eq!(chosen(&[nobody, ("postgres", 0)]), Some((65_534, 65_535)));
        assert_eq!(chosen(&[("root", 0), ("somebody", 7)]), None);
    }

    #[test]
    fn as_root_what_is_written_in_the_servers_directory_is_that_users_and_for_nobody_else_to_read() {
        if !rustix::process::geteuid().is_root() {
            return; // nothing can be made somebody else's
        }
        let (lab, servers) = (tempfile::tempdir().unwrap(), Account::for_servers().unwrap());
        fs::set_permissions(lab.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let dir = lab.path().join("data");
        servers.make_dir(&dir).unwrap();
        servers.write(&dir.join("x.conf"), "text").unwrap();
        servers.write_private(&lab.path().join("passfile"), "text").unwrap();
        let metadata = fs::metadata(&dir).unwrap();
        assert_eq!((metadata.uid(), metadata.mode() & 0o777), (servers.uid(), 0o700));
        // As that user, which may write in its own directories only: as root it would have worked.
        servers.write(&lab.path().join("x.conf"), "text").unwrap_err();
        for file in [dir.join("x.conf"), lab.path().join("passfile")] {
            let metadata = fs::metadata(&file).unwrap();
            assert_eq!((metadata.uid(), metadata.mode() & 0o777), (servers.uid(), 0o600), "{}", file.display());
        }
    }

    /// Root's own directories among them say nothing: no server runs as root.
    #[test]
    fn as_root_a_lab_stays_with_the_user_whose_its_data_are() {
        if !rustix::process::geteuid().is_root() {
            return; // nothing can be made somebody else's
        }
        let lab = tempfile::tempdir().unwrap();
        for node in ["node1", "node2", "node3"] {
            fs::create_dir_all(lab.path().join(node).join("data")).unwrap();
        }
        assert_eq!(Account::of_lab(lab.path()).unwrap(), Account::for_servers().unwrap());
        std::os::unix::fs::chown(lab.path().join("node2/data"), Some(54_321), Some(54_322)).unwrap();
        assert_eq!(Account::of_lab(lab.path()).unwrap(), Account::Other { uid: 54_321, gid: 54_322 });
    }

    /// What a tool as this account sees of itself: session, terminal (0: none), user, its groups, whether no program gives it
    /// other rights (1: none does), what cargo has told us, what it is told itself, and what libpq is.
    fn seen(account: Account) -> Vec<String> {
        let mut command = Command::new("sh");
        let script = "cut -d' ' -f6,7 /proc/$$/stat; id -u; id -G; sed -n 's/NoNewPrivs:/bound:/p' /proc/self/status; \
                      echo ${CARGO_MANIFEST_DIR:-cleared} $KEPT $PGREQUIREAUTH";
        command.args(["-c", script]).env("KEPT", "kept");
        let said = tool::run(account.apply(command), Duration::from_secs(10)).unwrap();
        said.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn as_root_tools_of_the_servers_user_have_a_session_without_our_terminal() {
        if !rustix::process::geteuid().is_root() {
            let own = getsid(None).unwrap().as_raw_nonzero().to_string();
            let said = seen(Account::Own);
            assert_eq!(said[0], own, "as ourselves there is nobody to keep out");
            assert_eq!(said[said.len() - 3..], ["cleared", "kept", "scram-sha-256"]);
            return;
        }
        let Account::Other { uid, gid } = Account::for_servers().unwrap() else { panic!("root runs no servers") };
        let said = seen(Account::Other { uid, gid });
        let own = getsid(None).unwrap().as_raw_nonzero().to_string();
        assert_ne!(said[0], own);
        let own = ["0".to_owned(), uid.to_string(), gid.to_string()];
        let rest = ["bound:", "1", "cleared", "kept", "scram-sha-256"].map(str::to_owned);
        assert_eq!(said[1..], [&own[..], &rest].concat());
    }

    /// Who has called us may be in groups whose files are nothing to the servers' user.
    #[test]
    fn as_root_tools_of_the_servers_user_are_in_no_group_of_ours() {
        const IN_A_GROUP: &str = "UNDERSTUDY_TEST_OF_GROUPS";
        if !rustix::process::geteuid().is_root() {
            return; // there is nobody else to be
        }
        if std::env::var_os(IN_A_GROUP).is_some() {
            let Account::Other { uid, gid } = Account::for_servers().unwrap() else { panic!("root runs no servers") };
            let said = seen(Account::Other { uid, gid });
            assert_eq!(said[3..said.len() - 5], [gid.to_string()]);
            return;
        }
        let mut command = Command::new("setpriv");
        command.args(["--groups=5", "--"]).arg(std::env::current_exe().unwrap()).env(IN_A_GROUP, "1");
        command.args(["--exact", "account::tests::as_root_tools_of_the_servers_user_are_in_no_group_of_ours"]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}
