//! What `cargo xtask` does with cargo, and what a signal leaves. A script stands for cargo where that makes the moment exact.

#![allow(clippy::unwrap_used, reason = "the helpers of a test may panic as well as the test")]

mod checkout;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Time for anything that a test waits for. It takes milliseconds, a whole lab some seconds; this leaves room.
const SOON: Duration = Duration::from_secs(60);

/// How often a test looks.
const POLL_EVERY: Duration = Duration::from_millis(5);

/// A directory with a script in the place of cargo, which is also the home for labs.
struct Bed(tempfile::TempDir);

impl Bed {
    fn new(cargo: &str) -> Bed {
        let dir = tempfile::Builder::new().prefix("understudy-xtask-").tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap(); // servers run as somebody else
        fs::create_dir(dir.path().join("bin")).unwrap();
        fs::create_dir(dir.path().join("home")).unwrap();
        script(&dir.path().join("bin/cargo"), &format!("cd {}\n{cargo}", dir.path().display()));
        Bed(dir)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn xtask(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        let path = std::env::var("PATH").unwrap_or_default();
        command.args(args).env("PATH", format!("{}:{path}", self.path("bin").display()));
        command.env("UNDERSTUDY_HOME", self.path("home"));
        command.env_remove("UNDERSTUDY_CLUSTER").env_remove("UNDERSTUDY_RUN").env_remove("UNDERSTUDY_ORIGIN");
        command.env_remove("GITHUB_ACTIONS").env_remove("GITHUB_STEP_SUMMARY");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// What the script has written to a file, once there is a whole line.
    fn line_of(&self, name: &str) -> String {
        let path = self.path(name);
        wait_for(name, || fs::read_to_string(&path).is_ok_and(|text| text.ends_with('\n')));
        fs::read_to_string(path).unwrap().trim().to_owned()
    }
}

fn script(path: &Path, text: &str) {
    fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + SOON;
    while !is_so() {
        assert!(Instant::now() < end, "waited {SOON:?} for {what}");
        std::thread::sleep(POLL_EVERY);
    }
}

fn interrupt(child: &Child) {
    kill_process(Pid::from_child(child), Signal::INT).unwrap();
}

/// Whether a process runs: a dead one that nobody has reaped does not.
fn runs(pid: &str) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(pid).join("stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with(['Z', 'X']))
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_inner_cargo_is_told_nothing_of_the_package_xtask() {
    let bed = Bed::new("env > env.txt");
    let mut xtask = bed.xtask(&["write-load", "--help"]);
    // As `cargo run` sets them, and as a user does.
    xtask.env("CARGO", "/of/the/outer/cargo").env("CARGO_MANIFEST_DIR", "/of/the/outer/xtask");
    xtask.env("CARGO_MANIFEST_PATH", "/of/the/outer/xtask/Cargo.toml").env("CARGO_PKG_NAME", "xtask");
    xtask.env("CARGO_PKG_VERSION_MAJOR", "0").env("CARGO_NET_OFFLINE", "true").env("CARGO_TERM_COLOR", "never");
    let output = xtask.output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let env = fs::read_to_string(bed.path("env.txt")).unwrap();
    let has = |name: &str| env.lines().any(|line| line.starts_with(name));
    for name in ["CARGO=", "CARGO_MANIFEST_DIR=", "CARGO_MANIFEST_PATH=", "CARGO_PKG_NAME=", "CARGO_PKG_"] {
        assert!(!has(name), "{name} in {env}");
    }
    assert!(has("CARGO_NET_OFFLINE=true") && has("CARGO_TERM_COLOR=never"), "{env}");
}

#[test]
fn a_build_that_takes_long_says_so() {
    let bed = Bed::new("until [ -e enough ]; do sleep 0.05; done");
    let mut child = bed.xtask(&["write-load", "--help"]).spawn().unwrap();
    let mut said = String::new();
    // The script goes on only when this was read: a mute build would end at the test's deadline.
    let (sender, receiver) = std::sync::mpsc::channel();
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    let reader = std::thread::spawn(move || {
        lines.read_line(&mut said).unwrap();
        sender.send(said).unwrap();
    });
    let said = receiver.recv_timeout(SOON);
    fs::write(bed.path("enough"), "").unwrap();
    assert!(child.wait_with_output().unwrap().status.success());
    reader.join().unwrap();
    assert!(said.as_ref().is_ok_and(|said| said.contains("building the programs")), "{said:?}");
}

#[test]
fn a_signal_during_the_build_ends_all_of_it() {
    let bed = Bed::new("sleep 600 & echo $! > child\necho $$ > self\nwait");
    for command in [vec!["drill"], vec!["write-load", "--help"], vec!["test"]] {
        let child = bed.xtask(&command).spawn().unwrap();
        let (cargo, compiler) = (bed.line_of("self"), bed.line_of("child"));
        interrupt(&child);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{command:?}: {}", stderr(&output));
        assert!(stderr(&output).contains("interrupted: the build was ended"), "{}", stderr(&output));
        wait_for("cargo to be gone", || !runs(&cargo));
        wait_for("what cargo started to be gone", || !runs(&compiler));
        fs::remove_file(bed.path("self")).unwrap();
        fs::remove_file(bed.path("child")).unwrap();
    }
}

#[test]
fn a_signal_ends_the_tests_and_says_what_they_may_leave() {
    let bed = Bed::new("[ $1 = build ] && exit 0\necho $$ > self\nsleep 600");
    let child = bed.xtask(&["test"]).spawn().unwrap();
    let cargo = bed.line_of("self");
    interrupt(&child);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    assert!(stderr(&output).contains("cargo xtask down"), "{}", stderr(&output));
    wait_for("cargo to be gone", || !runs(&cargo));
}

#[test]
fn taking_down_builds_nothing() {
    let bed = Bed::new("echo called > called\nexit 1");
    let output = bed.xtask(&["down"]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("nothing to take down"), "{}", stderr(&output));
    assert!(!bed.path("called").exists(), "cargo was called");
}

#[test]
fn what_is_not_built_cannot_take_down_and_says_what_to_type() {
    let bed = Bed::new("exit 1");
    let alone = bed.path("bin/xtask");
    fs::copy(env!("CARGO_BIN_EXE_xtask"), &alone).unwrap();
    let output = Command::new(&alone).arg("down").env("UNDERSTUDY_HOME", bed.path("home")).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("cargo build --release"), "{}", stderr(&output));
}

/// Interrupts a drill when its lab is up, and gives back what it said. The run's folder is removed, and `latest` points
/// to where it did.
fn interrupted_drill(bed: &Bed, more: &[&str]) -> (Output, String) {
    let _kept = checkout::Kept::now();
    let args = [&["drill", "--backend", "local", "--rows", "100", "--duration", "30s"], more].concat();
    let child = bed.xtask(&args).spawn().unwrap();
    let lab = format!("drill_{}", child.id());
    let cluster = bed.path("home").join(&lab).join("cluster.toml");
    wait_for("the lab to be up", || cluster.exists());
    interrupt(&child);
    let output = child.wait_with_output().unwrap();
    let said = stderr(&output);
    let (_, folder) = said.split_once("what there is of the run is in ").unwrap_or_else(|| panic!("{said}"));
    let folder = Path::new(folder.lines().next().unwrap());
    fs::remove_dir_all(checkout::root().join(folder)).unwrap();
    (output, lab)
}

#[test]
fn an_interrupted_drill_says_what_it_leaves_and_what_to_type() {
    let bed = Bed::new("");
    let (output, lab) = interrupted_drill(&bed, &[]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(said.contains(&format!("cargo xtask down --name {lab}")), "{said}");
    assert!(said.contains(&format!("the lab {lab} is gone")), "{said}");
    assert!(!bed.path("home").join(&lab).exists());

    let (output, lab) = interrupted_drill(&bed, &["--keep"]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(said.contains(&format!("cargo xtask up --name {lab}")), "{said}");
    assert!(bed.path("home").join(&lab).exists());
    let down = bed.xtask(&["down", "--name", &lab]).output().unwrap();
    assert!(down.status.success() && !bed.path("home").join(&lab).exists(), "{}", stderr(&down));
}

/// Sends a signal to a benchmark at some moment, another one right after it if there is a `second`, and gives back its exit code,
/// what it said and whether its lab is gone. With `deaf` nobody reads what it says, as after a Ctrl-C that has ended a pager.
fn ended_bench(bed: &Bed, what: &[&str], at: &str, signals: &[Signal], deaf: bool) -> (Option<i32>, String, bool) {
    let runs = bed.path("runs");
    let mut child =
        bed.xtask(&[&["bench", "verify", "--runs", runs.to_str().unwrap()], what].concat()).spawn().unwrap();
    let name = format!("bench_{}", child.id());
    let lab = bed.path("home").join(&name);
    if deaf {
        drop(child.stderr.take());
    }
    wait_for(at, || lab.join(at).exists());
    for signal in signals {
        kill_process(Pid::from_child(&child), *signal).unwrap();
        std::thread::yield_now();
    }
    let output = child.wait_with_output().unwrap();
    let (said, gone) = (stderr(&output), !lab.exists());
    if !gone {
        let named = said.contains(&format!("cargo xtask down --name {name}"));
        assert!(named, "the lab was left, and nobody told how to take it down: {said}");
        wait_for("what was ended at once to let the lab go", || {
            bed.xtask(&["down", "--name", &name]).output().unwrap().status.success()
        });
        assert!(!lab.exists());
    }
    (output.status.code(), said, gone)
}

#[test]
fn an_ended_benchmark_leaves_no_lab_or_says_how_to_take_it_down() {
    let bed = Bed::new("");
    let (honest, truth) = (&["--honest", "4"][..], &["--truth", "--small"][..]);
    let (one, two) = (&[Signal::INT][..], &[Signal::INT; 2][..]);
    for (what, at, signals, code, deaf) in [
        (honest, "node1", one, 130, false),
        (honest, "cluster.toml", two, 130, false),
        (honest, "cluster.toml", one, 130, true),
        (truth, "cluster.toml", &[Signal::TERM][..], 143, false),
        (truth, "node2", two, 130, false),
    ] {
        let (ended, said, gone) = ended_bench(&bed, what, at, signals, deaf);
        assert!(gone || signals.len() > 1, "{what:?} at {at}, {signals:?}, deaf {deaf}: {said}");
        assert_eq!(ended, Some(code), "{what:?} at {at}, {signals:?}, deaf {deaf}: {said}");
    }
}

/// It takes as long as `setup` waits for an engine's answer: ten seconds.
#[test]
fn an_engine_that_is_too_slow_does_not_make_nodes_local() {
    let bed = Bed::new("");
    script(&bed.path("bin/docker"), "[ \"$1\" = compose ] && exec sleep 600\necho 20.10");
    script(&bed.path("bin/docker-compose"), "exit 127");
    let output = bed.xtask(&["up", "--backend", "auto"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("does not answer in time"), "{}", stderr(&output));
    assert!(fs::read_dir(bed.path("home")).unwrap().next().is_none(), "a lab was made");
}
