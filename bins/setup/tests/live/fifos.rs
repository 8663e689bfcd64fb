//! A named pipe in the place of a file that is read: whoever opens one waits for a writer, for ever.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::{Home, refused_soon, setup};

/// Puts a pipe in the place of a file while something is done.
fn with_fifo(path: &Path, act: impl Fn()) {
    let kept = path.with_extension("kept");
    fs::rename(path, &kept).unwrap();
    let made = Command::new("mkfifo").args(["-m", "600"]).arg(path).status().unwrap();
    assert!(made.success());
    act();
    fs::remove_file(path).unwrap();
    fs::rename(kept, path).unwrap();
}

#[test]
fn a_pipe_in_place_of_a_file_hangs_nothing() {
    let home = Home::new();
    let lab = home.made(&[]);
    let run = |args: &[&str], said: &str| {
        let mut command = setup();
        command.arg("--home").arg(home.path()).args(args);
        refused_soon(command, &[said, "not a plain file"]);
    };
    // `--down` needs nothing but markers; without lab.toml it asks what lies there.
    for (file, ways) in [
        ("pg-understudy.lab", &[&["--backend", "local"][..], &["--down"], &["--down", "--all"]][..]),
        ("lock", &[&["--backend", "local"], &["--down"]]),
        ("lab.toml", &[&["--backend", "local"], &["--down"]]),
        ("passfile", &[&["--backend", "local"]]),
        ("node2/pg-understudy.lab", &[&["--backend", "local"], &["--down"]]),
        ("node2/data/pg-understudy.lab", &[&["--backend", "local"], &["--down"]]),
        ("node2/data/postmaster.pid", &[&["--backend", "local"]]),
    ] {
        with_fifo(&home.lab().join(file), || ways.iter().for_each(|way| run(way, file)));
    }
    // A node's port is looked up for the cluster file.
    with_fifo(&home.lab().join("node2/node.toml"), || run(&["--backend", "local"], "node.toml"));
    // Nor is a server started that would write into one.
    lab::open::open(lab.file()).unwrap().backend.stop("node2").unwrap();
    let log = home.lab().join("node2/log/postgresql.log");
    with_fifo(&log, || run(&["--backend", "local"], "postgresql.log"));
    home.made(&[]).is_whole("node1");
}
