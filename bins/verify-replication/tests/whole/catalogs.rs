//! The catalogs are compared as tables are: what only one side has is named, and what is on its way is no difference.

use std::time::Duration;

use cluster::wait::until_true;
use report::verdict::Verdict::{Broken, Held, Unknown};
use report::verify::Descent;

use crate::{Lab, SOON, Sets};

const SCHEMA: &str = "
    CREATE TABLE kept (id int PRIMARY KEY, v text);
    INSERT INTO kept SELECT i, 'v' || i FROM generate_series(1, 500) AS i;
    CREATE TABLE padded (c char(5));
    CREATE TABLE wider (id int);
    CREATE VIEW seen AS SELECT id FROM kept;
    CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1';
    SELECT lo_from_bytea(4711, 'large');";

#[test]
fn what_a_copy_has_otherwise_is_found_and_named_at_rest() {
    let lab = Lab::new(1);
    lab.on("node1").script(SCHEMA).unwrap();
    let copy = lab.promote("node2");
    let both = lab.verify(&[]);
    assert_eq!((both.code, both.rows.len()), (Some(2), 0), "both are primaries, and that was not said to be right");
    let same = lab.verify(&["--at-rest"]);
    assert_eq!((same.code, same.of("node2")), (Some(0), (Held, Some(Descent::AtRest))), "{}", same.stderr);
    assert!(same.row("catalogs", "node2").rows_standby > Some(5_000), "{}", same.stderr);
    assert_eq!(same.row("large objects", "node2").rows_standby, Some(2), "its owner, and a page");

    // Of rows: one is missing, one is there besides, one is another.
    let rows =
        "DELETE FROM kept WHERE id = 7; INSERT INTO kept VALUES (501, 'v'); UPDATE kept SET v = 'w' WHERE id = 9";
    copy.script(rows).unwrap();
    // Sooner than anything else on the primary takes an id of a transaction: those of the copy are not among its own.
    let args = ["--at-rest", "--table", "kept", "--recheck-for", "2s", "--chunk-blocks", "1"];
    let said = lab.verify_pair("node1", "node2", &args);
    let row = said.row("public.kept", "standby1");
    let counts = (row.missing, row.extra, row.different);
    assert_eq!((said.code, counts), (Some(1), (Some(1), Some(1), Some(1))), "{}", said.stderr);
    // In another file, too, and at other places there, some of them in other chunks.
    copy.script("UPDATE kept SET v = v WHERE id % 7 = 1").unwrap();
    copy.script("VACUUM FULL kept").unwrap();
    let said = lab.verify_pair("node1", "node2", &args);
    let row = said.row("public.kept", "standby1");
    let counts = (row.missing, row.extra, row.different);
    assert_eq!((said.code, counts), (Some(1), (Some(1), Some(1), Some(1))), "{}", said.stderr);

    copy.script("ALTER TABLE wider ADD COLUMN more int").unwrap();
    let said = lab.verify(&["--at-rest", "--table", "wider"]);
    assert_eq!((said.code, said.stderr.contains("other columns")), (Some(1), true), "{}", said.stderr);

    for (change, named) in [
        ("CREATE TABLE only_there (id int)", "only on node2: table public.only_there"),
        ("ALTER TABLE kept ADD COLUMN more int", "column more of table public.kept"),
        ("CREATE OR REPLACE VIEW seen AS SELECT id + 0 AS id FROM kept", "different: rule _RETURN on view public.seen"),
        ("CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 2'", "different: function public.f()"),
        ("ALTER TABLE padded ALTER COLUMN c TYPE char(8)", "column c of table public.padded"),
        ("ALTER TABLE kept ADD CHECK (id > 0) NOT VALID", "constraint kept_id_check on table public.kept"),
    ] {
        let before = lab.verify(&["--at-rest"]);
        assert!(!before.stderr.contains(named), "{named} is named before it is so: {}", before.stderr);
        copy.script(change).unwrap();
        let said = lab.verify(&["--at-rest"]);
        assert_eq!((said.code, said.row("catalogs", "node2").verdict), (Some(1), Broken), "{change}: {}", said.stderr);
        assert!(said.stderr.contains(named), "{change}: {}", said.stderr);
    }
    copy.script("SELECT lo_put(4711, 0, 'LARGE')").unwrap();
    let said = lab.verify(&["--at-rest"]);
    let large = said.row("large objects", "node2");
    assert_eq!((large.verdict, large.different), (Broken, Some(1)), "{}", said.stderr);
}

