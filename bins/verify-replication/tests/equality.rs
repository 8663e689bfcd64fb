//! Against a real pair: what differs in its bytes is found, whatever a type's own equality says; what has other places
//! and the same bytes is equal; what is rewritten or renamed meanwhile is no difference.

#![allow(clippy::unwrap_used, reason = "the helpers of a test may panic as well as the test")]

#[path = "common/optional.rs"]
mod optional;
#[path = "common/page.rs"]
mod page;
#[path = "common/pair.rs"]
mod pair;

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use report::verdict::Verdict::{Broken, Held};
use report::verify::VerifyRow;

use crate::optional::has;
use crate::page::edit_unseen;
use crate::pair::{Pair, session};

/// Type, and two values of it that a hash made for joins, or a type's own equality, does not or might not tell apart.
const KINDS: &[(&str, &str, &str)] = &[
    ("int", "NULL", "0"),
    ("bool", "NULL", "false"),
    ("text", "NULL", "''"),
    ("float8", "NULL", "0"),
    ("float8", "'0'", "'-0'"),
    ("float4", "'0'", "'-0'"),
    ("numeric", "NULL", "'NaN'"),
    ("numeric", "'Infinity'", "'-Infinity'"),
    ("numeric", "1.0", "1.00"),
    ("jsonb", "'{\"a\": 1.0}'", "'{\"a\": 1.00}'"),
    ("json", "'{\"a\":1}'", "'{\"a\": 1}'"),
    ("numrange", "'[1.0,2)'", "'[1.00,2)'"),
    ("nummultirange", "'{[1.0,2)}'", "'{[1.00,2)}'"),
    ("int[]", "'{1,NULL}'", "'{1,0}'"),
    ("int[]", "'{1,2,3,4}'", "'{{1,2},{3,4}}'"),
    ("int[]", "'{1,2}'", "'[0:1]={1,2}'"),
    ("numeric[]", "'{1.0}'", "'{1.00}'"),
    ("interval", "'1 mon'", "'30 days'"),
    ("timetz", "'12:00+00'", "'13:00+01'"),
    ("bpchar", "'a'", "'a '"),
    ("point", "'(0,0)'", "'(-0,0)'"),
    ("varbit", "'0'", "'00'"),
    ("aclitem", "makeaclitem(10, 10, 'SELECT', false)", "makeaclitem(10, 10, 'UPDATE', false)"),
    ("aclitem[]", "NULL", "'{}'"),
    ("equality.amount", "1.0", "1.00"),
    ("equality.mood", "'glad'", "'sad'"),
    ("equality.pair", "NULL", "ROW(NULL, NULL)"),
    ("equality.pair", "ROW(1.0, makeaclitem(10, 10, 'SELECT', false))", "ROW(1.0, NULL)"),
    ("equality.shrunk", "ROW(1.0, 'a')", "ROW(1.00, 'a')"),
];

/// The same for what a server may be built without: what it needs first.
const OPTIONAL: &[(&str, (&str, &str, &str))] = &[
    ("SELECT '<a/>'::xml", ("xml", "'<a/>'", "'<a />'")),
    // It is sent and printed without this.
    ("SELECT '<a/>'::xml", ("xml", "'<a/>'", "'<?xml version=\"1.0\"?><a/>'")),
    ("SELECT '<a/>'::xml", ("xml[]", "ARRAY['<a/>'::xml]", "ARRAY['<?xml version=\"1.0\"?><a/>'::xml]")),
    ("CREATE EXTENSION citext", ("citext", "'abc'", "'Abc'")),
    (
        "CREATE COLLATION equality.ignoring_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
         CREATE DOMAIN equality.caseless AS text COLLATE equality.ignoring_case",
        ("equality.caseless", "'abc'", "'Abc'"),
    ),
];

/// Types of the test's own. The second one of the composites has lost an attribute.
const TYPES: &str = "
    CREATE SCHEMA equality;
    CREATE DOMAIN equality.amount AS numeric NOT NULL;
    CREATE TYPE equality.mood AS ENUM ('glad', 'sad');
    CREATE TYPE equality.pair AS (a numeric, b aclitem);
    CREATE TYPE equality.shrunk AS (a numeric, gone int, b text);
    ALTER TYPE equality.shrunk DROP ATTRIBUTE gone;";

