//! What a server says, as people see it.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use cluster::args::Cluster;
use cluster::conninfo::Conninfo;
use cluster::file::{ClusterFile, LoginKind};
use cluster::session::Session;
use cluster::topology;
use lab::conf::SyncMode;
use lab::scratch::Scratch;

/// Two servers of different languages say the same of the same.
#[test]
fn the_severity_is_in_english_whatever_language_the_server_speaks() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let text = format!("host=127.0.0.1 port={} user=u dbname=d sslmode=disable", listener.local_addr().unwrap().port());
    let server = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        socket.read_exact(&mut [0; 8]).unwrap();
        let fields = b"SFEHLER\0VERROR\0C57P03\0Mnicht bereit\0\0";
        let length = u32::try_from(fields.len() + 4).unwrap().to_be_bytes();
        socket.write_all(&[&b"E"[..], &length, fields].concat()).unwrap();
        let _ = socket.read_to_end(&mut Vec::new()); // until the client goes
    });
    let info = Conninfo::from_argument(&text).unwrap();
    let said = format!("{:#}", Session::open("n", &info, "test").err().unwrap());
    assert!(said.contains("ERROR: nicht bereit (SQLSTATE 57P03)"), "{said}");
    server.join().unwrap();
}

#[test]
fn a_servers_words_move_no_cursor_and_make_no_line_of_ours() {
    let lab = Scratch::new(1, SyncMode::Async).unwrap();
    let cluster = Cluster::from_file(ClusterFile::read(&lab.cluster).unwrap());
    let found = topology::ask(&cluster, LoginKind::Admin, "test").unwrap();
    let raise = r"DO $$ BEGIN RAISE EXCEPTION E'no\x1b[2J\r\nverdict   held'; END $$";
    let said = format!("{:#}", found.primary.1.script(raise).unwrap_err());
    assert!(said.contains(r"no\u{1b}[2J\r\nverdict   held"), "{said:?}");
    assert!(!said.contains(char::is_control), "{said:?}");
}
