//! Whoever has a server's port and asks for a password gets none, and no statement either.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use cluster::args::{Cluster, login_info};
use cluster::blocking::Blocking;
use cluster::connect::{cancel, connect};
use cluster::conninfo::Conninfo;
use cluster::file::{BackendName, ClusterFile, LoginKind};
use cluster::peer::ServerUser;
use cluster::protection::Protection;
use cluster::server_error::is_refused;
use cluster::session::Session;
use cluster::stranger::Stranger as IsStranger;
use lab::conf::SyncMode;
use lab::scratch::Scratch;
use lab::stranger::{Asks, NOBODY, Stranger};

/// What every test's role has.
const PASSWORD: &str = "sesame-open";

/// A password file with that for any address.
fn passfile() -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), format!("*:*:*:*:{PASSWORD}\n")).unwrap();
    file
}

fn info(host: &str, port: u16, more: &str) -> Conninfo {
    let passfile = passfile();
    let path = passfile.path().display();
    Conninfo::from_argument(&format!(
        "host={host} port={port} user=u dbname=d passfile={path} connect_timeout=5 {more}"
    ))
    .unwrap()
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// By each of our ways to a server: why there was none.
fn try_all(info: &Conninfo) -> Vec<(&'static str, String, bool)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    [
        ("connect", runtime.block_on(connect(info, "test")).err()),
        ("a blocking session", Blocking::open(info, "test").err()),
        ("a session", Session::open("node1", info, "test").err()),
    ]
    .map(|(way, error)| {
        let error = error.unwrap_or_else(|| panic!("{way}: it was taken for the server"));
        (way, format!("{error:#}"), IsStranger::is_in(&error))
    })
    .into()
}

#[test]
fn who_asks_for_anything_but_scram_hears_nothing_and_is_named() {
    for (asks, what) in [
        (Asks::Password, "asks for authentication by `password`"),
        (Asks::Md5, "asks for authentication by `md5`"),
        (Asks::Nothing, "asks for no proof"),
    ] {
        let stranger = Stranger::at(0, asks).unwrap();
        for more in ["require_auth=scram-sha-256", "require_auth=!password,!md5,!none sslmode=disable"] {
            for (way, error, is_stranger) in try_all(&info("127.0.0.1", stranger.port(), more)) {
                let named = error.contains(what) && error.contains(&format!("u@127.0.0.1:{}/d", stranger.port()));
                assert!(named && is_stranger, "{way}, {asks:?}: {error}");
                assert!(way != "a session" || error.contains("node node1"), "{error}");
            }
        }
        assert_eq!(stranger.came(), 6, "it was asked");
        assert_eq!(stranger.heard(), [], "{asks:?}");
    }
}

/// The stranger is one: without the guard it does get what it asks for.
#[test]
fn without_a_rule_the_server_is_believed_as_libpq_does() {
    let stranger = Stranger::at(0, Asks::Password).unwrap();
    try_all(&info("127.0.0.1", stranger.port(), ""));
    let said = stranger.heard();
    assert_eq!(said[0], ('p', format!("{PASSWORD}\0").into_bytes()));
    assert!(said.iter().any(|(tag, body)| *tag == 'Q' && body.starts_with(b"BEGIN")), "{said:?}");
}

#[test]
fn who_does_not_know_the_password_itself_hears_a_proof_and_no_statement() {
    let stranger = Stranger::at(0, Asks::BogusProof).unwrap();
    for more in ["", "require_auth=scram-sha-256"] {
        for (way, error, _) in try_all(&info("127.0.0.1", stranger.port(), more)) {
            assert!(error.contains("SCRAM verification error"), "{way}: {error}");
        }
    }
    let said = stranger.heard();
    assert_eq!(said.iter().map(|(tag, _)| *tag).collect::<String>(), "pp".repeat(6));
    let holds_it = |body: &[u8]| body.windows(PASSWORD.len()).any(|part| part == PASSWORD.as_bytes());
    assert!(!said.iter().any(|(_, body)| holds_it(body)));
}

