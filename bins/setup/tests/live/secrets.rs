//! The passwords are in the password files and nowhere else, and nobody else can open what is secret.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::{Home, said};

#[test]
fn passwords_are_in_the_password_files_and_nowhere_else() {
    let home = Home::new();
    let over = AtomicBool::new(false);
    let (lab, seen) = std::thread::scope(|scope| {
        let watching = scope.spawn(|| seen_until(&over));
        let lab = home.made(&["--standbys", "2"]);
        // A rewind and a clone have command lines too.
        let open = lab::open::open(lab.file()).unwrap();
        open.backend.kill("node1", &mut || {}).unwrap();
        lab.admin("node2").script("SELECT pg_promote()").unwrap();
        drop(open);
        let mut child = home.command(&["--standbys", "3"]);
        let again = said(child.spawn().unwrap());
        assert_eq!(again.code, Some(0), "{again:?}");
        over.store(true, Ordering::Relaxed);
        (lab, watching.join().unwrap())
    });
    let tools = ["initdb", "pg_basebackup", "pg_rewind"];
    for tool in tools {
        let is_in = |text: &[u8]| text.windows(tool.len()).any(|part| part == tool.as_bytes());
        assert!(seen.iter().any(|text| is_in(text)), "{tool} was not seen: this test proves nothing");
    }

    let passfile = lab.dir().join("passfile");
    assert_eq!(lab.file().roles.admin.passfile, passfile);
    let text = fs::read_to_string(&passfile).unwrap();
    let passwords: Vec<Vec<u8>> =
        cluster::passfile::parse(&text).into_iter().map(|entry| entry.password.reveal().as_bytes().to_vec()).collect();
    assert_eq!(passwords.iter().collect::<BTreeSet<_>>().len(), 5, "one for each role, all different");
    assert!(holds_one(&[b"x:", &passwords[3][..], b"\n"].concat(), &passwords));

    let mut files = Vec::new();
    list(&lab.dir(), &mut files);
    let mut passfiles = 0;
    for file in &files {
        if file.file_name().is_some_and(|name| name == "passfile") {
            passfiles += 1;
            assert_eq!(fs::metadata(file).unwrap().mode() & 0o777, 0o600, "{}", file.display());
        } else {
            assert!(!holds_one(&fs::read(file).unwrap_or_default(), &passwords), "{}", file.display());
        }
    }
    assert_eq!(passfiles, 5, "the caller's, and one for each server");
    assert!(files.iter().filter(|file| file.ends_with("postgresql.log")).count() == 4 && files.len() > 4_000);
    assert!(
        seen.iter().any(|text| text.windows(16).any(|part| part == b"PGREQUIREAUTH=sc")),
        "no environment was seen"
    );
    for text in &seen {
        assert!(!holds_one(text, &passwords), "{}", String::from_utf8_lossy(text));
    }
    // What servers have of them.
    let verifiers = "SELECT count(*) FILTER (WHERE rolpassword LIKE 'SCRAM-SHA-256$%') || ' of ' || count(*)
        FROM pg_authid WHERE rolcanlogin";
    assert_eq!(lab.ask("node2", verifiers), "5 of 5");
    // A server's own file has no more than it needs: who reads the server's files is not yet the administrator.
    let of_server = fs::read_to_string(lab.dir().join("node1/passfile")).unwrap();
    assert!(!of_server.contains("understudy_admin") && !of_server.contains("understudy_app"));
}

/// Every command line and every environment that any process of this machine has had until then.
fn seen_until(over: &AtomicBool) -> BTreeSet<Vec<u8>> {
    let mut seen = BTreeSet::new();
    while !over.load(Ordering::Relaxed) {
        for entry in fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
            let is_process = entry.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit());
            if is_process {
                seen.extend(
                    ["cmdline", "environ"].into_iter().filter_map(|file| fs::read(entry.path().join(file)).ok()),
                );
            }
        }
        std::thread::sleep(std::time::Duration::from_millis(3));
    }
    seen
}

fn list(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap().filter_map(Result::ok) {
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => list(&entry.path(), files),
            kind if kind.is_file() => files.push(entry.path()),
            _ => {}
        }
    }
}

/// Whether one of the passwords is somewhere in `bytes`.
fn holds_one(bytes: &[u8], passwords: &[Vec<u8>]) -> bool {
    let begins: BTreeSet<u8> = passwords.iter().map(|password| password[0]).collect();
    let begins: [bool; 256] = std::array::from_fn(|byte| begins.contains(&(byte as u8)));
    (0..bytes.len())
        .any(|at| begins[usize::from(bytes[at])] && passwords.iter().any(|password| bytes[at..].starts_with(password)))
}

#[test]
fn whatever_the_umask_nothing_is_open_to_others() {
    for umask in ["000", "077", "002"] {
        let home = Home::new();
        for args in [&[][..], &["--standbys", "2", "--sync", "on"]] {
            for file in ["pg-understudy.lab", "node1/pg-understudy.lab", "lock"].map(|file| home.lab().join(file)) {
                let _ = fs::set_permissions(file, Permissions::from_mode(0o644)); // as `cp` might have left it
            }
            let made = said(home.command_with_umask(umask, args).spawn().unwrap());
            assert_eq!(made.code, Some(0), "{made:?}");
        }
        home.lab_made().is_whole("node1");
        let (mut dirs, mut files) = (vec![home.lab()], Vec::<PathBuf>::new());
        while let Some(dir) = dirs.pop() {
            assert_eq!(fs::metadata(&dir).unwrap().mode() & 0o022, 0, "{}", dir.display());
            for path in fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()) {
                if path.is_dir() { dirs.push(path) } else { files.push(path) }
            }
        }
        for file in files.iter().filter(|file| !file.is_symlink() && file.exists()) {
            let (mode, name) = (fs::metadata(file).unwrap().mode() & 0o777, file.file_name().unwrap());
            let secret = ["pg-understudy.lab", "lock", "passfile", "lab.toml", "cluster.toml", "node.toml"];
            assert!(
                mode & 0o022 == 0 && (!secret.iter().any(|s| *s == name) || mode == 0o600),
                "{} {mode:o}",
                file.display()
            );
        }
        let down = said(home.command_with_umask(umask, &["--down"]).spawn().unwrap());
        assert_eq!((down.code, home.names()), (Some(0), vec![]), "{down:?}");
    }
}
