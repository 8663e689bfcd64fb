//! Labs for tests: in a directory of their own, on ports of their own, gone when dropped.

pub mod memory;

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result};
use cluster::file::Login;
use cluster::passfile::{self, Entry};
use program::progress::Progress;

use crate::binaries::Asked;
use crate::compose::{self, engine::Engine};
use crate::conf::SyncMode;
use crate::down::down;
use crate::local::converge::converge;
use crate::wanted::Wanted;

/// A lab that goes with its variable.
pub struct Scratch {
    /// Its cluster file.
    pub cluster: PathBuf,
    /// The directory of the lab.
    pub dir: PathBuf,
    home: tempfile::TempDir,
}

impl Scratch {
    /// A primary and `standbys` standbys.
    ///
    /// # Errors
    /// If it cannot be made: a machine without PostgreSQL is a failure, not a skip.
    pub fn new(standbys: u32, sync: SyncMode) -> Result<Scratch> {
        Scratch::with(standbys, sync, &[])
    }

    /// The same with settings, as `setup --set` takes them.
    ///
    /// # Errors
    /// As [`Scratch::new`].
    pub fn with(standbys: u32, sync: SyncMode, settings: &[(&str, &str)]) -> Result<Scratch> {
        let home = home()?;
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let wanted = Wanted { standbys: Some(standbys), sync: Some(sync), settings, ..wanted(&home) };
        let cluster = converge(&wanted, &Progress::new(true))?;
        Ok(Scratch { cluster, dir: wanted.dir(), home })
    }

    /// The same as containers.
    ///
    /// # Errors
    /// As [`Scratch::new`], or if no Docker engine answers.
    pub fn of_containers(standbys: u32, sync: SyncMode) -> Result<Scratch> {
        let home = home()?;
        let wanted = Wanted { standbys: Some(standbys), sync: Some(sync), ..wanted(&home) };
        let cluster = compose::converge::converge(&wanted, Engine::find()?, &Progress::new(true))?;
        Ok(Scratch { cluster, dir: wanted.dir(), home })
    }

    /// The directory that holds the lab: `UNDERSTUDY_HOME` for programs.
    #[must_use]
    pub fn home(&self) -> &std::path::Path {
        self.home.path()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.dir.exists() {
            return; // the test took it down itself
        }
        if let Err(error) = down(&self.dir) {
            eprintln!("warning: {error:#}");
        }
    }
}

/// A home for scratch labs that the servers' user can reach.
///
/// # Errors
/// What the system says.
pub fn home() -> Result<tempfile::TempDir> {
    program::entry::keep_descriptors(); // servers that a killed test leaves must not hold what its caller had open
    let home = tempfile::Builder::new().prefix("understudy-").tempdir()?;
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(home.path(), open)?;
    Ok(home)
}

/// A password file that holds a login's password for whatever address: what a test puts before a node has another one.
///
/// # Errors
/// If the login's own file cannot be read, or none be made.
pub fn passfile_for_any_address(login: &Login) -> Result<tempfile::NamedTempFile> {
    let entries = passfile::parse(&std::fs::read_to_string(&login.passfile)?);
    let own = entries.into_iter().find(|entry| entry.user == login.user).context("no password")?;
    let any = || "*".to_owned();
    let file = tempfile::NamedTempFile::new()?; // 0600
    std::fs::write(file.path(), passfile::render(&[Entry { host: any(), port: any(), dbname: any(), ..own }]))?;
    Ok(file)
}

/// What a scratch lab wants, with a first port that other tests do not look for at the same time.
#[must_use]
pub fn wanted(home: &tempfile::TempDir) -> Wanted {
    Wanted {
        name: "scratch".into(),
        home: home.path().to_owned(),
        standbys: None,
        binaries: Asked::default(),
        image: None,
        first_port: Some(first_port()),
        sync: Some(SyncMode::Async),
        quorum: None,
        settings: vec![],
    }
}

/// The first of ten free ports below the ephemeral ones. The tenth is kept until the process ends, so that other tests,
/// of this process and of others, take their ten elsewhere, also while no server of this one listens.
///
/// # Panics
/// If there are no ten free ports in a row.
#[must_use]
pub fn first_port() -> u16 {
    static HELD: Mutex<Vec<TcpListener>> = Mutex::new(Vec::new());
    let listen = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok();
    let begin = u16::try_from(std::process::id() % 1_500).unwrap_or(0) * 10;
    let (first, holder) = (0..15_000)
        .step_by(10)
        .map(|offset| 17_000 + (begin + offset) % 15_000)
        .filter_map(|first| Some((first, listen(first + 9)?)))
        .find(|(first, _)| (*first..first + 9).all(|port| listen(port).is_some()))
        .expect("ten free ports in a row between 17000 and 32000");
    HELD.lock().unwrap_or_else(PoisonError::into_inner).push(holder);
    first
}
