//! Labs of containers. `cargo xtask test` runs these where a Docker engine answers, and says loudly where none does.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cluster::session::Session;
use lab::stranger::{Asks, Stranger};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Home, Lab, said, wait_for};

pub(crate) const COMPOSE: [&str; 2] = ["--backend", "compose"];

/// What is told at once comes long before the deadlines of `setup`, which are minutes.
pub(crate) const SOON: Duration = Duration::from_secs(30);

pub(crate) fn made(home: &Home, more: &[&str]) -> Lab {
    home.made(&[&COMPOSE[..], more].concat())
}

/// What the engine says.
pub(crate) fn docker(args: &[&str]) -> String {
    let output = Command::new("docker").args(args).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "docker {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
}

/// The label of a lab.
pub(crate) fn label(home: &Home) -> String {
    let id = std::fs::read_to_string(home.lab().join("pg-understudy.lab")).unwrap();
    format!("label=pg-understudy.lab={}", id.trim())
}

/// Everything that the engine has with a label.
pub(crate) fn left(label: &str) -> String {
    docker(&["ps", "--all", "--quiet", "--filter", label])
        + &docker(&["volume", "ls", "--quiet", "--filter", label])
        + &docker(&["network", "ls", "--quiet", "--filter", label])
}

pub(crate) fn container(home: &Home, node: &str) -> String {
    let service = format!("label=com.docker.compose.service={node}");
    docker(&["ps", "--all", "--quiet", "--no-trunc", "--filter", &label(home), "--filter", &service]).trim().to_owned()
}

/// The directories of nodes in the volume that they share.
fn nodes_with_data(home: &Home) -> usize {
    let listed = docker(&["exec", &container(home, "node1"), "ls", "/var/lib/postgresql"]);
    listed.lines().filter(|name| name.starts_with("node")).count()
}

#[test]
#[ignore = "needs a Docker engine: `cargo xtask test` runs it where one answers"]
fn it_converges_to_any_count_and_asked_again_changes_nothing() {
    let home = Home::new();
    for count in [3, 5, 1] {
        let lab = made(&home, &["--standbys", &count.to_string()]);
        assert_eq!(lab.nodes().len(), 1 + count);
        lab.is_whole("node1");
        assert_eq!(nodes_with_data(&home), 1 + count, "the data of removed standbys are gone");
    }
    let ids = |home: &Home| {
        docker(&["ps", "--quiet", "--no-trunc", "--filter", &label(home), "--format", "{{.ID}} {{.CreatedAt}}"])
    };
    let before = (ids(&home), std::fs::read_to_string(home.lab().join("cluster.toml")).unwrap());
    let lab = made(&home, &[]);
    let started = lab.ask_all("SELECT pg_postmaster_start_time()::text || pg_conf_load_time()");
    made(&home, &["--sync", "async"]);
    assert_eq!(lab.ask_all("SELECT pg_postmaster_start_time()::text || pg_conf_load_time()"), started);
    assert_eq!((ids(&home), std::fs::read_to_string(home.lab().join("cluster.toml")).unwrap()), before);
    // A mode of commits and a setting reach all nodes, without a restart.
    let started = started_only(&lab);
    let lab = made(&home, &["--sync", "remote_apply", "--set", "work_mem=7MB"]);
    assert_eq!(lab.ask_all("SHOW work_mem"), ["7MB"; 2]);
    assert_eq!(lab.ask("node1", "SELECT sync_state FROM pg_stat_replication"), "quorum");
    assert_eq!(started_only(&lab), started);
}

