//! What the program refuses by name, with nothing made.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::support::{Home, names, refused, setup};

#[test]
fn bad_arguments_are_refused_by_name_and_nothing_is_made() {
    let home = Home::new();
    let long = "n".repeat(64);
    for (option, values) in [
        ("--name", &["../x", "A", "a b", "first", "any", "", "a,b", "a\"b", "/x", ".", "..", &long][..]),
        ("--standbys", &["0", "99", "-1", "1.5", "many", ""]),
        ("--port", &["0", "65536", "-1", "x", ""]),
        ("--quorum", &["2", "0", "-1", "x"]),
        ("--pg-version", &["13", "99", "x"]),
        ("--set", &["work_mem", "port=1", "=1", "a b=1", "synchronous_commit=off", "work_mem=1\nport=2"]),
        ("--sync", &["maybe", "", "off"]),
        ("--backend", &["magic"]),
    ] {
        for value in values {
            let mut command = setup();
            command.arg("--home").arg(home.path()).arg(format!("{option}={value}"));
            refused(command, &[option]);
            assert!(home.names().is_empty(), "{option}={value} made {:?}", home.names());
        }
    }
    home.refused(&["--quorum", "2", "--standbys", "1", "--sync", "on"], &["--quorum", "hang"]);
    home.refused(&["--all"], &["--down"]);
    for name in ["../lab", "", "."] {
        home.refused(&["--down", "--name", name], &["--name"]);
    }
    let empty = home.path().join("empty");
    home.refused(&["--pg-bin", "/no/such/directory"], &["--pg-bin", "/no/such/directory"]);
    fs::create_dir(&empty).unwrap();
    home.refused(&["--pg-bin", empty.to_str().unwrap()], &["--pg-bin", "has no postgres"]);
    assert_eq!(home.names(), ["empty"]);
}

#[test]
fn a_busy_port_is_refused_and_nothing_is_made() {
    let home = Home::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let mut command = setup();
    command.arg("--home").arg(home.path()).args(["--port", &port]);
    refused(command, &["--port", &port, "in use"]);
    assert!(home.names().is_empty(), "{:?}", home.names());
}

#[test]
fn a_home_that_could_be_somebodys_is_refused() {
    let home = Home::new();
    let (real, link, file) = (home.path().join("real"), home.path().join("link"), home.path().join("file"));
    fs::create_dir(&real).unwrap();
    symlink(&real, &link).unwrap();
    fs::write(&file, "mine").unwrap();
    let at = |path: &Path, reasons: &[&str]| {
        // Were one let through, there would still be nothing to start a server with.
        for more in [&["--pg-bin", "/no/such/directory"][..], &["--down"], &["--down", "--all"]] {
            let mut command = setup();
            command.arg("--home").arg(path).args(more).env("HOME", &real);
            refused(command, reasons);
        }
    };
    at(Path::new("/"), &["--home"]);
    at(Path::new("relative/path"), &["--home", "absolute"]);
    at(Path::new(""), &["--home"]);
    at(&real, &["--home", "home directory"]);
    at(&home.path().join("real/../real"), &["--home", ".."]);
    at(&link, &["--home", "link"]);
    at(&file, &["--home", "not a directory"]);
    assert_eq!((names(&real), home.names()), (vec![], vec!["file".into(), "link".into(), "real".into()]));

    // The same, with a slash at the end.
    at(&home.path().join("real/"), &["--home", "home directory"]);
    at(&home.path().join("link/"), &["--home", "link"]);
    assert_eq!(names(&real), Vec::<String>::new());
}

#[test]
fn a_lab_directory_with_somebodys_files_is_left_alone() {
    let home = Home::new();
    fs::create_dir(home.lab()).unwrap();
    fs::write(home.lab().join("thesis.txt"), "years of work").unwrap();
    home.refused(&[], &["left alone"]);
    home.refused(&["--down"], &["marker"]);
    assert_eq!((home.names(), names(&home.lab())), (vec!["lab".to_owned()], vec!["thesis.txt".to_owned()]));
    fs::remove_dir_all(home.lab()).unwrap();

    // Nor are a file or a dangling link in the lab's place replaced.
    fs::write(home.lab(), "mine").unwrap();
    home.refused(&[], &["left alone"]);
    home.refused(&["--down"], &["lab"]);
    fs::remove_file(home.lab()).unwrap();
    symlink("/no/such/place", home.lab()).unwrap();
    home.refused(&[], &["left alone"]);
    fs::remove_file(home.lab()).unwrap();
}

/// Debug information was five sixths of it.
#[test]
fn a_program_is_a_few_megabytes() {
    let size = fs::metadata(env!("CARGO_BIN_EXE_setup")).unwrap().len();
    assert!(size < 15_000_000, "{size} bytes");
}
