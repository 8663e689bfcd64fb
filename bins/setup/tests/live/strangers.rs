//! What another user of this machine could lay in our way: nothing of it is read further, run, signalled or removed.

use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use lab::account::Account;

use crate::standing::Holder;
use crate::support::{Home, names, refused, said, setup, wait_for};

/// The attacker: a user who owns nothing of ours. (Servers run as `postgres` where there is one.)
fn nobody() -> (u32, u32) {
    let id = |flag: &str| -> u32 {
        let output = Command::new("id").args([flag, "nobody"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
    };
    (id("-u"), id("-g"))
}

/// A command run by the attacker.
fn as_nobody(program: &str) -> Command {
    let ((uid, gid), mut command) = (nobody(), Command::new(program));
    command.uid(uid).gid(gid).current_dir("/").stdin(Stdio::null());
    command
}

/// Gives a directory and all below it to the attacker.
fn give_away(dir: &Path) {
    let (uid, gid) = nobody();
    chown(dir, Some(uid), Some(gid)).unwrap();
    for entry in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap()) {
        match entry.file_type().unwrap().is_dir() {
            true => give_away(&entry.path()),
            false => chown(entry.path(), Some(uid), Some(gid)).unwrap(),
        }
    }
}

/// What a directory of PostgreSQL's programs must hold, each of them a script that writes down who runs it.
fn traps(dir: &Path, trace: &Path) {
    fs::create_dir_all(dir).unwrap();
    fs::write(trace, "").unwrap();
    fs::set_permissions(trace, Permissions::from_mode(0o666)).unwrap(); // whoever it is
    let programs =
        ["postgres", "initdb", "pg_ctl", "pg_basebackup", "pg_rewind", "pg_waldump", "pg_controldata", "pg_config"];
    for name in programs {
        let says = if name == "pg_config" { dir.display().to_string() } else { format!("{name} (PostgreSQL) 15.1") };
        fs::write(dir.join(name), format!("#!/bin/sh\nid -u >> {}\necho '{says}'\n", trace.display())).unwrap();
        fs::set_permissions(dir.join(name), Permissions::from_mode(0o755)).unwrap();
    }
}

/// A lab that was never set up: what could be read of one, with traps for programs.
fn forged_lab(home: &Path, bin: &Path) {
    fs::create_dir_all(home.join("lab/node1")).unwrap();
    for dir in [home.join("lab"), home.join("lab/node1")] {
        fs::write(dir.join("pg-understudy.lab"), format!("{:032x}\n", 7)).unwrap();
    }
    fs::write(home.join("lab/node1/node.toml"), "port = 15999\n").unwrap();
    let state = format!(
        "name = \"lab\"\nbin = \"{}\"\nfirst_port = 15999\nstandbys = 1\nsync = \"async\"\nquorum = 1\n[settings]\n",
        bin.display()
    );
    fs::write(home.join("lab/lab.toml"), state).unwrap();
}

/// Every way to have `setup` look at a home.
const WAYS: [&[&str]; 3] = [&["--backend", "local"], &["--down"], &["--down", "--all"]];

#[test]
#[ignore = "plays another user: `cargo xtask test` runs it as root"]
fn as_root_a_foreign_home_is_refused_and_nothing_of_it_runs() {
    let (base, trace) = (Home::new(), Home::new());
    let (home, bin, trace) =
        (base.path().join("homes/theirs"), base.path().join("homes/bin"), trace.path().join("trace"));
    traps(&bin, &trace);
    forged_lab(&home, &bin);
    let all = |dir: &Path| names(&dir.join("lab")).len() + names(&dir.join("lab/node1")).len();
    let before = all(&home);
    let try_all = |of_whom: &str| {
        for way in WAYS {
            let mut command = setup();
            command.arg("--home").arg(&home).args(way);
            refused(command, &[of_whom]);
        }
        assert_eq!(fs::read_to_string(&trace).unwrap(), "", "it was run");
        assert_eq!(all(&home), before, "it was written to, or removed");
    };
    give_away(&base.path().join("homes"));
    try_all("belongs to nobody");
    // A home of ours in a directory of theirs is theirs: they may put another one in its place.
    chown(&home, Some(0), Some(0)).unwrap();
    try_all("belongs to nobody");
    // A home of ours, and nothing but the lab is theirs.
    chown(base.path().join("homes"), Some(0), Some(0)).unwrap();
    try_all("belongs to nobody");
    // Or their link to a lab of ours.
    chown(home.join("lab"), Some(0), Some(0)).unwrap();
    fs::rename(home.join("lab/lab.toml"), home.join("lab/theirs")).unwrap();
    symlink(home.join("lab/theirs"), home.join("lab/lab.toml")).unwrap();
    std::os::unix::fs::lchown(home.join("lab/lab.toml"), Some(nobody().0), None).unwrap();
    let mut command = setup();
    command.arg("--home").arg(&home).args(["--backend", "local"]);
    refused(command, &["belongs to nobody"]);
    assert_eq!(fs::read_to_string(&trace).unwrap(), "", "it was run");
}

#[test]
#[ignore = "plays another user: `cargo xtask test` runs it as root"]
fn as_root_programs_of_another_user_are_not_run_wherever_they_are_found() {
    let (home, base, trace) = (Home::new(), Home::new(), Home::new());
    let (bin, trace) = (base.path().join("brew"), trace.path().join("trace"));
    traps(&bin, &trace);
    give_away(&bin);
    home.refused(&["--pg-bin", bin.to_str().unwrap()], &["--pg-bin", "belongs to nobody"]);
    // Ours, in a directory where they may exchange them.
    for name in names(&bin) {
        chown(bin.join(name), Some(0), Some(0)).unwrap();
    }
    let mut command = home.command(&[]);
    command.env("PG_BINDIR", &bin);
    refused(command, &["PG_BINDIR", "belongs to nobody"]);
    // What is found by itself is passed over.
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let mut command = home.command(&["--install-only"]);
    let passed_over = said(command.env("PATH", path).env_remove("PG_BINDIR").spawn().unwrap());
    assert_eq!(passed_over.code, Some(0), "{passed_over:?}");
    // One of theirs among root's.
    chown(&bin, Some(0), Some(0)).unwrap();
    chown(bin.join("pg_waldump"), Some(nobody().0), None).unwrap();
    home.refused(&["--pg-bin", bin.to_str().unwrap()], &["--pg-bin", "pg_waldump belongs to nobody"]);
    assert_eq!(fs::read_to_string(&trace).unwrap(), "", "it was run");
}

/// It needs no engine: a script says that there is none, and who was asked.
#[test]
#[ignore = "plays another user: `cargo xtask test` runs it as root"]
fn as_root_a_docker_of_another_user_is_not_run() {
    let (home, base) = (Home::new(), Home::new());
    let (bin, trace) = (base.path().join("bin"), base.path().join("trace"));
    fs::create_dir(&bin).unwrap();
    fs::write(bin.join("docker"), format!("#!/bin/sh\necho run >> {}\nexit 1\n", trace.display())).unwrap();
    fs::set_permissions(bin.join("docker"), Permissions::from_mode(0o755)).unwrap();
    let asked = |reason: &str| {
        let mut command = home.command(&["--backend", "compose"]);
        command.env("PATH", &bin);
        refused(command, &["no Docker engine answers", reason]);
    };
    asked("docker failed");
    assert_eq!(fs::read_to_string(&trace).unwrap(), "run\n", "root's own is");
    fs::remove_file(&trace).unwrap();
    give_away(&bin);
    asked("belongs to nobody");
    assert!(!trace.exists(), "it was run");
}

/// `docker` runs what it finds in its user's home, and `sudo -E` leaves somebody else's there. The script stands for both.
#[test]
#[ignore = "plays another user: `cargo xtask test` runs it as root"]
fn as_root_nothing_is_run_that_docker_finds_in_another_users_home() {
    let (home, base) = (Home::new(), Home::new());
    let [bin, theirs] = ["bin", "theirs"].map(|name| base.path().join(name));
    let (trace, config) = (base.path().join("trace"), theirs.join(".docker"));
    fs::create_dir(&bin).unwrap();
    let docker = "#!/bin/sh\n\"${DOCKER_CONFIG:-$HOME/.docker}\"/cli-plugins/docker-compose\nexit 1\n";
    fs::create_dir_all(config.join("cli-plugins")).unwrap();
    let plugin = format!("#!/bin/sh\nid -u >> {}\n", trace.display());
    for (path, text) in [(bin.join("docker"), docker), (config.join("cli-plugins/docker-compose"), &plugin)] {
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    }
    let path = format!("{}:/usr/bin:/bin", bin.display());
    let asked = |variable: &str, value: &Path, reason: &str| {
        let mut command = home.command(&["--backend", "compose"]);
        command.env("PATH", &path).env(variable, value).env_remove("DOCKER_HOST");
        refused(command, &[reason]);
    };
    asked("HOME", &theirs, "no Docker engine answers");
    assert_eq!(fs::read_to_string(&trace).unwrap(), "0\n", "root's own is");
    fs::remove_file(&trace).unwrap();
    give_away(&theirs);
    for (variable, value) in [("HOME", &theirs), ("DOCKER_CONFIG", &config)] {
        asked(variable, value, "belongs to nobody");
        // Nor what they have laid into a home of root's, or into a directory of root's there.
        chown(value, Some(0), Some(0)).unwrap();
        asked(variable, value, "belongs to nobody");
    }
    assert!(!trace.exists(), "it was run");
}

/// Even what may be trusted is asked as the user whom servers run as: it need not be root to say its version.
#[test]
#[ignore = "plays another user: `cargo xtask test` runs it as root"]
fn as_root_the_version_is_asked_as_the_servers_user() {
    let (home, base) = (Home::new(), Home::new());
    let (bin, trace) = (base.path().join("bin"), base.path().join("trace"));
    traps(&bin, &trace);
    home.refused(&["--pg-bin", bin.to_str().unwrap()], &[]); // they make no server
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    said(home.command(&["--install-only"]).env("PATH", path).env_remove("PG_BINDIR").spawn().unwrap());
    let who = fs::read_to_string(&trace).unwrap();
    assert!(who.lines().count() > 2 && who.lines().all(|uid| uid != "0"), "run as {who}");
    // Who runs what is its own gives nothing away: programs may be the servers' user's.
    let Account::Other { uid, gid } = Account::for_servers().unwrap() else { panic!("this is not root") };
    for path in names(&bin).iter().map(|name| bin.join(name)).chain([bin.clone()]) {
        chown(path, Some(uid), Some(gid)).unwrap();
    }
    fs::write(&trace, "").unwrap();
    home.refused(&["--pg-bin", bin.to_str().unwrap()], &[]);
    let who = fs::read_to_string(&trace).unwrap();
    assert!(who.lines().count() > 2 && who.lines().all(|line| line == uid.to_string()), "run as {who}");
}

#[test]
fn a_home_or_a_lab_that_others_can_write_to_is_refused() {
    let home = Home::new();
    let lab = home.made(&[]);
    // Whether they are let in by the directory, its parent, or the file itself.
    for path in [home.lab(), home.path().to_owned(), home.lab().join("lab.toml"), home.lab().join("pg-understudy.lab")]
    {
        let (right, group) = (fs::metadata(&path).unwrap().permissions(), fs::metadata(&path).unwrap().gid());
        for others in [0o002, 0o020, 0o1002] {
            if others == 0o1002 && !path.is_dir() {
                continue; // a directory as `/tmp` is, in which anybody could make what is not there yet
            }
            if others == 0o020 && chown(&path, None, Some(SOME_GROUP)).is_err() {
                continue; // only root gives files to any group
            }
            fs::set_permissions(&path, Permissions::from_mode(right.mode() | others)).unwrap();
            for way in WAYS {
                let mut command = setup();
                command.arg("--home").arg(home.path()).args(way);
                refused(command, &["can write", path.to_str().unwrap(), "chmod"]);
            }
        }
        chown(&path, None, Some(group)).unwrap();
        fs::set_permissions(&path, right).unwrap();
    }
    lab.is_whole("node1");
}

/// `tty`, everywhere: nobody's own.
const SOME_GROUP: u32 = 5;

/// `nobody` holds what it can open.
#[test]
#[ignore = "plays another user: `cargo xtask test` runs it as root"]
fn as_root_another_user_can_neither_hold_a_lock_nor_read_an_id() {
    let home = Home::new();
    home.made(&[]);
    let holds = |path: &Path| {
        let mut command = as_nobody("flock");
        command.arg("--no-fork").arg(path).args(["sh", "-c", "echo held; exec sleep 600"]);
        let mut holder = Holder(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
        let mut said = String::new(); // a line, or its end
        BufReader::new(holder.0.stdout.take().unwrap()).read_line(&mut said).unwrap();
        holder
    };
    let _held = [holds(&home.lab().join("lock")), holds(home.path())];
    let mut command = home.command(&["--standbys", "2"]);
    let mut child = command.spawn().unwrap();
    wait_for("setup to end", || child.try_wait().unwrap().is_some());
    let made = said(child);
    assert_eq!(made.code, Some(0), "{made:?}");
    for id in ["pg-understudy.lab", "node1/pg-understudy.lab", "node1/data/pg-understudy.lab", "lock", "lab.toml"] {
        let read = as_nobody("cat").arg(home.lab().join(id)).output().unwrap();
        assert!(!read.status.success(), "{id}");
    }
}

/// The server of another lab, whose data directory bears no marker: a stranger's, as far as this lab can tell.
#[test]
fn data_that_is_a_link_to_a_foreign_server_is_refused_and_the_server_lives() {
    let (home, other) = (Home::new(), Home::new());
    home.made(&[]);
    let foreign = other.made(&[]);
    let (data, theirs) = (home.lab().join("node2/data"), other.lab().join("node1/data"));
    let kept = home.lab().join("node2/kept");
    fs::rename(&data, &kept).unwrap();
    fs::remove_file(theirs.join("pg-understudy.lab")).unwrap();
    symlink(&theirs, &data).unwrap();
    let before = foreign.pids();
    for way in WAYS {
        home.refused(way, &["node2/data", "link", "left alone"]);
    }
    assert_eq!(foreign.pids(), before);
    foreign.is_whole("node1");
    fs::remove_file(&data).unwrap();
    fs::rename(&kept, &data).unwrap();
    // Nor is a data directory of ours without its own marker one that may be killed in.
    let marker = data.join("pg-understudy.lab");
    fs::rename(&marker, data.join("away")).unwrap();
    home.refused(&["--down"], &["node2/data", "marker", "left alone"]);
    fs::rename(data.join("away"), marker).unwrap();
    home.lab_made().is_whole("node1");
    // The other lab's way out: what it takes down is its own again.
    let id = fs::read(other.lab().join("pg-understudy.lab")).unwrap();
    fs::write(theirs.join("pg-understudy.lab"), id).unwrap();
}
