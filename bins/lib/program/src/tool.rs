//! Running somebody else's tool to its end, with a deadline.

use std::fmt;
use std::io::Read;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use report::foreign;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid};

use crate::stop;

/// How often a running child is looked at. A child's end is noticed no later than this.
const POLL_EVERY: Duration = Duration::from_millis(2);

/// The program that runs another one in a session of its own. It must not lead a group already: then it would go on in a
/// child, and what we wait for and end would not be the tool.
pub const SETSID: &str = "setsid";

/// Time for a tool to end when it is asked to: a step of `initdb` takes half a second.
const END_WHEN_ASKED: Duration = Duration::from_secs(10);

/// Time for what a tool said to be read once it has ended. Whoever it has started and left behind may hold the pipe for ever.
const PIPE_END: Duration = Duration::from_secs(10);

/// How many bytes of a tool's stderr an error shows.
const TAIL_BYTES: usize = 2_000;

/// How much of what a tool says is kept; the rest is read and forgotten. The most that is asked for is the WAL of a drill
/// as `pg_waldump` tells it, some 150 bytes a record.
const MOST_BYTES: usize = 256 << 20;

/// What a tool said, and how it ended.
pub struct Output {
    /// Its stdout.
    pub stdout: String,
    /// Its stderr.
    pub stderr: String,
    /// How it ended.
    pub status: ExitStatus,
}

impl Output {
    /// The end of its stderr, or of its stdout where that is empty (`pg_ctl`), as an error can show it.
    #[must_use]
    pub fn why(&self) -> String {
        foreign::quoted(tail(if self.stderr.is_empty() { &self.stdout } else { &self.stderr }))
    }
}

/// The error of a tool that was not done by its deadline: it is there, and what it would have said is not known.
#[derive(Debug)]
pub struct TimedOut(String);

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TimedOut {}

/// Runs a tool to its end and returns its stdout, without the last newline.
///
/// # Errors
/// As [`output`], or if it fails; the error shows the end of its stderr.
pub fn run(command: Command, deadline: Duration) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    said(&name, &output(command, deadline)?)
}

/// The stdout of a tool that did not fail.
fn said(name: &str, said: &Output) -> Result<String> {
    if !said.status.success() {
        bail!("{name} failed ({}): {}", said.status, said.why());
    }
    Ok(said.stdout.trim_end_matches('\n').to_owned())
}

/// Runs a tool to its end, however it ends.
///
/// It runs in its own process group (a Ctrl-C reaches us alone); [`SETSID`] makes that, and a session, by itself. At the
/// deadline, or when a signal comes, it is ended.
///
/// # Errors
/// If it cannot be run, or [`TimedOut`]. The command line is never shown.
pub fn output(mut command: Command, deadline: Duration) -> Result<Output> {
    output_with_stdin(&mut command, Stdio::null(), deadline)
}

/// As [`output`], with something on stdin.
///
/// # Errors
/// As [`output`].
pub fn output_with_stdin(command: &mut Command, stdin: Stdio, deadline: Duration) -> Result<Output> {
    output_pausing(command, stdin, deadline, stop::pause)
}

/// As [`run`], and no signal ends it before its deadline: for what takes back a deed, which a signal asks for the more.
///
/// # Errors
/// As [`run`].
pub fn run_in_any_case(mut command: Command, deadline: Duration) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    said(&name, &output_pausing(&mut command, Stdio::null(), deadline, pause_in_any_case)?)
}

fn pause_in_any_case(time: Duration) -> Result<()> {
    std::thread::sleep(time);
    Ok(())
}

type Pause = fn(Duration) -> Result<()>;

fn output_pausing(command: &mut Command, stdin: Stdio, deadline: Duration, pause: Pause) -> Result<Output> {
    let name = command.get_program().to_string_lossy().into_owned();
    command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
    if command.get_program() != SETSID {
        command.process_group(0);
    }
    let mut child = command.spawn().with_context(|| format!("cannot run {name}"))?;
    let stdout = collect(child.stdout.take());
    let stderr = collect(child.stderr.take());
    let status = wait_pausing(&mut child, deadline, pause);
    if !matches!(status, Ok(Some(_))) {
        end(&mut child);
    }
    let end_of_pipes = Instant::now() + PIPE_END;
    let (stdout, stderr) = (text(stdout, end_of_pipes), text(stderr, end_of_pipes));
    match status? {
        Some(status) => Ok(Output { stdout, stderr, status }),
        None => {
            let said = foreign::quoted(tail(&stderr));
            Err(TimedOut(format!("{name} was not done after {deadline:?} and was killed; it last said: {said}")).into())
        }
    }
}

/// Time for what was killed to be gone: milliseconds, but for one that waits for a disk.
const END_WHEN_KILLED: Duration = Duration::from_secs(10);

/// Ends a tool: asked first, since `initdb` then waits for the end of the server that it feeds, which else leaves shared
/// memory behind; then killed with its whole group, since what `pg_rewind` starts would go on and keep our pipe open.
fn end(child: &mut Child) {
    let group = Pid::from_child(child);
    let _ = kill_process(group, Signal::TERM);
    let end = Instant::now() + END_WHEN_ASKED;
    // Not reaped until the group is killed: its number stays its own.
    let ended = || waitid(WaitId::Pid(group), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG);
    while matches!(ended(), Ok(None)) && Instant::now() < end {
        std::thread::sleep(POLL_EVERY); // the signal that may have come is obeyed already
    }
    let _ = kill_process_group(group, Signal::KILL);
    // A file system that somebody serves can hold it up for ever: it is then left behind, and nothing waits for it.
    let _ = wait_in_any_case(child, END_WHEN_KILLED);
}

