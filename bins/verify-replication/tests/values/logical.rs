//! Copies as they are made in life: by logical replication, and by a dump.

use std::process::{Command, Stdio};
use std::time::Duration;

use cluster::file::LoginKind;
use lab::binaries::{Asked, Binaries};
use report::verdict::Verdict::{Broken, Held};

use crate::{Copies, DATABASE, SOON};

/// Types and tables of both sides; the columns of the first table come in an order of each side's own.
fn tables(columns: &str) -> String {
    format!(
        "CREATE TYPE mood AS ENUM ('glad', 'sad'); CREATE TYPE pair AS (a numeric, b text); CREATE DOMAIN amount AS numeric CHECK (VALUE > 0);
         CREATE TABLE many ({columns});
         CREATE TABLE dups (a int, b text);"
    )
}

const COLUMNS: [&str; 12] = [
    "id int PRIMARY KEY",
    "m mood",
    "p pair",
    "d amount",
    "ms mood[]",
    "j jsonb",
    "n numeric",
    "i interval",
    "f float8",
    "r numrange",
    "t timestamptz",
    "w text",
];

const FILL: &str = "
    INSERT INTO many (id, m, p, d, ms, j, n, i, f, r, t, w)
    SELECT i, CASE WHEN i % 2 = 0 THEN 'glad' ELSE 'sad' END::mood, ROW(i, 'x \"' || i)::pair, i + 0.50, ARRAY['glad', NULL]::mood[],
           jsonb_build_object('a', i, 'b', 1.0), i / 3.0, make_interval(days => i), CASE WHEN i % 9 = 0 THEN 'NaN' ELSE i / 3.0 END,
           numrange(i, i + 1.50), '2026-01-01'::timestamptz + make_interval(secs => i), repeat('w', i)
      FROM generate_series(1, 2000) AS i;
    INSERT INTO dups SELECT i % 7, 'x' FROM generate_series(1, 700) AS i;";

#[test]
fn a_subscriber_of_logical_replication_is_held_until_something_differs() {
    let copies = Copies::new();
    let mut turned = COLUMNS;
    turned.reverse();
    copies.primary.script(&(tables(&COLUMNS.join(", ")) + FILL)).unwrap();
    copies.copy.script(&tables(&turned.join(", "))).unwrap();
    let sequence = "CREATE SEQUENCE numbers";
    copies.both(sequence);
    copies.primary.script("CREATE PUBLICATION all_of_it FOR TABLE many, dups").unwrap();
    let info = copies.info("node1", LoginKind::Admin);
    let password = info.password.as_ref().unwrap().reveal();
    let reach =
        format!("host={} port={} dbname={DATABASE} user={} password={password}", info.host, info.port, info.user);
    copies.copy.script(&format!("CREATE SUBSCRIPTION here CONNECTION '{reach}' PUBLICATION all_of_it")).unwrap();
    cluster::wait::until_true("the tables to be copied", SOON, Duration::from_millis(20), || {
        copies.copy.value::<bool>("SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel", &[])
    })
    .unwrap();
    copies.primary.script("UPDATE many SET n = n + 1 WHERE id % 5 = 0; DELETE FROM many WHERE id % 11 = 0; INSERT INTO dups VALUES (1, 'x')").unwrap();
    cluster::wait::until_true("the changes to arrive", SOON, Duration::from_millis(20), || {
        let sql = "SELECT bool_and(confirmed_flush_lsn >= pg_current_wal_lsn()) FROM pg_replication_slots WHERE slot_type = 'logical'";
        copies.primary.value::<bool>(sql, &[])
    })
    .unwrap();
    let said = copies.verify(&[]);
    assert_eq!(said.code, Some(0), "{:#?} {}", said.rows, said.stderr);
    let rows: i64 = copies.primary.value("SELECT count(*) FROM many", &[]).unwrap();
    assert_eq!((said.row("public.many").rows_standby, rows), (Some(rows.unsigned_abs()), 1_819), "{}", said.stderr);
    assert_eq!(said.row("public.dups").rows_standby, Some(701));
    assert_eq!(said.row("public.many").rechecked, 0, "types of users have other oids there, and the same bytes");

    copies.primary.script("SELECT nextval('numbers') FROM generate_series(1, 9)").unwrap();
    let said = copies.verify(&[]);
    assert_eq!((said.code, said.row("sequence public.numbers").verdict), (Some(1), Broken), "{}", said.stderr);
    assert!(said.stderr.contains("Logical replication does not carry sequences"), "{}", said.stderr);
    copies.copy.script("UPDATE many SET m = 'glad' WHERE id = 7; INSERT INTO dups VALUES (2, 'x')").unwrap();
    let said = copies.verify(&["--table", "many", "--table", "dups"]);
    assert_eq!((said.counts("public.many"), said.counts("public.dups")), ([0, 0, 1], [0, 1, 0]), "{}", said.stderr);
    copies.copy.script("DROP SUBSCRIPTION here").unwrap();
}

