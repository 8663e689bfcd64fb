//! How a load begins, and what it does not begin on.

use std::time::{Duration, Instant};

use lab::conf::SyncMode;
use lab::pooler::{Options, Pooled};
use report::ledger::Event;

use crate::support::{PRIMARY, Pair, STANDBY, output_of, wait_for, write_load};

/// Ends at once with exit code 2, and says why.
fn refused(pair: &Pair, run: &str, words: &[&str]) {
    let begun = Instant::now();
    let child = pair.command().env("UNDERSTUDY_RUN", run).args(["--rate", "100", "--duration", "1s"]).spawn().unwrap();
    let output = output_of(child);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(words.iter().all(|word| stderr.contains(word)), "{words:?}: {stderr}");
    assert!(begun.elapsed() < Duration::from_secs(15), "it took {:?} to say so", begun.elapsed());
}

#[test]
fn what_cannot_heal_is_said_at_once_with_the_node_and_the_servers_words() {
    let pair = Pair::new(SyncMode::Async);
    let admin = pair.admin(PRIMARY);
    admin.script("ALTER TABLE understudy.ledger RENAME TO elsewhere").unwrap();
    refused(&pair, "no-table", &["node1", "understudy.ledger", "42P01"]);
    admin.script("ALTER TABLE understudy.elsewhere RENAME TO ledger").unwrap();
    admin.script("ALTER ROLE understudy_app NOLOGIN").unwrap();
    refused(&pair, "no-login", &["node1", "28000"]);
}

#[test]
fn a_pooler_is_refused_and_nothing_is_left_there() {
    let pair = Pair::new(SyncMode::Async);
    for options in Options::ALL {
        let pooled = Pooled::lab(&pair.file, &pair.file.roles.application, options).unwrap();
        let output = write_load().args(&pooled.args).args(["--rate", "100", "--duration", "1s"]).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), pooled.left().unwrap()), (Some(2), vec![]), "{options:?}: {stderr}");
        assert!(stderr.contains("connection pooler"), "{options:?}: {stderr}");
    }
}

#[test]
fn a_run_has_one_load() {
    let pair = Pair::new(SyncMode::Async);
    let once = || pair.command().env("UNDERSTUDY_RUN", "once").args(["--rate", "50", "--duration", "500ms"]).output();
    assert_eq!(once().unwrap().status.code(), Some(0));
    refused(&pair, "once", &["once", "UNDERSTUDY_RUN"]);
}

#[test]
fn two_primaries_are_refused_by_name() {
    let pair = Pair::new(SyncMode::Async);
    let standby = pair.admin(STANDBY);
    standby.script("SELECT pg_promote(true, 60)").unwrap();
    refused(&pair, "two", &[PRIMARY, STANDBY, "which of them"]);
}

/// Some managers promote a node and keep it read-only for a while: nothing is written to it, and so nothing fails.
#[test]
fn a_read_only_primary_is_waited_for() {
    let pair = Pair::new(SyncMode::Async);
    let admin = pair.admin(PRIMARY);
    let read_only = |on: &str| {
        admin.script(&format!("ALTER SYSTEM SET default_transaction_read_only = {on}")).unwrap();
        admin.script("SELECT pg_reload_conf()").unwrap();
        wait_for("the setting", || {
            pair.admin(PRIMARY).value::<String>("SHOW default_transaction_read_only", &[]).unwrap() == on
        });
    };
    read_only("on");
    let mut load = pair.load(&["--rate", "100", "--clients", "2"]);
    let begun = Instant::now();
    wait_for("a second of waiting", || begun.elapsed() > Duration::from_secs(1));
    assert!(load.ledger.exists() && load.count(Event::Sent) == 0, "nothing was sent to a node that takes no writes");
    admin.script("ALTER SYSTEM RESET default_transaction_read_only").unwrap();
    admin.script("SELECT pg_reload_conf()").unwrap();
    load.wait(Event::Acked, 20);
    assert_eq!(load.count(Event::Failed), 0);
}

#[test]
fn a_thousand_clients_start_and_write_within_half_a_minute() {
    let pair = Pair::with(SyncMode::Async, &[("max_connections", "1100")]);
    let begun = Instant::now();
    let mut load = pair.load(&["--rate", "2000", "--clients", "1000"]);
    load.wait(Event::Acked, 100);
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    assert_eq!((load.count(Event::Connected), load.count(Event::ConnectFailed)), (1000, 0));
    eprintln!("1000 clients wrote after {:?}", begun.elapsed());
}
