//! Values of each type: three that differ in their bytes. Where a type's own equality calls two values equal that differ,
//! those are among them.

/// A type as `format_type` calls it, and its values as text.
pub(super) const LITERALS: &[(&str, [&str; 3])] = &[
    ("boolean", ["true", "false", NULL]),
    ("\"char\"", ["a", "b", ""]),
    ("name", ["anna", "bert", ""]),
    ("bytea", ["\\x00ff", "\\x00fe", "\\x"]),
    ("smallint", ["0", "-1", NULL]),
    ("integer", ["0", "1", NULL]),
    ("bigint", ["9223372036854775807", "9223372036854775806", NULL]),
    ("int2vector", ["1 2", "2 1", ""]),
    ("oidvector", ["1 2", "2 1", ""]),
    ("oid", ["1", "2", "4294967295"]),
    ("tid", ["(0,1)", "(0,2)", "(1,1)"]),
    ("xid", ["3", "4", "5"]),
    ("xid8", ["3", "4", "18446744073709551615"]),
    ("cid", ["3", "4", "5"]),
    ("text", ["a", "b", ""]),
    ("character varying", ["a", "a ", NULL]),
    ("bpchar", ["a", "a ", NULL]),
    ("json", ["{\"a\":1}", "{\"a\": 1}", "null"]),
    ("jsonb", ["{\"a\": 1.0}", "{\"a\": 1.00}", "null"]),
    ("jsonpath", ["$.\"a\"", "$.\"b\"", "strict $"]),
    ("xml", ["<a/>", "<a />", "<b/>"]),
    ("point", ["(0,0)", "(-0,0)", "(1,2)"]),
    ("lseg", ["[(0,0),(1,1)]", "[(1,1),(0,0)]", "[(0,0),(2,2)]"]),
    ("path", ["[(0,0),(1,1)]", "((0,0),(1,1))", "[(0,0),(2,2)]"]),
    ("box", ["(1,1),(0,0)", "(2,2),(0,0)", "(2,2),(1,1)"]),
    ("polygon", ["((0,0),(1,1),(1,0))", "((1,1),(1,0),(0,0))", "((0,0),(2,2),(2,0))"]),
    ("line", ["{1,2,3}", "{2,4,6}", "{1,2,4}"]),
    ("circle", ["<(0,0),1>", "<(0,0),2>", "<(1,0),1>"]),
    ("real", ["0", "-0", "NaN"]),
    ("double precision", ["0", "-0", "Infinity"]),
    ("money", ["1.00", "1.01", "-1.00"]),
    ("numeric", ["1.0", "1.00", "NaN"]),
    ("macaddr", ["08:00:2b:01:02:03", "08:00:2b:01:02:04", NULL]),
    ("macaddr8", ["08:00:2b:01:02:03:04:05", "08:00:2b:01:02:03:04:06", NULL]),
    ("inet", ["10.0.0.1/32", "10.0.0.1/8", "::1"]),
    ("cidr", ["10.0.0.0/8", "10.0.0.0/16", "::/0"]),
    ("aclitem", ["understudy_admin=r/understudy_admin", "understudy_admin=w/understudy_admin", "=r/understudy_admin"]),
    ("date", ["2020-01-01", "2020-01-02", "infinity"]),
    ("time without time zone", ["12:00", "12:00:00.000001", "24:00"]),
    ("time with time zone", ["12:00+00", "13:00+01", "12:00+01"]),
    ("timestamp without time zone", ["2020-01-01 00:00", "2020-01-01 00:00:00.000001", "-infinity"]),
    ("timestamp with time zone", ["2020-01-01 00:00+00", "2020-01-01 00:00:00.000001+00", "infinity"]),
    ("interval", ["1 mon", "30 days", "720:00:00"]),
    ("\"bit\"", ["0", "1", NULL]),
    ("bit varying", ["0", "00", ""]),
    ("refcursor", ["a", "b", ""]),
    ("regproc", ["now", "version", "-"]),
    ("regprocedure", ["abs(integer)", "abs(bigint)", "-"]),
    ("regoper", ["pg_catalog.||/", "pg_catalog.|/", "0"]),
    ("regoperator", ["+(integer,integer)", "-(integer,integer)", "0"]),
    ("regclass", ["pg_class", "pg_type", "-"]),
    ("regcollation", ["\"C\"", "\"POSIX\"", "-"]),
    ("regtype", ["integer", "bigint", "-"]),
    ("regrole", ["understudy_admin", "understudy_monitor", "-"]),
    ("regnamespace", ["pg_catalog", "public", "-"]),
    ("regconfig", ["simple", "english", "-"]),
    ("regdictionary", ["simple", "english_stem", "-"]),
    ("uuid", ["00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000002", NULL]),
    ("pg_lsn", ["0/1", "0/2", "FFFFFFFF/0"]),
    ("tsvector", ["'a':1", "'a':2", "'a'"]),
    ("tsquery", ["'a' & 'b'", "'b' & 'a'", "'a'"]),
    ("txid_snapshot", ["1:2:", "1:3:", "1:3:2"]),
    ("pg_snapshot", ["1:2:", "1:3:", "1:3:2"]),
    ("int4range", ["[1,2)", "[1,3)", "empty"]),
    ("int8range", ["[1,2)", "[1,3)", "(,)"]),
    ("numrange", ["[1.0,2)", "[1.00,2)", "empty"]),
    ("tsrange", ["[2020-01-01,2020-01-02)", "[2020-01-01,2020-01-02]", "empty"]),
    ("tstzrange", ["[2020-01-01 00:00+00,2020-01-02 00:00+00)", "[2020-01-01 00:00+00,2020-01-02 00:00+00]", "empty"]),
    ("daterange", ["[2020-01-01,2020-01-02)", "[2020-01-01,2020-01-03)", "empty"]),
    ("int4multirange", ["{[1,2)}", "{[1,2),[3,4)}", "{}"]),
    ("int8multirange", ["{[1,2)}", "{[1,2),[3,4)}", "{}"]),
    ("nummultirange", ["{[1.0,2)}", "{[1.00,2)}", "{}"]),
    ("tsmultirange", ["{[2020-01-01,2020-01-02)}", "{[2020-01-01,2020-01-02]}", "{}"]),
    ("tstzmultirange", ["{[2020-01-01 00:00+00,)}", "{(2020-01-01 00:00+00,)}", "{}"]),
    ("datemultirange", ["{[2020-01-01,2020-01-02)}", "{[2020-01-01,2020-01-03)}", "{}"]),
    // domains of the information schema
    ("information_schema.cardinal_number", ["0", "1", NULL]),
    ("information_schema.character_data", ["a", "b", ""]),
    ("information_schema.sql_identifier", ["a", "b", ""]),
    ("information_schema.time_stamp", ["2020-01-01 00:00+00", "2020-01-02 00:00+00", NULL]),
    ("information_schema.yes_or_no", ["YES", "NO", NULL]),
    // made by ourselves, in own_types.sql
    ("truth.amount", ["1.0", "1.00", "2"]),
    ("truth.mood", ["glad", "sad", "so so"]),
    ("truth.pair", ["(1.0,)", "(1.00,)", "(,\"=r/understudy_admin\")"]),
    ("truth.nested", ["(1,\"(1.0,)\")", "(1,\"(1.00,)\")", "(1,)"]),
    ("truth.shrunk", ["(1.0,a)", "(1.00,a)", "(1.0,)"]),
    ("truth.span", ["[a,b)", "[a,c)", "empty"]),
    ("truth.multispan", ["{[a,b)}", "{[a,c)}", "{}"]),
    ("truth.words", ["{a,b}", "{b,a}", "{}"]),
    ("truth.caseless", ["abc", "Abc", "ABC"]),
    // of extensions
    ("citext", ["abc", "Abc", "ABC"]),
    ("hstore", ["a=>1", "a=>NULL", ""]),
    ("ghstore", [NONE; 3]),
    ("ltree", ["a.b", "a.c", ""]),
    ("lquery", ["a.*", "b.*", "*.a"]),
    ("ltxtquery", ["a & b", "b & a", "a"]),
    ("ean13", ["9780306406157", "9780306406164", NULL]),
    ("isbn13", ["9780306406157", "9780306406164", NULL]),
    ("ismn13", ["9790060115615", "9790060115622", NULL]),
    ("issn13", ["9771436452008", "9771436452015", NULL]),
    ("isbn", ["0306406152", "0306406160", NULL]),
    ("ismn", ["9790060115615", "9790060115622", NULL]),
    ("issn", ["14364522", "14364530", NULL]),
    ("upc", ["220356483481", "220356483498", NULL]),
    ("seg", ["1.0", "1.00", "0 .. 1"]),
    ("cube", ["(0)", "(-0)", "(0,1),(2,3)"]),
    ("lo", ["1", "2", NULL]),
    ("query_int", ["1&2", "2&1", "1"]),
];

