//! `cargo xtask bench modes`, with real servers: tiny matrices, one of them interrupted and gone on with.

#![allow(clippy::unwrap_used, reason = "the helpers of a test may panic as well as the test")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use report::modes::ModeRow;
use report::verdict::Verdict;
use rustix::process::{Pid, Signal, kill_process};

/// Time for a drill and whatever else a test waits for; it takes some seconds, this leaves room.
const SOON: Duration = Duration::from_secs(300);

/// A directory with a matrix, room for runs, and a home for labs.
struct Bed(tempfile::TempDir);

impl Bed {
    fn new(matrix: &str) -> Bed {
        let dir = tempfile::Builder::new().prefix("understudy-modes-").tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap(); // servers run as somebody else
        fs::create_dir(dir.path().join("home")).unwrap();
        fs::write(dir.path().join("tiny.toml"), matrix).unwrap();
        Bed(dir)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.args(words).env("UNDERSTUDY_HOME", self.path("home"));
        command.env_remove("UNDERSTUDY_CLUSTER").env_remove("UNDERSTUDY_RUN").env_remove("UNDERSTUDY_ORIGIN");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// A new run of the matrix.
    fn bench(&self, more: &[&str]) -> Command {
        let (matrix, runs) = (self.path("tiny.toml"), self.path("reports/runs"));
        let words = ["bench", "modes", matrix.to_str().unwrap(), "--runs", runs.to_str().unwrap(), "--seed", "5"];
        self.command(&[&words, more].concat())
    }

    fn resume(&self, dir: &Path) -> Output {
        self.command(&["bench", "modes", "--resume", dir.to_str().unwrap()]).output().unwrap()
    }

    /// The folder of the only run, once it is there.
    fn run(&self) -> Option<PathBuf> {
        let mut runs = fs::read_dir(self.path("reports/runs")).ok()?;
        Some(runs.next()?.unwrap().path())
    }

    /// What is left of labs, but for the note of which was the last.
    fn labs(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.path("home")).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.is_dir()).collect()
    }
}

fn csv(dir: &Path) -> String {
    fs::read_to_string(dir.join("modes.csv")).unwrap()
}

fn rows(dir: &Path) -> Vec<ModeRow> {
    report::rows::read(csv(dir).as_bytes()).unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + SOON;
    while !is_so() {
        assert!(Instant::now() < end, "waited {SOON:?} for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn interrupted_it_keeps_what_it_has_and_goes_on_from_there() {
    let bed = Bed::new(
        "repetitions = 1\nduration = '1s'\nrows = 200\nsync = ['async', 'on']\nstandbys = 1\nclients = 2\nrate = 200\n",
    );
    let dry = bed.bench(&["--dry-run"]).output().unwrap();
    assert_eq!(dry.status.code(), Some(0), "{}", said(&dry));
    assert!(said(&dry).contains("2 cells × 1 repetition = 2 drills; about ") && said(&dry).contains("seed 5"));
    assert_eq!(String::from_utf8_lossy(&dry.stdout).matches("cargo xtask drill --duration 1s").count(), 2);
    assert!(bed.run().is_none(), "nothing is done");

    let child = bed.bench(&[]).spawn().unwrap();
    let has_a_row = |dir: PathBuf| fs::read_to_string(dir.join("modes.csv")).is_ok_and(|text| text.lines().count() > 1);
    wait_for("the first row, and the second drill to begin", || {
        bed.run().is_some_and(|dir| dir.join("run-2/run.toml").exists() && has_a_row(dir))
    });
    let (pid, dir) = (Pid::from_child(&child), bed.run().unwrap());
    kill_process(pid, Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", said(&output));
    assert!(said(&output).contains(&format!("--resume {}", dir.display())), "{}", said(&output));
    assert_eq!(bed.labs(), Vec::<PathBuf>::new(), "the lab is gone");
    let first = csv(&dir);
    assert_eq!(rows(&dir).len(), 1, "{first}");

    // As if the power had gone while the second row was written.
    fs::write(dir.join("modes.csv"), format!("{first}{}", &first.lines().nth(1).unwrap()[..30])).unwrap();
    let output = bed.resume(&dir);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(
        said(&output).contains("torn") && said(&output).contains("1 of them are there, 1 are left"),
        "{}",
        said(&output)
    );
    assert!(csv(&dir).starts_with(&first), "what was there stays as it was");
    let all = rows(&dir);
    assert_eq!(all.iter().map(|row| row.folder.as_str()).collect::<Vec<_>>(), ["run-1", "run-2-2"]);
    for row in &all {
        assert_eq!((row.verdict, &row.why), (Verdict::Held, &None), "{row:?}");
        assert!(row.acked_per_s > Some(0) && row.commit_p99_us > Some(0) && row.lag_p99_us > Some(0), "{row:?}");
        assert!(row.outage_us > Some(0) && row.lost.is_some() && row.floor_us.is_some(), "{row:?}");
        let judged = bed.command(&["judge", dir.join(&row.folder).to_str().unwrap()]).output().unwrap();
        assert_eq!(judged.status.code(), Some(0), "{}", said(&judged));
        assert!(dir.join(&row.folder).join("report.html").exists());
    }
    let page = fs::read_to_string(dir.join("modes.html")).unwrap();
    assert!(page.contains("data-acked_per_s=\"") && page.contains("data-verdict=\"held\""), "{page}");

    let (before, begun) = (csv(&dir), Instant::now());
    let output = bed.resume(&dir);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(csv(&dir), before, "nothing was left to do, after {:?}", begun.elapsed());
    assert_eq!(bed.labs(), Vec::<PathBuf>::new());
}

#[test]
fn a_cell_that_cannot_begin_is_unknown_and_the_others_are_held() {
    let bed = Bed::new(
        "repetitions = 1\nduration = '1s'\nrows = 200\nrate = 200\nsettings = [{}, { no_such_setting = 1 }]\n",
    );
    let output = bed.bench(&[]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    let mut all = rows(&bed.run().unwrap());
    all.sort_by_key(|row| row.settings.clone());
    let [held, unknown] = &all[..] else { panic!("{all:?}") };
    assert_eq!((held.verdict, unknown.verdict), (Verdict::Held, Verdict::Unknown), "{}", said(&output));
    assert!(unknown.why.as_ref().unwrap().contains("no_such_setting") && unknown.outage_us.is_none(), "{unknown:?}");
    assert_eq!(bed.labs(), Vec::<PathBuf>::new());
}

#[test]
fn where_nothing_can_be_measured_it_ends_soon_and_says_why() {
    let bed =
        Bed::new("repetitions = 50\nduration = '1s'\nrows = 200\nrate = 200\nsettings = { no_such_setting = 1 }\n");
    let output = bed.bench(&[]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert_eq!(rows(&bed.run().unwrap()).len(), 3, "{}", said(&output));
    let last = said(&output).trim_end().lines().last().unwrap().to_owned();
    assert!(last.starts_with("error: nothing was measured in each of the last drills: "), "{last}");
    assert!(last.contains("no_such_setting"), "{last}");
    assert_eq!(bed.labs(), Vec::<PathBuf>::new());
}

#[test]
fn what_is_unknown_is_refused_before_anything_is_built() {
    let bed = Bed::new("sync = 'sometimes'\n");
    let output = bed.bench(&[]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        said(&output).contains("tiny.toml: `sync`: \"sometimes\"") && said(&output).contains("remote_apply"),
        "{}",
        said(&output)
    );
    let output = bed.command(&["bench", "modes", "nowhere.toml"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("or one of sync-modes, lag-under-load"), "{}", said(&output));
    assert!(bed.run().is_none());
}
