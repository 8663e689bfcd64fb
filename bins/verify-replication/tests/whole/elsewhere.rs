//! What was proven of a server counts for no other one, nor for the same one once it was promoted; and a database that was renamed is
//! not gone.

use std::io::copy;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::Child;
use std::thread::spawn;
use std::time::Duration;

use cluster::wait::until_true;
use lab::scratch::passfile_for_any_address;
use report::verdict::Verdict::Unknown;

use crate::options::on;
use crate::{Lab, SOON, said};

/// Listens, and passes the connections on to these ports, one each; what comes after goes to the last one.
fn balance(ports: Vec<u16>) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    spawn(move || {
        for (number, client) in listener.incoming().flatten().enumerate() {
            let to = ports[number.min(ports.len() - 1)];
            let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, to)) else { continue };
            for (mut from, mut to) in [(client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client)] {
                spawn(move || {
                    let _ = copy(&mut from, &mut to);
                    let _ = to.shutdown(std::net::Shutdown::Both);
                });
            }
        }
    });
    port
}

#[test]
fn connections_that_lead_to_two_servers_are_compared_with_neither() {
    let lab = Lab::new(1);
    lab.on("node1").script("CREATE TABLE t AS SELECT generate_series(1, 100) AS id").unwrap();
    lab.catch_up("node2");
    let port = |node: &str| lab.file.node.iter().find(|section| section.name == node).unwrap().port;
    let passfile = passfile_for_any_address(&lab.file.roles.monitor).unwrap();
    let (user, path) = (&lab.file.roles.monitor.user, passfile.path().display());
    let at = |port| format!("host=127.0.0.1 port={port} user={user} dbname=understudy passfile={path}");
    let (here, there) = (port("node1"), port("node2"));
    for (primary, standby) in [
        (here, balance(vec![there, there, here])),
        (here, balance(vec![there, there, here, here, there, there])),
        (balance(vec![here, here, there]), there),
    ] {
        let args = ["--primary", &at(primary), "--standby", &at(standby), "--table", "t"];
        let said = said(&lab.command(&args).output().unwrap());
        assert_eq!(said.code, Some(2), "{:#?} {}", said.rows, said.stderr);
        assert!(said.stderr.contains("lead to the same server"), "{}", said.stderr);
    }
    let args = ["--primary", &at(balance(vec![here])), "--standby", &at(balance(vec![there])), "--table", "t"];
    let one_each = said(&lab.command(&args).output().unwrap());
    assert_eq!(one_each.code, Some(0), "what lies between does no harm by itself: {}", one_each.stderr);
}

/// Waits until the program reads a table of the primary.
fn until_it_reads(lab: &Lab) {
    let sql = "SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = 'verify-replication' AND query LIKE '%big%'";
    until_true("the table to be read", SOON, Duration::from_millis(20), || lab.on("node1").value(sql, &[])).unwrap();
}

/// Begins to compare a table that takes some seconds.
fn begin(lab: &Lab, args: &[&str]) -> Child {
    lab.on("node1").script("CREATE TABLE big AS SELECT generate_series(1, 30000) AS id").unwrap();
    lab.catch_up("node2");
    let cluster = lab.lab.cluster.display().to_string();
    let slowly = ["--cluster", &cluster, "--max-rows-per-s", "10000", "--chunk-blocks", "8", "--jobs", "1"];
    let child = lab.command(&[&slowly, args].concat()).spawn().unwrap();
    until_it_reads(lab);
    child
}

#[test]
fn a_standby_that_is_promoted_meanwhile_follows_nobody() {
    let lab = Lab::new(1);
    let child = begin(&lab, &["--table", "big", "--indexes", "none"]);
    let standby = lab.on("node2");
    assert!(standby.value::<bool>("SELECT pg_promote()", &[]).unwrap());
    standby.script("UPDATE big SET id = 0 WHERE id = 1").unwrap();
    let said = said(&child.wait_with_output().unwrap());
    assert_eq!(said.code, Some(2), "{:#?} {}", said.rows, said.stderr);
    assert!(said.stderr.contains("no longer a standby"), "{}", said.stderr);
}

#[test]
fn a_database_that_is_renamed_meanwhile_is_unknown_and_one_that_is_dropped_is_left_out() {
    let lab = Lab::new(1);
    lab.on("node1").script("CREATE DATABASE dropped").unwrap();
    lab.on("node1").script("CREATE DATABASE second").unwrap();
    on(&lab, "node1", "second").script("CREATE TABLE here (id int)").unwrap();
    let child = begin(&lab, &["--all-databases", "--indexes", "none"]);
    lab.on("node1").script("ALTER DATABASE second RENAME TO third").unwrap();
    lab.on("node1").script("DROP DATABASE dropped").unwrap();
    let said = said(&child.wait_with_output().unwrap());
    let of_second: Vec<_> = said.rows.iter().filter(|row| row.database.as_deref() == Some("second")).collect();
    assert_eq!((said.code, of_second.len(), of_second[0].verdict), (Some(2), 1, Unknown), "{}", said.stderr);
    assert!(said.stderr.contains("database second was not compared: it is called third by now"), "{}", said.stderr);
    assert!(said.stderr.contains("database dropped (dropped meanwhile)"), "{}", said.stderr);
    assert!(said.rows.iter().all(|row| row.database.as_deref() != Some("dropped")), "{:#?}", said.rows);
}
