//! All of it as an ordinary user, under any umask, with labs below `/tmp` and below the home directory: set-up, a drill that
//! holds, and nothing left. As root that user is `nobody`.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Instant;

use crate::independent::rows_of;
use crate::support::{DRILL, LOOK, Turn, working_below};

/// What a drill runs.
const PROGRAMS: [&str; 3] = ["setup", "failover-drill", "write-load"];

/// What nobody else may read.
const SECRETS: [&str; 6] = ["pg-understudy.lab", "lock", "passfile", "lab.toml", "cluster.toml", "node.toml"];

/// An ordinary user, with a home directory, one below `/tmp`, and programs that only need to be run. No lab is left when it is
/// dropped.
struct User {
    uid: u32,
    gid: u32,
    home: PathBuf,
    dir: tempfile::TempDir,
    below_tmp: tempfile::TempDir,
}

impl User {
    fn new() -> User {
        let (uid, gid) = match rustix::process::geteuid().as_raw() {
            0 => (id("-u"), id("-g")),
            uid => (uid, rustix::process::getegid().as_raw()),
        };
        let dir = lab::scratch::home().unwrap();
        let bin = dir.path().join("bin");
        fs::create_dir(&bin).unwrap();
        for name in PROGRAMS {
            let program = Path::new(env!("CARGO_BIN_EXE_failover-drill")).with_file_name(name);
            fs::copy(program, bin.join(name)).unwrap();
            fs::set_permissions(bin.join(name), Permissions::from_mode(0o755)).unwrap();
        }
        // Not in the directory for temporary files, whatever that is: the paths of sockets may not be long.
        let below_tmp = tempfile::Builder::new().prefix("understudy-").tempdir_in("/tmp").unwrap();
        let home = below_tmp.path().join("home");
        fs::create_dir(&home).unwrap();
        for own in [&home, below_tmp.path()] {
            fs::set_permissions(own, Permissions::from_mode(0o700)).unwrap();
            chown(own, Some(uid), Some(gid)).unwrap();
        }
        User { uid, gid, home, dir, below_tmp }
    }

    /// Where labs are to be: by `UNDERSTUDY_HOME`, and where nothing is said.
    fn homes(&self) -> [(PathBuf, bool); 2] {
        [(self.below_tmp.path().join("labs"), true), (self.home.join(".local/state/pg-understudy"), false)]
    }

    /// Runs a program to its end, under a umask.
    fn run(&self, umask: &str, program: &str, args: &[&str], labs: Option<&Path>) -> Output {
        let mut shell = Command::new("sh");
        shell.args(["-c", "umask \"$1\"; shift; exec \"$@\"", "sh", umask]);
        shell.arg(self.dir.path().join("bin").join(program)).args(args).current_dir(&self.home);
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            let ours = name.starts_with("UNDERSTUDY_") || name.starts_with("XDG_");
            if ours || (name.starts_with("PG") && name != "PG_BINDIR") {
                shell.env_remove(name);
            }
        }
        shell.env("HOME", &self.home);
        if let Some(labs) = labs {
            shell.env("UNDERSTUDY_HOME", labs);
        }
        if rustix::process::geteuid().is_root() {
            shell.uid(self.uid).gid(self.gid); // and no other groups
        }
        ended(shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }
}

impl Drop for User {
    fn drop(&mut self) {
        for (labs, _) in self.homes() {
            self.run("077", "setup", &["--down", "--all"], Some(&labs)); // of a test that failed
        }
    }
}

fn id(flag: &str) -> u32 {
    let output = Command::new("id").args([flag, "nobody"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

fn ended(mut child: Child) -> Output {
    let begun = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begun.elapsed() > DRILL {
            child.kill().unwrap();
            panic!("it still runs: {:?}", child.wait_with_output().unwrap());
        }
        std::thread::sleep(LOOK);
    }
    child.wait_with_output().unwrap()
}

/// What a run printed that did what it was to do.
fn done(output: &Output, what: &str) -> String {
    assert_eq!(output.status.code(), Some(0), "{what}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Nothing below a directory can be written to by others, nor read if it is a secret, and all of it is the user's.
fn is_closed(dir: &Path, user: &User) {
    for entry in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap()) {
        let (path, metadata) = (entry.path(), entry.metadata().unwrap());
        let (mode, shown) = (metadata.mode() & 0o7777, path.display());
        assert_eq!(metadata.uid(), user.uid, "{shown}");
        assert!(metadata.is_symlink() || mode & 0o022 == 0, "{shown}: {mode:o}");
        let secret = SECRETS.iter().any(|name| entry.file_name() == *name);
        assert!(!secret || mode == 0o600, "{shown}: {mode:o}");
        if metadata.is_dir() {
            is_closed(&path, user);
        }
    }
}

#[test]
fn an_ordinary_user_sets_up_drills_and_takes_down_under_any_umask_below_tmp_and_home() {
    let (user, port) = (User::new(), lab::scratch::first_port().to_string());
    for umask in ["000", "077"] {
        for (labs, by_variable) in &user.homes() {
            let (_turn, what) = (Turn::take(), format!("umask {umask}, {}", labs.display()));
            let asked = by_variable.then_some(labs.as_path());
            let run = |program: &str, args: &[&str]| user.run(umask, program, args, asked);
            let args = ["--backend", "local", "--sync", "on", "--port", &port];
            let file = done(&run("setup", &args), &what);
            assert_eq!(Path::new(file.trim()), labs.join("lab/cluster.toml"));
            // It finds the lab by itself.
            let out = user.home.join("drill");
            let args = ["--before", "1s", "--after", "1s", "--out", out.to_str().unwrap()];
            let row = rows_of(&done(&run("failover-drill", &args), &what)).remove(0);
            assert_eq!((row["verdict"].as_str(), row["rejoin"].as_str()), ("held", "rewind"), "{what}");
            is_closed(labs, &user);
            let mut made = fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().metadata().unwrap().mode());
            assert!(made.all(|mode| mode & 0o022 == 0), "{what}: what was measured could be changed");
            assert_ne!(working_below(labs), Vec::<String>::new(), "{what}: where do the servers run?");
            done(&run("setup", &["--down"]), &what);
            assert_eq!(fs::read_dir(labs).unwrap().count(), 0, "{what}");
            assert_eq!(working_below(labs), Vec::<String>::new(), "{what}");
            fs::remove_dir_all(out).unwrap();
        }
    }
}