#[test]
fn what_differs_in_its_bytes_is_found_for_every_kind_of_value() {
    let pair = Pair::new();
    pair.primary.script(TYPES).unwrap();
    let mut kinds = KINDS.to_vec();
    for (needs, kind) in OPTIONAL {
        if has(&pair.primary, needs) {
            kinds.push(*kind);
        }
    }
    let (mut make, mut change) = (String::new(), String::new());
    for (n, (kind, before, after)) in kinds.iter().enumerate() {
        // Beside it, one whose rows are written anew with the same value, and so lie elsewhere.
        for (table, after) in [(format!("kind_{n}"), after), (format!("kind_same_{n}"), before)] {
            make += &format!("CREATE TABLE {table} (id int PRIMARY KEY, gone int, v {kind}, w text);");
            make += &format!("INSERT INTO {table} VALUES (1, 1, {before}, 'w'); ALTER TABLE {table} DROP gone;");
            change += &format!("UPDATE {table} SET v = {after};");
        }
    }
    pair.primary.script(&make).unwrap();
    let (code, _, stderr) = pair.verify(&[]);
    assert_eq!(code, Some(0), "{stderr}");
    pair.leave_behind("kind\\_%", &change);
    let (_, rows, stderr) = pair.verify(&["--indexes", "none"]);
    for (n, kind) in kinds.iter().enumerate() {
        let of = |table: String| rows.iter().find(|row| row.table == table).unwrap();
        let (different, same) = (of(format!("public.kind_{n}")), of(format!("public.kind_same_{n}")));
        assert_eq!((different.verdict, different.different), (Broken, Some(1)), "{kind:?}: {stderr}");
        assert_eq!(same.verdict, Held, "{kind:?}: {stderr}");
        assert!(stderr.contains(&format!("kind_{n} on {}: different: 1\n", pair.standby)), "{kind:?}: {stderr}");
    }
}

#[test]
fn a_label_that_the_type_does_not_have_is_damage() {
    let pair = Pair::new();
    let script = "CREATE TYPE mood AS ENUM ('glad', 'sad');
        CREATE TABLE moods (id int, v mood); INSERT INTO moods VALUES (1, 'glad');
        CREATE TABLE numbers (id int, v int); INSERT INTO numbers VALUES (1, 1);";
    pair.primary.script(script).unwrap();
    pair.settle();
    let [moods, numbers] = ["moods", "numbers"].map(|table| pair.files(table).remove(0));
    pair.while_stopped(|| fs::write(&moods, fs::read(&numbers).unwrap()).unwrap()); // the same page but for the type
    let (code, rows, stderr) = pair.verify(&["--table", "moods"]);
    assert_eq!((code, rows[0].verdict, rows[0].corrupt), (Some(1), Broken, Some(1)), "{stderr}");
}

#[test]
fn values_that_two_rows_exchanged_are_found_in_a_thousand_of_a_thousand_tables() {
    let pair = Pair::new();
    let each = |statement: &str| {
        format!("DO $$ BEGIN FOR n IN 1..1000 LOOP EXECUTE format($s${statement}$s$, n, 'v' || n); END LOOP; END $$")
    };
    let create =
        each("CREATE TABLE swap_%1$s (id int, v text); INSERT INTO swap_%1$s VALUES (1, %2$L), (2, 'x' || %2$L)");
    pair.primary.script(&create).unwrap();
    let exchange = each("UPDATE swap_%1$s AS t SET v = o.v FROM swap_%1$s AS o WHERE o.id = 3 - t.id");
    pair.leave_behind("swap\\_%", &exchange);
    let (code, rows, stderr) = pair.verify(&["--quiet"]);
    let found = |row: &&VerifyRow| {
        row.table.starts_with("public.swap_") && (row.verdict, row.missing, row.extra) == (Broken, Some(2), Some(2))
    };
    assert_eq!((code, rows.iter().filter(found).count()), (Some(1), 1000), "{stderr}");
}

