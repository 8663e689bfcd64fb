//! PostgreSQL's programs: where they are, and which version.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use program::{tool, trust};

use crate::account::Account;

/// The oldest and the newest major version that we know.
pub const MAJORS: std::ops::RangeInclusive<u32> = 14..=18;

/// What a directory must hold to run nodes from it.
const PROGRAMS: [&str; 7] =
    ["postgres", "initdb", "pg_ctl", "pg_basebackup", "pg_rewind", "pg_waldump", "pg_controldata"];

/// Time for `postgres --version` and `pg_config`.
const VERSION_DEADLINE: Duration = Duration::from_secs(10);

/// A set of PostgreSQL's programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binaries {
    /// Their directory.
    pub dir: PathBuf,
    /// The full version, for example `15.18`.
    pub version: String,
    /// Its major part.
    pub major: u32,
    /// How they were found, for people.
    pub found_by: String,
}

/// What was asked for on the command line.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// `--pg-bin`.
    pub dir: Option<PathBuf>,
    /// `--pg-version`.
    pub major: Option<u32>,
}

/// What a machine without PostgreSQL needs to be told.
pub const INSTALL_HINT: &str = "no PostgreSQL server (14 to 18) found: install one, on Debian and Ubuntu with \
    `apt-get install postgresql` (as root, `setup --install` does it), on Fedora with `dnf install postgresql-server \
    postgresql-contrib`, or name its directory with --pg-bin";

impl Binaries {
    /// Finds PostgreSQL: by what was asked, by `PG_BINDIR`, by `pg_config`, or the newest in the usual places.
    ///
    /// # Errors
    /// If there is none, or what was asked for is not there.
    pub fn find(asked: &Asked) -> Result<Binaries> {
        let fits = |b: &Binaries| asked.major.is_none_or(|major| major == b.major);
        if let Some(major) = asked.major {
            ensure!(MAJORS.contains(&major), "--pg-version {major}: known are {MAJORS:?}");
        }
        if let Some(dir) = &asked.dir {
            let found = Binaries::at(dir, "--pg-bin")?;
            ensure!(
                fits(&found),
                "--pg-bin {} holds PostgreSQL {}, not what --pg-version asks",
                dir.display(),
                found.version
            );
            return Ok(found);
        }
        if let Some(dir) = std::env::var_os("PG_BINDIR").filter(|dir| !dir.is_empty()) {
            let found = Binaries::at(Path::new(&dir), "PG_BINDIR")?;
            if fits(&found) {
                return Ok(found);
            }
        }
        if let Some(found) = by_pg_config().filter(fits) {
            return Ok(found);
        }
        let mut usual: Vec<Binaries> = usual_places()
            .iter()
            .filter_map(|dir| Binaries::at(dir, "the platform's usual places").ok())
            .filter(fits)
            .collect();
        usual.sort_by_key(|b| b.major);
        match (usual.pop(), asked.major) {
            (Some(found), _) => Ok(found),
            (None, Some(major)) => bail!("--pg-version {major}: PostgreSQL {major} is not installed; {INSTALL_HINT}"),
            (None, None) => bail!("{INSTALL_HINT}"),
        }
    }

    /// The programs in `dir`. Nothing is run but what is ours, root's or the servers' user's, and that as the servers' user.
    ///
    /// # Errors
    /// If one is missing or somebody else's, or their version is not one that we know.
    pub fn at(dir: &Path, found_by: &str) -> Result<Binaries> {
        for name in PROGRAMS {
            ensure!(dir.join(name).is_file(), "{found_by}: {} has no {name}", dir.display());
        }
        let account = Account::for_servers()?;
        let trusted = |path: &Path| trust::of_programs(path, Some(account.uid())).with_context(|| found_by.to_owned());
        let dir = trusted(dir)?;
        for name in PROGRAMS {
            trusted(&dir.join(name))?;
        }
        let postgres = dir.join("postgres");
        let said = ask(&postgres, "--version", account)?;
        let version = said.split_whitespace().nth(2).unwrap_or("").to_owned();
        let major = version.split(|c: char| !c.is_ascii_digit()).next().and_then(|digits| digits.parse().ok());
        let major = major.with_context(|| format!("{} does not tell its version: {said:?}", postgres.display()))?;
        ensure!(
            MAJORS.contains(&major),
            "{found_by}: {} holds PostgreSQL {version}; known are {MAJORS:?}",
            dir.display()
        );
        // All tools of one release: a pg_rewind of another major version would ruin the directory or refuse late.
        let rewind = dir.join("pg_rewind");
        let rewind_said = ask(&rewind, "--version", account)?;
        ensure!(
            rewind_said.split_whitespace().nth(2) == Some(version.as_str()),
            "{} is of another release than postgres {version}: {rewind_said:?}",
            rewind.display()
        );
        Ok(Binaries { dir, version, major, found_by: found_by.to_owned() })
    }

    /// The path of one of the programs.
    #[must_use]
    pub fn path(&self, program: &str) -> PathBuf {
        self.dir.join(program)
    }
}

/// What a program says of itself, to the servers' user.
fn ask(program: &Path, question: &str, account: Account) -> Result<String> {
    let mut command = Command::new(program);
    command.arg(question).current_dir("/");
    tool::run(account.apply(command), VERSION_DEADLINE)
}

/// By the first `pg_config` of the path that may be trusted.
fn by_pg_config() -> Option<Binaries> {
    let account = Account::for_servers().ok()?;
    let program = trust::in_path("pg_config", Some(account.uid())).ok()?;
    let dir = ask(&program, "--bindir", account).ok()?;
    Binaries::at(Path::new(&dir), "pg_config --bindir").ok()
}

/// Where packages put PostgreSQL: Debian, PGDG on Fedora and RHEL, Fedora's own, Alpine, source, Homebrew.
fn usual_places() -> Vec<PathBuf> {
    let versioned = MAJORS.flat_map(|major| {
        [
            format!("/usr/lib/postgresql/{major}/bin"),
            format!("/usr/pgsql-{major}/bin"),
            format!("/usr/libexec/postgresql{major}"),
            format!("/opt/homebrew/opt/postgresql@{major}/bin"),
            format!("/home/linuxbrew/.linuxbrew/opt/postgresql@{major}/bin"),
        ]
    });
    versioned.chain(["/usr/local/pgsql/bin".to_owned(), "/usr/bin".to_owned()]).map(PathBuf::from).collect()
}
