//! A drill that runs, one that has ended, and what is made of it.

use std::collections::BTreeSet;
use std::marker::PhantomData;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, ExitStatus};
use std::time::Instant;

use cluster::wait::{Attempt, until, until_true};
use rustix::process::{Pid, Signal, kill_process};

use super::{DRILL, LOOK, Lab, SOON, programs_of};
use crate::independent::{self, Events, Fields, Ledger, Present};
use crate::judged_again::judged_again;

/// A drill that runs; killed when dropped, before its lab can be.
pub(crate) struct Drill<'a> {
    pub(super) of: PhantomData<&'a Lab>,
    pub(super) child: Child,
    pub(crate) run: String,
    pub(crate) out: PathBuf,
    pub(super) stdout: PathBuf,
    pub(super) stderr: PathBuf,
}

/// A drill that has ended.
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
    pub(crate) run: String,
    pub(crate) out: PathBuf,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Drill<'_> {
    /// The events so far.
    pub(crate) fn events(&self) -> Vec<Fields> {
        if self.out.join("events.csv").exists() { independent::rows(&self.out.join("events.csv")) } else { vec![] }
    }

    /// Waits until a mark is set.
    pub(crate) fn wait_for(&mut self, mark: &str) {
        let waited = until(&format!("the mark {mark}"), DRILL, LOOK, || {
            let events = self.events();
            if events.iter().any(|row| row["mark"] == mark) {
                return Ok(Attempt::Done(Ok(())));
            }
            if let Some(status) = self.child.try_wait()? {
                return Ok(Attempt::Done(Err(status)));
            }
            Ok(Attempt::NotYet(format!("{:?}", events.last())))
        });
        if let Err(status) = waited.unwrap() {
            panic!("it ended ({status}) before {mark}: {}", std::fs::read_to_string(&self.stderr).unwrap());
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap(); // not reaped: the pid is its own
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Done {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(begun.elapsed() < DRILL, "it still runs; its events: {:#?}", self.events());
            std::thread::sleep(LOOK);
        };
        self.done(status)
    }

    /// All drills end here: none is left out of being judged again.
    fn done(&self, status: ExitStatus) -> Done {
        judged_again(&self.out, status.code());
        Done {
            code: status.code(),
            signal: status.signal(),
            run: self.run.clone(),
            out: self.out.clone(),
            stdout: std::fs::read_to_string(&self.stdout).unwrap(),
            stderr: std::fs::read_to_string(&self.stderr).unwrap(),
        }
    }
}

impl Drop for Drill<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Done {
    /// The row of `drill.csv`.
    pub(crate) fn row(&self) -> Fields {
        let mut rows = independent::rows_of(&self.stdout);
        assert_eq!(rows.len(), 1, "exit {:?}, stdout {:?}, stderr {}", self.code, self.stdout, self.stderr);
        rows.remove(0)
    }

    pub(crate) fn ledger(&self) -> Ledger {
        Ledger::read(&self.out.join("ledger.csv"))
    }

    pub(crate) fn events(&self) -> Events {
        Events::read(&self.out.join("events.csv"))
    }

    /// Has the independent judge look at a drill with a takeover, and at the lab after it.
    pub(crate) fn judged(&self, lab: &Lab) -> Judged {
        let (row, ledger, events) = (self.row(), self.ledger(), self.events());
        let primary = lab.primary();
        assert_eq!(row.get("new_primary"), Some(&primary), "{}", self.stderr);
        assert!(row.values().chain(events.0.iter().flat_map(Fields::values)).all(|value| !value.contains('\n')));
        let [read] = events.all("final_read_done")[..] else { panic!("no final read: {}", self.stderr) };
        assert_eq!(read["node"], primary, "the node that was read at the end");
        let present = lab.present(&primary, &self.run);
        assert_eq!(independent::final_read(&self.out.join("reads.csv")), present, "what was read, and what is there");
        independent::check(&row, &ledger, &events, &present);
        let code = match row["verdict"].as_str() {
            "held" => 0,
            "broken" => 1,
            _ => 2,
        };
        assert_eq!(self.code, Some(code), "the exit code is the verdict: {}", self.stderr);
        self.check_nothing_runs(lab);
        self.check_no_password(lab);
        Judged { row, ledger, events, present }
    }

    /// What the drill has left and said can be given to anybody: no password of the lab is in it.
    fn check_no_password(&self, lab: &Lab) {
        let passfile = std::fs::read_to_string(&lab.file.roles.admin.passfile).unwrap();
        let passwords: BTreeSet<String> =
            cluster::passfile::parse(&passfile).into_iter().map(|entry| entry.password.reveal().to_owned()).collect();
        assert_eq!(passwords.len(), 5, "one for each role");
        let mut texts = vec![("stdout".into(), self.stdout.clone()), ("stderr".into(), self.stderr.clone())];
        for dir in [self.out.clone(), self.out.join("log")] {
            let files =
                std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
            texts.extend(files.map(|path| (path.clone(), String::from_utf8(std::fs::read(path).unwrap()).unwrap())));
        }
        assert!(texts.iter().any(|(path, _)| path.ends_with("events.csv")));
        for (path, text) in &texts {
            assert!(passwords.iter().all(|password| !text.contains(password)), "{}", path.display());
        }
    }

    /// No program of the run is left, and no backend of its load.
    pub(crate) fn check_nothing_runs(&self, lab: &Lab) {
        assert_eq!(programs_of(&self.run), Vec::<String>::new());
        self.wait_no_backends(lab);
    }

    /// Waits until no server has a backend of the load left.
    pub(crate) fn wait_no_backends(&self, lab: &Lab) {
        let name = format!("understudy {}", self.run);
        for node in lab.names() {
            let sql = "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = $1";
            let session = lab.session(&node);
            until_true("the load's backends to be gone", SOON, LOOK, || session.value(sql, &[&name])).unwrap();
        }
    }
}

/// A drill, its files, and what is there.
pub(crate) struct Judged {
    pub(crate) row: Fields,
    pub(crate) ledger: Ledger,
    pub(crate) events: Events,
    pub(crate) present: Present,
}

impl Judged {
    /// A figure of the row that must be there.
    pub(crate) fn figure(&self, column: &str) -> u64 {
        independent::number(&self.row, column).unwrap_or_else(|| panic!("{column} is empty"))
    }
}