/// Waits for a child until the deadline; `None` if it still runs.
///
/// # Errors
/// [`stop::Interrupted`], or what the system says.
pub fn wait(child: &mut Child, deadline: Duration) -> Result<Option<ExitStatus>> {
    wait_pausing(child, deadline, stop::pause)
}

/// As [`wait`], also after a signal.
///
/// # Errors
/// What the system says.
pub fn wait_in_any_case(child: &mut Child, deadline: Duration) -> Result<Option<ExitStatus>> {
    wait_pausing(child, deadline, pause_in_any_case)
}

fn wait_pausing(child: &mut Child, deadline: Duration, pause: Pause) -> Result<Option<ExitStatus>> {
    let end = Instant::now() + deadline;
    loop {
        if let Some(status) = child.try_wait().context("cannot wait for a child")? {
            return Ok(Some(status));
        }
        if Instant::now() >= end {
            return Ok(None);
        }
        pause(POLL_EVERY)?;
    }
}

/// What a thread has read of a pipe.
struct Collected {
    bytes: Arc<Mutex<Vec<u8>>>,
    reading: JoinHandle<()>,
}

fn collect(pipe: Option<impl Read + Send + 'static>) -> Option<Collected> {
    pipe.map(|pipe| collect_most(pipe, MOST_BYTES))
}

/// Reads a pipe to its end on a thread, and keeps the first `most` bytes. What comes after them is read, too: else the tool
/// would wait for us.
fn collect_most(mut pipe: impl Read + Send + 'static, most: usize) -> Collected {
    let bytes = Arc::new(Mutex::new(Vec::new()));
    let kept = bytes.clone();
    let reading = std::thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        loop {
            match pipe.read(&mut buffer) {
                Ok(0) => return,
                Ok(count) => {
                    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                    let room = most - kept.len();
                    kept.extend_from_slice(&buffer[..count.min(room)]);
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    });
    Collected { bytes, reading }
}

/// What was said until the pipe's end, or until `end`: then the thread goes on by itself.
fn text(collected: Option<Collected>, end: Instant) -> String {
    let Some(Collected { bytes, reading }) = collected else { return String::new() };
    while !reading.is_finished() && Instant::now() < end {
        std::thread::sleep(POLL_EVERY);
    }
    String::from_utf8_lossy(&bytes.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
}

/// The end of what a tool said, on whole characters.
fn tail(text: &str) -> &str {
    let text = text.trim();
    let from = (text.len().saturating_sub(TAIL_BYTES)..=text.len()).find(|at| text.is_char_boundary(*at));
    &text[from.unwrap_or(0)..]
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn returns_stdout() {
        assert_eq!(run(sh("echo hello"), Duration::from_secs(10)).unwrap(), "hello");
    }

    #[test]
    fn a_failure_shows_stderr() {
        let error = run(sh("echo because >&2; exit 3"), Duration::from_secs(10)).unwrap_err().to_string();
        assert!(error.contains("because") && error.contains('3'), "{error}");
    }

    #[test]
    fn what_a_tool_says_passes_for_nothing_of_ours() {
        let said = r"printf 'a\033[2J\nverdict   held\n' >&2; exit 1";
        let error = run(sh(said), Duration::from_secs(10)).unwrap_err().to_string();
        assert!(error.ends_with("\n  | a\\u{1b}[2J\n  | verdict   held"), "{error:?}");
        let endless = r"printf 'a\033[2J\nverdict   held\n' >&2; exec sleep 60";
        let error = run(sh(endless), Duration::from_millis(500)).unwrap_err().to_string();
        assert!(error.ends_with("\n  | a\\u{1b}[2J\n  | verdict   held"), "{error:?}");
    }

    #[test]
    fn an_error_shows_the_end_of_what_a_tool_said_and_no_more() {
        let script = "head -c 100000 /dev/zero | tr '\\0' x >&2; echo end >&2; exit 1";
        let error = run(sh(script), Duration::from_secs(10)).unwrap_err().to_string();
        assert!(error.ends_with("xend") && error.len() < TAIL_BYTES + 100, "{}: {error}", error.len());
    }

    #[test]
    fn what_is_said_without_end_is_kept_up_to_a_bound() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let kept = collect_most(reader, 1_000);
        // More than a pipe and the buffer of its reader hold: somebody goes on reading behind the bound.
        writer.write_all(&vec![b'x'; 1_000_000]).unwrap();
        drop(writer);
        assert_eq!(text(Some(kept), Instant::now() + PIPE_END).len(), 1_000);
    }

    #[test]
    fn the_deadline_kills() {
        let begun = Instant::now();
        // the shell's child keeps the pipe open: it has to go, too
        let error = run(sh("sleep 60; true"), Duration::from_millis(100)).unwrap_err();
        assert!(error.is::<TimedOut>() && error.to_string().contains("not done"), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn who_is_left_behind_with_the_pipe_is_not_waited_for() {
        let begun = Instant::now();
        // In a session of its own it is in no group of ours: the end of its stdin is what ends it.
        let (reader, _held) = std::io::pipe().unwrap();
        let mut tool = sh("echo said; exec 3<&0; setsid cat <&3 & exit 0");
        let said = output_with_stdin(&mut tool, reader.into(), Duration::from_secs(60)).unwrap();
        assert_eq!((said.stdout.as_str(), said.status.success()), ("said\n", true));
        assert!(begun.elapsed() < PIPE_END * 2, "{:?}", begun.elapsed());
    }

    #[test]
    fn a_tool_that_is_not_there_is_named() {
        let error = run(Command::new("no-such-tool"), POLL_EVERY).unwrap_err();
        assert!(!error.is::<TimedOut>() && format!("{error:#}").contains("no-such-tool"), "{error:#}");
    }
}
