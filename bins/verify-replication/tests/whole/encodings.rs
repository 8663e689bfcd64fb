//! Databases in which text is not UTF-8, and names that are none.

use report::diff::DiffRow;
use report::verdict::Verdict::{Broken, Held, Unknown};

use crate::options::on;
use crate::{Lab, Said, said};

/// Compares one database of two nodes.
fn verify_in(lab: &Lab, database: &str, args: &[&str]) -> Said {
    let [primary, standby] =
        ["node1", "node2"].map(|node| lab.conninfo(node).replace("dbname=understudy", &format!("dbname={database}")));
    said(&lab.command(&[&["--primary", &primary, "--standby", &standby], args].concat()).output().unwrap())
}

/// Makes a database of an encoding.
fn make(lab: &Lab, database: &str, encoding: &str) {
    let rest = format!("TEMPLATE template0 ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'");
    lab.on("node1").script(&format!("CREATE DATABASE {database} {rest}")).unwrap();
}

/// All that `--diff` writes of a table, with what the rows hold.
fn differences(lab: &Lab, database: &str, table: &str) -> (Said, Vec<DiffRow>) {
    let path = lab.lab.home().join(format!("{database}.csv"));
    let file = path.display().to_string();
    let said = verify_in(lab, database, &["--at-rest", "--table", table, "--diff", &file, "--show-values"]);
    let rows = report::rows::read(&std::fs::read(&path).expect(&said.stderr)[..]).unwrap();
    (said, rows)
}

