//! The common `main`: exit codes, panics, quiet ends.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use anyhow::Result;
use report::verdict::Verdict;
use rustix::fs::Mode;
use rustix::process::{Resource, getrlimit, setrlimit, umask};

use crate::sink::Closed;
use crate::stop::{self, Interrupted};

/// Runs a program and turns what it found into its exit code.
///
/// 0 held, 1 broken, 2 could not find out (an error or a panic), 128 + n if signal n interrupted it. A reader that
/// closed our stdout (`| head -1`) has what it wanted: a quiet 0.
pub fn main(run: impl FnOnce() -> Result<Verdict>) -> ExitCode {
    keep_descriptors();
    raise_descriptor_limit();
    keep_others_from_writing();
    let Ok(result) = catch_unwind(AssertUnwindSafe(run)) else { return ExitCode::from(2) }; // the hook has printed it
    match result {
        Ok(verdict) => ExitCode::from(verdict.exit_code()),
        Err(error) if error.is::<Closed>() => ExitCode::SUCCESS,
        Err(error) => {
            if !error.is::<Interrupted>() {
                crate::progress::tell(&report::foreign::error(&format!("error: {error:#}")));
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

/// Makes what this program makes nobody else's to write to, whatever the caller's umask: what it measures is judged, and what
/// is in a lab is believed.
fn keep_others_from_writing() {
    let others = Mode::WGRP | Mode::WOTH;
    umask(umask(others) | others); // it can only be read by setting one
}

/// Lets this program open as many files as the system allows: a thousand clients need two descriptors each, and the
/// usual soft limit is 1024.
fn raise_descriptor_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit); // as it is, it is enough for most
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;
    use std::process::Command;

    use super::*;

    /// Where the test's own program is to make something.
    const WHERE: &str = "UNDERSTUDY_TEST_OF_UMASK";

    /// The test runs itself as a program: a umask is for all of a process, and so for all tests in it.
    #[test]
    fn whatever_the_umask_nothing_is_made_that_others_may_write_to() {
        if let Some(dir) = std::env::var_os(WHERE) {
            let made = main(|| {
                fs::write(Path::new(&dir).join("file"), "")?;
                fs::create_dir(Path::new(&dir).join("dir"))?;
                Ok(Verdict::Held)
            });
            assert_eq!(format!("{made:?}"), format!("{:?}", ExitCode::SUCCESS));
            return;
        }
        for (umask, file, dir) in [("000", 0o644, 0o755), ("002", 0o644, 0o755), ("077", 0o600, 0o700)] {
            let made = tempfile::tempdir().unwrap();
            let mut command = Command::new("sh");
            command.args(["-c", "umask \"$1\"; shift; exec \"$@\"", "sh", umask]).arg(std::env::current_exe().unwrap());
            command.args(["--exact", "entry::tests::whatever_the_umask_nothing_is_made_that_others_may_write_to"]);
            let output = command.env(WHERE, made.path()).output().unwrap();
            assert!(output.status.success(), "{output:?}");
            let mode = |name: &str| fs::metadata(made.path().join(name)).unwrap().permissions().mode() & 0o777;
            assert_eq!((mode("file"), mode("dir")), (file, dir), "umask {umask}");
        }
    }
}
