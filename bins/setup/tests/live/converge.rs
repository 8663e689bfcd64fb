//! More standbys, fewer standbys, the same again.

use std::fs::{Permissions, copy as copy_file, create_dir, remove_dir_all, set_permissions};
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;
use std::time::Duration;

use crate::support::{Home, names, said};

#[test]
fn it_converges_to_any_count_and_asked_again_changes_nothing() {
    let home = Home::new();
    let lab = home.made(&["--standbys", "1"]);
    lab.is_whole("node1");
    assert_eq!(lab.nodes(), ["node1", "node2"]);
    assert_eq!(home.names(), ["lab", "latest.toml"]);
    let (pids, file) = (lab.pids(), lab.file().clone());
    lab.admin("node1").script("CREATE TABLE mine AS SELECT 1 AS id").unwrap();

    let again = home.made(&[]);
    assert_eq!((again.pids(), again.file()), (pids.clone(), &file));
    again.is_whole("node1");

    let three = home.made(&["--standbys", "3"]);
    assert_eq!(three.nodes(), ["node1", "node2", "node3", "node4"]);
    three.is_whole("node1");
    assert_eq!(three.ask_all("SELECT count(*)::text FROM mine"), ["1"; 4]);
    assert!(pids.iter().all(|(node, pid)| three.pids()[node] == *pid), "who was there runs on");

    let one = home.made(&["--standbys", "1"]);
    assert_eq!((one.pids(), one.file()), (pids, &file), "the newest ones go");
    one.is_whole("node1");
    assert_eq!(
        names(&home.lab()),
        ["cluster.toml", "lab.toml", "lock", "node1", "node2", "passfile", "pg-understudy.lab"]
    );
}

/// A server that lives on does not hold what the caller of `setup` had open: whoever reads there sees the end.
#[test]
fn servers_keep_nothing_that_the_caller_had_open() {
    let home = Home::new();
    let (mut reader, writer) = std::io::pipe().unwrap();
    let program = home.command(&[]);
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "exec 9<&0 0</dev/null; exec \"$0\" \"$@\""]);
    command.arg(program.get_program()).args(program.get_args());
    let child = command.stdin(writer).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(command); // with our own end of the pipe
    let said = said(child);
    assert_eq!(said.code, Some(0), "{said:?}");
    let (told, end) = std::sync::mpsc::channel();
    std::thread::spawn(move || told.send(reader.read_to_end(&mut Vec::new())));
    end.recv_timeout(Duration::from_secs(10)).expect("the end of the pipe, while the servers run").unwrap();
    home.lab_made().is_whole("node1");
}

#[test]
fn labs_do_not_disturb_each_other() {
    let home = Home::new();
    let first = home.made(&[]);
    let said = home.setup(&["--name", "other", "--sync", "on"]);
    // The same first port: it was asked for, and somebody has it.
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.stderr.contains("--port"), "{said:?}");
    first.is_whole("node1");
    assert_eq!(home.setup(&["--down", "--name", "other"]).code, Some(0));
    first.is_whole("node1");
    assert_eq!(home.setup(&["--down"]).code, Some(0));
    assert_eq!(home.names(), Vec::<String>::new());
    assert!(!home.has_processes());
}

/// As root, servers run as somebody else, who must reach them.
#[test]
fn a_umask_does_not_shut_the_servers_out_and_a_closed_home_is_named() {
    let home = Home::new();
    let said = said(home.private_command(&[]).spawn().unwrap());
    assert_eq!(said.code, Some(0), "{said:?}");
    home.made(&["--standbys", "2"]).is_whole("node1");

    let closed = Home::new();
    set_permissions(closed.path(), Permissions::from_mode(0o700)).unwrap();
    if rustix::process::geteuid().is_root() {
        closed.refused(&[], &["is closed to others", "--home"]);
    } else {
        closed.made(&[]).is_whole("node1");
    }
}

/// It bears the marker, too, and must neither be taken for a node nor push one out.
#[test]
fn a_copy_of_a_node_is_named_and_nothing_is_changed() {
    let home = Home::new();
    let lab = home.made(&[]);
    let pids = lab.pids();
    let copy = home.lab().join("node1_old");
    create_dir(&copy).unwrap();
    copy_file(home.lab().join("node1/pg-understudy.lab"), copy.join("pg-understudy.lab")).unwrap();
    home.refused(&[], &["node1_old"]);
    assert_eq!(lab.pids(), pids);
    remove_dir_all(&copy).unwrap();
    assert_eq!(home.made(&[]).pids(), pids);
}

/// What somebody else put where a node would be is not even opened to others.
#[test]
fn a_directory_of_somebody_else_where_a_node_would_be_is_left_as_it_is() {
    let home = Home::new();
    home.made(&[]);
    let theirs = home.lab().join("node3");
    create_dir(&theirs).unwrap();
    std::fs::write(theirs.join("letter"), "private").unwrap();
    set_permissions(&theirs, Permissions::from_mode(0o700)).unwrap();
    home.refused(&["--standbys", "2"], &["node3", "left alone"]);
    assert_eq!(theirs.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    remove_dir_all(&theirs).unwrap();
    home.made(&["--standbys", "2"]).is_whole("node1");
}

#[test]
fn a_standby_that_cannot_be_started_as_it_is_is_made_anew() {
    let home = Home::new();
    let lab = home.made(&[]);
    lab::open::open(lab.file()).unwrap().backend.stop("node2").unwrap();
    // Since PostgreSQL 12, no server starts with this file.
    std::fs::write(lab.dir().join("node2/data/recovery.conf"), "").unwrap();
    let said = home.setup(&[]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(
        said.stderr.contains("node2 cannot be started as it is: ") && said.stderr.contains("node2 was cloned anew")
    );
    home.lab_made().is_whole("node1");
}
