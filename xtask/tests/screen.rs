//! A real drill at a terminal: what is on its screen while it runs and when it is over.

#![allow(clippy::unwrap_used, reason = "the helpers of a test may panic as well as the test")]

mod checkout;
mod home;

use std::fs::{self, File, OpenOptions};
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use tempfile::TempDir;

/// Both ends of a new terminal.
fn terminal() -> (File, File) {
    let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&keyboard).unwrap();
    unlockpt(&keyboard).unwrap();
    let name = PathBuf::from(std::ffi::OsStr::from_bytes(ptsname(&keyboard, Vec::new()).unwrap().as_bytes()));
    let no_ctty = OpenptFlags::NOCTTY.bits() as i32;
    (File::from(keyboard), OpenOptions::new().read(true).write(true).custom_flags(no_ctty).open(name).unwrap())
}

/// The screen row by row: what fills a row to its end would pass for a line that goes on in the next one.
fn shown(parser: &vt100::Parser) -> String {
    let (_, columns) = parser.screen().size();
    parser.screen().rows(0, columns).map(|row| row.trim_end().to_owned() + "\n").collect()
}

/// Runs a program of ours to its end at a terminal of this size: each screen that was to be seen, the last one, and the exit code.
fn run(home: &TempDir, (rows, columns): (u16, u16), words: &[&str]) -> (Vec<String>, vt100::Parser, Option<i32>) {
    let path = format!("{}:{}", home.path().join("bin").display(), std::env::var("PATH").unwrap());
    let program = Path::new(env!("CARGO_BIN_EXE_xtask")).with_file_name(words[0]);
    let (mut keyboard, screen) = terminal();
    let ends = || Stdio::from(screen.try_clone().unwrap());
    let mut shell = Command::new("setsid");
    let size = format!("stty rows {rows} cols {columns}; exec \"$@\"");
    shell.args(["--ctty", "--wait", "sh", "-c", &size, "sh"]).arg(program).args(&words[1..]);
    shell.env("UNDERSTUDY_HOME", home.path()).env("PATH", path).env("TERM", "xterm");
    for name in [
        "NO_COLOR",
        "UNDERSTUDY_CLUSTER",
        "UNDERSTUDY_RUN",
        "UNDERSTUDY_ORIGIN",
        "GITHUB_ACTIONS",
        "GITHUB_STEP_SUMMARY",
    ] {
        shell.env_remove(name);
    }
    let mut child = shell.stdin(ends()).stdout(ends()).stderr(ends()).spawn().unwrap();
    drop((shell, screen)); // then reading ends with the last of those who have it open
    let (mut seen, mut bytes) = (Vec::new(), [0; 4096]);
    let mut parser = vt100::Parser::new(rows, columns, 1_000);
    while let Ok(count @ 1..) = keyboard.read(&mut bytes) {
        parser.process(&bytes[..count]);
        seen.push(shown(&parser));
    }
    (seen, parser, child.wait().unwrap().code())
}

/// Holds a drill at a terminal of this size. The run's folder is removed.
fn drill(size: (u16, u16)) -> (Vec<String>, vt100::Parser, bool) {
    let (home, _kept) = (home::home(), checkout::Kept::now());
    let words = ["xtask", "drill", "--backend", "local", "--duration", "4s", "--rows", "100"];
    let (seen, parser, code) = run(&home, size, &words);
    let last = shown(&parser);
    let folder = last.lines().find(|line| line.starts_with("reports/runs/")).unwrap_or_else(|| panic!("{last}"));
    let summary = fs::read_to_string(checkout::root().join(folder).join("summary.txt")).unwrap();
    let summary = report::show::for_screen(summary.trim_end(), size.1.into());
    assert!(last.trim_end().ends_with(&summary), "it is what the screen said: {summary}\n{last}");
    fs::remove_dir_all(checkout::root().join(folder)).unwrap();
    (seen, parser, code == Some(0))
}