/// An id can be copied, with the lab or by somebody else; what bears it in another directory is another lab's.
#[test]
#[ignore = "needs a Docker engine: `cargo xtask test` runs it where one answers"]
fn a_copied_id_removes_nothing_of_the_other_lab_and_takes_nothing_over() {
    let (home, copy) = (Home::new(), Home::new());
    let lab = made(&home, &[]);
    let label = label(&home);
    let before = left(&label);
    let copied = || {
        let done = Command::new("cp").arg("-a").args([home.lab(), copy.lab()]).status().unwrap();
        assert!(done.success());
    };
    copied();
    let down = copy.setup(&["--down"]);
    assert_eq!((down.code, copy.names()), (Some(0), vec![]), "{down:?}");
    assert_eq!(left(&label), before);
    lab.is_whole("node1");
    // Set up, it is a lab of its own.
    copied();
    made(&copy, &[]).is_whole("node1");
    lab.is_whole("node1");
    assert_eq!(copy.setup(&["--down"]).code, Some(0));
    assert_eq!(left(&label), before);
    // One that was moved leaves nothing behind without a word.
    std::fs::create_dir(home.path().join("moved")).unwrap();
    std::fs::rename(home.lab(), home.path().join("moved/lab")).unwrap();
    for way in [&COMPOSE[..], &["--down"]] {
        let mut command = crate::support::setup();
        command.arg("--home").arg(home.path().join("moved")).args(way);
        crate::support::refused(command, &["left alone", home.lab().to_str().unwrap()]);
    }
    assert_eq!(left(&label), before);
    std::fs::rename(home.path().join("moved/lab"), home.lab()).unwrap();
    std::fs::remove_dir_all(home.path().join("moved")).unwrap();
    made(&home, &[]).is_whole("node1");
}

/// As root the stranger is another user, whom the engine's own process is told from; as ourselves it would be one of ours.
#[test]
#[ignore = "needs a Docker engine: `cargo xtask test` runs it where one answers"]
fn a_stranger_at_the_port_of_a_dead_container_is_told_nothing() {
    let home = Home::new();
    let lab = made(&home, &[]);
    let port = |node: &str| lab.file().node.iter().find(|section| section.name == node).unwrap().port;
    docker(&["kill", &container(&home, "node1")]);
    let mut kinds = vec![Asks::Password, Asks::Md5, Asks::Nothing];
    if rustix::process::geteuid().is_root() {
        kinds.push(Asks::Relays(port("node2")));
    }
    for asks in kinds {
        let mut stranger = None;
        wait_for("the port to be free", || {
            stranger = Stranger::at(port("node1"), asks).ok();
            stranger.is_some()
        });
        let stranger = stranger.unwrap();
        let error = Session::open("node1", &lab.admin_info("node1"), "test").err().unwrap();
        assert!(cluster::stranger::Stranger::is_in(&error), "{asks:?}: {error:#}");
        assert!(stranger.came() > 0 && stranger.heard().is_empty(), "{asks:?}: {:?}", stranger.heard());
    }
}

fn started_only(lab: &Lab) -> String {
    lab.ask_all("SELECT pg_postmaster_start_time()::text").concat()
}

#[test]
#[ignore = "needs a Docker engine: `cargo xtask test` runs it where one answers"]
fn a_lab_of_containers_whose_marker_is_gone_has_a_way_out() {
    let home = Home::new();
    let lab = made(&home, &[]);
    crate::down::follow_the_way_out(&home, &COMPOSE, || lab.is_whole("node1"));
}

#[test]
#[ignore = "needs a Docker engine: `cargo xtask test` runs it where one answers"]
fn a_container_whose_port_was_taken_gets_another_one() {
    let home = Home::new();
    for node in ["node2", "node1"] {
        let port = made(&home, &[]).file().node.iter().find(|section| section.name == node).unwrap().port;
        docker(&["stop", "--time", "60", &container(&home, node)]);
        let thief = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
        let said = home.setup(&COMPOSE);
        assert_eq!(said.code, Some(0), "{said:?}");
        let told = format!("(pid {}): it listens on", std::process::id());
        assert!(said.stderr.contains(&format!("{node}: port {port} is taken by ")) && said.stderr.contains(&told));
        home.lab_made().is_whole("node1");
        drop(thief);
        made(&home, &[]).is_whole("node1");
    }
}

