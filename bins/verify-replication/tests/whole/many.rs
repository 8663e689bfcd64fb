//! Many small tables: what is asked of each is not to grow with their number.

use cluster::session::Session;
use cluster::wait::until_true;
use report::verdict::Verdict::Held;

use crate::waits::make_tables;
use crate::{Lab, SOON};

/// How often a node has read long catalogs from their first row to their last.
fn read_in_full(session: &Session) -> i64 {
    let sql = "SELECT sum(seq_scan)::int8 FROM pg_stat_sys_tables
                WHERE relname IN ('pg_depend', 'pg_class', 'pg_attribute', 'pg_index')";
    session.value(sql, &[]).unwrap()
}

/// Each of them once would take four thousand tables minutes.
#[test]
fn no_catalog_is_read_in_full_for_each_of_many_small_tables() {
    const TABLES: u32 = 100;
    let lab = Lab::new(1);
    make_tables(&lab, TABLES);
    let names: Vec<String> = (1..=TABLES).map(|n| format!("t{n}")).collect();
    let tables: Vec<&str> = names.iter().flat_map(|name| ["--table", name]).collect();
    let standby = lab.on("node2"); // the primary is asked to resolve each name, too
    let before = read_in_full(&standby);
    let said = lab.verify(&tables);
    assert_eq!((said.code, said.of("node2").0), (Some(0), Held), "{}", said.stderr);
    until_true(
        "its sessions to end, which write what they counted",
        SOON,
        std::time::Duration::from_millis(20),
        || {
            let sql = "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'verify-replication')";
            standby.value(sql, &[])
        },
    )
    .unwrap();
    let times = read_in_full(&standby) - before;
    assert!(times < i64::from(TABLES / 2), "{times} times");
}