/// DDL that waits for a standby is in its catalogs, and not yet in the primary's.
#[test]
fn ddl_that_waits_for_a_standby_is_never_a_difference() {
    let lab = Lab::new(1);
    let primary = lab.on("node1");
    // The role's name is in what the catalogs show of each table that it may read, though not in their bytes.
    let script = "CREATE SEQUENCE altered; CREATE TABLE dropped (id int); CREATE ROLE named;
        CREATE TABLE granted (id int); GRANT SELECT ON granted TO named";
    primary.script(script).unwrap();
    primary.script("ALTER SYSTEM SET synchronous_standby_names = 'ghost'").unwrap();
    primary.script("SELECT pg_reload_conf()").unwrap();
    let waiting = [
        "CREATE TABLE made (id int)",
        "DROP TABLE dropped",
        "ALTER SEQUENCE altered INCREMENT 7",
        "ALTER ROLE named RENAME TO renamed",
    ];
    std::thread::scope(|scope| {
        for sql in waiting {
            let session = lab.on("node1");
            scope.spawn(move || drop(session.script("SET synchronous_commit = on").and_then(|()| session.script(sql))));
        }
        until_true("four commits to wait", SOON, Duration::from_millis(10), || {
            primary.value("SELECT count(*) = 4 FROM pg_stat_activity WHERE wait_event = 'SyncRep'", &[])
        })
        .unwrap();
        let said = lab.verify(&["--recheck-for", "300ms"]);
        primary.script("ALTER SYSTEM RESET synchronous_standby_names").unwrap();
        primary.script("SELECT pg_reload_conf()").unwrap();
        let row = said.row("catalogs", "node2");
        let counts = (row.missing, row.extra, row.different);
        assert_eq!((row.verdict, counts), (Unknown, (Some(0), Some(0), Some(0))), "{}", said.stderr);
        assert_eq!(said.row("sequence public.altered", "node2").verdict, Unknown, "{}", said.stderr);
        assert!(said.stderr.contains("still changing after"), "{}", said.stderr);
        assert_eq!(said.code, Some(2), "{}", said.stderr);
    });
    let said = lab.verify(&[]);
    assert_eq!((said.code, said.of("node2").0), (Some(0), Held), "{}", said.stderr);
}

#[test]
fn ddl_that_goes_on_meanwhile_is_never_a_difference() {
    let lab = Lab::new(1);
    lab.on("node1").script("CREATE TABLE kept (id int)").unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let session = lab.on("node1");
        scope.spawn(|| {
            let session = session;
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                let ddl = "CREATE TABLE fleeting (id serial PRIMARY KEY, v text); CREATE TEMP TABLE own (id int);
                    ALTER TABLE kept ADD COLUMN more int DEFAULT 1; ALTER TABLE kept DROP COLUMN more;
                    DROP TABLE own; DROP TABLE fleeting; ALTER TABLE kept RENAME TO other;
                    ALTER TABLE other RENAME TO kept;";
                session.script(ddl).unwrap();
            }
        });
        let _sets = Sets(&done);
        for _ in 0..5 {
            let said = lab.verify(&["--recheck-for", "5s"]);
            let row = said.row("catalogs", "node2");
            assert_ne!(row.verdict, Broken, "{}", said.stderr);
            assert!(!said.rows.iter().any(|row| row.verdict == Broken), "{:#?} {}", said.rows, said.stderr);
        }
    });
}

