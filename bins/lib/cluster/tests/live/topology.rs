//! What is not one primary with its standbys is refused by name, before anything is done.

use std::path::Path;

use cluster::args::{Cluster, ClusterArgs};
use cluster::file::{ClusterFile, LoginKind};
use cluster::session::Session;
use cluster::topology;
use lab::conf::SyncMode;
use lab::scratch::{Scratch, passfile_for_any_address};

/// Connection strings to the nodes of a lab, as an installation of one's own is named.
fn conninfos(lab: &Scratch, passfile: &Path) -> Vec<String> {
    let file = ClusterFile::read(&lab.cluster).unwrap();
    let login = &file.roles.admin;
    let of = |port: u16| {
        let passfile = passfile.display();
        format!("host=127.0.0.1 port={port} user={} dbname={} passfile={passfile}", login.user, file.node[0].dbname)
    };
    file.node.iter().map(|node| of(node.port)).collect()
}

fn ask(primary: &str, standbys: &[&str]) -> anyhow::Result<topology::Topology> {
    let standby = standbys.iter().map(|&standby| standby.to_owned()).collect();
    let cluster = ClusterArgs { cluster: None, primary: Some(primary.to_owned()), standby }.open()?;
    let found = topology::ask(&cluster, LoginKind::Admin, "test")?;
    cluster.check_primary(&found.primary.0)?;
    Ok(found)
}

fn refused(primary: &str, standbys: &[&str], reason: &str) {
    let error = ask(primary, standbys).err().map(|error| format!("{error:#}"));
    let error = error.unwrap_or_else(|| panic!("it was taken, and should not: {reason}"));
    assert!(error.contains(reason), "{error}");
}

#[test]
fn nodes_that_do_not_belong_together_are_refused_by_name() {
    let (lab, other) = (Scratch::new(2, SyncMode::Async).unwrap(), Scratch::new(1, SyncMode::Async).unwrap());
    let of_admin = |lab: &Scratch| ClusterFile::read(&lab.cluster).unwrap().roles.admin;
    let [passfile, of_other] = [&lab, &other].map(|lab| passfile_for_any_address(&of_admin(lab)).unwrap());
    let (nodes, others) = (conninfos(&lab, passfile.path()), conninfos(&other, of_other.path()));
    let [one, two, three] = &nodes[..] else { panic!("{nodes:?}") };
    let found = ask(one, &[two, three]).unwrap();
    assert_eq!((found.primary.0.name.as_str(), found.standbys.len(), found.unreachable.len()), ("primary", 2, 0));

    refused(one, &[one], "primary and standby1 lead to the same server");
    refused(one, &[two, two], "standby1 and standby2 lead to the same server");
    // By another name of the same address, too.
    let alias = two.replace("127.0.0.1", "localhost");
    refused(one, &[two, &alias], "standby1 and standby2 lead to the same server");
    refused(two, &[one], "--primary leads to a standby");
    refused(two, &[three], "no node is out of recovery");
    refused(one, &[&others[1]], "its system_identifier is");
    refused(one, &[&others[0]], "which of them is the primary?");
    // One that does not answer is no reason to refuse: it is named.
    let found = ask(one, &[two, "host=127.0.0.1 port=1 user=nobody dbname=none"]).unwrap();
    assert_eq!(found.unreachable[0].0.name, "standby2");
}

/// A database's owner says where names are looked for, and may have functions and operators of his own there.
#[test]
fn functions_in_the_place_of_the_systems_are_not_called() {
    let lab = Scratch::new(1, SyncMode::Async).unwrap();
    let cluster = Cluster::from_file(ClusterFile::read(&lab.cluster).unwrap());
    let found = topology::ask(&cluster, LoginKind::Admin, "test").unwrap();
    let own = "CREATE FUNCTION public.pg_is_in_recovery() RETURNS boolean LANGUAGE plpgsql AS
               'BEGIN RAISE EXCEPTION ''called as %'', current_user; END';
        CREATE FUNCTION public.same(text, text) RETURNS boolean LANGUAGE plpgsql AS
               'BEGIN RAISE EXCEPTION ''called as %'', current_user; END';
        CREATE OPERATOR public.= (LEFTARG = text, RIGHTARG = text, FUNCTION = public.same);
        ALTER DATABASE understudy SET search_path = public, pg_catalog";
    found.primary.1.script(own).unwrap();
    let again = topology::ask(&cluster, LoginKind::Admin, "test").unwrap();
    assert_eq!((again.primary.0.name.as_str(), again.standbys.len()), ("node1", 1));
    let session = &again.primary.1;
    assert_eq!(session.value::<String>("SELECT current_setting('search_path')", &[]).unwrap(), "pg_catalog");
    // What the caller's own options say holds: and then they are called.
    let info =
        cluster.info(&again.primary.0, LoginKind::Admin).unwrap().with_setting("search_path", "public,pg_catalog");
    let theirs = Session::open("node1", &info, "test").unwrap();
    let said = format!("{:#}", topology::is_primary(&theirs).unwrap_err());
    assert!(said.contains("called as understudy_admin"), "{said}");
}
