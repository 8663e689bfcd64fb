//! Two values of one type: equal by that type, or not.

use report::verdict::Verdict::{self, Broken, Held};

use crate::Copies;
use crate::optional::has;

/// Type, what the primary has, what the copy has, and what that is.
type Kind = (&'static str, &'static str, &'static str, Verdict);

/// Each with what comes of it.
const KINDS: &[Kind] = &[
    ("int", "NULL", "0", Broken),
    ("int", "NULL", "NULL", Held),
    ("bool", "NULL", "false", Broken),
    ("text", "NULL", "''", Broken),
    ("text", "'a'", "'A'", Broken),
    ("float8", "NULL", "0", Broken),
    ("float8", "NULL", "'NaN'", Broken),
    ("float8", "'0'", "'-0'", Held),
    ("float8", "'NaN'", "'NaN'", Held),
    ("float8", "0.1", "0.1000000000000001", Broken),
    ("float4", "'0'", "'-0'", Held),
    ("numeric", "NULL", "'NaN'", Broken),
    ("numeric", "'Infinity'", "'-Infinity'", Broken),
    ("numeric", "1.0", "1.00", Held),
    ("numeric", "1.0", "1.01", Broken),
    ("jsonb", "'{\"a\": 1.0, \"b\": []}'", "'{\"b\": [], \"a\": 1.00}'", Held),
    ("jsonb", "'1.0'", "'1.00'", Held),
    ("jsonb", "'{\"a\": 1.0}'", "'{\"a\": \"1.0\"}'", Broken),
    ("jsonb", "'null'", "NULL", Broken),
    ("jsonb", "'\"1\"'", "'1'", Broken),
    ("jsonb[]", "ARRAY['1.0'::jsonb]", "ARRAY['1.00'::jsonb]", Held),
    ("json", "'{\"a\":1}'", "'{\"a\":1}'", Held),
    ("json", "'{\"a\":1}'", "'{\"a\": 1}'", Broken),
    ("point", "'(0,0)'", "'(-0,0)'", Broken),
    ("point", "'(1,0)'", "'(1,0)'", Held),
    ("numrange", "'[1.0,2)'", "'[1.00,2)'", Held),
    ("numrange", "'[1.0,2)'", "'[1.0,2]'", Broken),
    ("nummultirange", "'{[1.0,2)}'", "'{[1.00,2)}'", Held),
    ("int[]", "'{1,NULL}'", "'{1,0}'", Broken),
    ("int[]", "'{1,2,3,4}'", "'{{1,2},{3,4}}'", Broken),
    ("int[]", "'{1,2}'", "'[0:1]={1,2}'", Broken),
    ("int[]", "NULL", "'{}'", Broken),
    ("numeric[]", "'{1.0,NULL}'", "'{1.00,NULL}'", Held),
    ("interval", "'1 mon'", "'30 days'", Held),
    ("interval", "'1 mon'", "'31 days'", Broken),
    ("timetz", "'12:00+00'", "'13:00+01'", Broken),
    ("timestamptz", "'2026-01-01 12:00+00'", "'2026-01-01 13:00+01'", Held),
    ("bpchar", "'a'", "'a  '", Held),
    ("char(3)", "'a'", "'b'", Broken),
    ("varchar", "'a'", "'a '", Broken),
    ("\"char\"", "'a'", "'b'", Broken),
    ("varbit", "'0'", "'00'", Broken),
    ("money", "1", "2", Broken),
    ("bytea", "'\\x00'", "'\\x0000'", Broken),
    ("regclass", "'pg_class'", "'pg_type'", Broken),
    ("regtype", "'kinds.mood'", "'kinds.mood'", Held),
    ("kinds.amount", "1.0", "1.00", Held),
    ("kinds.amount", "1.0", "2.0", Broken),
    ("kinds.amount[]", "'{1.0}'", "'{1.00}'", Held),
    ("kinds.amount[]", "'{1.0}'", "'{2.00}'", Broken),
    ("kinds.mood", "'glad'", "'sad'", Broken),
    ("kinds.mood", "'glad'", "'glad'", Held),
    ("kinds.mood[]", "'{glad,sad}'", "'{glad,sad}'", Held),
    ("kinds.mood[]", "'{glad,sad}'", "'{sad,glad}'", Broken),
    ("kinds.pair", "'(1.0,glad,x)'", "'(1.00,glad,x)'", Held),
    ("kinds.pair", "'(1.0,glad,x)'", "'(1.0,sad,x)'", Broken),
    ("kinds.pair", "'(1.0,glad,x)'", "'(1.0,glad,)'", Broken),
    ("kinds.pair", "NULL", "'(,,)'", Broken),
    (
        "kinds.pair[]",
        "ARRAY[ROW(1.0, 'glad'::kinds.mood, '\"x\" ,\\')::kinds.pair]",
        "ARRAY[ROW(1.00, 'glad'::kinds.mood, '\"x\" ,\\')::kinds.pair]",
        Held,
    ),
    ("kinds.span", "'[1.0,2)'", "'[1.00,2)'", Held),
    ("kinds.wide", "'({})'", "'({})'", Held),
    ("kinds.wide", "'({})'", "'(\"{ }\")'", Broken),
    ("kinds.checked", "1.0", "1.00", Held),
    ("kinds.checked", "1.0", "1.01", Broken),
];

/// The same for what a server may be built without: what it needs first.
const OPTIONAL: &[(&str, Kind)] = &[
    ("SELECT '<a/>'::xml", ("xml", "'<a/>'", "'<a />'", Broken)),
    ("SELECT '<a/>'::xml", ("xml", "'<a/>'", "'<?xml version=\"1.0\"?><a/>'", Broken)),
    ("SELECT '<a/>'::xml", ("xml[]", "ARRAY['<a/>'::xml]", "ARRAY['<?xml version=\"1.0\"?><a/>'::xml]", Broken)),
    ("CREATE EXTENSION IF NOT EXISTS citext", ("citext", "'abc'", "'Abc'", Held)),
    ("CREATE EXTENSION IF NOT EXISTS citext", ("citext", "'abc'", "'abd'", Broken)),
    ("CREATE EXTENSION IF NOT EXISTS citext", ("citext[]", "'{abc}'", "'{aBc}'", Held)),
    ("CREATE EXTENSION IF NOT EXISTS hstore", ("hstore", "'a=>1'", "'a=>NULL'", Broken)),
    (
        "CREATE COLLATION IF NOT EXISTS kinds.caseless (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
        ("text COLLATE kinds.caseless", "'abc'", "'Abc'", Held),
    ),
];

/// Types of the test's own: on each server with oids of its own.
const TYPES: &str = "
    CREATE SCHEMA kinds;
    CREATE DOMAIN kinds.amount AS numeric CHECK (VALUE > 0);
    CREATE TYPE kinds.mood AS ENUM ('glad', 'sad');
    CREATE TYPE kinds.pair AS (a numeric, b kinds.mood, c text);
    CREATE TYPE kinds.wide AS (a json);
    CREATE TYPE kinds.span AS RANGE (subtype = numeric);
    CREATE FUNCTION kinds.check(numeric) RETURNS bool LANGUAGE plpgsql
        AS $$ BEGIN IF current_user ~ 'monitor' THEN RAISE 'called'; END IF; RETURN true; END $$;
    CREATE DOMAIN kinds.checked AS numeric CHECK (kinds.check(VALUE));";

/// Of a table with a key, of one without, and of one where the value is the key: rows of 1,000 others.
#[test]
fn values_are_equal_if_their_type_says_so() {
    let copies = Copies::new();
    copies.both(TYPES);
    let mut kinds = KINDS.to_vec();
    for (needs, kind) in OPTIONAL {
        if has(&copies.primary, needs) {
            copies.copy.script(needs).unwrap();
            kinds.push(*kind);
        }
    }
    for (n, (kind, here, there, _)) in kinds.iter().enumerate() {
        let rows = |value: &str, order: &str| {
            format!(
                "CREATE TABLE keyed_{n} ({order});
                 INSERT INTO keyed_{n} (id, v, w) SELECT i, {value}, 'w' || i FROM generate_series(1, 3) AS i;
                 CREATE TABLE bare_{n} (v {kind}); INSERT INTO bare_{n} SELECT {value} FROM generate_series(1, 3) AS i;"
            )
        };
        let script = rows(here, &format!("id int PRIMARY KEY, v {kind}, w text"));
        copies.primary.script(&script).unwrap_or_else(|error| panic!("{script}: {error:#}"));
        copies.copy.script(&rows(there, &format!("w text, v {kind}, id int PRIMARY KEY"))).unwrap();
    }
    let (said, differing) = copies.diff(&[]);
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    for (n, kind) in kinds.iter().enumerate() {
        let (keyed, bare) = (format!("public.keyed_{n}"), format!("public.bare_{n}"));
        let expected = match kind.3 {
            Held => [[0, 0, 0], [0, 0, 0]],
            _ => [[0, 0, 3], [3, 3, 0]],
        };
        assert_eq!([said.counts(&keyed), said.counts(&bare)], expected, "{kind:?}: {}", said.stderr);
        assert_eq!([said.row(&keyed).verdict, said.row(&bare).verdict], [kind.3; 2], "{kind:?}: {}", said.stderr);
        let columns: Vec<_> =
            differing.iter().filter(|row| row.table == keyed).map(|row| row.columns.clone()).collect();
        assert_eq!(columns, vec![Some("v".to_owned()); if kind.3 == Held { 0 } else { 3 }], "{kind:?}");
    }
    for words in ["of types without an equality, compared by their text: public.bare_", "by the equality of its types"]
    {
        assert!(said.stderr.contains(words), "{words}: {}", said.stderr);
    }
}

#[test]
fn a_key_that_differs_only_in_its_bytes_is_the_same_key() {
    let copies = Copies::new();
    let make = |factor: &str| {
        format!(
            "CREATE TABLE t (id numeric, part interval, v text, PRIMARY KEY (part, id));
             INSERT INTO t SELECT i * {factor}, CASE WHEN '{factor}' = '1.0' THEN '1 mon' ELSE '30 days' END::interval, 'v' || i
               FROM generate_series(1, 500) AS i;"
        )
    };
    copies.primary.script(&make("1.0")).unwrap();
    copies.copy.script(&make("1.00")).unwrap();
    let said = copies.verify(&["--table", "t"]);
    assert_eq!((said.code, said.counts("public.t")), (Some(0), [0, 0, 0]), "{}", said.stderr);
    copies
        .copy
        .script("UPDATE t SET v = 'other' WHERE id = 7; DELETE FROM t WHERE id = 8; UPDATE t SET id = 900 WHERE id = 9")
        .unwrap();
    let (said, rows) = copies.diff(&["--table", "t"]);
    assert_eq!((said.code, said.counts("public.t")), (Some(1), [2, 1, 1]), "{}", said.stderr);
    let different = rows.iter().find(|row| row.columns.is_some()).unwrap();
    assert_eq!((different.key.as_str(), different.columns.as_deref()), ("(\"1 mon\",7.0)", Some("v")));
    assert_eq!(different.standby_values.as_deref(), Some(r#"{"v": "other"}"#));
}

/// A value whose check is a function of somebody's is not parsed in an array; as a column by itself it is, without the check.
#[test]
fn functions_of_the_databases_users_are_not_called() {
    let copies = Copies::new();
    copies.both(TYPES);
    copies.both("CREATE TABLE t (id int PRIMARY KEY, v kinds.checked[])");
    copies.primary.script("INSERT INTO t VALUES (1, '{1.0}'), (2, '{2.0}')").unwrap();
    copies.copy.script("INSERT INTO t VALUES (1, '{1.0}'), (2, '{2.00}')").unwrap();
    let said = copies.verify(&["--table", "t"]);
    assert_eq!((said.code, said.counts("public.t")), (Some(2), [0, 0, 0]), "{}", said.stderr);
    assert!(said.stderr.contains("would call functions of the database's users"), "{}", said.stderr);
    assert!(!said.stderr.contains("called\n"), "{}", said.stderr);
    copies.copy.script("DELETE FROM t WHERE id = 1").unwrap();
    let said = copies.verify(&["--table", "t"]);
    assert_eq!((said.code, said.counts("public.t")), (Some(1), [1, 0, 0]), "{}", said.stderr);
}

/// A statement takes no more than some 1,600 columns.
#[test]
fn a_table_of_as_many_columns_as_there_can_be_is_compared() {
    let copies = Copies::new();
    let columns: Vec<String> = (0..1_600).map(|n| format!("c{n} numeric")).collect();
    copies.both(&format!("CREATE TABLE t ({})", columns.join(", ")));
    let row = |value: &str| format!("({})", vec![value; 1_600].join(", "));
    copies.primary.script(&format!("INSERT INTO t VALUES {}, {}", row("1.0"), row("2.0"))).unwrap();
    copies.copy.script(&format!("INSERT INTO t VALUES {}, {}", row("2.00"), row("1.00"))).unwrap();
    let said = copies.verify(&["--table", "t"]);
    assert_eq!((said.code, said.counts("public.t")), (Some(0), [0, 0, 0]), "{}", said.stderr);
    copies.copy.script("UPDATE t SET c1599 = 3 WHERE c0 = 1").unwrap();
    let said = copies.verify(&["--table", "t"]);
    assert_eq!((said.code, said.counts("public.t")), (Some(1), [1, 1, 0]), "{}", said.stderr);
}
