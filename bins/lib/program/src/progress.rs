//! The one painter. Bars and spinners only where stderr is a terminal; plain lines elsewhere; nothing with `--quiet`.

use std::borrow::Cow;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use report::foreign;

/// Progress of one program.
#[derive(Clone)]
pub struct Progress {
    bar: ProgressBar,
    quiet: bool,
    terminal: bool,
    /// Whether each message is one line.
    in_lines: bool,
}

impl Progress {
    /// A painter; with `quiet` one that paints and says nothing.
    #[must_use]
    pub fn new(quiet: bool) -> Progress {
        let terminal = !quiet && std::io::stderr().is_terminal();
        let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Progress { bar: ProgressBar::with_draw_target(None, target), quiet, terminal, in_lines: false }
    }

    /// The same painter, for messages that are one line each: a line end in one of them is a name's, and is escaped. Such a name
    /// could show a line that passes for ours.
    #[must_use]
    pub fn in_lines(self) -> Progress {
        Progress { in_lines: true, ..self }
    }

    /// Shows what is being done now, beside a spinner; elsewhere than on a terminal, as a line.
    pub fn step(&self, what: impl Into<Cow<'static, str>>) {
        let what = shown(what.into());
        if self.terminal {
            let style = ProgressStyle::with_template("{spinner} {msg} {elapsed:.dim}").expect("a constant template");
            self.bar.set_style(style);
            self.bar.enable_steady_tick(Duration::from_millis(100));
            self.bar.reset_elapsed();
            self.bar.set_message(what);
        } else {
            self.say(&what);
        }
    }

    /// Shows a bar over `total` things.
    pub fn begin(&self, what: impl Into<Cow<'static, str>>, total: u64) {
        let style = ProgressStyle::with_template("{msg} {wide_bar:.dim} {human_pos}/{human_len} {per_sec} eta {eta}");
        self.bar.set_style(style.expect("a constant template"));
        self.bar.set_length(total);
        self.bar.set_position(0);
        self.bar.reset();
        self.bar.set_message(shown(what.into()));
    }

    /// Counts things done.
    pub fn advance(&self, by: u64) {
        self.bar.inc(by);
    }

    /// Prints a line for people, above the bar.
    pub fn say(&self, line: &str) {
        if !self.quiet {
            self.tell(line);
        }
    }

    /// Prints a warning, with `--quiet` too.
    pub fn warn(&self, line: &str) {
        self.tell(&format!("warning: {line}"));
    }

    fn tell(&self, message: &str) {
        let message = if self.in_lines { foreign::on_one_line(message) } else { Cow::Borrowed(message) };
        self.bar.suspend(|| tell(&message));
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// A message that may hold names or words of others, as a terminal can be given it.
fn shown(message: Cow<'static, str>) -> Cow<'static, str> {
    match foreign::for_terminal(&message) {
        Cow::Borrowed(_) => message,
        Cow::Owned(shown) => Cow::Owned(shown),
    }
}

/// Prints a line to stderr, with nothing in it that a terminal would obey. Where that leads to a full disk, or to a reader
/// that has gone, the line is lost; `eprintln!` would panic, and what was to be done after it would be left undone.
pub fn tell(line: &str) {
    let _ = writeln!(std::io::stderr(), "{}", foreign::for_terminal(line));
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Says that this process is the one whose stderr is looked at.
    const SHOWING: &str = "UNDERSTUDY_TEST_OF_PROGRESS";

    /// The test runs itself as a program, to have a stderr of its own.
    #[test]
    fn whatever_is_told_moves_no_cursor() {
        const FOREIGN: &str = "a\x1b[2J\r\u{202e}b";
        if std::env::var_os(SHOWING).is_some() {
            tell(FOREIGN);
            let progress = Progress::new(false);
            progress.step(FOREIGN);
            progress.say(FOREIGN);
            progress.warn(FOREIGN);
            return;
        }
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "progress::tests::whatever_is_told_moves_no_cursor"]);
        let output = command.env(SHOWING, "1").output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        let escaped = r"a\u{1b}[2J\r\u{202e}b";
        assert!(output.status.success() && said.contains(&format!("warning: {escaped}\n")), "{said:?}");
        assert_eq!(said.lines().filter(|line| line.ends_with(escaped)).count(), 4, "{said:?}");
        assert!(!said.contains(|c: char| c.is_control() && c != '\n'), "{said:?}");
        // On a terminal a step is a message beside a spinner, which is painted by somebody else.
        assert_eq!(shown(FOREIGN.into()), escaped);
    }
}
