//! What is asked for beyond the usual, and what is said to whoever has to help.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use cluster::args::Cluster;
use cluster::file::LoginKind;
use cluster::session::Session;
use report::verdict::Verdict::{Broken, Held, Unknown};

use crate::{Lab, Said};

/// An administrator's session in another database.
pub(crate) fn on(lab: &Lab, node: &str, database: &str) -> Session {
    let cluster = Cluster::from_file(lab.file.clone()).in_database(database);
    Session::open(
        node,
        &cluster.info(cluster.node(node).unwrap(), LoginKind::Admin).unwrap().with_setting("search_path", "public"),
        "test",
    )
    .unwrap()
}

fn warnings(said: &Said) -> Vec<&str> {
    said.stderr.lines().filter(|line| line.starts_with("warning")).collect()
}

/// Every row is counted, also those that are read again.
#[test]
fn no_more_rows_per_second_are_read_than_was_asked_for() {
    let lab = Lab::new(1);
    lab.on("node1").script("CREATE TABLE t AS SELECT generate_series(1, 20000) AS i").unwrap();
    let begun = Instant::now();
    let fast = lab.verify(&["--table", "t"]);
    let unbounded = begun.elapsed();
    let begun = Instant::now();
    let slow = lab.verify(&["--table", "t", "--max-rows-per-s", "5000"]);
    let took = begun.elapsed();
    for said in [&fast, &slow] {
        assert_eq!((said.code, said.of("node2").0), (Some(0), Held), "{}", said.stderr);
        assert_eq!(said.row("public.t", "node2").rows_standby, Some(20_000), "{}", said.stderr);
    }
    // The last chunk of each session need not be waited for.
    assert!(took >= Duration::from_secs(3), "{took:?}, and {unbounded:?} without a bound");
    assert!(took < Duration::from_secs(15), "{took:?}");
}

#[test]
fn all_databases_are_compared_and_one_that_lets_nobody_in_is_unknown() {
    let lab = Lab::new(1);
    let primary = lab.on("node1");
    primary.script("CREATE DATABASE second").unwrap();
    let make = "CREATE TABLE here (id int PRIMARY KEY, v text); INSERT INTO here SELECT i, 'v' FROM generate_series(1, 9) AS i";
    on(&lab, "node1", "second").script(make).unwrap();
    let said = lab.verify(&["--all-databases"]);
    assert_eq!((said.code, said.of("node2").0), (Some(0), Held), "{}", said.stderr);
    let databases: BTreeSet<&str> = said.rows.iter().filter_map(|row| row.database.as_deref()).collect();
    assert_eq!(databases, BTreeSet::from(["postgres", "second", "template1", "understudy"]));
    assert_eq!(said.row("public.here", "node2").database.as_deref(), Some("second"));
    for words in ["database second:", "database template1:", "template0 (it allows no connections)"] {
        assert!(said.stderr.contains(words), "{words}: {}", said.stderr);
    }
    assert!(!said.stderr.contains("other databases"), "{}", said.stderr);
    // What all have in common is compared once.
    let catalogs = |database: &str| {
        let of =
            |row: &&report::verify::VerifyRow| row.table == "catalogs" && row.database.as_deref() == Some(database);
        said.rows.iter().find(of).unwrap().rows_primary.unwrap()
    };
    assert!(catalogs("postgres") < catalogs("understudy"), "{:#?}", said.rows);

    primary.script("CREATE DATABASE closed; ").unwrap();
    primary.script("REVOKE CONNECT ON DATABASE closed FROM PUBLIC").unwrap();
    let said = lab.verify(&["--all-databases"]);
    let closed: Vec<_> = said.rows.iter().filter(|row| row.database.as_deref() == Some("closed")).collect();
    assert_eq!((said.code, closed.len(), closed[0].verdict), (Some(2), 1, Unknown), "{}", said.stderr);
    assert!(said.stderr.contains("database closed was not compared: this role may not CONNECT"), "{}", said.stderr);

    lab.promote("node2");
    on(&lab, "node2", "second").script("UPDATE here SET v = 'w' WHERE id = 7").unwrap();
    let said = lab.verify(&["--all-databases", "--at-rest"]);
    assert_eq!((said.code, said.row("public.here", "node2").different), (Some(1), Some(1)), "{}", said.stderr);

    let refused = lab.verify(&["--all-databases", "--table", "here"]);
    assert_eq!((refused.code, refused.rows.len()), (Some(2), 0), "{}", refused.stderr);
}