#[test]
fn a_drill_is_seen_while_it_runs_and_ends_with_its_verdict() {
    for size in [(24, 80), (40, 120)] {
        let (seen, parser, held) = drill(size);
        let last = shown(&parser);
        let was_seen = |what: &str| seen.iter().any(|screen| screen.contains(what));
        for what in
            ["setting up", "seeding", "primary node1, ", "writes/s, lag of node2", "KILLED node1", "promoted node2"]
        {
            assert!(was_seen(what), "{what} was never seen: {last}");
        }
        // A bar above the mark of the fault, or next to it, is low, or none, and those before it are not. Next to it: the mark
        // is before the signal, and what is on its way is acknowledged after it, later yet where the machine is busy.
        let gap = |screen: &String| {
            let lines: Vec<&str> = screen.lines().collect();
            let mark = lines.iter().position(|line| line.contains('▲') && line.contains("KILLED node1"));
            let Some((mark, bars)) = mark.and_then(|at| Some((lines[at], lines[at.checked_sub(1)?]))) else {
                return false;
            };
            let at = mark.chars().position(|c| c == '▲').unwrap_or_default();
            let bars = format!("{bars:0$}", usize::from(size.1) - 1); // the screen's rows end with what is no space
            bars.chars().skip(at).take(3).any(|bar| " ▁▂▃".contains(bar))
                && bars.chars().take(at).any(|bar| "▅▆▇█".contains(bar))
        };
        assert!(seen.iter().any(gap), "no gap was seen");
        assert!(was_seen("node2 acknowledges again: "), "{last}");
        let lines: Vec<&str> = last.trim_end().lines().collect();
        assert!(lines.last().is_some_and(|line| line.starts_with("verdict   held: ")), "{last}");
        assert!(held && lines.iter().any(|line| line.starts_with("lag       ")), "the summary does not fit: {last}");
        // Nothing painted is left, and a line that were too long would go on in the next one.
        assert!(!last.contains('▲') && lines.iter().all(|line| line.chars().count() <= size.1.into()), "{last}");
        assert!(!parser.screen().hide_cursor() && !parser.screen().alternate_screen());
    }
}

/// Also with names and figures that a terminal has no room for.
#[test]
fn rows_are_aligned_words_on_a_terminal_and_csv_where_that_is_asked_for() {
    let home = home::home();
    let last = |words: &[&str]| {
        let (_, parser, code) = run(&home, (50, 80), words);
        let screen = shown(&parser);
        assert_eq!(code, Some(0), "{words:?}: {screen}");
        screen.lines().map(str::to_owned).filter(|line| !line.is_empty()).collect::<Vec<_>>()
    };
    // `--sync on`: an asynchronous takeover may lose a write, and its drill is then not held.
    last(&["setup", "--name", "screen", "--backend", "local", "--sync", "on"]);
    let load = last(&["write-load", "--duration", "2s", "--rate", "50"]);
    let figures = ["at", "acked", "failed", "unknown", "skipped", "p50", "p99", "max"];
    assert_eq!(load[0].split_whitespace().collect::<Vec<_>>(), figures, "{load:?}");
    assert!(load[1].chars().count() == load[0].chars().count() && load[1].ends_with("s"), "{load:?}");
    assert!(load.last().is_some_and(|line| line.contains(" writes sent, ")), "no bar of nothing is left: {load:?}");
    let csv = last(&["write-load", "--duration", "1s", "--rate", "50", "--csv"]);
    assert!(csv[0].starts_with("run,at_us,scheduled,"), "{csv:?}");
    let lag = last(&["measure-lag", "--duration", "1s"]);
    assert!(lag.iter().any(|line| line.contains("  node2  ") && line.trim_end().ends_with("seen")), "{lag:?}");
    let compared = last(&["verify-replication"]);
    assert!(compared[0].starts_with("table    ") && compared[1].trim_end().ends_with("held"), "{compared:?}");
    let sentence = "verdict   held: all that was compared is the same on node2";
    assert_eq!(compared.last().unwrap(), sentence, "{compared:?}");
    let drilled = home.path().join("drilled");
    let drilled = last(&["failover-drill", "--before", "1s", "--after", "1s", "--out", drilled.to_str().unwrap()]);
    let row = drilled.iter().find(|line| line.starts_with("kill    ")).unwrap_or_else(|| panic!("{drilled:?}"));
    assert!(row.contains("node1") && row.contains("node2") && row.ends_with("held"), "{drilled:?}");
    last(&["setup", "--name", "screen", "--down"]);
}