/// As a cluster file says it; and as a file says it that was written by somebody else, for what is ours.
#[test]
fn the_nodes_of_a_lab_are_spoken_to_by_scram_alone() {
    let (stranger, passfile) = (Stranger::at(0, Asks::Password).unwrap(), passfile());
    // A line for any address is not for one that a cluster file names.
    fs::write(passfile.path(), format!("*:*:d:u:{PASSWORD}\n127.0.0.1:{}:d:u:{PASSWORD}\n", stranger.port())).unwrap();
    let text = |backend: &str| {
        let login = |role: &str| format!("[roles.{role}]\nuser = \"u\"\npassfile = {:?}\n", passfile.path());
        let roles = ["admin", "application", "monitor", "replication", "rewind"].map(login).concat();
        let node =
            format!("[[node]]\nname = \"n\"\nhost = \"127.0.0.1\"\nport = {}\ndbname = \"d\"\n", stranger.port());
        format!("name = \"x\"\n{backend}\n{roles}{node}")
    };
    for backend in ["backend = \"local\"", "backend = \"external\"\nrequire_auth = \"scram-sha-256\""] {
        let cluster = Cluster::from_file(ClusterFile::parse(&text(backend)).unwrap());
        for role in [LoginKind::Admin, LoginKind::Application, LoginKind::Monitor] {
            try_all(&cluster.info(&cluster.nodes[0], role).unwrap());
        }
    }
    assert_eq!((stranger.came(), stranger.heard()), (18, vec![]));
}

/// A lab's own password file, named by somebody else's cluster file or by a connection string, at the port of a node that is down.
#[test]
fn a_labs_password_is_for_its_servers_whoever_names_the_file() {
    let lab = Scratch::new(1, SyncMode::Async).unwrap();
    let file = ClusterFile::read(&lab.cluster).unwrap();
    lab::open::open(&file).unwrap().backend.stop("node2").unwrap();
    let node = file.node.iter().find(|node| node.name == "node2").unwrap();
    let stranger = Stranger::at(node.port, Asks::Password).unwrap();
    let (user, passfile) = (&file.roles.admin.user, file.roles.admin.passfile.display());
    let conninfo =
        format!("host={} port={} user={user} dbname={} passfile={passfile}", node.host, node.port, node.dbname);
    let theirs = |backend, require_auth: Option<&str>| {
        let require_auth = require_auth.map(|method| method.parse().unwrap());
        let file = ClusterFile { backend, require_auth, server_uid: None, node: vec![node.clone()], ..file.clone() };
        let cluster = Cluster::from_file(file);
        cluster.info(&cluster.nodes[0], LoginKind::Admin).unwrap()
    };
    let infos = [
        theirs(BackendName::External, None),
        theirs(BackendName::Local, Some("password")),
        Conninfo::from_argument(&conninfo).unwrap(),
    ];
    for info in infos {
        assert!(info.password.is_some(), "it is the lab's, and of the right address");
        for (way, error, is_stranger) in try_all(&info) {
            assert!(is_stranger, "{way}: {error}");
        }
    }
    assert_eq!((stranger.came(), stranger.heard()), (9, vec![]));
}

/// Somebody between us and a server that knows the password: SCRAM itself does not tell, the port's owner does.
#[test]
fn who_passes_on_what_is_said_to_a_server_that_lives_hears_nothing() {
    if !is_root() {
        return; // there is nobody else to be
    }
    let lab = Scratch::new(1, SyncMode::Async).unwrap();
    let file = ClusterFile::read(&lab.cluster).unwrap();
    let (direct, login) = (&file.node[0], &file.roles.admin);
    let stranger = Stranger::at(0, Asks::Relays(direct.port)).unwrap();
    let between = |user: ServerUser| {
        let info = login_info(direct, login, file.protection()).unwrap(); // with the password
        Conninfo { port: stranger.port(), protection: Protection::of_lab(user), ..info }
    };
    for (way, error, is_stranger) in try_all(&between(file.protection().server_user)) {
        let named = error.contains(&format!("port {} is held by a process of user {NOBODY}", stranger.port()));
        assert!(named && is_stranger, "{way}: {error}");
    }
    assert_eq!((stranger.came(), stranger.heard()), (3, vec![]));
    // Where nobody looks whose port it is, all of it comes through.
    Session::open("between", &between(ServerUser::Unknown), "test").unwrap();
    assert!(stranger.heard().iter().any(|(tag, _)| *tag == 'Q'));
    assert_eq!(file.backend, BackendName::Local);
}