#[test]
fn what_to_grant_is_said_once() {
    let lab = Lab::new(1);
    let primary = lab.on("node1");
    let make = "DO $$ BEGIN FOR i IN 1..8 LOOP EXECUTE format('CREATE TABLE hidden%s (id int)', i);
        EXECUTE format('CREATE TABLE secured%s (id int)', i);
        EXECUTE format('ALTER TABLE secured%s ENABLE ROW LEVEL SECURITY', i); END LOOP; END $$";
    primary.script(make).unwrap();
    let said = lab.verify(&[]);
    assert_eq!((said.code, said.row("public.hidden1", "node2").verdict), (Some(2), Held), "{}", said.stderr);
    assert_eq!(said.row("public.secured8", "node2").verdict, Unknown, "{}", said.stderr);
    assert_eq!(warnings(&said).len(), 1, "{}", said.stderr);
    for words in ["public.secured5 and 3 more on node2: ", "ALTER ROLE \"understudy_monitor\" BYPASSRLS"] {
        assert!(warnings(&said)[0].contains(words), "{words}: {}", said.stderr);
    }
    let all: Vec<String> = (1..=8).map(|i| format!("public.secured{i}")).collect();
    let left_out = format!("\n  not to an end: {}\n", all.join(", "));
    assert!(
        said.stderr.contains(&left_out),
        "the warning names five, and the statement at the end all: {}",
        said.stderr
    );

    primary.script("REVOKE pg_read_all_data FROM understudy_monitor; DROP TABLE secured1").unwrap();
    let said = lab.verify(&[]);
    assert_eq!((said.code, said.row("public.hidden1", "node2").verdict), (Some(2), Unknown), "{}", said.stderr);
    assert_eq!(warnings(&said).len(), 1, "tables and sequences alike: {}", said.stderr);
    let grant = "the role \"understudy_monitor\" may not read it: GRANT pg_read_all_data TO \"understudy_monitor\"";
    assert!(warnings(&said)[0].contains(grant), "{}", said.stderr);
    primary.script("GRANT pg_read_all_data TO understudy_monitor").unwrap();
    primary.script("ALTER ROLE understudy_monitor BYPASSRLS").unwrap();
    let said = lab.verify(&[]);
    assert_eq!((said.code, said.of("node2").0), (Some(0), Held), "what was said is what helps: {}", said.stderr);
}

/// Nobody writes: it is no matter of time.
#[test]
fn at_rest_a_table_that_is_gone_or_another_one_is_broken() {
    let lab = Lab::new(1);
    let make = "DO $$ BEGIN FOR i IN 1..6 LOOP EXECUTE format('CREATE TABLE t%s (id int PRIMARY KEY, v text)', i);
        EXECUTE format('INSERT INTO t%s SELECT i, i FROM generate_series(1, 30) AS i', i); END LOOP; END $$";
    lab.on("node1").script(make).unwrap();
    let copy = lab.promote("node2");
    let change = "DROP TABLE t1; ALTER TABLE t2 RENAME TO other; ALTER TABLE t3 ALTER v TYPE varchar(9), ADD w int;
        DROP TABLE t4; CREATE TABLE t4 (id int PRIMARY KEY, v text)";
    copy.script(change).unwrap();
    for (table, missing, words) in [
        ("t1", Some(30), "it is not there"),
        ("t2", None, "it is called public.other there"),
        ("t3", None, "it has other columns there (only there: w; of another type: v)"),
        ("t4", None, "dropped and made again"),
    ] {
        let said = lab.verify(&["--at-rest", "--table", table]);
        let row = said.row(&format!("public.{table}"), "node2");
        assert_eq!((said.code, row.verdict, row.missing), (Some(1), Broken, missing), "{table}: {}", said.stderr);
        assert!(said.stderr.contains(words) && warnings(&said).len() == 1, "{table}: {}", said.stderr);
    }
    let said = lab.verify(&["--at-rest", "--table", "t5", "--table", "t6"]);
    assert_eq!((said.code, said.of("node2").0), (Some(0), Held), "{}", said.stderr);
}

/// Its owner may set them for all who come, and a role for itself.
#[test]
fn what_a_database_has_set_for_its_sessions_changes_nothing() {
    let lab = Lab::new(1);
    let primary = lab.on("node1");
    let make = "CREATE TABLE t (id int PRIMARY KEY, v text, d tsvector);
        INSERT INTO t SELECT i, 'a' || i, to_tsvector('simple', 'a b' || i) FROM generate_series(1, 500) AS i;
        CREATE INDEX t_v ON t (v); CREATE INDEX t_d ON t USING gin (d);";
    primary.script(make).unwrap();
    for setting in [
        "default_transaction_isolation = 'serializable'",
        "standard_conforming_strings = off",
        "quote_all_identifiers = on",
        "enable_tidscan = off",
        "enable_nestloop = off",
        "transform_null_equals = on",
    ] {
        primary.script(&format!("ALTER DATABASE understudy SET {setting}")).unwrap();
    }
    lab.catch_up("node2");
    for how in ["sample", "all"] {
        let said = lab.verify(&["--table", "t", "--indexes", how]);
        assert_eq!((said.code, said.row("public.t", "node2").indexes), (Some(0), Some(3)), "{how}: {}", said.stderr);
        assert!(!said.stderr.contains("indexes not read"), "{how}: {}", said.stderr);
    }
}

/// A name may hold a line end, and what comes after it would pass for a line of ours.
#[test]
fn names_of_others_show_no_line_that_passes_for_ours() {
    let lab = Lab::new(1);
    let primary = lab.on("node1");
    primary.script("CREATE DATABASE \"d\nverdict   held\"").unwrap();
    primary
        .script("CREATE TABLE t (k text PRIMARY KEY, v int); INSERT INTO t VALUES (E'k\\nverdict   held', 1)")
        .unwrap();
    lab.promote("node2").script("UPDATE t SET v = 2").unwrap();
    let said = lab.verify_pair("node1", "node2", &["--at-rest"]);
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    // Of a name as in a statement, as of tables.
    assert!(said.stderr.contains("k\\nverdict") && said.stderr.contains("d\\000Averdict"), "{}", said.stderr);
    let verdicts: Vec<&str> = said.stderr.lines().filter(|line| line.starts_with("verdict")).collect();
    assert!(matches!(verdicts[..], [last] if last.starts_with("verdict   broken: ")), "{}", said.stderr);
}
