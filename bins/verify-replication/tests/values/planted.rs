//! What was planted is found, and nothing else.

use report::diff::DiffKind;
use report::verdict::Verdict::{Broken, Held};

use crate::Copies;

/// A table with a key, one without whose rows are there twice and more often, and one that is partitioned on the primary only.
fn make(copies: &Copies) {
    let fill = "
        INSERT INTO keyed (id, v, w, x) SELECT i, i / 7.0, 'w' || i % 10, i FROM generate_series(1, 5000) AS i ORDER BY i * 37 % 5003;
        INSERT INTO dups (a, b) SELECT i % 50, 'b' || i % 50 FROM generate_series(1, 1000) AS i;
        INSERT INTO dups (a, b) SELECT NULL, NULL FROM generate_series(1, 3);
        INSERT INTO part (id, d, v) SELECT i, '2026-01-01'::date + i % 100, 'v' || i FROM generate_series(1, 1000) AS i;";
    copies
        .primary
        .script(&format!(
            "CREATE TABLE keyed (id int PRIMARY KEY, v numeric, w text, x int); CREATE TABLE dups (a int, b text);
         CREATE TABLE part (id int, d date, v text, PRIMARY KEY (id, d)) PARTITION BY RANGE (d);
         CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
         CREATE TABLE part_2 PARTITION OF part DEFAULT; {fill}"
        ))
        .unwrap();
    copies
        .copy
        .script(&format!(
        "CREATE TABLE keyed (x int, gone int, w text, id int PRIMARY KEY, v numeric); CREATE TABLE dups (b text, a int);
         CREATE TABLE part (v text, d date, id int); {fill} ALTER TABLE keyed DROP gone;
         UPDATE keyed SET x = x WHERE id % 3 = 0; CREATE INDEX ON keyed (w); CLUSTER keyed USING keyed_w_idx;
         DELETE FROM dups WHERE a = 7; INSERT INTO dups (a, b) SELECT 7, 'b7' FROM generate_series(1, 20);"
    ))
        .unwrap();
}

