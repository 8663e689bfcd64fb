//! Drills that must not begin.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use lab::conf::SyncMode;

use crate::support::{LOOK, Lab, SOON, programs_of};

#[test]
fn what_must_not_begin_touches_nothing() {
    let lab = Lab::new(1, SyncMode::Async);
    let before = lab.state();
    let out = tempfile::tempdir().unwrap();
    std::fs::write(out.path().join("ledger.csv"), "somebody's").unwrap();
    let taken = lab.drill(&["--out", out.path().to_str().unwrap()]);
    assert_eq!((taken.code, taken.stdout.as_str()), (Some(2), ""), "{}", taken.stderr);
    assert!(taken.stderr.contains("ledger.csv"), "{}", taken.stderr);
    assert_eq!(std::fs::read_to_string(out.path().join("ledger.csv")).unwrap(), "somebody's");
    assert_eq!(std::fs::read_dir(out.path()).unwrap().count(), 1, "nothing was added to a folder that is refused");
    let dry = lab.drill(&["--dry-run", "--cut", "1s", "--decide", "2s"]);
    for words in ["cut node2 off", "processes of node1", "promote node2", "Nothing was done"] {
        assert!(dry.stderr.contains(words), "{words:?}: {}", dry.stderr);
    }
    assert_eq!((dry.code, dry.out.exists()), (Some(0), false), "the drill could begin: {}", dry.stderr);
    let dry = lab.drill(&["--dry-run", "--fault", "freeze", "--rounds", "3"]);
    for words in ["SIGSTOP all processes of node1", "kill node1; bring node1 back", "all of this 3 times"] {
        assert!(dry.stderr.contains(words), "{words:?}: {}", dry.stderr);
    }
    let strange = tempfile::tempdir().unwrap();
    std::fs::write(strange.path().join("thesis.tex"), "somebody's").unwrap();
    for more in [&[][..], &["--dry-run"]] {
        let mixed = lab.drill(&[&["--out", strange.path().to_str().unwrap()], more].concat());
        assert_eq!(mixed.code, Some(2), "{}", mixed.stderr);
        assert!(mixed.stderr.contains("thesis.tex"), "{}", mixed.stderr);
    }
    for wrong in [&["--rate", "0"][..], &["--clients", "0"], &["--before", "10"], &["--fault", "unplug"]] {
        let refused = lab.drill(wrong);
        assert_eq!((refused.code, refused.out.exists()), (Some(2), false), "{wrong:?}");
        assert!(refused.stderr.contains(wrong[0]), "{wrong:?}: {}", refused.stderr);
    }
    assert_eq!(lab.state(), before, "no server was restarted, reloaded, promoted or written to");
}

#[test]
fn a_dry_run_checks_what_a_drill_would() {
    let lab = Lab::new(1, SyncMode::Async);
    // Not fit: the standby follows nobody.
    let (local, standby) = (crate::rejoin::local(&lab), "node2");
    let section = lab.file.node.iter().find(|node| node.name == lab.primary()).unwrap();
    let right = lab::backend::Backend::upstream(&local, section, standby);
    lab::link::Link::follow(&local, standby, None).unwrap();
    let receives = || Ok(lab::standby::receiver(&lab.session(standby))?.is_none());
    cluster::wait::until_true("the receiver to stop", SOON, LOOK, receives).unwrap();
    let unfit = lab.drill(&["--dry-run"]);
    assert_eq!(unfit.code, Some(2), "{}", unfit.stderr);
    assert!(unfit.stderr.contains("node2 does not stream from node1"), "{}", unfit.stderr);
    lab::link::Link::follow(&local, standby, Some(&right)).unwrap();
    lab::standby::wait_streaming(&lab.session("node1"), || Ok(lab.session(standby)), &right, SOON).unwrap();
    let fit = lab.drill(&["--dry-run"]);
    assert_eq!(fit.code, Some(0), "{}", fit.stderr);
}

/// What a directory of PostgreSQL's programs must hold, each of them a script that leaves a trace when it is run.
fn traps(dir: &Path) -> PathBuf {
    let trace = dir.join("trace");
    for name in ["postgres", "initdb", "pg_ctl", "pg_basebackup", "pg_rewind", "pg_waldump", "pg_controldata"] {
        let script = format!("#!/bin/sh\necho \"$0\" >> {}\necho \"$0 (PostgreSQL) 15.1\"\n", trace.display());
        std::fs::write(dir.join(name), script).unwrap();
        std::fs::set_permissions(dir.join(name), Permissions::from_mode(0o755)).unwrap();
    }
    trace
}

