//! Whatever holds data or could is compared, or named: no kind of relation is passed over in silence.

use report::verdict::Verdict::Held;

use crate::Lab;

/// A relation of each kind, and of some in places where one would not look for them.
const SCHEMA: &str = "
    CREATE TYPE pair AS (a int, b text);
    CREATE DOMAIN amount AS numeric CHECK (VALUE >= 0);
    CREATE TABLE plain (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a amount, gone int, twice int GENERATED ALWAYS AS (2 * gone) STORED);
    INSERT INTO plain (a, gone) VALUES (1.0, 1), (2.0, 2);
    ALTER TABLE plain DROP twice; ALTER TABLE plain DROP gone;
    CREATE TABLE typed OF pair;
    CREATE TABLE heir (more text) INHERITS (plain); INSERT INTO heir VALUES (3, 3.0, 'three');
    CREATE TABLE empty ();
    INSERT INTO empty DEFAULT VALUES;
    CREATE TABLE parted (id int, v text) PARTITION BY LIST (id);
    CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1) PARTITION BY HASH (v);
    CREATE TABLE parted_1_0 PARTITION OF parted_1 FOR VALUES WITH (MODULUS 1, REMAINDER 0);
    CREATE TABLE parted_others PARTITION OF parted DEFAULT;
    INSERT INTO parted VALUES (1, 'one'), (2, 'two');
    CREATE TABLE parted_empty (id int) PARTITION BY LIST (id);
    CREATE FOREIGN DATA WRAPPER nowhere; CREATE SERVER elsewhere FOREIGN DATA WRAPPER nowhere;
    CREATE FOREIGN TABLE parted_far PARTITION OF parted FOR VALUES IN (7) SERVER elsewhere;
    CREATE MATERIALIZED VIEW shown AS SELECT id FROM plain;
    CREATE MATERIALIZED VIEW not_shown AS SELECT id FROM plain WITH NO DATA;
    CREATE VIEW seen AS SELECT id FROM plain;
    CREATE UNLOGGED TABLE fleeting (id int);
    CREATE SEQUENCE counted;
    CREATE MATERIALIZED VIEW information_schema.hidden AS SELECT 1 AS one;
    CREATE SEQUENCE information_schema.hidden_too;
    CREATE TABLE information_schema.also (id int);
    SET allow_system_table_mods = on;
    CREATE SCHEMA pg_toasted; CREATE TABLE pg_toasted.bread (id int); CREATE SEQUENCE pg_toast.slices;";

/// Those of a user's that hold data, or might: by an independent count.
const ALL: &str = "SELECT c.oid::regclass::text FROM pg_class AS c
    WHERE c.relkind IN ('r', 'm', 'f', 'S') AND c.oid >= 16384 AND c.relpersistence <> 't' ORDER BY 1";

#[test]
fn every_relation_is_compared_or_named() {
    let lab = Lab::new(1);
    let session = lab.on("node1");
    session.script(SCHEMA).unwrap();
    session.script("CREATE TEMP TABLE own (id int)").unwrap();
    let said = lab.verify(&[]);
    assert_eq!((said.code, said.of("node2").0), (Some(0), Held), "{}", said.stderr);
    let not_compared = said.stderr.lines().find_map(|line| line.strip_prefix("not compared: ")).unwrap();
    let names: Vec<String> = session.rows(ALL, &[]).unwrap().iter().map(|row| row.get(0)).collect();
    assert!(names.len() > 20, "{names:?}");
    for name in &names {
        let name = if name.contains('.') { name.clone() } else { format!("public.{name}") };
        let has_row = said.rows.iter().any(|row| row.table.trim_start_matches("sequence ") == name);
        let is_named = not_compared.split(", ").any(|words| words.split(' ').any(|word| word == name));
        // A table in that schema is one of the catalogs, and among their rows.
        let is_catalog = name == "information_schema.also";
        assert_eq!([has_row, is_named, is_catalog].iter().filter(|is| **is).count(), 1, "{name}: {}", said.stderr);
    }
    for words in [
        "foreign table public.parted_far",
        "materialized view public.not_shown (not populated)",
        "unlogged public.fleeting",
        "temporary ",
    ] {
        assert!(not_compared.contains(words), "{words}: {}", said.stderr);
    }
    for (table, rows) in [("heir", 1), ("plain", 2), ("empty", 1), ("parted_1_0", 1), ("parted_others", 1)] {
        assert_eq!(said.row(&format!("public.{table}"), "node2").rows_standby, Some(rows), "{}", said.stderr);
    }
}
