//! A session behind a pooler is refused before anything is set or prepared on it, whatever the pooler does with start-up
//! options.

use cluster::args::{Cluster, ClusterArgs};
use cluster::auth::RequireAuth;
use cluster::blocking::Blocking;
use cluster::connect::connect;
use cluster::conninfo::Conninfo;
use cluster::file::{ClusterFile, LoginKind};
use cluster::own::is_pooled;
use cluster::peer::ServerUser;
use cluster::protection::Protection;
use cluster::session::Session;
use cluster::topology;
use lab::conf::SyncMode;
use lab::pooler::{Options, Pooler};
use lab::scratch::Scratch;

/// A way in; why it was closed.
type Door<'a> = &'a dyn Fn(&Conninfo) -> Option<anyhow::Error>;

/// The primary of a lab, through a pooler and without it.
fn infos(lab: &Scratch, pooler: &Pooler) -> (Conninfo, Conninfo) {
    let cluster = Cluster::from_file(ClusterFile::read(&lab.cluster).unwrap());
    let direct = cluster.info(&cluster.nodes[0], LoginKind::Monitor).unwrap();
    // Whom the pooler lets in it asks for nothing, and it is nobody's server.
    let protection =
        Protection { require_auth: RequireAuth::ANY, server_user: ServerUser::Unknown, ..direct.protection.clone() };
    (Conninfo { port: pooler.port(), protection, ..direct.clone() }, direct)
}

#[test]
fn every_door_refuses_a_pooler_and_leaves_nothing_there() {
    let lab = Scratch::new(1, SyncMode::Async).unwrap();
    let port = ClusterFile::read(&lab.cluster).unwrap().node[0].port;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let doors: [(&str, Door<'_>); 3] = [
        ("connect", &|info| runtime.block_on(connect(info, "test")).err()),
        ("a blocking session", &|info| Blocking::open(info, "test").err()),
        ("the first session", &|info| Session::open_first("pooled", info, "test").err()),
    ];
    for options in Options::ALL {
        for (name, door) in doors {
            let pooler = Pooler::start(port, options).unwrap();
            let (pooled, direct) = infos(&lab, &pooler);
            if options == Options::OfTheFirst && name != "the first session" {
                // Who comes first logs in, and cannot know. Of each program that is this one.
                Session::open_first("pooled", &pooled, "test").err().expect("a refusal");
            }
            let error = door(&pooled).unwrap_or_else(|| panic!("{name}, {options:?}: it was let in"));
            assert!(is_pooled(&error), "{name}, {options:?}: {error:#}");
            assert!(format!("{error:#}").contains("give host and port of the server"), "{error:#}");
            assert_eq!(pooler.left().unwrap(), Some(vec![]), "{name}, {options:?}");
            assert!(door(&direct).is_none(), "{name}: the server itself is let in");
        }
    }
}

#[test]
fn a_pooler_before_a_standby_is_refused_and_not_only_left_out() {
    let lab = Scratch::new(1, SyncMode::Async).unwrap();
    let file = ClusterFile::read(&lab.cluster).unwrap();
    let login = &file.roles.monitor;
    let passfile = lab::scratch::passfile_for_any_address(login).unwrap();
    let conninfo = |port: u16| {
        let (dbname, passfile) = (&file.node[0].dbname, passfile.path().display());
        format!("host=127.0.0.1 port={port} user={} dbname={dbname} passfile={passfile}", login.user)
    };
    let pooler = Pooler::start(file.node[1].port, Options::OfTheFirst).unwrap();
    let args = ClusterArgs {
        cluster: None,
        primary: Some(conninfo(file.node[0].port)),
        standby: vec![conninfo(pooler.port())],
    };
    let asked = topology::ask(&args.open().unwrap(), LoginKind::Monitor, "test");
    let error = asked.map(|found| found.unreachable).expect_err("it was let in or left out");
    assert!(is_pooled(&error) && format!("{error:#}").contains("node standby1"), "{error:#}");
}
