//! What the server's own user can do in a container to whoever comes after it as root: nothing. `cargo xtask test` runs
//! these where a Docker engine answers.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::compose::{container, docker};
use crate::support::{Home, said};

/// The container's own `/etc/passwd`: its owner, its modes, its sum.
const TARGET: &str = "stat -c '%U %a' /etc/passwd; cksum /etc/passwd";

/// What the server's user says, who runs a script in a node's directory.
fn as_server(id: &str, node: &str, script: &str) -> String {
    docker(&["exec", "--user", "postgres", "--workdir", &format!("/var/lib/postgresql/{node}"), id, "sh", "-c", script])
}

#[test]
#[ignore = "needs a Docker engine: `cargo xtask test` runs it where one answers"]
fn a_link_of_the_servers_user_leads_root_nowhere() {
    let home = Home::new();
    home.made(&["--backend", "compose"]);
    let (primary, standby) = (container(&home, "node1"), container(&home, "node2"));
    let before = docker(&["exec", &primary, "sh", "-c", TARGET]);
    // Root's directories: no name can be planted there.
    let names = "passfile.new lock.new data.new conf/postgresql.conf.new conf/pg_hba.conf.new conf/environment.conf.new ../node9";
    let plant = format!("for name in {names}; do ln -s /etc/passwd $name 2>/dev/null && echo $name; done; true");
    assert_eq!(as_server(&primary, "node1", &plant), "", "planted");
    let moving = "for name in data ../node1 ../node2; do mv $name ../mine 2>/dev/null && echo $name; done; true";
    assert_eq!(as_server(&primary, "node1", moving), "", "moved");
    // Its own, and the one of everybody: links to what only root may write.
    let plant = "for name in data/postgresql.conf.new data/postgresql.auto.conf.new data/x /tmp/last_error /tmp/fenced; do \
                 ln -s /etc/passwd $name; done";
    for (id, node) in [(&primary, "node1"), (&standby, "node2")] {
        as_server(id, node, plant);
    }
    docker(&["restart", "--time", "30", &primary]);
    home.made(&["--backend", "compose"]).is_whole("node1");
    assert_eq!(docker(&["exec", &primary, "sh", "-c", TARGET]), before);
    // A step writes the files of a data directory anew, as the server's user: it fails, and nothing has happened.
    docker(&["stop", "--time", "30", &standby]);
    let image = docker(&["inspect", "--format", "{{.Config.Image}}", &standby]);
    let step = format!("{TARGET}; sh /understudy/node.sh make-standby >/dev/null 2>&1 && echo made; {TARGET}");
    let said = docker(&[
        "run",
        "--rm",
        "--volumes-from",
        &standby,
        "--env",
        "UNDERSTUDY_NODE=node2",
        "--entrypoint",
        "sh",
        image.trim(),
        "-c",
        &step,
    ]);
    assert_eq!(said, format!("{before}{before}"));
}

#[test]
#[ignore = "needs a Docker engine: `cargo xtask test` runs it where one answers"]
fn a_container_holds_the_passwords_that_it_needs_and_no_others() {
    let home = Home::new();
    home.made(&["--backend", "compose"]);
    let all = fs::read_to_string(home.lab().join("passfile")).unwrap();
    let held =
        docker(&["exec", &container(&home, "node1"), "sh", "-c", "cat /secrets/* /understudy/* 2>/dev/null; true"]);
    for line in all.lines() {
        let (role, password) = line.rsplit_once(':').unwrap();
        let needed = role.ends_with("_replication") || role.ends_with("_rewind");
        assert_eq!(held.contains(password), needed, "{role}");
    }
    assert!(held.contains("understudy_rewind") && !held.contains("understudy_admin"), "{held}");
}

#[test]
#[ignore = "needs a Docker engine: `cargo xtask test` runs it where one answers"]
fn a_container_keeps_the_capabilities_that_it_needs_and_its_server_none() {
    let home = Home::new();
    home.made(&["--backend", "compose"]);
    let id = container(&home, "node2");
    let of = |process: &str| {
        let status = docker(&["exec", &id, "sh", "-c", &format!("cat /proc/{process}/status")]);
        let value = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("such a line");
            line.trim().to_owned()
        };
        (value("CapBnd:"), value("CapEff:"), value("NoNewPrivs:"))
    };
    let five = "00000000000000e3".to_owned(); // CHOWN, DAC_OVERRIDE, KILL, SETGID, SETUID
    assert_eq!(of("1"), (five.clone(), five.clone(), "1".to_owned()));
    let postmaster = "$(head -n 1 /var/lib/postgresql/node2/data/postmaster.pid)";
    assert_eq!(of(postmaster), (five, "0000000000000000".to_owned(), "1".to_owned()));
}

/// A step lives for a moment, so it is looked at by the words that the engine is given.
#[test]
#[ignore = "needs a Docker engine: `cargo xtask test` runs it where one answers"]
fn a_step_in_a_container_of_its_own_is_confined_and_bears_the_labs_labels() {
    let (home, base) = (Home::new(), Home::new());
    home.made(&["--backend", "compose"]);
    let (docker, trace) = (base.path().join("docker"), base.path().join("trace"));
    let script = format!("#!/bin/sh\necho \"$*\" >> {}\nPATH=${{PATH#*:}} exec docker \"$@\"\n", trace.display());
    fs::write(&docker, script).unwrap();
    fs::set_permissions(&docker, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = home.command(&["--backend", "compose"]);
    let made = said(
        command.env("PATH", format!("{}:{}", base.path().display(), std::env::var("PATH").unwrap())).spawn().unwrap(),
    );
    assert_eq!(made.code, Some(0), "{made:?}");
    let orders = fs::read_to_string(&trace).unwrap();
    let steps: Vec<&str> = orders.lines().filter(|order| order.starts_with("run ")).collect();
    assert!(!steps.is_empty(), "{orders}");
    let dir = format!("--label pg-understudy.dir={}", home.lab().canonicalize().unwrap().display());
    for words in ["--cap-drop ALL", "--security-opt no-new-privileges:true", "--label pg-understudy.lab=", &dir] {
        assert!(steps.iter().all(|step| step.contains(words)), "{words}: {steps:?}");
    }
    let added = |step: &&str| step.matches("--cap-add").count();
    assert!(steps.iter().all(|step| added(step) == 5 && !step.contains("--privileged")), "{steps:?}");
}