#[test]
fn an_honest_pair_is_never_broken_while_a_table_without_a_key_is_rewritten() {
    let pair = Pair::new();
    let script = "CREATE TABLE moved (id int, v int);
        INSERT INTO moved SELECT i, 0 FROM generate_series(1, 500) AS i;
        CREATE INDEX up ON moved (id); CREATE INDEX down ON moved (id DESC);";
    pair.primary.script(script).unwrap();
    let standby = session(&pair.file, &pair.standby);
    standby.script("ALTER SYSTEM SET recovery_min_apply_delay = '60ms'").unwrap();
    standby.script("SELECT pg_reload_conf()").unwrap();
    let stop = AtomicBool::new(false);
    let rewrites = ["CLUSTER moved USING up", "CLUSTER moved USING down", "VACUUM FULL moved"];
    let updates = ["UPDATE moved SET v = v + 1 WHERE id % 10 = 3", "UPDATE moved SET v = v + 1 WHERE id % 10 = 7"];
    let outcomes = std::thread::scope(|scope| {
        for statements in [&rewrites[..], &updates[..]] {
            let (session, stop) = (session(&pair.file, pair.primary.node()), &stop);
            scope.spawn(move || {
                for sql in statements.iter().cycle().take_while(|_| !stop.load(Ordering::Relaxed)) {
                    session.script(sql).unwrap();
                    std::thread::sleep(Duration::from_millis(20));
                }
            });
        }
        let outcomes: Vec<_> = (0..6).map(|_| pair.verify(&["--table", "moved", "--recheck-for", "3s"])).collect();
        stop.store(true, Ordering::Relaxed);
        outcomes
    });
    for (code, rows, stderr) in outcomes {
        assert_ne!(code, Some(1), "{rows:?} {stderr}");
        assert!(code == Some(0) || stderr.contains("still changing"), "{rows:?} {stderr}");
    }
    let (code, rows, stderr) = pair.verify(&["--table", "moved"]);
    assert_eq!((code, rows[0].rows_standby), (Some(0), Some(500)), "{stderr}");
}

#[test]
fn a_renamed_label_that_waits_for_a_standby_is_no_difference() {
    let pair = Pair::new();
    let script = "CREATE TYPE mood AS ENUM ('glad', 'sad'); CREATE TABLE moods (id int PRIMARY KEY, v mood);
        INSERT INTO moods SELECT i, 'glad' FROM generate_series(1, 100) AS i;";
    pair.primary.script(script).unwrap();
    pair.primary.script("ALTER SYSTEM SET synchronous_standby_names = 'ghost'").unwrap();
    pair.primary.script("SELECT pg_reload_conf()").unwrap();
    std::thread::scope(|scope| {
        let session = session(&pair.file, pair.primary.node());
        scope.spawn(move || {
            // Ended by the release below.
            let _ = session.script("SET synchronous_commit = on");
            let _ = session.script("ALTER TYPE mood RENAME VALUE 'glad' TO 'merry'");
        });
        let wait = Duration::from_secs(10);
        cluster::wait::until_true("the commit to wait", wait, Duration::from_millis(10), || {
            pair.primary.value::<bool>("SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'", &[])
        })
        .unwrap();
        let (code, rows, stderr) = pair.verify(&["--table", "moods"]);
        assert_eq!((code, rows[0].different), (Some(2), None), "{rows:?} {stderr}");
        assert!(stderr.contains("another file or other columns"), "{stderr}");
        pair.primary.script("ALTER SYSTEM RESET synchronous_standby_names").unwrap();
        pair.primary.script("SELECT pg_reload_conf()").unwrap();
    });
    let (code, _, stderr) = pair.verify(&["--table", "moods"]);
    assert_eq!(code, Some(0), "{stderr}");
}

