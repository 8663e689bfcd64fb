//! Labs of containers. `cargo xtask test` runs these where a Docker engine answers, and says loudly where none does.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cluster::session::Session;
use lab::stranger::{Asks, Stranger};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Home, Lab, said, wait_for};

const COMPOSE: [&str; 2] = ["--backend", "compose"];

/// What is told at once comes long before the deadlines of `setup`, which are minutes.
const SOON: Duration = Duration::from_secs(30);

fn made(home: &Home, more: &[&str]) -> Lab {
    home.made(&[&COMPOSE[..], more].concat())
}

/// What the engine says.
pub(crate) fn docker(args: &[&str]) -> String {
    let output = Command::new("docker").args(args).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "docker {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
}

/// The label of a lab.
fn label(home: &Home) -> String {
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
    docker(&["kill", &container(&home, "primary")]);
    let mut kinds = vec![Asks::Password, Asks::Md5, Asks::Nothing];
    if rustix::process::geteuid().is_root() {
        kinds.push(Asks::Relays(port("standby_1")));
    }
    for asks in kinds {
        let mut stranger = None;
        wait_for("the port to be free", || {
            stranger = Stranger::at(port("primary"), asks).ok();
            stranger.is_some()
        });
        let stranger = stranger.unwrap();
        let error = Session::open("primary", &lab.admin_info("primary"), "test").err().unwrap();
        assert!(cluster::guard::Stranger::is_in(&error), "{asks:?}: {error:#}");
        assert!(stranger.came() > 0 && stranger.heard().is_empty(), "{asks:?}: {:?}", stranger.heard());
    }
}

fn started_only(lab: &Lab) -> String {
    lab.ask_all("SELECT pg_postmaster_start_time()::text").concat()
}

/// A server that a killed set-up did not tell of its new settings is told by the next one.
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

#[test]
#[ignore = "needs a Docker engine: `cargo xtask test` runs it where one answers"]
fn a_refused_setting_is_taken_back_from_containers_and_a_new_lab_leaves_nothing() {
    let (home, before) = (Home::new(), left("label=pg-understudy.lab"));
    home.refused(&[&COMPOSE[..], &["--set", "nosuch=1"]].concat(), &["nosuch", "Nothing of the new lab is left"]);
    assert_eq!((home.names(), left("label=pg-understudy.lab")), (vec![], before));
    let lab = made(&home, &[]);
    let files = || {
        ["node1", "node2"].map(|node| {
            std::fs::read_to_string(home.lab().join("compose/nodes").join(node).join("postgresql.conf")).unwrap()
        })
    };
    let before = files();
    for (wrong, word) in [("nosuch=1", "nosuch"), ("log_destination=csvlog", "--set log_destination")] {
        home.refused(&[&COMPOSE[..], &["--set", wrong]].concat(), &[word]);
        assert_eq!(files(), before);
    }
    wait_for("the servers to have read it", || {
        lab.ask_all("SELECT count(*)::text FROM pg_file_settings WHERE error IS NOT NULL") == ["0", "0"]
    });
    made(&home, &[]).is_whole("node1");
}

