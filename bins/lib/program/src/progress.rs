//! The one painter. Bars and spinners only where stderr is a terminal; plain lines elsewhere; nothing with `--quiet`.

use std::borrow::Cow;
use std::io::{IsTerminal as _, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use report::foreign;
use report::show::for_screen;
use report::verdict::Verdict;

/// What is painted now: what is said meanwhile goes above it.
static PAINTED: Mutex<Option<ProgressBar>> = Mutex::new(None);

const BOLD: &str = "1";

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
        let terminal = !quiet && std::io::stderr().is_terminal() && !is_dumb();
        let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target);
        bar.finish_and_clear(); // nothing is painted before there is something to show, also where a line is said
        if terminal {
            *PAINTED.lock().unwrap_or_else(PoisonError::into_inner) = Some(bar.clone());
        }
        Progress { bar, quiet, terminal, in_lines: false }
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
            self.begin_again();
            let style = ProgressStyle::with_template("{spinner} {msg} {elapsed:.dim}").expect("a constant template");
            self.bar.set_style(style);
            self.bar.enable_steady_tick(Duration::from_millis(100));
            self.bar.reset_elapsed();
            self.bar.set_message(what);
        } else {
            self.say(&what);
        }
    }

    /// Paints these lines below all that is said, in the place of those of before; nowhere else than on a terminal.
    pub fn paint(&self, lines: &[String]) {
        if self.terminal {
            self.begin_again();
            self.bar.set_style(ProgressStyle::with_template("{msg}").expect("a constant template"));
            self.bar.set_message(shown(Cow::Owned(lines.join("\n"))).into_owned());
            self.bar.tick();
        }
    }

    /// What was taken away stays away, until it begins anew.
    fn begin_again(&self) {
        if self.bar.is_finished() {
            self.bar.reset();
        }
    }

    /// Prints a line for people that nobody may miss.
    pub fn say_loudly(&self, line: &str) {
        self.say_in(line, BOLD);
    }

    /// Says what was found, with the verdict in its last line. A terminal gets that in colour, and long lines folded and cut to
    /// its width; whoever else reads them is to find whole sentences in one line. With `--quiet` only what did not hold is said.
    pub fn conclude(&self, said: &str, verdict: Verdict) {
        let colour = match verdict {
            Verdict::Held => "1;32",
            Verdict::Broken => "1;37;41",
            Verdict::Unknown => "1;30;43",
        };
        if self.quiet && verdict != Verdict::Held {
            return self.tell(said);
        }
        let said = if self.terminal { Cow::Owned(for_screen(said, columns())) } else { Cow::Borrowed(said) };
        match said.rsplit_once('\n') {
            Some((above, last)) => {
                self.say(above);
                self.say_in(last, colour);
            }
            None => self.say_in(&said, colour),
        }
    }

    fn say_in(&self, line: &str, colour: &str) {
        if !self.terminal || std::env::var_os("NO_COLOR").is_some_and(|no| !no.is_empty()) {
            return self.say(line);
        }
        let line = foreign::for_terminal(line);
        self.bar.suspend(|| {
            let _ = writeln!(std::io::stderr(), "\x1b[{colour}m{line}\x1b[0m");
        });
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
        let line = format!("warning: {line}");
        // Where each message is one line, `tell` makes it one.
        self.tell(&if self.in_lines { line } else { foreign::error(&line) });
    }

    fn tell(&self, message: &str) {
        let message = if self.in_lines { foreign::on_one_line(message) } else { Cow::Borrowed(message) };
        self.bar.suspend(|| print(&message));
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
    let painted = PAINTED.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match painted {
        Some(bar) => bar.suspend(|| print(line)),
        None => print(line),
    }
}

/// Prints a warning, as [`tell`] does: no line of it but the first begins as ours do.
pub fn warn(line: &str) {
    tell(&foreign::error(&format!("warning: {line}")));
}

/// Prints a line to stdout, which is a terminal: above what is painted, if stderr leads there too.
///
/// # Errors
/// What the system says.
pub(crate) fn show(line: &str) -> std::io::Result<()> {
    let print = || {
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "{}", foreign::for_terminal(line)).and_then(|()| stdout.flush())
    };
    let painted = PAINTED.lock().unwrap_or_else(PoisonError::into_inner).clone();
    painted.map_or_else(print, |bar| bar.suspend(print))
}

/// How wide the terminal is that stderr leads to; as wide as most are, if it does not say so.
#[must_use]
pub fn columns() -> usize {
    console::Term::stderr().size_checked().map_or(80, |(_, columns)| columns.into())
}

/// Whether the terminal knows no cursor that could be moved.
fn is_dumb() -> bool {
    std::env::var_os("TERM").is_none_or(|name| name.is_empty() || name == "dumb")
}

fn print(line: &str) {
    let line = foreign::for_terminal(line);
    // GitHub's runner obeys such words wherever they stand in a line, and somebody's server may have said them.
    let is_github = line.contains("##[") && std::env::var_os("GITHUB_ACTIONS").is_some();
    let line = if is_github { Cow::Owned(line.replace("##[", "# #[")) } else { line };
    let _ = writeln!(std::io::stderr(), "{line}");
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
            progress.in_lines().say("table a\nverdict   held");
            return;
        }
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "progress::tests::whatever_is_told_moves_no_cursor"]);
        let output = command.env(SHOWING, "1").output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        let escaped = r"a\u{1b}[2J\r\u{202e}b";
        assert!(output.status.success() && said.contains(&format!("warning: {escaped}\n")), "{said:?}");
        assert_eq!(said.lines().filter(|line| line.ends_with(escaped)).count(), 4, "{said:?}");
        assert!(said.contains(r"table a\nverdict   held"), "{said:?}");
        assert!(!said.contains(|c: char| c.is_control() && c != '\n'), "{said:?}");
        // On a terminal a step is a message beside a spinner, which is painted by somebody else.
        assert_eq!(shown(FOREIGN.into()), escaped);
    }

    #[test]
    fn with_quiet_only_what_did_not_hold_is_concluded() {
        if std::env::var_os(SHOWING).is_some() {
            let quiet = Progress::new(true);
            quiet.conclude("all well\nverdict   held", Verdict::Held);
            quiet.conclude("3 lost\nverdict   broken", Verdict::Broken);
            return;
        }
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "progress::tests::with_quiet_only_what_did_not_hold_is_concluded"]);
        let said = String::from_utf8(command.env(SHOWING, "1").output().unwrap().stderr).unwrap();
        assert!(said.contains("3 lost\nverdict   broken\n") && !said.contains("held"), "{said:?}");
    }

    /// There a message is painted by somebody else; a bar that is hidden keeps it all the same.
    #[test]
    fn beside_a_spinner_and_a_bar_no_message_moves_the_cursor() {
        let terminal = Progress { terminal: true, ..Progress::new(true) };
        terminal.step("a\x1b[2J\r\u{202e}b");
        assert_eq!(terminal.bar.message(), r"a\u{1b}[2J\r\u{202e}b");
        terminal.begin("rows of \x1b[2J", 1);
        assert_eq!(terminal.bar.message(), r"rows of \u{1b}[2J");
    }

    /// The second drill of several is to be seen, too.
    #[test]
    fn what_is_painted_after_the_end_is_seen() {
        let terminal = Progress { terminal: true, ..Progress::new(true) };
        terminal.finish();
        terminal.paint(&["of the next".to_owned()]);
        assert!(!terminal.bar.is_finished() && terminal.bar.message() == "of the next");
        terminal.finish();
        terminal.step("again");
        assert!(!terminal.bar.is_finished());
    }
}