/// A standby's index that does not know of the last quarter of the rows: of a type of an extension, too, whose equality
/// is not in `pg_catalog`.
#[test]
fn rows_that_an_index_does_not_lead_to_are_found_wherever_they_lie() {
    let pair = Pair::new();
    let mut kinds = vec![("int", "i"), ("varchar(20)", "'k' || i"), ("char(9)", "'k' || i")];
    for (extension, kind, value) in [("citext", "citext", "'K' || i"), ("ltree", "ltree", "('k.' || i)::ltree")] {
        if has(&pair.primary, &format!("CREATE EXTENSION {extension}")) {
            kinds.push((kind, value));
        }
    }
    let fill = |n: usize, value: &str, from: u32, to: u32| {
        format!("INSERT INTO led_{n} SELECT {value}, repeat('w', 100) FROM generate_series({from}, {to}) AS i;")
    };
    let (mut make, mut change) = (String::new(), String::new());
    for (n, (kind, value)) in kinds.iter().enumerate() {
        make += &format!("CREATE TABLE led_{n} (id {kind} PRIMARY KEY, w text);");
        make += &fill(n, value, 1, 15_000);
        change += &fill(n, value, 15_001, 20_000);
    }
    pair.primary.script(&make).unwrap();
    pair.primary.script("DROP EXTENSION IF EXISTS amcheck").unwrap(); // which would read them in full
    let (code, _, stderr) = pair.verify(&[]);
    assert_eq!(code, Some(0), "{stderr}");
    pair.leave_behind("led\\_%\\_pkey", &change);
    let (code, rows, stderr) = pair.verify(&["--seed", "1"]);
    assert_eq!(code, Some(1), "{stderr}");
    for (n, kind) in kinds.iter().enumerate() {
        let row = rows.iter().find(|row| row.table == format!("public.led_{n}")).unwrap();
        assert_eq!((row.verdict, row.rows_standby), (Broken, Some(20_000)), "{kind:?}: {stderr}");
        let found = row.index_faults.unwrap(); // a quarter of a hundred, more or less
        assert!((8..=45).contains(&found), "{found} of {kind:?}: {stderr}");
    }
}

/// Changes the first place of these bytes in a page, under a checksum that is right.
fn replace(page: &mut [u8], from: &[u8], to: &[u8]) {
    let at = page.windows(from.len()).position(|bytes| bytes == from).unwrap();
    page[at..at + to.len()].copy_from_slice(to);
}

/// What a server does not send of a value, and goes by all the same.
#[test]
fn the_byte_of_a_bool_and_the_box_of_a_polygon_are_compared() {
    let pair = Pair::new();
    let script = "CREATE DOMAIN sure AS bool;
        CREATE TABLE flags (id int, v bool); INSERT INTO flags SELECT i, true FROM generate_series(1, 50) AS i;
        CREATE TABLE domains (id int, v sure); INSERT INTO domains SELECT * FROM flags;
        CREATE TABLE areas (id int, v polygon);
        INSERT INTO areas SELECT i, polygon(box(point(0, 0), point(i + 0.5, 1))) FROM generate_series(1, 50) AS i;
        CREATE TABLE sound (id int, v bool, w polygon, x sure); INSERT INTO sound VALUES (1, NULL, NULL, NULL), (2, true, '(1,1)', false);";
    pair.primary.script(script).unwrap();
    pair.settle();
    let (code, _, stderr) = pair.verify(&[]);
    assert_eq!(code, Some(0), "{stderr}");
    let files = ["flags", "domains", "areas"].map(|table| pair.files(table).remove(0));
    pair.while_stopped(|| {
        // The column behind the id of row 7.
        for file in &files[..2] {
            edit_unseen(file, 0, |page| replace(page, &[7, 0, 0, 0, 1], &[7, 0, 0, 0, 3]));
        }
        // The box comes before the points.
        edit_unseen(&files[2], 0, |page| replace(page, &7.5_f64.to_le_bytes(), &9007.5_f64.to_le_bytes()));
    });
    let standby = session(&pair.file, &pair.standby);
    let hashes: i64 = standby.value("SELECT count(DISTINCT hash_record(ROW(v))) FROM flags", &[]).unwrap();
    let by_byte = hashes > 1; // from PostgreSQL 18 on it makes no difference
    let boxes: i64 = standby.value("SELECT count(*) FROM areas WHERE box(v)::text LIKE '%9007.5%'", &[]).unwrap();
    assert_eq!(boxes, 1, "this is what a query is told there");
    let (code, rows, stderr) = pair.verify(&[]);
    assert_eq!(code, Some(1), "{stderr}");
    for (table, differs) in [("flags", by_byte), ("domains", by_byte), ("areas", true), ("sound", false)] {
        let row = rows.iter().find(|row| row.table == format!("public.{table}")).unwrap();
        let expected = if differs { (Broken, Some(1)) } else { (Held, Some(0)) };
        assert_eq!((row.verdict, row.different), expected, "{table}: {stderr}");
    }
}