/// NULL, as it is written among the values.
pub(super) const NULL: &str = "\u{0}null";
/// There is no value: the type has no input.
pub(super) const NONE: &str = "\u{0}none";

/// The values of a type that can have some.
pub(super) fn of(kind: &str) -> Option<[&'static str; 3]> {
    let found = LITERALS.iter().find(|(name, _)| *name == kind).map(|(_, values)| *values);
    found.filter(|values| values[0] != NONE)
}

/// An array literal for each of three arrays of these: `{a}`, `{a,b}`, `{b,a}`.
pub(super) fn arrays([a, b, _]: [&str; 3], delimiter: &str) -> [String; 3] {
    let quoted = |value: &str| match value {
        NULL => "NULL".to_owned(),
        value => format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"")),
    };
    let (a, b) = (quoted(a), quoted(b));
    [format!("{{{a}}}"), format!("{{{a}{delimiter}{b}}}"), format!("{{{b}{delimiter}{a}}}")]
}

/// An SQL expression for the value of row `n`, an SQL expression itself.
pub(super) fn pick<Text: AsRef<str>>(values: &[Text; 3], kind: &str, n: &str) -> String {
    let [a, b, c] = values.each_ref().map(|value| match value.as_ref() {
        NULL => format!("NULL::{kind}"),
        value => format!("$v${value}$v$::{kind}"),
    });
    format!("CASE ({n}) % 3 WHEN 0 THEN {a} WHEN 1 THEN {b} ELSE {c} END")
}
