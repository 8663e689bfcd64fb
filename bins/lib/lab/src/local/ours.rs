//! What proves that a process is one of a lab's, beside the directory that it works in: anybody may stand in a directory, and
//! the servers' user may write any number into `postmaster.pid`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use report::foreign::one_line;

use crate::account::Account;
use crate::marker::{self, LabId};
use crate::process::Process;
use crate::state::LabState;

/// The programs that a lab starts in its directories.
const TOOLS: [&str; 7] = ["postgres", "initdb", "pg_ctl", "pg_basebackup", "pg_rewind", "pg_waldump", "pg_controldata"];

/// A lab, as its processes are told by.
#[derive(Clone, Debug)]
pub(crate) struct Ours {
    id: LabId,
    /// Where its programs are, and were. Empty: the lab has no `lab.toml` (any more), and nobody knows.
    bins: Vec<PathBuf>,
    account: Account,
}

impl Ours {
    /// Of the lab `id` in `dir`.
    ///
    /// # Errors
    /// If its state cannot be read, or there is nobody whom servers could run as.
    pub(crate) fn of(dir: &Path, id: &LabId) -> Result<Ours> {
        let mut ours = Ours { id: id.clone(), bins: Vec::new(), account: Account::of_lab(dir)? };
        for bin in LabState::read_if_there(dir)?.map(|state| state.bins()).unwrap_or_default() {
            ours.add_bin(&bin);
        }
        Ok(ours)
    }

    /// The same with programs from `bin` too.
    pub(super) fn with_bin(mut self, bin: &Path) -> Ours {
        self.add_bin(bin);
        self
    }

    /// A process is known by the file that it runs, and a packager may have put a link in that place.
    fn add_bin(&mut self, bin: &Path) {
        let real = |name: &str| fs::canonicalize(bin.join(name)).ok().and_then(|file| Some(file.parent()?.to_owned()));
        self.bins.extend(std::iter::once(bin.to_owned()).chain(TOOLS.iter().filter_map(|name| real(name))));
    }

    /// Who the lab's servers run as.
    pub(super) fn account(&self) -> Account {
        self.account
    }

    /// Whether it is known where the lab's programs are.
    pub(super) fn knows_programs(&self) -> bool {
        !self.bins.is_empty()
    }

    /// Sees that the process that works in the data directory `data`, which is `owner`'s, is the lab's server there.
    ///
    /// # Errors
    /// Why it is not: then it is to be left alone.
    pub(super) fn check_server(&self, process: &Process, data: &Path, owner: u32) -> Result<()> {
        let why = match (marker::read_in_data(data), process.uid(), process.program()) {
            // A pipe in its place, say: that is the servers' user's doing.
            (Err(error), ..) => format!("its marker does not say whose it is ({error:#})"),
            (Ok(Some(id)), ..) if id != self.id => "the directory bears another lab's marker".to_owned(),
            (Ok(None), ..) if !data.ends_with("data.new") => "the directory does not bear this lab's marker".to_owned(),
            (_, uid, _) if uid != Some(owner) => "it is not its owner's any more".to_owned(),
            (.., program) if !self.is_program(&program, "postgres") => {
                format!("{} is not the lab's `postgres`", one_line(&program.to_string_lossy()))
            }
            _ => return Ok(()),
        };
        let (pid, data) = (process.pid, data.display());
        bail!("process {pid} works in {data}, but {why}: it is left alone; if it is yours, end it, then try again")
    }

    /// Whether a process runs one of the lab's programs, as the servers' user.
    pub(super) fn is_tool(&self, process: &Process) -> bool {
        let program = process.program();
        process.uid() == Some(self.account.uid()) && TOOLS.iter().any(|tool| self.is_program(&program, tool))
    }

    fn is_program(&self, program: &Path, name: &str) -> bool {
        let is_there = |dir: &Path| self.bins.is_empty() || self.bins.iter().any(|bin| bin == dir);
        program.file_name().is_some_and(|file| file == name) && program.parent().is_some_and(is_there)
    }
}

#[cfg(test)]
impl Ours {
    /// Of the lab `id`, with programs from `bin`, run by ourselves.
    pub(super) fn for_test(id: &LabId, bin: &Path) -> Ours {
        Ours { id: id.clone(), bins: vec![bin.canonicalize().expect("a directory")], account: Account::Own }
    }
}