/// SQL_ASCII takes whatever bytes come: no node can send them as UTF-8, and none of them is damaged for that.
#[test]
fn bytes_that_are_no_utf_8_are_compared_in_a_database_that_allows_them() {
    let lab = Lab::new(1);
    make(&lab, "bytes", "SQL_ASCII");
    let script = r"CREATE TABLE t (id text PRIMARY KEY, v text);
        INSERT INTO t VALUES (E'caf\xe8', 'grave'), (E'caf\xe9', E'\xff\xfe'), ('caf', E'\xc3\xa9')";
    on(&lab, "node1", "bytes").script(script).unwrap();
    lab.catch_up("node2");
    let both = verify_in(&lab, "bytes", &[]);
    assert_eq!((both.code, both.of("standby1").0), (Some(0), Held), "{}", both.stderr);
    assert_eq!(both.row("public.t", "standby1").rows_standby, Some(3), "{}", both.stderr);

    lab.promote("node2");
    on(&lab, "node2", "bytes").script(r"UPDATE t SET v = E'\xff' WHERE v = E'\xff\xfe'").unwrap();
    let (said, differing) = differences(&lab, "bytes", "t");
    let row = said.row("public.t", "standby1");
    assert_eq!(
        (said.code, row.verdict, row.different, row.missing),
        (Some(1), Broken, Some(1), Some(0)),
        "{}",
        said.stderr
    );
    assert_eq!(differing.len(), 1, "{differing:#?}");
    assert_eq!((differing[0].key.as_str(), differing[0].columns.as_deref()), (r"caf\xe9", Some("v")));
    assert_eq!(differing[0].standby_values.as_deref(), Some(r#"{"v": "\\xff"}"#));
}

/// What other databases wrote into the catalogs that all share is no text of this one's encoding, on any node.
#[test]
fn shared_catalogs_hold_text_of_other_encodings() {
    let lab = Lab::new(1);
    make(&lab, "ej", "EUC_JP");
    let script = r#"CREATE ROLE "中é文"; COMMENT ON ROLE "中é文" IS 'é中';
        ALTER ROLE "中é文" SET application_name = '中x'"#;
    lab.on("node1").script(script).unwrap();
    let script = r#"CREATE TABLE "日本" ("鍵" text PRIMARY KEY, v text);
        INSERT INTO "日本" VALUES ('東京', '一'), ('京都', '二'), ('a', 'b')"#;
    on(&lab, "node1", "ej").script(script).unwrap();
    lab.catch_up("node2");
    for args in [&[][..], &["--indexes", "all"]] {
        let said = verify_in(&lab, "ej", args);
        let catalogs = said.row("catalogs", "standby1");
        assert_ne!(said.code, Some(1), "{}", said.stderr);
        assert_eq!((catalogs.corrupt, catalogs.different), (Some(0), Some(0)), "{}", said.stderr);
        assert_eq!(said.row(r#"public."日本""#, "standby1").rows_standby, Some(3), "{}", said.stderr);
        if args.is_empty() {
            assert_eq!((said.code, said.of("standby1").0), (Some(0), Held), "{}", said.stderr);
            assert!(!said.stderr.contains("warning"), "{}", said.stderr);
        }
    }

    lab.on("node1").script(r#"CREATE DATABASE "中文é""#).unwrap();
    lab.catch_up("node2");
    let said = verify_in(&lab, "ej", &["--table", r#""日本""#]);
    assert_eq!((said.code, said.rows.len(), said.of("standby1").0), (Some(0), 1, Held), "{}", said.stderr);
    let said = verify_in(&lab, "ej", &[]);
    assert_eq!((said.code, said.of("standby1").0), (Some(0), Held), "{}", said.stderr);
    assert!(said.stderr.contains("中文é"), "{}", said.stderr);

    lab.promote("node2");
    on(&lab, "node2", "ej").script(r#"UPDATE "日本" SET v = '三' WHERE "鍵" = '京都'"#).unwrap();
    lab.on("node2").script(r#"COMMENT ON ROLE "中é文" IS 'é文'"#).unwrap();
    let (said, differing) = differences(&lab, "ej", r#""日本""#);
    assert_eq!((said.code, said.row(r#"public."日本""#, "standby1").different), (Some(1), Some(1)), "{}", said.stderr);
    assert_eq!((differing[0].key.as_str(), differing[0].columns.as_deref()), ("京都", Some("v")), "{differing:#?}");
    assert_eq!(differing[0].primary_values.as_deref(), Some(r#"{"v": "二"}"#));
    assert_eq!(differing[0].standby_values.as_deref(), Some(r#"{"v": "三"}"#));
    let said = verify_in(&lab, "ej", &["--at-rest"]);
    let catalogs = said.row("catalogs", "standby1");
    assert_eq!((said.code, catalogs.verdict), (Some(1), Broken), "{}", said.stderr);
    assert_eq!((catalogs.corrupt, catalogs.different), (Some(0), Some(1)), "a comment: {}", said.stderr);
}

/// WIN1252 has bytes that stand for nothing: a server takes them, and cannot send them as UTF-8.
#[test]
fn bytes_that_stand_for_no_character_are_compared_as_well() {
    let lab = Lab::new(1);
    make(&lab, "win", "WIN1252");
    let script = r"CREATE TABLE t (id text PRIMARY KEY, v text);
        INSERT INTO t VALUES (E'\x81', E'x\x81'), (E'caf\xe9', E'\xe9'), (E'\x8d', 'same')";
    on(&lab, "node1", "win").script(script).unwrap();
    lab.catch_up("node2");
    let said = verify_in(&lab, "win", &[]);
    assert_eq!((said.code, said.of("standby1").0), (Some(0), Held), "{}", said.stderr);
    assert_eq!(said.row("public.t", "standby1").rows_standby, Some(3), "{}", said.stderr);
    let said = verify_in(&lab, "win", &["--indexes", "all"]);
    assert_ne!(said.code, Some(1), "{}", said.stderr);
    on(&lab, "node1", "win").script(r"DO $$ BEGIN EXECUTE E'CREATE TABLE n\x81 (id int)'; END $$").unwrap();
    let said = verify_in(&lab, "win", &[]);
    let verdicts = [r#"public."n\x81""#, "public.t"].map(|title| said.row(title, "standby1").verdict);
    assert_eq!((said.code, verdicts), (Some(2), [Unknown, Held]), "{}", said.stderr);

    lab.promote("node2");
    on(&lab, "node2", "win").script(r"UPDATE t SET v = E'\xe8' WHERE v <> 'same'").unwrap();
    on(&lab, "node2", "win").script("VACUUM FULL t").unwrap();
    let (said, mut differing) = differences(&lab, "win", "t");
    let row = said.row("public.t", "standby1");
    let counts = [row.missing, row.extra, row.different, row.corrupt];
    assert_eq!((said.code, counts), (Some(1), [Some(0), Some(0), Some(2), Some(0)]), "{}", said.stderr);
    differing.sort_by(|a, b| a.key.cmp(&b.key));
    let shown: Vec<_> = differing.iter().map(|row| (&*row.key, row.primary_values.as_deref().unwrap())).collect();
    assert_eq!(shown, [(r"\x81", r#"{"v": "x\\x81"}"#), ("café", r#"{"v": "é"}"#)], "{differing:#?}");
    let by_value = verify_in(&lab, "win", &["--at-rest", "--equal", "values", "--table", "t"]);
    assert_eq!((by_value.code, by_value.of("standby1").0), (Some(2), Unknown), "{}", by_value.stderr);
}

/// The name of a database is bytes that its maker's encoding made; a connection can ask for UTF-8 only.
#[test]
fn a_database_whose_name_is_no_utf_8_is_unknown_and_the_others_are_compared() {
    let lab = Lab::new(1);
    make(&lab, "l1", "LATIN1");
    make(&lab, "zz", "UTF8");
    on(&lab, "node1", "l1").script("CREATE DATABASE \"dbé\" TEMPLATE template0").unwrap();
    on(&lab, "node1", "l1").script("CREATE ROLE \"é\"; COMMENT ON ROLE \"é\" IS 'é'").unwrap();
    lab.on("node1").script("CREATE DATABASE \"a\u{1b}\nb\"").unwrap();
    on(&lab, "node1", "zz").script("CREATE TABLE t (id int)").unwrap();
    lab.catch_up("node2");
    for database in ["understudy", "l1"] {
        let said = verify_in(&lab, database, &[]);
        assert_eq!((said.code, said.of("standby1").0), (Some(0), Held), "{}", said.stderr);
        let others = said.stderr.lines().find(|line| line.contains("other databases (")).unwrap();
        assert!(others.contains(r"db\xe9") && others.contains("zz"), "{others}");

        let said = verify_in(&lab, database, &["--all-databases"]);
        let of = |name: &str| said.rows.iter().filter(|row| row.database.as_deref() == Some(name)).collect::<Vec<_>>();
        let nameless = of(r"db\xe9");
        assert_eq!((said.code, nameless.len(), nameless[0].verdict), (Some(2), 1, Unknown), "{}", said.stderr);
        assert!(said.stderr.contains(r"database db\xe9 was not compared: its name is not UTF-8"), "{}", said.stderr);
        assert!(said.stderr.contains("verdict   unknown"), "{}", said.stderr);
        assert_eq!((said.row("public.t", "standby1").verdict, of("zz").len()), (Held, 3), "{}", said.stderr);
        // What would move the cursor of whoever reads the rows is shown by its number.
        assert!(!of(r#"U&"a\001B\000Ab""#).is_empty(), "{:#?}", said.rows);
    }
}

/// In SQL_ASCII a name may be any bytes, and a statement is UTF-8.
#[test]
fn tables_and_sequences_whose_names_are_no_utf_8_are_unknown_and_the_others_are_compared() {
    let lab = Lab::new(1);
    make(&lab, "bytes", "SQL_ASCII");
    let script = r"CREATE TABLE t (id int); CREATE SEQUENCE s; CREATE TABLE c (id int);
        DO $$ BEGIN EXECUTE E'CREATE TABLE t\xe9 (id int)'; EXECUTE E'CREATE SEQUENCE s\xe9';
        EXECUTE E'CREATE UNLOGGED TABLE u\xe9 (id int)'; EXECUTE E'ALTER TABLE c ADD COLUMN c\xe9 int';
        EXECUTE format('COMMENT ON TABLE t IS %L', E'\xe9'); END $$";
    on(&lab, "node1", "bytes").script(script).unwrap();
    make(&lab, "later", "UTF8");
    lab.catch_up("node2");
    let seen = |said: &Said| {
        assert_eq!(said.code, Some(2), "{}", said.stderr);
        for title in [r#"public."t\xe9""#, r#"sequence public."s\xe9""#] {
            assert_eq!(said.row(title, "standby1").verdict, Unknown, "{}", said.stderr);
            let not_to_an_end = said.stderr.lines().find(|line| line.contains("not to an end: ")).expect(&said.stderr);
            assert!(not_to_an_end.contains(title), "{}", said.stderr);
        }
        for title in ["public.t", "sequence public.s"] {
            assert_eq!(said.row(title, "standby1").verdict, Held, "{}", said.stderr);
        }
        for words in ["no statement can name it", r#"unlogged public."u\xe9""#, "verdict   unknown"] {
            assert!(said.stderr.contains(words), "{words}: {}", said.stderr);
        }
    };
    let said = verify_in(&lab, "bytes", &[]);
    seen(&said);
    assert_eq!(said.row("public.c", "standby1").verdict, Unknown, "of a column: {}", said.stderr);
    assert_eq!(said.row("catalogs", "standby1").verdict, Held, "{}", said.stderr);
    let said = verify_in(&lab, "understudy", &["--all-databases"]);
    seen(&said);
    assert!(said.rows.iter().any(|row| row.database.as_deref() == Some("later") && row.verdict == Held));

    lab.promote("node2");
    on(&lab, "node2", "bytes").script(r"DO $$ BEGIN EXECUTE E'CREATE TABLE o\xe8 (id int)'; END $$").unwrap();
    let said = verify_in(&lab, "bytes", &["--at-rest", "--equal", "values"]);
    for title in [r#"public."t\xe9""#, r#"public."o\xe8""#] {
        assert_eq!(said.row(title, "standby1").verdict, Unknown, "{}", said.stderr);
    }
    assert_eq!((said.code, said.row("public.t", "standby1").verdict), (Some(2), Held), "{}", said.stderr);
}
