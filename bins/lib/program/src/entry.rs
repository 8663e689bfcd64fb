//! The common `main`: exit codes, panics, quiet ends.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use anyhow::Result;
use report::verdict::Verdict;
use rustix::process::{Resource, getrlimit, setrlimit};

use crate::sink::Closed;
use crate::stop::{self, Interrupted};

/// Runs a program and turns what it found into its exit code.
///
/// 0 held, 1 broken, 2 could not find out (an error or a panic), 128 + n if signal n interrupted it. A reader that
/// closed our stdout (`| head -1`) has what it wanted: a quiet 0.
pub fn main(run: impl FnOnce() -> Result<Verdict>) -> ExitCode {
    keep_descriptors();
    raise_descriptor_limit();
    let Ok(result) = catch_unwind(AssertUnwindSafe(run)) else { return ExitCode::from(2) }; // the hook has printed it
    match result {
        Ok(verdict) => ExitCode::from(verdict.exit_code()),
        Err(error) if error.is::<Closed>() => ExitCode::SUCCESS,
        Err(error) => {
            if !error.is::<Interrupted>() {
                crate::progress::tell(&format!("error: {error:#}"));
            }
            // After a signal, whatever failed may have failed because of it.
            let interrupted = stop::check().err().unwrap_or(error).downcast::<Interrupted>();
            ExitCode::from(interrupted.map_or(2, Interrupted::exit_code))
        }
    }
}

/// Keeps what the caller left open beside stdin, stdout and stderr to this program: a server that is started here outlives
/// it, and whoever waits for the end of that pipe would wait for the server.
pub fn keep_descriptors() {
    close_fds::set_fds_cloexec(3, &[]);
}

/// Lets this program open as many files as the system allows: a thousand clients need two descriptors each, and the
/// usual soft limit is 1024.
fn raise_descriptor_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit); // as it is, it is enough for most
}
