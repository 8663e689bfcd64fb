//! Drills as they are started on a lab.

use std::fs::File;
use std::marker::PhantomData;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use super::{DRILL, Done, Drill, LOOK, Lab, SOON};
use crate::judged_again::judged_again;

impl Lab {
    /// Starts a drill with short times of load; `more` comes last, and its options win.
    pub(crate) fn start(&self, more: &[&str]) -> Drill<'_> {
        self.start_in(more, None)
    }

    /// The same with a variable in its environment.
    fn start_in(&self, more: &[&str], variable: Option<(&str, String)>) -> Drill<'_> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let run = format!("test-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let out = self.out.path().join(&run);
        let [stdout, stderr] = ["stdout", "stderr"].map(|name| self.out.path().join(format!("{run}.{name}")));
        let mut command = self.command(more, &run);
        command.envs(variable);
        command.stdout(File::create(&stdout).unwrap()).stderr(File::create(&stderr).unwrap());
        Drill { of: PhantomData, child: command.spawn().unwrap(), run, out, stdout, stderr }
    }

    /// A drill of this name with short times of load; `more` comes last, and its options win.
    fn command(&self, more: &[&str], run: &str) -> Command {
        let out = self.out.path().join(run);
        let mut command = Command::new(env!("CARGO_BIN_EXE_failover-drill"));
        if !more.contains(&"--cluster") {
            command.arg("--cluster").arg(&self.path);
        }
        for (option, value) in [("--before", "2s"), ("--after", "1s")] {
            if !more.contains(&option) {
                command.args([option, value]);
            }
        }
        if !more.contains(&"--out") {
            command.arg("--out").arg(&out);
        }
        command.args(more).env_remove("UNDERSTUDY_CLUSTER").env("UNDERSTUDY_RUN", run);
        command.env("UNDERSTUDY_ORIGIN", self.clock.origin_ns().to_string()).stdin(Stdio::null());
        command
    }

    /// Runs a drill into a pipe: what came out of it, and whether the pipe was closed when the drill had ended.
    pub(crate) fn drill_piped(&self, more: &[&str]) -> (String, bool) {
        let run = format!("test-{}-piped", std::process::id());
        let mut command = self.command(more, &run);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut pipe = child.stdout.take().unwrap();
        let (send, read) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut text = String::new();
            let _ = std::io::Read::read_to_string(&mut pipe, &mut text).map(|_| send.send(text));
        });
        let status = wait(&mut child);
        judged_again(&self.out.path().join(run), status.code());
        read.recv_timeout(SOON).map_or((String::new(), false), |text| (text, true))
    }

    /// The exit code of a drill whose stdout nobody reads: of one whose reader has gone, as `head -1` does, or (`shut`) that
    /// had none from the start (`>&-`).
    pub(crate) fn drill_unread(&self, more: &[&str], shut: bool) -> Option<i32> {
        let run = format!("test-{}-unread-{shut}", std::process::id());
        let drill = self.command(more, &run);
        let mut command = Command::new("sh");
        command.args(["-c", if shut { "exec \"$@\" >&-" } else { "exec \"$@\"" }, "sh"]);
        command.arg(drill.get_program()).args(drill.get_args());
        for (name, value) in drill.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut child = command.stdin(Stdio::null()).stdout(writer).stderr(Stdio::null()).spawn().unwrap();
        let status = wait(&mut child);
        judged_again(&self.out.path().join(run), status.code());
        status.code()
    }

    /// Runs a drill to its end.
    pub(crate) fn drill(&self, more: &[&str]) -> Done {
        self.start(more).end()
    }

    /// The same, called by a user through `sudo`.
    pub(crate) fn drill_by_sudo(&self, uid: u32, more: &[&str]) -> Done {
        self.start_in(more, Some(("SUDO_UID", uid.to_string()))).end()
    }
}

/// Waits for a drill that nobody watches.
fn wait(child: &mut Child) -> ExitStatus {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(begun.elapsed() < DRILL, "the drill does not end");
        std::thread::sleep(LOOK);
    }
}