#[test]
fn a_cluster_file_that_is_not_what_the_lab_is_hurts_nobody_and_runs_nothing() {
    let lab = Lab::new(1, SyncMode::Async);
    let (before, text) = (lab.state(), std::fs::read_to_string(&lab.path).unwrap());
    let (one, other) = (lab.file.node[0].port.to_string(), lab.file.node[1].port.to_string());
    let swapped = text.replace(&one, "PORT").replace(&other, &one).replace("PORT", &other);
    let (planted, unmarked) = (lab::scratch::home().unwrap(), lab::scratch::home().unwrap());
    let trace = traps(planted.path());
    let local = lab.file.local.as_ref().unwrap();
    let trapped = text.replace(&local.bin.display().to_string(), &planted.path().display().to_string());
    let elsewhere = trapped.replace(&local.dir.display().to_string(), &unmarked.path().display().to_string());
    let section = format!("[local]\ndir = {:?}\nbin = {:?}\n", local.dir, local.bin);
    let of_containers = format!("[compose]\ndir = {:?}\nproject = \"x\"\n", local.dir);
    for (wrong, word) in [
        (text.replace("scram-sha-256", "md5"), "require_auth in the cluster file"),
        (text.replace("server_uid = ", "server_uid = 1"), "server_uid in the cluster file"),
        (
            text.replace("backend = \"local\"", "backend = \"compose\"").replace(&section, &of_containers),
            "backend in the cluster file",
        ),
        (
            format!("{text}{of_containers}"),
            "`backend` in the cluster file is local: it needs [local], and no other section",
        ),
        (text.replace("backend = \"local\"", "backend = \"kubernetes\""), "kubernetes"),
        (text.replace("backend = \"local\"", "backend = \"external\""), "external"),
        (text.replace("name = \"scratch\"", "name = \"production\""), "name in the cluster file"),
        (swapped, "[[node]] in the cluster file"),
        (text.replace("understudy_monitor", "somebody"), "[roles] in the cluster file"),
        (trapped, "[local] in the cluster file"),
        (elsewhere, "bears no marker"),
        (text.replace("dir = \"/", "dir = \"/tmp/../"), "give it from / on, without `..`"),
        (text.replace("dir = \"/", "dir = \""), "give it from / on"),
        (text.replace("dir = \"/", "dir = \"/proc/self/root/"), "give it from / on"),
    ] {
        assert_ne!(wrong, text, "{word}");
        // Another file, and the lab's own, edited in place.
        for file in [lab.path.with_file_name("another.toml"), lab.path.clone()] {
            std::fs::write(&file, &wrong).unwrap();
            for more in [&[][..], &["--dry-run"]] {
                let refused = lab.drill(&[&["--cluster", file.to_str().unwrap()], more].concat());
                assert_eq!((refused.code, refused.stdout.lines().count()), (Some(2), 0), "{}", refused.stderr);
                assert!(refused.stderr.contains(word), "{word}: {}", refused.stderr);
            }
            std::fs::remove_file(file).unwrap();
        }
        std::fs::write(&lab.path, &text).unwrap();
    }
    assert!(!trace.exists(), "was run: {}", std::fs::read_to_string(&trace).unwrap());
    assert_eq!(lab.state(), before);
    assert_eq!(lab.drill(&["--dry-run"]).code, Some(0), "with its own file it could begin");
}

/// Settings that a node would not start with, or that would change with its restart: nobody is hurt to find that out.
#[test]
fn a_node_that_would_not_start_as_it_is_is_refused() {
    let lab = Lab::new(1, SyncMode::Async);
    for node in ["node1", "node2"] {
        let file = lab.dir.join(node).join("conf/postgresql.conf");
        let text = std::fs::read_to_string(&file).unwrap();
        for (line, word) in [
            ("nosuch = 1\nalso_wrong = 2", "also_wrong: unrecognized configuration parameter"),
            (
                "shared_preload_libraries = 'no_such_library'",
                "shared_preload_libraries will change with its next restart",
            ),
        ] {
            let reloaded = |wrong: bool| {
                lab.session(node).script("SELECT pg_reload_conf()").unwrap();
                let seen = "SELECT (EXISTS (SELECT FROM pg_file_settings WHERE error IS NOT NULL)
                                 OR EXISTS (SELECT FROM pg_file_settings WHERE NOT applied AND name LIKE 'shared%')) = $1";
                let session = lab.session(node);
                cluster::wait::until_true("the reload", SOON, LOOK, || session.value(seen, &[&wrong])).unwrap();
            };
            std::fs::write(&file, format!("{text}{line}\n")).unwrap();
            reloaded(true);
            let before = lab.state();
            for more in [&[][..], &["--dry-run"]] {
                let refused = lab.drill(more);
                assert_eq!(refused.code, Some(2), "{}", refused.stderr);
                assert!(refused.stderr.contains(node) && refused.stderr.contains(word), "{}", refused.stderr);
            }
            assert_eq!(lab.state(), before);
            std::fs::write(&file, &text).unwrap();
            reloaded(false);
        }
    }
    assert_eq!(lab.drill(&["--dry-run"]).code, Some(0));
}

#[test]
fn a_second_drill_on_the_same_lab_is_refused() {
    let lab = Lab::new(1, SyncMode::On);
    let mut first = lab.start(&["--before", "3s"]);
    first.wait_for("steady");
    let configured = |state: std::collections::BTreeMap<String, Vec<Option<String>>>| -> Vec<_> {
        state.into_values().map(|mut figures| figures.drain(..4).collect::<Vec<_>>()).collect()
    };
    let before = configured(lab.state());
    let second = lab.drill(&[]);
    let touched = configured(lab.state()) != before;
    let fault_yet = first.events().iter().any(|row| row["mark"] == "t0");
    assert_eq!((second.code, second.stdout.as_str()), (Some(2), ""), "{}", second.stderr);
    assert!(second.stderr.contains("in use"), "{}", second.stderr);
    assert!(!second.out.exists() && programs_of(&second.run).is_empty(), "it was refused before it did anything");
    assert!(!touched || fault_yet, "the second one touched a server");
    let done = first.end();
    assert_eq!(done.code, Some(0), "the first one did not notice: {}", done.stderr);
    done.judged(&lab);
}