#[test]
fn rows_are_found_wherever_they_lie_and_counted_as_the_servers_count_them() {
    let copies = Copies::new();
    make(&copies);
    let said = copies.verify(&[]);
    assert_eq!(said.code, Some(0), "{:#?} {}", said.rows, said.stderr);
    assert_eq!(said.row("public.part").rows_primary, Some(1000), "the whole, and no partition: {:#?}", said.rows);
    assert!(said.rows.iter().all(|row| row.verdict == Held && row.table != "public.part_1"), "{:#?}", said.rows);

    copies.copy.script(
        "UPDATE keyed SET v = v + 1 WHERE id = 10; UPDATE keyed SET v = NULL, w = '' WHERE id = 11; DELETE FROM keyed WHERE id IN (12, 13);
         INSERT INTO keyed (id, v, w, x) VALUES (9001, 1, 'w', 1), (9002, NULL, NULL, NULL), (9003, 1, 'w', 1);
         UPDATE keyed AS t SET w = o.w FROM keyed AS o WHERE (t.id, o.id) IN ((20, 25), (25, 20));
         DELETE FROM dups WHERE ctid IN (SELECT ctid FROM dups WHERE a = 3 LIMIT 2);
         INSERT INTO dups (a, b) VALUES (4, 'b4'), (NULL, ''), (0, NULL);
         UPDATE part SET d = d + 40 WHERE id = 5; UPDATE part SET v = 'other' WHERE id = 6;",
    ).unwrap();
    let (said, rows) = copies.diff(&[]);
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    let keyed = copies.counted("id", "ROW(v, w, x)", "keyed");
    assert_eq!((said.counts("public.keyed"), keyed), (keyed, [2, 3, 4]), "{}", said.stderr);
    let often = "(SELECT count(*) FROM dups AS u WHERE ROW(u.a, u.b) IS NOT DISTINCT FROM ROW(t.a, t.b))";
    let dups = copies.counted("ROW(a, b)", often, "dups");
    assert_eq!(dups, [0, 2, 2], "two kinds of rows that only the copy has, and two that are there more or less often");
    assert_eq!(said.counts("public.dups"), [2, 3, 0], "{}", said.stderr);
    let part = copies.counted("ROW(id, d)", "v", "part");
    assert_eq!((said.counts("public.part"), part), (part, [1, 1, 1]), "{}", said.stderr);

    let of = |kind: DiffKind, table: &str| {
        let some = rows.iter().filter(|row| (row.kind, &*row.table) == (kind, table));
        let mut keys: Vec<_> = some.map(|row| (row.key.as_str(), row.columns.as_deref().unwrap_or(""))).collect();
        keys.sort_unstable();
        keys
    };
    assert_eq!(of(DiffKind::Different, "public.keyed"), [("10", "v"), ("11", "v,w"), ("20", "w"), ("25", "w")]);
    assert_eq!(of(DiffKind::Missing, "public.keyed"), [("12", ""), ("13", "")]);
    assert_eq!(of(DiffKind::Extra, "public.keyed"), [("9001", ""), ("9002", ""), ("9003", "")]);
    assert_eq!(of(DiffKind::Different, "public.part"), [("(6,2026-01-07)", "v")]);
    let value = |row: &report::diff::DiffRow| row.primary_values.clone().or(row.standby_values.clone()).unwrap();
    let mut dups: Vec<_> = rows.iter().filter(|row| row.table == "public.dups").map(value).collect();
    dups.sort();
    let three = r#"{"a": "3", "b": "b3"}"#;
    assert_eq!(dups, [r#"{"a": "0", "b": null}"#, three, three, r#"{"a": "4", "b": "b4"}"#, r#"{"a": null, "b": ""}"#]);
    assert!(rows.iter().any(|row| row.key.contains(" of public.part_") || !row.key.starts_with("ctid")), "{rows:#?}");
}

#[test]
fn what_one_side_lacks_is_broken_and_what_is_not_compared_is_said() {
    let copies = Copies::new();
    copies.both(
        "CREATE TYPE pair AS (a int, b int); CREATE TABLE same (a int); CREATE TABLE gone (a int); CREATE TABLE fewer (a int, b int);
         CREATE TABLE retyped (a int); CREATE TABLE made (v pair); CREATE UNLOGGED TABLE loose (a int); CREATE SEQUENCE lost;
         INSERT INTO gone VALUES (1), (2); CREATE MATERIALIZED VIEW seen AS SELECT 1 AS one; CREATE VIEW view AS SELECT 1 AS one;
         CREATE TABLE \"Odd.name\" (a int); CREATE SEQUENCE behind; CREATE SEQUENCE ahead; CREATE SEQUENCE other; CREATE SEQUENCE fresh;
         CREATE TABLE named (id int GENERATED ALWAYS AS IDENTITY, v text); INSERT INTO named (v) VALUES ('a'), ('b');
         SELECT setval('behind', 500), setval('ahead', 500)",
    );
    let said = copies.verify(&[]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    for words in ["unlogged public.loose", "other databases (", "not compared: ", "definitions of views"] {
        assert!(said.stderr.contains(words), "{words}: {}", said.stderr);
    }
    assert_eq!(said.row("sequence public.named_id_seq").verdict, Held);
    assert!(said.rows.iter().all(|row| (row.indexes, row.verdict) == (None, Held)), "{:#?}", said.rows);

    copies.copy.script(
        "DROP TABLE gone; ALTER TABLE fewer DROP b; ALTER TABLE retyped ALTER a TYPE bigint; DROP SEQUENCE lost;
         CREATE TABLE more (a int); INSERT INTO more VALUES (1), (2), (3); CREATE SEQUENCE another;
         ALTER TYPE pair RENAME ATTRIBUTE a TO c; ALTER TABLE \"Odd.name\" RENAME TO odd; CREATE VIEW unseen AS SELECT 1 AS one;
         SELECT setval('behind', 499), setval('ahead', 533), nextval('fresh'); ALTER SEQUENCE other INCREMENT 2",
    ).unwrap();
    copies.primary.script("INSERT INTO named (v) VALUES ('c')").unwrap();
    copies.copy.script("INSERT INTO named OVERRIDING SYSTEM VALUE VALUES (3, 'c')").unwrap();
    let said = copies.verify(&[]);
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    for (table, counts) in [
        ("public.gone", Some([2, 0, 0])),
        ("public.fewer", None),
        ("public.retyped", None),
        ("public.made", None),
        ("public.more", Some([0, 3, 0])),
        ("public.\"Odd.name\"", Some([0, 0, 0])),
        ("public.odd", Some([0, 0, 0])),
        ("sequence public.lost", Some([1, 0, 0])),
        ("sequence public.another", Some([0, 1, 0])),
        ("sequence public.behind", Some([1, 0, 0])),
        ("sequence public.ahead", Some([0, 0, 1])),
        ("sequence public.fresh", Some([0, 0, 1])),
        ("sequence public.other", Some([0, 0, 1])),
        ("sequence public.named_id_seq", Some([1, 0, 0])),
    ] {
        let row = said.row(table);
        assert_eq!(row.verdict, Broken, "{table}: {}", said.stderr);
        match counts {
            Some(counts) => assert_eq!(said.counts(table), counts, "{table}: {}", said.stderr),
            None => assert_eq!(row.missing, None, "{table}"),
        }
    }
    for held in ["public.same", "public.named", "public.seen", "large objects"] {
        assert_eq!(said.row(held).verdict, Held, "{held}: {}", said.stderr);
    }
    for words in [
        "only on the primary: b",
        "of another type: a (bigint there, integer here)",
        "v (public.pair, which is made otherwise there)",
        "it is behind: 499 there, 500 here. Logical replication does not carry sequences",
        "setval('\"public\".\"named_id_seq\"', 3, true)",
    ] {
        assert!(said.stderr.contains(words), "{words}: {}", said.stderr);
    }
    let said = copies.verify(&["--table", "same", "--table", "seen", "--table", "other"]);
    assert_eq!((said.code, said.rows.len()), (Some(1), 3), "{:#?}", said.rows);
    let said = copies.verify(&["--table", "view"]);
    assert!(said.code == Some(2) && said.stderr.contains("is no table"), "{}", said.stderr);
}
