//! `compose/node.sh` and `compose/by-hand.sh`, without an engine: its directories are in a temporary one, PostgreSQL's programs are
//! stand-ins.

#![allow(clippy::unwrap_used, reason = "the helpers of a test may panic as well as the test")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const NODE_SH: &str = include_str!("../../../../compose/node.sh");
const BY_HAND: &str = include_str!("../../../../compose/by-hand.sh");

/// What follows this line in it is what it does when it is run.
const MAIN: &str = "\n# By hand nobody has written";

/// A container's file system, as far as it is looked at.
struct Room {
    dir: tempfile::TempDir,
}

impl Room {
    fn new() -> Room {
        let room = Room { dir: tempfile::tempdir().unwrap() };
        for dir in ["bin", "secrets", "peers", "understudy/nodes", "volume", "run"] {
            fs::create_dir_all(room.dir.path().join(dir)).unwrap();
        }
        // The timeline of a data directory, from a file in it.
        room.stand_in("pg_controldata", r#"echo "Latest checkpoint's TimeLineID:       $(cat "$2/timeline")""#);
        room
    }

    fn stand_in(&self, name: &str, script: &str) {
        let path = self.dir.path().join("bin").join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// The data of a node in one of the volumes.
    fn node(&self, volume: &str, name: &str, timeline: u32, is_standby: bool) {
        let data = format!("{volume}/{name}/data");
        self.put(&format!("{data}/PG_VERSION"), "15\n");
        self.put(&format!("{data}/timeline"), &timeline.to_string());
        self.put(&format!("{data}/pg_wal/{timeline:08X}.partial"), "");
        if is_standby {
            self.put(&format!("{data}/standby.signal"), "");
        }
    }

    /// Runs a line of shell among the functions of both, as the node `node1`.
    fn run(&self, line: &str, variables: &[(&str, &str)]) -> Output {
        let (functions, _) = NODE_SH.split_once(MAIN).unwrap();
        let own = "node=node1 dir=$root/node1 data=$root/node1/data conf=$root/node1/conf drop= way_out=";
        self.run_script(&format!("{functions}\n{BY_HAND}\n{own}\n{line}"), &[], variables)
    }

    /// Runs a word of `node.sh`, as setup's node `node1` does, but for whom it is done as.
    fn word(&self, words: &[&str]) -> Output {
        let script = NODE_SH.replace("\nfind_drop\n", "\ndrop=\n");
        assert_ne!(script, NODE_SH);
        self.run_script(&script, words, &[("UNDERSTUDY_NODE", "node1")])
    }

    fn run_script(&self, script: &str, words: &[&str], variables: &[(&str, &str)]) -> Output {
        let at = |path: &str| self.dir.path().join(path).display().to_string();
        let script = script
            .replace("root=/var/lib/postgresql\n", &format!("root={}\n", at("volume")))
            .replace("own_notes=/run/understudy\n", &format!("own_notes={}\n", at("run")))
            .replace("own_notes=/tmp/understudy\n", &format!("own_notes={}\n", at("run")))
            .replace("/secrets/", &format!("{}/", at("secrets")))
            .replace("/understudy/nodes/", &format!("{}/", at("understudy/nodes")))
            .replace("/peers/", &format!("{}/", at("peers")));
        let path = format!("{}:{}", at("bin"), std::env::var("PATH").unwrap());
        let mut command = Command::new("sh");
        command.args(["-c", &script, "node.sh"]).args(words).env("PATH", path).envs(variables.iter().copied());
        command.stdin(Stdio::null()).output().unwrap()
    }

    fn says(&self, line: &str) -> String {
        let output = self.run(line, &[]);
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

#[test]
fn every_setting_of_the_environment_is_one_line_that_the_server_reads_as_it_was_meant() {
    let variables =
        [("PGSQL_WORK_MEM", "8MB"), ("PGSQL_my_ext__Key", r"it's \ here"), ("PGSQLOTHER", "1"), ("XPGSQL_A", "1")];
    let output = Room::new().run("env_settings", &variables);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said, "work_mem = '8MB'\nmy_ext.key = 'it''s \\\\ here'\n");
}

#[test]
fn a_password_is_read_as_libpq_reads_it() {
    let room = Room::new();
    room.put(
        "secrets/passfile",
        "*:5432:*:other:no\na:5432:*:understudy_app:x\\:y\\\\z'\nb:5432:*:understudy_app:second\n",
    );
    assert_eq!(room.says("password understudy_app"), "x:y\\z'\n");
}

#[test]
fn of_the_passwords_a_server_gets_two_roles_only() {
    let room = Room::new();
    let line = |role: &str| format!("a:5432:*:{role}:secret\n");
    let all =
        ["understudy_admin", "understudy_app", "understudy_monitor", "understudy_replication", "understudy_rewind"];
    room.put("secrets/passfile", &all.map(line).concat());
    room.put("volume/node1/empty", "");
    room.says("copy_passwords");
    let file = room.dir.path().join("volume/node1/passfile");
    let kept = fs::read_to_string(&file).unwrap();
    assert_eq!(kept, line("understudy_replication") + &line("understudy_rewind"));
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn whom_a_node_follows_is_read_back_as_it_was_written() {
    let room = Room::new();
    room.put("volume/node1/conf/empty", "");
    let conninfo = r"host=a\'b passfile='/with space/x' application_name=node1";
    let round = room.run("follow \"$C\"; upstream", &[("C", conninfo)]);
    assert_eq!(String::from_utf8(round.stdout).unwrap().trim_end(), conninfo);
    fs::remove_file(room.dir.path().join("volume/node1/conf/follow.conf")).unwrap();
    assert_eq!(room.says("upstream"), "", "nobody");
}

#[test]
fn the_newest_timeline_is_that_of_the_control_file_or_of_a_history() {
    let room = Room::new();
    room.node("volume", "node1", 3, false);
    assert_eq!(room.says("timeline \"$data\""), "3\n");
    room.put("volume/node1/data/pg_wal/0000000B.history", "");
    room.put("volume/node1/data/pg_wal/00000002.history", "");
    assert_eq!(room.says("timeline \"$data\""), "11\n");
    room.stand_in("pg_controldata", "exit 1");
    let output = room.run("timeline \"$data\"", &[]);
    assert!(!output.status.success(), "what cannot be told is not 0");
}

/// Who was promoted while a primary was away, so that it must not be started as one.
#[test]
fn a_primary_that_was_overtaken_is_told_by_whom() {
    let (newer, same, older) = (2, 1, 0);
    for (volume, timeline, is_standby, overtaken) in [
        ("volume", newer, false, true),
        ("peers", newer, true, true),
        ("peers", same, false, true), // two promotions from one timeline
        ("peers", same, true, false),
        ("volume", older, false, false),
    ] {
        let room = Room::new();
        room.node("volume", "node1", 1, false);
        room.node(volume, "node2", timeline, is_standby);
        let expected = if overtaken { "node2\n" } else { "" };
        assert_eq!(room.says("promoted_peer"), expected, "{volume} {timeline} {is_standby}");
    }
    // One that a rewind was begun on is no primary; one whose timeline cannot be told might be.
    let room = Room::new();
    room.node("volume", "node1", 1, false);
    room.node("peers", "node2", 1, false);
    room.put("peers/node2/rewinding", "");
    assert_eq!(room.says("promoted_peer"), "");
    room.stand_in("pg_controldata", "exit 1");
    let output = room.run("stay_fenced", &[]);
    assert!(!output.status.success(), "it does not start");
}

#[test]
fn the_state_of_a_volume_is_a_line_for_each_node_that_has_data() {
    let room = Room::new();
    room.node("volume", "node1", 1, false);
    room.node("volume", "node2", 4, true);
    room.node("volume", "node3", 2, false);
    room.put("volume/node3/rewinding", "");
    room.put("volume/node4/data/half", "");
    assert_eq!(room.says("state"), "node1 primary 1\nnode2 standby 4\nnode3 standby 2\n");
}

/// By hand the other server may be anybody's, and what it says comes from `psql` as it is.
#[test]
fn a_servers_words_move_no_cursor_and_make_no_line_of_ours() {
    let room = Room::new();
    room.put("secrets/passfile", "*:5432:*:understudy_admin:x\n");
    room.stand_in("psql", r"printf 'no\033[2J\233\r\nnode node1: all is well\n\\0033[2J' >&2; exit 2");
    for line in ["checkpoint_on a 5432", "ensure_slot host=a", "wait_primary host=a"] {
        let output = room.run(line, &[("UNDERSTUDY_WAIT", "1")]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            !output.status.success() && said.contains("  | no?[2J??\n  | node node1: all is well\n"),
            "{line}: {said:?}"
        );
        assert!(!said.contains(|c: char| c.is_control() && c != '\n'), "{line}: {said:?}");
    }
}

/// What a tool reads it gets on stdin and in a file of its own, which goes with it, however it ends.
#[test]
fn a_tool_gets_its_input_and_tells_how_it_ended_and_nothing_stays() {
    let room = Room::new();
    room.node("volume", "node1", 1, false);
    room.put("volume/node1/data/postmaster.pid", "17\n");
    room.stand_in("pg_waldump", r#"stat -c %a "$1/input"; cat; cat "$1/input"; exit 3"#);
    let said = room.says("echo secret | tool pg_waldump $dir || echo $?");
    assert_eq!(said, "600\nsecret\nsecret\n3\n");
    let left = |name: &str| room.dir.path().join("volume/node1").join(name).exists();
    assert!(!left("input") && !left("data/postmaster.pid") && !left("rewinding"));
    room.stand_in("pg_rewind", "exit 1");
    assert!(!room.run("tool pg_rewind </dev/null", &[]).status.success());
    assert!(left("rewinding"), "until it is a standby, its blocks are those of two servers");
    room.says("make_standby");
    assert!(!left("rewinding") && left("data/standby.signal"));
}

#[test]
fn new_data_take_their_place_when_they_are_whole_and_what_was_there_is_kept() {
    let room = Room::new();
    room.node("volume", "node1", 1, false);
    let at = |name: &str| room.dir.path().join("volume/node1").join(name);
    room.stand_in("initdb", r#"echo 15 >"$1/PG_VERSION"; echo "work_mem = 1" >"$1/postgresql.auto.conf"; exit $2"#);
    assert!(!room.run("make primary initdb $data.new 1 </dev/null", &[]).status.success());
    assert!(at("data/timeline").exists() && !at("data.old").exists(), "a failure changes nothing");
    room.put("volume/node1/rewinding", "");
    room.says("make primary initdb $data.new 0 </dev/null");
    assert!(at("data.old/timeline").exists() && !at("data/timeline").exists() && !at("data.new").exists());
    assert!(!at("data/standby.signal").exists() && !at("rewinding").exists());
    let conf = at("conf/postgresql.conf").display().to_string();
    assert_eq!(fs::read_to_string(at("data/postgresql.conf")).unwrap(), format!("include '{conf}'\n"));
    assert!(!fs::read_to_string(at("data/postgresql.auto.conf")).unwrap().contains("work_mem"), "another node's");
    room.says("make standby initdb $data.new 0 </dev/null");
    assert!(at("data/standby.signal").exists() && !at("data.old/timeline").exists(), "the one before last is gone");
}

#[test]
fn a_link_where_a_directory_of_ours_should_be_is_refused() {
    let room = Room::new();
    std::os::unix::fs::symlink("/etc", room.dir.path().join("volume/node1")).unwrap();
    for line in ["claim \"$dir\"", "lock 0"] {
        let output = room.run(line, &[]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains("is a link"), "{line}: {said}");
    }
    assert!(Path::new("/etc/passwd").exists() && !Path::new("/etc/lock").exists());
}

#[test]
fn a_link_in_place_of_the_lock_or_of_data_is_refused() {
    for name in ["lock", "data", "data.new", "data.old"] {
        let room = Room::new();
        room.put("elsewhere/file", "theirs");
        fs::create_dir_all(room.dir.path().join("volume/node1")).unwrap();
        let (target, link) = (room.dir.path().join("elsewhere/file"), room.dir.path().join("volume/node1").join(name));
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let output = room.run("lock 0", &[]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains(&format!("node1/{name} is a link")), "{name}: {said}");
        assert_eq!(fs::read_to_string(target).unwrap(), "theirs", "{name}");
    }
}

#[test]
fn in_a_directory_of_roots_nobody_else_can_write() {
    let room = Room::new();
    room.says("umask 0; claim \"$dir\"");
    let mode = room.dir.path().join("volume/node1").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o755);
}

/// Its configuration and its data come from setup, and nobody makes others there.
#[test]
fn a_node_of_setup_does_nothing_by_itself() {
    let room = Room::new();
    room.put("understudy/nodes/node1/postgresql.conf", "");
    for (words, reason) in [
        (&["serve"][..], "no data in"),
        (&["rejoin", "node2"], "run setup"),
        (&["nonsense"], "no such word"),
        (&["tool", "pg_nothing"], "pg_nothing"),
    ] {
        let output = room.word(words);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains(reason), "{words:?}: {said}");
    }
    room.put("volume/node1/data/thesis.tex", "somebody's");
    assert!(String::from_utf8(room.word(&["serve"]).stderr).unwrap().contains("it is left alone"));
    room.node("volume", "node1", 3, false);
    let state = room.word(&["state"]);
    assert_eq!(String::from_utf8(state.stdout).unwrap(), "node1 primary 3\n");
    room.stand_in("postgres", r#"echo "runs $2"; exit 5"#);
    let served = room.word(&["serve"]);
    let said = String::from_utf8(served.stdout).unwrap();
    assert!(served.status.code() == Some(5) && said.ends_with("volume/node1/data\n"), "{said}");
    room.says("echo passwords | make standby cat </dev/null");
    let made = fs::read_to_string(room.dir.path().join("volume/node1/data/postgresql.conf")).unwrap();
    assert!(made.contains("volume/node1/conf"), "by hand");
    room.word(&["make-standby"]);
    let made = fs::read_to_string(room.dir.path().join("volume/node1/data/postgresql.conf")).unwrap();
    assert!(made.contains("understudy/nodes/node1/postgresql.conf"), "{made}");
}

#[test]
fn how_a_child_ended_is_told_whatever_signal_came_meanwhile() {
    let room = Room::new();
    assert_eq!(room.says("sh -c 'exit 7' & wait_for $!; echo $ended"), "7\n");
    assert_eq!(room.says("trap : HUP; sh -c 'sleep 0.3; exit 9' & kill -HUP $$; wait_for $!; echo $ended"), "9\n");
}

#[test]
fn a_primary_that_was_overtaken_is_not_started_until_it_is_a_standby() {
    let room = Room::new();
    room.put("understudy/nodes/node1/postgresql.conf", "");
    room.node("volume", "node1", 1, false);
    room.node("volume", "node2", 2, false);
    room.stand_in("postgres", r#"[ -e "$2/standby.signal" ] && echo standby || echo primary"#);
    room.stand_in("sleep", &format!("touch '{}/volume/node1/data/standby.signal'", room.dir.path().display()));
    let served = room.word(&["serve"]);
    let said = String::from_utf8(served.stderr).unwrap();
    assert!(said.contains("FENCED: node2 was promoted"), "{said}");
    assert_eq!(String::from_utf8(served.stdout).unwrap(), "standby\n");
}

#[test]
fn a_name_that_leads_elsewhere_is_no_nodes() {
    let room = Room::new();
    room.put("volume/node1/data/PG_VERSION", "15\n");
    for name in ["../node1", "node1/../node1", "Node1", "node 1"] {
        fs::create_dir_all(room.dir.path().join("understudy/nodes").join(name)).unwrap();
        let output = room.run_script(NODE_SH, &["remove"], &[("UNDERSTUDY_NODE", name)]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains("cannot tell which node"), "{name}: {said}");
    }
    assert!(room.dir.path().join("volume/node1/data/PG_VERSION").exists());
}

#[test]
fn libpq_is_told_to_take_scram_only_but_from_somebody_elses_primary() {
    for (variables, told) in [(&[][..], "scram-sha-256\n"), (&[("UNDERSTUDY_PRIMARY_PASSFILE", "/theirs")], "\n")] {
        let output = Room::new().run("echo \"${PGREQUIREAUTH-}\"", variables);
        assert_eq!(String::from_utf8(output.stdout).unwrap(), told);
    }
}
