//! Files of another user of this machine, given to a drill: nothing of them is read further or run.

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use lab::conf::SyncMode;

use crate::support::{LOOK, Lab, SOON};

/// The attacker.
fn nobody() -> (u32, u32) {
    let id = |flag: &str| -> u32 {
        let output = Command::new("id").args([flag, "nobody"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
    };
    (id("-u"), id("-g"))
}

fn give_away(path: &Path) {
    let (uid, gid) = nobody();
    chown(path, Some(uid), Some(gid)).unwrap();
    for entry in fs::read_dir(path).into_iter().flatten() {
        give_away(&entry.unwrap().path());
    }
}

/// A whole lab as far as its files can tell, with traps for programs, and its cluster file. Gives the file back, and where
/// the traps write whom they ran as.
fn forged(dir: &Path) -> (PathBuf, PathBuf) {
    let (lab, bin, trace) = (dir.join("lab"), dir.join("bin"), dir.join("trace"));
    for dir in [&lab, &bin, &lab.join("node1"), &lab.join("node2")] {
        fs::create_dir_all(dir).unwrap();
    }
    fs::write(&trace, "").unwrap();
    for name in ["postgres", "initdb", "pg_ctl", "pg_basebackup", "pg_rewind", "pg_waldump", "pg_controldata"] {
        let script = format!("#!/bin/sh\nid -u >> {}\necho '{name} (PostgreSQL) 15.1'\n", trace.display());
        fs::write(bin.join(name), script).unwrap();
        fs::set_permissions(bin.join(name), Permissions::from_mode(0o755)).unwrap();
    }
    for dir in [lab.clone(), lab.join("node1"), lab.join("node2")] {
        fs::write(dir.join("pg-understudy.lab"), format!("{:032x}\n", 7)).unwrap();
    }
    let (shown, bin) = (lab.display(), bin.display());
    let state = format!(
        "name = \"lab\"\nbin = \"{bin}\"\nfirst_port = 15997\nstandbys = 1\nsync = \"async\"\nquorum = 1\n[settings]\n"
    );
    fs::write(lab.join("lab.toml"), state).unwrap();
    let mut file = format!("name = \"lab\"\nbackend = \"local\"\n[local]\ndir = \"{shown}\"\nbin = \"{bin}\"\n");
    for (role, user) in [
        ("admin", "admin"),
        ("application", "app"),
        ("monitor", "monitor"),
        ("replication", "replication"),
        ("rewind", "rewind"),
    ] {
        file += &format!("[roles.{role}]\nuser = \"understudy_{user}\"\npassfile = \"{shown}/passfile\"\n");
    }
    for (node, port) in [("node1", 15997), ("node2", 15998)] {
        fs::write(lab.join(node).join("node.toml"), format!("port = {port}\n")).unwrap();
        file += &format!("[[node]]\nname = \"{node}\"\nhost = \"127.0.0.1\"\nport = {port}\ndbname = \"understudy\"\n");
    }
    fs::write(lab.join("cluster.toml"), &file).unwrap();
    (lab.join("cluster.toml"), trace)
}

/// Runs the program on a cluster file; what it says. It must end soon, with nothing done.
fn refused(file: &Path, stdin: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_failover-drill"));
    command.arg("--dry-run").arg("--cluster").arg(file).env_remove("UNDERSTUDY_CLUSTER");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes()); // it may be gone already
    let begun = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begun.elapsed() > SOON {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("it hangs on {}", file.display());
        }
        std::thread::sleep(LOOK);
    }
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(2), &b""[..]), "{said}");
    said
}

#[test]
#[ignore = "plays another user: `cargo xtask test` runs it as root"]
fn as_root_a_cluster_file_or_a_lab_of_another_user_is_refused_and_nothing_of_it_runs() {
    let (home, own) = (lab::scratch::home().unwrap(), tempfile::tempdir().unwrap());
    let (file, trace) = forged(home.path());
    let text = fs::read_to_string(&file).unwrap();
    give_away(home.path());
    let copy = own.path().join("cluster.toml"); // somebody may have copied it here
    fs::write(&copy, &text).unwrap();
    for (path, stdin) in [(file.as_path(), ""), (&copy, ""), (Path::new("-"), text.as_str())] {
        let said = refused(path, stdin);
        assert!(said.contains("belongs to nobody"), "{}: {said}", path.display());
    }
    assert_eq!(fs::read_to_string(&trace).unwrap(), "", "it was run");
}

#[test]
fn a_cluster_file_that_is_a_pipe_or_that_others_can_write_to_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (pipe, open) = (dir.path().join("pipe"), dir.path().join("open"));
    assert!(Command::new("mkfifo").args(["-m", "600"]).arg(&pipe).status().unwrap().success());
    let said = refused(&pipe, "");
    assert!(said.contains("not a plain file") && said.contains("--cluster -"), "{said}");
    fs::write(&open, "").unwrap();
    fs::set_permissions(&open, Permissions::from_mode(0o666)).unwrap();
    let said = refused(&open, "");
    assert!(said.contains("can write") && said.contains("chmod"), "{said}");
}

/// What is given so has no author: who trusts it says so by giving it.
#[test]
fn a_cluster_file_from_stdin_is_taken_whoever_could_have_written_it() {
    let (lab, dir) = (Lab::new(1, SyncMode::Async), tempfile::tempdir().unwrap());
    let open = dir.path().join("open");
    fs::copy(&lab.path, &open).unwrap();
    fs::set_permissions(&open, Permissions::from_mode(0o666)).unwrap();
    let said = refused(&open, "");
    assert!(said.contains("can write") && said.contains("--cluster - < FILE"), "{said}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_failover-drill"));
    command.args(["--dry-run", "--cluster", "-"]).stdin(fs::File::open(&open).unwrap());
    let taken = command.output().unwrap();
    assert_eq!(taken.status.code(), Some(0), "{}", String::from_utf8_lossy(&taken.stderr));
}

/// He could put a ledger of his own there while the drill runs, or a pipe in place of `run.toml`. With `sudo`, in a directory of
/// one's own, it works: one can spoil no drill but one's own.
#[test]
#[ignore = "plays another user: `cargo xtask test` runs it as root"]
fn as_root_a_drill_leaves_nothing_to_be_judged_where_another_user_could_change_it() {
    let (lab, theirs) = (Lab::new(1, SyncMode::On), lab::scratch::home().unwrap());
    let out = theirs.path().join("drill");
    fs::create_dir(&out).unwrap();
    assert!(Command::new("mkfifo").arg(out.join("run.toml")).status().unwrap().success());
    give_away(theirs.path());
    for dir in [out.clone(), theirs.path().join("new")] {
        for more in [&[][..], &["--dry-run"]] {
            let refused = lab.drill(&[&["--out", dir.to_str().unwrap()], more].concat());
            assert_eq!((refused.code, refused.stdout.lines().count()), (Some(2), more.len()), "{}", refused.stderr);
            for words in ["--out", dir.to_str().unwrap(), "belongs to nobody", "name a new folder"] {
                assert!(refused.stderr.contains(words), "{words:?}: {}", refused.stderr);
            }
        }
    }
    fs::remove_file(out.join("run.toml")).unwrap();
    let done = lab.drill_by_sudo(nobody().0, &["--out", out.to_str().unwrap()]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(out.join("cluster.toml").exists() && out.join("ledger.csv").exists());
}