/// Both are on the same timeline then, and neither is a standby.
#[test]
#[ignore = "needs a Docker engine: `cargo xtask test` runs it where one answers"]
fn of_two_that_were_promoted_the_one_that_was_stopped_never_runs_as_a_second_primary() {
    let home = Home::new();
    let lab = made(&home, &["--standbys", "2"]);
    docker(&["kill", "--signal", "KILL", &container(&home, "node1")]);
    for node in ["node2", "node3"] {
        lab.admin(node).script("SELECT pg_promote()").unwrap();
    }
    home.refused(&COMPOSE, &["node2 and node3", "out of recovery"]);
    let stopped = container(&home, "node3");
    let starts = || docker(&["logs", &stopped]).matches("database system is ready to accept connections").count();
    docker(&["stop", "--time", "60", &stopped]);
    let before = starts();
    // By whomever it is started, it sees the other one.
    docker(&["start", &stopped]);
    wait_for("it to be fenced", || docker(&["logs", &stopped]).contains("FENCED"));
    docker(&["stop", &stopped]);
    made(&home, &[]).is_whole("node2");
    assert_eq!(starts(), before, "it was a second primary for a while");
}

/// The compose commands of this machine.
pub(crate) fn composes() -> Vec<&'static str> {
    let runs = |words: &&str| {
        let mut words = words.split(' ');
        let output = Command::new(words.next().unwrap()).args(words).arg("version").output();
        output.is_ok_and(|said| said.status.success())
    };
    ["docker compose", "docker-compose"].into_iter().filter(runs).collect()
}

/// The images of PostgreSQL on this machine.
pub(crate) fn images() -> Vec<String> {
    let here = docker(&["images", "--format", "{{.Repository}}:{{.Tag}}"]);
    let ours = |name: &&str| {
        let tag = name.strip_prefix("understudy-postgres:").or_else(|| name.strip_prefix("postgres:"));
        tag.and_then(|tag| tag.parse().ok()).is_some_and(|major: u32| (14..=18).contains(&major))
    };
    let images: Vec<String> = here.lines().filter(ours).map(str::to_owned).collect();
    assert!(!images.is_empty(), "no image of PostgreSQL: `cargo xtask image`");
    images
}

#[test]
#[ignore = "needs a Docker engine: `cargo xtask test` runs it where one answers"]
fn two_labs_and_somebody_elses_things_do_not_meet() {
    let (one, other) = (Home::new(), Home::new());
    made(&one, &[]).is_whole("node1");
    let lab = made(&other, &[]);
    let stranger = format!("understudy-test-{}", std::process::id());
    docker(&["volume", "create", "--label", "pg-understudy.lab=somebody-else", &stranger]);
    let label = label(&one);
    assert_eq!(one.setup(&["--down"]).code, Some(0));
    assert_eq!(left(&label), "");
    lab.is_whole("node1");
    assert_eq!(docker(&["volume", "rm", &stranger]).trim(), stranger, "it was still there");
}

#[test]
#[ignore = "needs a Docker engine: `cargo xtask test` runs it where one answers"]
fn down_removes_what_a_killed_set_up_left_and_another_set_up_mends_it() {
    let home = Home::new();
    for ms in [300, 800, 1_500, 2_500, 4_000] {
        for mend in [false, true] {
            let begun = Instant::now();
            let child = home.command(&COMPOSE).spawn().unwrap();
            std::thread::sleep(Duration::from_millis(ms).saturating_sub(begun.elapsed()));
            kill_process(Pid::from_child(&child), Signal::KILL).unwrap(); // not reaped yet: the pid is still its own
            said(child);
            if mend {
                made(&home, &[]).is_whole("node1");
            }
            let label = home.lab().join("pg-understudy.lab").exists().then(|| label(&home));
            let down = home.setup(&["--down"]);
            assert_eq!(down.code, Some(0), "after {ms} ms: {down:?}");
            assert!(home.names().is_empty(), "after {ms} ms: {:?}", home.names());
            wait_for("every client of the engine to be gone", || !home.has_processes());
            assert_eq!(label.map_or(String::new(), |label| left(&label)), "", "after {ms} ms");
        }
    }
}