#[test]
fn a_dump_that_was_restored_is_held_with_its_sequences_and_large_objects() {
    let copies = Copies::new();
    copies.primary.script(&(tables(&COLUMNS.join(", ")) + FILL)).unwrap();
    copies.primary.script(
        "CREATE SEQUENCE numbers; SELECT nextval('numbers') FROM generate_series(1, 9); CREATE SEQUENCE untouched;
         CREATE TABLE part (id int PRIMARY KEY) PARTITION BY HASH (id); CREATE TABLE none ();
         CREATE TABLE part_0 PARTITION OF part FOR VALUES WITH (MODULUS 2, REMAINDER 0);
         CREATE TABLE part_1 PARTITION OF part FOR VALUES WITH (MODULUS 2, REMAINDER 1);
         INSERT INTO part SELECT generate_series(1, 100); INSERT INTO none SELECT FROM generate_series(1, 3);
         CREATE MATERIALIZED VIEW seen AS SELECT a, count(*) FROM dups GROUP BY a; SELECT lo_from_bytea(4711, convert_to(repeat('lo', 9000), 'UTF8'))",
    ).unwrap();
    let binaries = Binaries::find(&Asked::default()).unwrap();
    let command = |tool: &str, node: &str| {
        let info = copies.info(node, LoginKind::Admin);
        let mut command = Command::new(binaries.path(tool));
        command.env("PGPASSWORD", info.password.as_ref().unwrap().reveal());
        command.args(["-h", &info.host, "-p", &info.port.to_string(), "-U", &info.user, "-d", DATABASE]);
        command
    };
    let mut dump = command("pg_dump", "node1");
    let mut dump = dump.env_remove("PGOPTIONS").stdout(Stdio::piped()).spawn().unwrap();
    let restored = command("psql", "node2")
        .args(["-X", "-q", "-v", "ON_ERROR_STOP=1"])
        .stdin(dump.stdout.take().unwrap())
        .stdout(Stdio::null())
        .status();
    assert!(restored.unwrap().success() && dump.wait().unwrap().success());
    let said = copies.verify(&[]);
    assert_eq!(said.code, Some(0), "{:#?} {}", said.rows, said.stderr);
    assert!(said.rows.iter().all(|row| (row.verdict, row.rechecked) == (Held, 0)), "{:#?}", said.rows);
    for (table, rows) in
        [("public.many", 2_000), ("public.part", 100), ("public.none", 3), ("public.seen", 7), ("large objects", 9)]
    {
        assert_eq!(said.row(table).rows_standby, Some(rows), "{table}");
    }
    copies.copy.script("SELECT lo_put(4711, 5000, 'X')").unwrap();
    let (said, rows) = copies.diff(&[]);
    assert_eq!((said.code, said.counts("large objects")), (Some(1), [0, 0, 1]), "{}", said.stderr);
    assert_eq!((rows.len(), rows[0].key.as_str(), rows[0].columns.as_deref()), (1, "(4711,2)", Some("data")));
}
