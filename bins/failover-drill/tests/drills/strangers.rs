//! Somebody answers where a node was killed, and asks for what it should not get: it gets nothing, and the drill holds.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use cluster::wait::until_true;
use lab::backend::Backend as _;
use lab::conf::SyncMode;
use lab::data_dir::DataDir as _;
use lab::power::Power as _;
use lab::stranger::{Asks, Stranger};

use crate::rejoin::local;
use crate::support::{LOOK, Lab, SOON};

/// A drill during which a stranger has the port of the killed node until a standby takes over.
pub(crate) fn drill_with(lab: &Lab, asks: Asks) {
    let port = lab.file.node[0].port;
    let mut drill = lab.start(&["--decide", "3s"]);
    drill.wait_for("fault_proven");
    // A container's port is the engine's for a moment longer.
    let mut stranger = None;
    until_true("the port to be free", SOON, LOOK, || {
        stranger = Stranger::at(port, asks).ok();
        Ok(stranger.is_some())
    })
    .unwrap();
    let stranger = stranger.unwrap();
    until_true("the stranger to be asked", SOON, LOOK, || Ok(stranger.came() > 10)).unwrap();
    assert!(!drill.events().iter().any(|row| row["mark"] == "promote_called"), "it came too late to be a test");
    drill.wait_for("promote_called");
    assert_eq!(stranger.heard(), [], "no password, no hash, no statement");
    drop(stranger);
    let done = drill.end();
    let judged = done.judged(lab);
    assert_eq!((judged.row["verdict"].as_str(), judged.row["rejoin"].as_str()), ("held", "rewind"), "{}", done.stderr);
    lab.check_redundant(&judged.row["new_primary"]);
}

#[test]
fn who_asks_the_load_for_its_password_gets_none_and_the_drill_holds() {
    drill_with(&Lab::new(1, SyncMode::On), Asks::Password);
}

#[test]
fn whoever_lets_everybody_in_gets_no_statement_and_is_not_taken_for_the_primary() {
    drill_with(&Lab::new(1, SyncMode::On), Asks::Nothing);
}

/// It passes all on to the node that takes over, which knows the passwords.
#[test]
fn who_passes_all_on_to_the_new_primary_gets_no_statement() {
    if rustix::process::geteuid().is_root() {
        let lab = Lab::new(1, SyncMode::On);
        drill_with(&lab, Asks::Relays(lab.file.node[1].port));
    }
}

/// It stays: the node cannot come back, and it is told who is there. The other standby retries the dead primary meanwhile.
#[test]
fn who_keeps_the_port_is_named_and_gets_nothing_from_servers_and_tools() {
    let lab = Lab::new(2, SyncMode::On);
    let mut drill = lab.start(&["--decide", "1s"]);
    drill.wait_for("fault_proven");
    let stranger = Stranger::at(lab.file.node[0].port, Asks::Password).unwrap();
    let done = drill.end();
    let (row, why) = (done.row(), done.events().all("verdict")[0]["detail"].clone());
    assert_eq!(
        (row["verdict"].as_str(), done.code, row["lost"].as_str()),
        ("unknown", Some(2), "0"),
        "{}",
        done.stderr
    );
    let named = format!("port {} of node1 was taken by", stranger.port());
    assert!(why.contains(&named) && done.stderr.contains(&named), "{why}: {}", done.stderr);
    assert!(stranger.came() > 0);
    assert_eq!(stranger.heard(), []);
    // Asked for its administrator, it is told nothing either.
    let error = format!("{:#}", lab.try_session("node1").err().unwrap());
    assert!(error.contains("node node1") && error.contains("a stranger answers there"), "{error}");
    assert_eq!(stranger.heard(), []);
}

/// libpq's side: whoever has the port of a dead upstream, or even its socket, is not spoken to by standbys, `pg_rewind` and
/// `pg_basebackup`.
#[test]
fn standbys_and_tools_say_nothing_to_who_is_in_the_place_of_a_dead_node() {
    let lab = Lab::new(1, SyncMode::Async);
    let (local, section) = (local(&lab), &lab.file.node[0]);
    local.kill("node1", &mut || {}).unwrap();
    let at_port = Stranger::at(section.port, Asks::Password).unwrap();
    let log = lab.dir.join("node2/log/postgresql.log");
    let retries = |words: &str| std::fs::read_to_string(&log).unwrap().matches(words).count();
    until_true("the standby to try again", SOON, LOOK, || Ok(retries("/node1/socket/.s.PGSQL.") > 1)).unwrap();

    let dir = lab.dir.join("node1/socket");
    let socket = dir.join(format!(".s.PGSQL.{}", section.port));
    std::fs::remove_file(&socket).unwrap(); // what the killed server has left
    let upstream = local.upstream(section, "node2");
    let at_socket = rustix::process::geteuid().is_root().then(|| {
        let put = || Stranger::at_socket(&dir, section.port, Asks::Nothing);
        assert_eq!(put().err().unwrap().kind(), std::io::ErrorKind::PermissionDenied, "nobody gets in there");
        let open = |dir: &Path, mode| std::fs::set_permissions(dir, Permissions::from_mode(mode)).unwrap();
        open(&dir, 0o777);
        let stranger = put().unwrap();
        std::fs::set_permissions(&socket, Permissions::from_mode(0o777)).unwrap();
        until_true("the standby to find him", SOON, LOOK, || Ok(retries("requirepeer specifies") > 0)).unwrap();
        stranger
    });
    local.stop("node2").unwrap();
    for (tool, error) in [
        ("pg_rewind", local.rewind("node2", &upstream).unwrap_err()),
        ("pg_basebackup", local.clone_from("node2", &upstream).unwrap_err()),
    ] {
        let error = format!("{error:#}");
        let why = if at_socket.is_some() { "requirepeer specifies" } else { "No such file or directory" };
        assert!(error.contains(tool) && error.contains(why), "{error}");
    }
    assert_eq!((at_port.came(), at_port.heard()), (0, vec![]));
    assert_eq!(at_socket.map(|stranger| stranger.heard()).unwrap_or_default(), []);
}
