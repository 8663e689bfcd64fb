//! What the servers' own user can do on this machine to root who works on the lab after it: nothing. `confined.rs` has the same
//! for containers.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use lab::account::Account;

use crate::support::{Home, Lab, said};

/// A file of root's that nobody else can read.
struct Target {
    path: PathBuf,
    _dir: Home,
}

const TEXT: &str = "years of work";

impl Target {
    fn new() -> Target {
        let dir = Home::new();
        let path = dir.path().join("thesis");
        fs::write(&path, TEXT).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        Target { path, _dir: dir }
    }

    fn is_as_it_was(&self) {
        let metadata = fs::metadata(&self.path).unwrap();
        assert_eq!((metadata.uid(), metadata.gid(), metadata.mode() & 0o7777), (0, 0, 0o600));
        assert_eq!(fs::read_to_string(&self.path).unwrap(), TEXT);
    }
}

/// What the servers' user says who runs a script in a node's directory.
fn as_server(lab: &Lab, node: &str, script: &str) -> String {
    let Account::Other { uid, gid } = Account::for_servers().unwrap() else { panic!("this is not root") };
    let mut command = Command::new("sh");
    command.args(["-c", script]).uid(uid).gid(gid).current_dir(lab.dir().join(node)).stdin(Stdio::null());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Lays links to the target in the place of files, and of those that they are first written as.
fn plant(lab: &Lab, node: &str, target: &Target, names: &str) {
    let target = target.path.display();
    as_server(lab, node, &format!("for name in {names}; do rm -f $name; ln -s {target} $name; done"));
}

/// Puts a script before a program in the path of a command.
fn wrap(command: &mut Command, dir: &Path, name: &str, script: &str) {
    let path = dir.join(name);
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    command.env("PATH", format!("{}:{}", dir.display(), std::env::var("PATH").unwrap()));
}

/// It could have put anything there, and may still be at it: a mount, a directory that is moved while it is gone through.
#[test]
#[ignore = "plays another user: `cargo xtask test` runs it as root"]
fn as_root_what_the_servers_user_may_have_filled_is_removed_as_that_user() {
    let (home, base) = (Home::new(), Home::new());
    home.made(&[]);
    let trace = base.path().join("trace");
    fs::write(&trace, "").unwrap();
    fs::set_permissions(&trace, fs::Permissions::from_mode(0o666)).unwrap(); // whoever it is
    let mut command = home.command(&["--down"]);
    let script = format!("echo $(id -u) \"$@\" >> {}\nPATH=/usr/bin:/bin exec rm \"$@\"", trace.display());
    wrap(&mut command, base.path(), "rm", &script);
    let down = said(command.spawn().unwrap());
    assert_eq!((down.code, home.names()), (Some(0), vec![]), "{down:?}");
    let (removed, servers) = (fs::read_to_string(&trace).unwrap(), Account::for_servers().unwrap().uid());
    for name in ["node1/data", "node1/log", "node1/socket", "node2/data"] {
        assert!(removed.lines().any(|line| line.ends_with(&format!("/{name}"))), "{name}: {removed}");
    }
    let is_roots = |line: &&str| !line.starts_with(&format!("{servers} "));
    assert!(removed.lines().filter(is_roots).all(|line| line.ends_with("/conf")), "{removed}"); // that one is root's own
}

#[test]
#[ignore = "plays another user: `cargo xtask test` runs it as root"]
fn as_root_a_directory_that_a_killed_set_up_had_not_given_away_is_given_away() {
    let home = Home::new();
    let dir = home.made(&[]).dir().to_owned();
    fs::create_dir_all(dir.join("node3/log")).unwrap();
    fs::copy(dir.join("node2/pg-understudy.lab"), dir.join("node3/pg-understudy.lab")).unwrap();
    home.made(&["--standbys", "2"]).is_whole("node1");
}

/// `id` says that there is a user of the labs' own, `nobody` by its number: no machine is changed for this.
#[test]
#[ignore = "plays another user: `cargo xtask test` runs it as root"]
fn as_root_a_lab_runs_as_the_labs_own_user_where_there_is_one_and_stays_with_it() {
    const NOBODY: u32 = 65_534;
    let (home, base) = (Home::new(), Home::new());
    let mut command = home.command(&[]);
    let script = "case $* in *pg-understudy*) echo 65534;; *) PATH=/usr/bin:/bin exec id \"$@\";; esac";
    wrap(&mut command, base.path(), "id", script);
    let made = said(command.spawn().unwrap());
    assert_eq!(made.code, Some(0), "{made:?}");
    let is_nobodys = |lab: &Lab| {
        for (node, pid) in lab.pids() {
            let [data, process] = [lab.dir().join(&node).join("data"), PathBuf::from(format!("/proc/{pid}"))];
            assert_eq!([data, process].map(|path| fs::metadata(path).unwrap().uid()), [NOBODY; 2], "{node}");
        }
        lab.is_whole("node1");
    };
    is_nobodys(&home.lab_made());
    assert_eq!(home.lab_made().file().server_uid, Some(NOBODY), "whoever else listens there is a stranger");
    is_nobodys(&home.made(&["--standbys", "2"])); // also when there is none any more
}

/// A sleep that is called `postgres`, and runs as whom the servers run as.
#[test]
#[ignore = "plays another user: `cargo xtask test` runs it as root"]
fn as_root_a_new_lab_is_told_of_another_server_of_its_servers_user() {
    let (home, base) = (Home::new(), Home::new());
    let server = base.path().join("postgres");
    fs::copy("/bin/sleep", &server).unwrap();
    let mut command = Account::for_servers().unwrap().apply(Command::new(&server));
    let mut other = command.arg("600").current_dir(base.path()).spawn().unwrap();
    let (made, again) = (home.setup(&[]), home.setup(&[]));
    other.kill().unwrap();
    other.wait().unwrap();
    assert_eq!((made.code, again.code), (Some(0), Some(0)), "{made:?}");
    assert!(made.stderr.contains("warning: the lab's servers run as the same user"), "{made:?}");
    assert!(made.stderr.contains("useradd --system pg-understudy") && !again.stderr.contains("useradd"), "{again:?}");
}

fn is_plain(path: &Path) -> bool {
    fs::symlink_metadata(path).unwrap().is_file()
}

#[test]
#[ignore = "plays another user: `cargo xtask test` runs it as root"]
fn as_root_a_link_of_the_servers_user_leads_root_nowhere() {
    let (home, target) = (Home::new(), Target::new());
    let lab = home.made(&[]);
    // Root's directories: no name can be planted there, and none moved away.
    let names = "../cluster.new ../lab.new ../x passfile.new node.new input input.new data.new data.old x conf/x \
                 conf/postgresql.new conf/pg_hba.new conf/follow.new conf/sync.new";
    let to = target.path.display();
    let planting = format!("for name in {names}; do ln -s {to} $name 2>/dev/null && echo $name; done; true");
    assert_eq!(as_server(&lab, "node2", &planting), "", "planted");
    let moving = "for name in data log socket conf; do mv $name mine 2>/dev/null && echo $name; done; true";
    assert_eq!(as_server(&lab, "node2", moving), "", "moved");

    // Its own: what is written there is written as that user.
    let backend = || lab::open::open(lab.file()).unwrap().backend;
    backend().stop("node2").unwrap();
    let files = ["postgresql.conf", "postgresql.auto.conf", "standby.signal"].map(|name| format!("data/{name}"));
    let news = "data/postgresql.new data/postgresql.auto.new data/standby.new data/pg-understudy.new";
    plant(&lab, "node2", &target, &format!("{} {news}", files.join(" ")));
    backend().make_standby("node2").unwrap();
    target.is_as_it_was();
    assert!(files.iter().all(|file| is_plain(&lab.dir().join("node2").join(file))));

    // Its log, which an error shows the end of, and to which a start appends.
    plant(&lab, "node2", &target, "log/postgresql.log");
    let said = format!("{:#}", backend().start("node2").unwrap_err());
    assert!(said.contains("symbolic link") && !said.contains(TEXT), "{said}");
    target.is_as_it_was();
    as_server(&lab, "node2", "rm log/postgresql.log");

    // What says which process its server is.
    plant(&lab, "node2", &target, "data/postmaster.pid");
    let said = home.refused(&[], &["postmaster.pid", "symbolic link", "`setup --down`"]);
    assert!(!said.contains(TEXT), "{said}");
    as_server(&lab, "node2", "rm data/postmaster.pid");
    target.is_as_it_was();
    home.made(&[]).is_whole("node1");

    // The answer of single-user mode comes in no file.
    backend().stop("node1").unwrap();
    let rows = backend().query_alone("node1", "postgres", "SELECT 42");
    assert_eq!(rows.unwrap().trim(), "42");
    home.made(&[]).is_whole("node1");

    // What is removed is the link.
    plant(&lab, "node2", &target, "data/base/x log/x socket/x data/postmaster.pid");
    let down = home.setup(&["--down"]);
    assert_eq!(down.code, Some(0), "{down:?}");
    target.is_as_it_was();
}