#[test]
#[ignore = "needs a Docker engine: `cargo xtask test` runs it where one answers"]
fn a_container_that_dies_is_shown_by_its_log() {
    let home = Home::new();
    let reasons = ["log of node node1 ends with", "nothing_like_it"];
    home.refused(&[&COMPOSE[..], &["--set", "shared_preload_libraries=nothing_like_it"]].concat(), &reasons);
    // Taken back, the same lab comes up.
    made(&home, &["--set", "shared_preload_libraries=default"]).is_whole("node1");
    home.refused(&["--backend", "compose", "--image", "nobody.invalid/no-such-image:1"], &["no-such-image"]);
    home.refused(&["--backend", "local"], &["--backend local"]);
}

#[test]
#[ignore = "needs a Docker engine: `cargo xtask test` runs it where one answers"]
fn a_wrong_password_is_told_at_once() {
    let home = Home::new();
    made(&home, &[]);
    let passfile = home.lab().join("passfile");
    let right = std::fs::read_to_string(&passfile).unwrap();
    let entries = cluster::passfile::parse(&right);
    let password = entries.iter().find(|entry| entry.user == "understudy_admin").unwrap().password.reveal();
    let wrong = right.replace(password, "not_the_one");
    std::fs::write(&passfile, &wrong).unwrap();
    let begun = Instant::now();
    let said = home.refused(&COMPOSE, &["node1", "password authentication failed", "log of node"]);
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    assert!(!said.contains("not_the_one") && !said.contains(password), "{said}");
    std::fs::write(&passfile, &right).unwrap();
    made(&home, &[]).is_whole("node1");
}

#[test]
#[ignore = "needs a Docker engine: `cargo xtask test` runs it where one answers"]
fn a_umask_does_not_shut_the_servers_out() {
    let home = Home::new();
    let said = said(home.private_command(&COMPOSE).spawn().unwrap());
    assert_eq!(said.code, Some(0), "{said:?}");
    made(&home, &["--standbys", "2"]).is_whole("node1");
}

#[test]
#[ignore = "needs a Docker engine: `cargo xtask test` runs it where one answers"]
fn passwords_are_nowhere_but_in_the_password_file() {
    let home = Home::new();
    let lab = made(&home, &[]);
    let passfile = home.lab().join("passfile");
    let passwords: std::collections::BTreeSet<String> =
        cluster::passfile::parse(&std::fs::read_to_string(&passfile).unwrap())
            .into_iter()
            .map(|entry| entry.password.reveal().to_owned())
            .collect();
    assert_eq!(passwords.len(), 5);
    let mut places = vec![("cluster.toml".to_owned(), lab.file().render().unwrap())];
    for file in
        ["compose/compose.yaml", "compose/.env", "compose/node.sh", "lab.toml", "compose/nodes/node2/follow.conf"]
    {
        places.push((file.to_owned(), std::fs::read_to_string(home.lab().join(file)).unwrap()));
    }
    for node in ["node1", "node2"] {
        let id = container(&home, node);
        for order in [vec!["inspect", &id], vec!["logs", &id], vec!["top", &id, "-eo", "pid,args"]] {
            places.push((format!("docker {order:?}"), docker(&order)));
        }
        places.push((format!("the environment of {node}"), docker(&["exec", &id, "env"])));
        // What a server reads belongs to it alone, and holds no more than it needs.
        let own = docker(&["exec", &id, "cat", &format!("/var/lib/postgresql/{node}/passfile")]);
        assert!(own.contains("understudy_rewind") && !own.contains("understudy_admin"), "{node}");
        // And none for whatever address: by the names and the port that nodes have among themselves.
        let of_node = |line: &str| line.starts_with("node");
        assert!(own.lines().all(|line| of_node(line) && line.contains(":5432:*:understudy_re")), "{node}");
        let mode = docker(&["exec", &id, "stat", "-c", "%a %U", &format!("/var/lib/postgresql/{node}/passfile")]);
        assert_eq!(mode.trim(), "600 postgres");
    }
    assert!(places.iter().any(|(place, text)| place.contains("logs") && text.contains("ready to accept")));
    for (place, text) in places {
        assert!(!passwords.iter().any(|password| text.contains(password)), "{place}");
    }
}