/// A promoted server drops the temporary tables of its primary's sessions: nobody wrote, and the catalogs differ.
#[test]
fn temporary_tables_at_rest_are_no_difference() {
    let lab = Lab::new(1);
    let session = lab.on("node1");
    session.script("CREATE TEMP TABLE own (id int); SELECT lo_from_bytea(4711, 'large')").unwrap();
    let copy = lab.promote("node2");
    // As the autovacuum of the copy would within a minute.
    let sql = "SELECT oid::regclass::text FROM pg_class WHERE relpersistence = 't' AND relkind = 'r'";
    let name: String = copy.value(sql, &[]).unwrap();
    copy.script(&format!("DROP TABLE {name}")).unwrap();
    let said = lab.verify(&["--at-rest"]);
    assert_eq!((said.code, said.row("catalogs", "node2").verdict), (Some(2), Unknown), "{}", said.stderr);
    assert!(said.stderr.contains("temporary tables"), "{}", said.stderr);
    copy.script("SELECT lo_put(4711, 0, 'LARGE')").unwrap();
    let said = lab.verify(&["--at-rest"]);
    assert_eq!(said.row("large objects", "node2").verdict, Broken, "of these they say nothing: {}", said.stderr);
}

/// What VACUUM and ANALYZE note of what is gone, and where REINDEX puts an index, each primary has for itself.
#[test]
fn what_maintenance_writes_on_a_copy_is_no_difference() {
    let lab = Lab::new(1);
    let script = "CREATE TABLE bare (id int) WITH (autovacuum_enabled = off); INSERT INTO bare VALUES (1);
        CREATE INDEX gone ON bare (id); DROP INDEX gone;
        CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
        CREATE TRIGGER gone AFTER INSERT ON bare FOR EACH ROW EXECUTE FUNCTION f(); DROP TRIGGER gone ON bare;
        CREATE TABLE kept (id int PRIMARY KEY); INSERT INTO kept VALUES (1);";
    lab.on("node1").script(script).unwrap();
    let copy = lab.promote("node2");
    copy.script("VACUUM bare").unwrap();
    copy.script("REINDEX TABLE kept").unwrap();
    let sql = "SELECT relhasindex OR relhastriggers FROM pg_class WHERE relname = 'bare'";
    assert!(lab.on("node1").value::<bool>(sql, &[]).unwrap() && !copy.value::<bool>(sql, &[]).unwrap());
    let said = lab.verify(&["--at-rest"]);
    assert_eq!((said.code, said.row("catalogs", "node2").verdict), (Some(0), Held), "{}", said.stderr);
}

#[test]
fn what_only_a_copy_has_is_found_by_its_name_too() {
    let lab = Lab::new(1);
    lab.on("node1").script("CREATE TABLE kept (id int PRIMARY KEY)").unwrap();
    let copy = lab.promote("node2");
    copy.script("CREATE TABLE besides AS SELECT generate_series(1, 7) AS id; CREATE SEQUENCE counted").unwrap();
    let said = lab.verify(&["--at-rest", "--table", "besides", "--table", "kept", "--table", "counted"]);
    assert_eq!((said.code, said.rows.len()), (Some(1), 3), "{}", said.stderr);
    let row = said.row("public.besides", "node2");
    assert_eq!((row.verdict, row.rows_primary, row.rows_standby), (Broken, Some(0), Some(7)), "{}", said.stderr);
    assert_eq!((row.extra, row.missing), (Some(7), None), "{}", said.stderr);
    assert_eq!(said.row("sequence public.counted", "node2").verdict, Broken, "{}", said.stderr);
    assert_eq!(said.row("public.kept", "node2").verdict, Held, "{}", said.stderr);
    assert!(said.stderr.contains("public.besides on node2: it is only there"), "{}", said.stderr);
    for args in [&["--at-rest", "--table", "nowhere"][..], &["--table", "besides"]] {
        let said = lab.verify(args);
        assert_eq!((said.code, said.rows.len()), (Some(2), 0), "{}", said.stderr);
    }
}

