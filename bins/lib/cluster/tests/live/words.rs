//! What a server says, as people see it.

use cluster::args::Cluster;
use cluster::file::{ClusterFile, LoginKind};
use cluster::topology;
use lab::conf::SyncMode;
use lab::scratch::Scratch;

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