#[test]
#[ignore = "needs a Docker engine: `cargo xtask test` runs it where one answers"]
fn settings_that_a_killed_set_up_only_wrote_are_read() {
    let home = Home::new();
    let asked = ["--set", "work_mem=7MB"];
    made(&home, &asked);
    let node = home.lab().join("compose/nodes/node1");
    let settings = std::fs::read_to_string(node.join("postgresql.conf")).unwrap();
    let lab = made(&home, &["--set", "work_mem=default"]);
    assert_eq!(lab.ask("node1", "SHOW work_mem"), "4MB");
    std::fs::write(node.join("postgresql.conf"), settings).unwrap();
    std::fs::write(node.join("unread"), "").unwrap();
    made(&home, &asked);
    wait_for("the server to have read them", || lab.ask("node1", "SHOW work_mem") == "7MB");
    assert!(!node.join("unread").exists());
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

/// Up, scale, restart, kill, promote, rewind, down.
#[test]
#[ignore = "needs a Docker engine: `cargo xtask test` runs it where one answers"]
fn a_whole_life_with_every_image_and_every_compose_that_is_here() {
    let composes = composes();
    assert!(!composes.is_empty(), "neither `docker compose` nor `docker-compose`");
    for image in images() {
        for compose in &composes {
            let home = Home::new();
            let life = |more: &[&str]| {
                let mut command = home.command(&[&COMPOSE[..], &["--image", &image], more].concat());
                let said = said(command.env("UNDERSTUDY_COMPOSE", compose).spawn().unwrap());
                assert_eq!(said.code, Some(0), "{image}, {compose}: {said:?}");
                home.lab_made()
            };
            life(&[]).is_whole("node1");
            let lab = life(&["--standbys", "2"]);
            lab.is_whole("node1");
            docker(&["restart", &container(&home, "node3")]);
            life(&[]).is_whole("node1");
            lab.admin("node1").script("CREATE TABLE before AS SELECT 1 AS id").unwrap();
            let mark = cluster::catch_up::mark(&lab.admin("node1")).unwrap();
            cluster::catch_up::wait(&lab.admin("node2"), mark, SOON).unwrap();
            docker(&["kill", "--signal", "KILL", &container(&home, "node1")]);
            let promoted = lab.admin("node2");
            promoted.script("SELECT pg_promote()").unwrap();
            promoted.script("CREATE TABLE after AS SELECT 1 AS id").unwrap();
            let lab = life(&[]);
            lab.is_whole("node2");
            let rows = "SELECT (SELECT count(*) FROM before) || '+' || (SELECT count(*) FROM after)";
            assert_eq!(lab.ask_all(rows), ["1+1"; 3]);
            let label = label(&home);
            assert_eq!(home.setup(&["--down"]).code, Some(0));
            assert_eq!(left(&label), "");
        }
    }
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

/// A name for an image, and another image that it is moved to; both go when they are dropped.
struct Tag(String);

impl Tag {
    fn of(image: &str) -> Tag {
        let tag = Tag(format!("understudy-test-{}:15", std::process::id()));
        docker(&["tag", image, &tag.0]);
        tag
    }

    fn id(&self) -> String {
        docker(&["image", "inspect", "--format", "{{.Id}}", &self.0]).trim().to_owned()
    }

    /// Moves it, as a pull does where somebody has pushed a new one.
    fn move_on(&self) {
        let container = docker(&["create", &self.0, "true"]);
        docker(&["commit", "--change", "LABEL understudy.test=newer", container.trim(), &self.0]);
        docker(&["rm", container.trim()]);
    }
}

impl Drop for Tag {
    fn drop(&mut self) {
        docker(&["rmi", &self.0]);
    }
}

#[test]
#[ignore = "needs a Docker engine: `cargo xtask test` runs it where one answers"]
fn a_name_that_leads_to_another_image_by_now_changes_no_lab() {
    let (home, tag) = (Home::new(), Tag::of(&images()[0]));
    let (asked, made_of) = (["--backend", "compose", "--image", &tag.0], tag.id());
    let lab = home.made(&asked);
    let images = |home: &Home| {
        let of = |node: &str| docker(&["inspect", "--format", "{{.Id}} {{.Image}}", &container(home, node)]);
        ["node1", "node2"].map(of)
    };
    let before = images(&home);
    assert!(before.iter().all(|shown| shown.contains(&made_of)), "{before:?}");
    tag.move_on();
    assert_ne!(tag.id(), made_of);
    for args in [&asked[..], &COMPOSE] {
        let said = home.setup(args);
        assert_eq!(said.code, Some(0), "{said:?}");
        assert!(said.stderr.contains(&format!("{} is another image by now; lab lab stays", tag.0)), "{said:?}");
        assert_eq!(images(&home), before, "another container, or of another image");
    }
    lab.is_whole("node1");
    // Nor are the steps run from the new one: this node is made, and that one rewound.
    docker(&["kill", "--signal", "KILL", &container(&home, "node1")]);
    lab.admin("node2").script("SELECT pg_promote()").unwrap();
    made(&home, &["--standbys", "2"]).is_whole("node2");
    let run_from = made_from(&home);
    assert!(run_from.lines().count() > 4, "containers of three nodes, and of steps: {run_from}");
    assert!(run_from.contains(&made_of) && !run_from.contains(&tag.id()), "{run_from}");
    // A new lab is made of what the name leads to now.
    let other = Home::new();
    other.made(&asked);
    assert!(images(&other).iter().all(|shown| shown.contains(&tag.id())));
}

/// The images that the lab's containers were made from in the last ten minutes, a line each, as the engine remembers.
fn made_from(home: &Home) -> String {
    let format = "{{index .Actor.Attributes \"image\"}}";
    let times = ["--since", "10m", "--until", "0s"];
    let filters = ["--filter", "event=create", "--filter", "type=container", "--filter", &label(home)];
    docker(&[&["events"], &times[..], &filters, &["--format", format]].concat())
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
fn a_full_disk_is_shown_by_the_tool_that_failed_of_it() {
    let home = Home::new();
    made(&home, &[]);
    let remove_containers = || docker(&["rm", "--force", &container(&home, "node1"), &container(&home, "node2")]);
    // No data directory fits into the first; into the second, one does.
    for (mb, why) in [(8, "node node1: initdb failed"), (ROOM_FOR_ONE_MB, "node node2: pg_basebackup failed")] {
        remove_containers();
        empty(&volume_of(&home), &home);
        let small = SmallVolume::instead_of(&home, mb);
        let begun = Instant::now();
        home.refused(&COMPOSE, &[why, "No space left on device"]);
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
        // With room, the same lab comes up.
        remove_containers();
        drop(small);
        made(&home, &[]).is_whole("node1");
    }
}

/// A new data directory takes 40 MB, its WAL another 16 or 32, and a base backup that again.
const ROOM_FOR_ONE_MB: u32 = 85;

/// The name of the lab's volume.
fn volume_of(home: &Home) -> String {
    let name = docker(&["volume", "ls", "--quiet", "--filter", &label(home)]);
    name.trim().to_owned()
}

/// Removes all that is in a volume: whoever has it has no data directory.
fn empty(volume: &str, home: &Home) {
    let state = std::fs::read_to_string(home.lab().join("lab.toml")).unwrap();
    let image = state.lines().find_map(|line| line.strip_prefix("image = ")).unwrap().trim_matches('"');
    let mount = format!("{volume}:/volume");
    docker(&["run", "--rm", "--entrypoint", "sh", "--volume", &mount, image, "-c", "rm -rf /volume/*"]);
}

/// A volume with little room at the place of a lab's, whose containers are gone.
struct SmallVolume {
    name: String,
    /// Where it lies, if it is a mount over the lab's own volume.
    mounted: Option<String>,
}

impl SmallVolume {
    fn instead_of(home: &Home, mb: u32) -> SmallVolume {
        let (name, size) = (volume_of(home), format!("size={mb}m"));
        if !composes().contains(&"docker compose") {
            // Compose 1.29 refuses a volume with options of its own.
            let path = docker(&["volume", "inspect", "--format", "{{.Mountpoint}}", &name]).trim().to_owned();
            let mount = Command::new("mount")
                .args(["-t", "tmpfs", "-o", &format!("{size},mode=0755"), "tmpfs", &path])
                .status();
            assert!(mount.is_ok_and(|mounted| mounted.success()), "this test needs compose 2, or root");
            return SmallVolume { name, mounted: Some(path) };
        }
        docker(&["volume", "rm", &name]);
        // With the labels that compose gave it.
        let project = format!("com.docker.compose.project={}", name.trim_end_matches("_nodes"));
        let labels = [
            label(home).trim_start_matches("label=").to_owned(),
            project,
            "com.docker.compose.volume=nodes".to_owned(),
        ];
        let labels: Vec<&str> = labels.iter().flat_map(|label| ["--label", label]).collect();
        let small = ["--opt", "type=tmpfs", "--opt", "device=tmpfs", "--opt", &format!("o={size}")];
        docker(&[&["volume", "create"], &labels[..], &small, &[&name]].concat());
        SmallVolume { name, mounted: None }
    }
}

impl Drop for SmallVolume {
    fn drop(&mut self) {
        let gone = match &self.mounted {
            Some(path) => Command::new("umount").arg(path).status(),
            None => Command::new("docker").args(["volume", "rm", &self.name]).stdout(Stdio::null()).status(),
        };
        assert!(std::thread::panicking() || gone.is_ok_and(|gone| gone.success()), "{} is still there", self.name);
    }
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