#[test]
fn catalogs_that_cannot_be_read_for_one_reason_are_told_in_one_line() {
    let lab = Lab::new(1);
    let locking = lab.on("node1");
    locking.script("BEGIN; LOCK TABLE pg_description, pg_shdescription, pg_seclabel, pg_conversion").unwrap();
    lab.catch_up("node2");
    let said = lab.verify(&[]);
    locking.script("ROLLBACK").unwrap();
    assert_eq!((said.code, said.row("catalogs", "node2").verdict), (Some(2), Unknown), "{}", said.stderr);
    let lines: Vec<&str> = said.stderr.lines().filter(|line| line.contains("catalog pg_")).collect();
    assert_eq!(lines.len(), 1, "{}", said.stderr);
    for name in ["pg_description", "pg_shdescription", "pg_seclabel", "pg_conversion"] {
        assert!(lines[0].contains(&format!("catalog {name}")), "{}", said.stderr);
    }
}

/// Those of the primary are equal, each by itself; the partitioned table is not.
#[test]
fn partitions_that_only_a_copy_has_are_found_by_the_name_of_their_table() {
    let lab = Lab::new(1);
    let make =
        "CREATE TABLE parted (id int) PARTITION BY RANGE (id); CREATE TABLE empty (id int) PARTITION BY LIST (id);
        CREATE TABLE first PARTITION OF parted FOR VALUES FROM (0) TO (100);
        CREATE TABLE second PARTITION OF parted FOR VALUES FROM (100) TO (200);
        CREATE TABLE free (id int); INSERT INTO parted SELECT generate_series(0, 199)";
    lab.on("node1").script(make).unwrap();
    let copy = lab.promote("node2");
    let parted = ["--at-rest", "--table", "parted"];
    let said = lab.verify(&parted);
    assert_eq!((said.code, said.of("node2").0, said.rows.len()), (Some(0), Held, 2), "{}", said.stderr);

    let change = "CREATE TABLE third PARTITION OF parted FOR VALUES FROM (200) TO (300);
        INSERT INTO parted SELECT generate_series(200, 206); CREATE TABLE new PARTITION OF empty FOR VALUES IN (1)";
    copy.script(change).unwrap();
    let said = lab.verify(&[&parted[..], &["--table", "empty"]].concat());
    assert_eq!((said.code, said.rows.len()), (Some(1), 4), "{}", said.stderr);
    let third = said.row("public.third", "node2");
    assert_eq!((third.verdict, third.rows_primary, third.extra), (Broken, Some(0), Some(7)), "{}", said.stderr);
    assert_eq!(said.row("public.new", "node2").verdict, Broken, "{}", said.stderr);
    assert_eq!(said.row("public.first", "node2").verdict, Held, "{}", said.stderr);

    copy.script("DROP TABLE third; ALTER TABLE parted DETACH PARTITION first").unwrap();
    copy.script("ALTER TABLE parted ATTACH PARTITION free FOR VALUES FROM (300) TO (400)").unwrap();
    let said = lab.verify(&parted);
    assert_eq!((said.code, said.row("public.parted", "node2").verdict), (Some(1), Broken), "{}", said.stderr);
    let words = "other tables are its partitions there (only on the primary: public.first; only there: public.free)";
    assert!(said.stderr.contains(words), "{}", said.stderr);
    copy.script("ALTER TABLE parted RENAME TO called").unwrap();
    let said = lab.verify(&parted);
    assert_eq!(said.row("public.parted", "node2").verdict, Broken, "{}", said.stderr);
    assert!(said.stderr.contains("public.parted on node2: it is called public.called there\n"), "{}", said.stderr);
}