/// What ends a statement ends whatever that session is at, whoever says it.
#[test]
fn what_ends_a_statement_is_told_to_the_server_alone() {
    let lab = Scratch::new(1, SyncMode::Async).unwrap();
    let file = ClusterFile::read(&lab.cluster).unwrap();
    let info = login_info(&file.node[0], &file.roles.admin, file.protection()).unwrap();
    let session = Blocking::open(&info, "test").unwrap();
    let token = session.client().cancel_token();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let us = rustix::process::geteuid().as_raw();
    let accepted = std::thread::spawn(move || listener.accept().unwrap().0);
    let theirs = |user| Conninfo {
        host: at.ip().to_string(),
        hostaddr: None,
        port: at.port(),
        protection: Protection::of_lab(user),
        ..info.clone()
    };
    let error = runtime.block_on(cancel(&theirs(ServerUser::Lab(us + 1)), &token)).unwrap_err();
    assert!(IsStranger::is_in(&error), "{error:#}");
    let mut heard = Vec::new();
    accepted.join().unwrap().read_to_end(&mut heard).unwrap();
    assert_eq!(heard, []);

    let sleeping = std::thread::spawn(move || session.script("SELECT pg_sleep(60)").unwrap_err());
    // The statement may not have begun when the first one comes.
    cluster::wait::until_true("the statement to end", Duration::from_secs(20), Duration::from_millis(50), || {
        runtime.block_on(cancel(&info, &token))?;
        Ok(sleeping.is_finished())
    })
    .unwrap();
    assert!(format!("{:#}", sleeping.join().unwrap()).contains("57014"));
}

/// A server's own refusal is final: nobody waits any longer for one that does not let him in.
#[test]
fn who_says_that_the_password_is_wrong_is_named_if_he_is_not_the_server() {
    let stranger = Stranger::at(0, Asks::Refuses).unwrap();
    let asked = |user: ServerUser| {
        let info = info("127.0.0.1", stranger.port(), "");
        let info = Conninfo { protection: Protection::of_lab(user), ..info };
        let error = Session::open("node1", &info, "test").err().unwrap();
        (is_refused(&error), IsStranger::is_in(&error))
    };
    let whose = if is_root() { NOBODY } else { rustix::process::geteuid().as_raw() };
    assert_eq!(asked(ServerUser::Lab(whose)), (true, false));
    assert_eq!(asked(ServerUser::Lab(whose + 1)), (false, true));
    assert_eq!(asked(ServerUser::Engine), (!is_root(), is_root()), "the engine is root's or ours");
    assert_eq!(stranger.heard(), []);
}

#[test]
fn a_socket_where_everybody_may_put_one_is_not_asked_unless_it_is_ours_or_the_one_that_was_named() {
    if !is_root() {
        return; // all that we can make is our own
    }
    let dir = tempfile::tempdir().unwrap();
    let host = dir.path().to_str().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o1777)).unwrap();
    let stranger = Stranger::at_socket(dir.path(), 5432, Asks::Nothing).unwrap();
    for more in ["", "require_auth=none", "requirepeer=root"] {
        for (way, error, is_stranger) in try_all(&info(host, 5432, more)) {
            let named = error.contains(&format!("the socket in {host} is of user {NOBODY}"));
            assert!(named && is_stranger, "{way}, {more}: {error}");
        }
    }
    assert_eq!(stranger.heard(), []);
    try_all(&info(host, 5432, "requirepeer=nobody")); // who then is no server
    assert!(stranger.heard().iter().any(|(tag, _)| *tag == 'Q'), "it was to be taken");
}

/// Where no host is named, the socket of anybody in `/tmp` is passed by.
#[test]
fn without_a_host_nobody_elses_socket_is_found() {
    let port = 50_000 + u16::try_from(std::process::id() % 10_000).unwrap();
    let found = || Conninfo::from_argument(&format!("port={port} user=u dbname=d")).unwrap().host;
    assert_eq!(found(), "localhost");
    let stranger = Stranger::at_socket("/tmp".as_ref(), port, Asks::Nothing).unwrap();
    assert_eq!(found(), if is_root() { "localhost" } else { "/tmp" });
    drop(stranger);
    let _ours = std::os::unix::net::UnixListener::bind(format!("/tmp/.s.PGSQL.{port}")).unwrap();
    let found = found();
    fs::remove_file(format!("/tmp/.s.PGSQL.{port}")).unwrap();
    assert_eq!(found, "/tmp");
}
