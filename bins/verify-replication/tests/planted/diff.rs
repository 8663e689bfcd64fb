//! `--diff FILE` holds what was planted and nothing else, and no values that nobody asked for.

use report::diff::{DiffKind, DiffRow};

use crate::pair::Pair;

const SECRET: &str = "xyzzy";

/// Kind, table, key, columns.
fn told(rows: &[DiffRow]) -> Vec<(DiffKind, &str, &str, Option<&str>)> {
    let mut told: Vec<_> = rows.iter().map(|row| (row.kind, &*row.table, &*row.key, row.columns.as_deref())).collect();
    told.sort();
    told
}

#[test]
fn it_holds_what_was_planted_with_the_columns_that_differ() {
    let pair = Pair::new();
    pair.script(&format!(
        "CREATE TABLE keyed (a int, b text, \"odd, name\" numeric, secret text, PRIMARY KEY (a, b));
         INSERT INTO keyed SELECT i, 'k' || i, 1.0, '{SECRET} ' || i FROM generate_series(1, 1000) AS i;
         CREATE TABLE keyless (v int, secret text);
         INSERT INTO keyless SELECT i, '{SECRET}' FROM generate_series(1, 1000) AS i;
         CREATE TYPE trap AS ENUM ('shut', 'open');
         CREATE FUNCTION fall(trap) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$BEGIN RAISE 'called'; END$$;
         CREATE CAST (trap AS text) WITH FUNCTION fall;
         CREATE TABLE trapped (k trap PRIMARY KEY);
         INSERT INTO trapped VALUES ('shut'), ('open');"
    ));
    let change = format!(
        "UPDATE keyed SET \"odd, name\" = 1.00 WHERE a = 7;
         UPDATE keyed SET secret = NULL, \"odd, name\" = 2 WHERE a = 8;
         DELETE FROM keyed WHERE a = 9;
         INSERT INTO keyed VALUES (2000, 'new', 1.0, '{SECRET} \"quoted\"');
         DELETE FROM keyless WHERE v = 500;
         DELETE FROM trapped WHERE k = 'open';"
    );
    pair.leave_behind(&["keyed", "keyless", "trapped"], &change);
    let tables = ["--table", "keyed", "--table", "keyless", "--table", "trapped", "--indexes", "none"];
    let (said, rows, text) = pair.diff(&tables);
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    let place = rows.iter().find(|row| row.table == "public.keyless").and_then(|row| row.standby_ctid.clone());
    let place = place.unwrap_or_else(|| panic!("{rows:#?} {}", said.stderr));
    let expected = [
        (DiffKind::Missing, "public.keyed", "(2000,new)", None),
        (DiffKind::Extra, "public.keyed", "(9,k9)", None),
        (DiffKind::Extra, "public.keyless", &*format!("ctid {place}"), None),
        (DiffKind::Extra, "public.trapped", "open", None), // a cast is its owner's function, and is not called
        (DiffKind::Different, "public.keyed", "(7,k7)", Some("\"odd, name\"")),
        (DiffKind::Different, "public.keyed", "(8,k8)", Some("\"odd, name\",secret")),
    ];
    assert_eq!(told(&rows), expected, "{}", said.stderr);
    assert!(!text.contains(SECRET), "no values, unless they are asked for: {text}");
    assert!(rows.iter().all(|row| row.standby == "node2" && row.database == "understudy"), "{rows:?}");
    for row in &rows {
        assert_eq!(row.primary_ctid.is_none(), row.kind == DiffKind::Extra, "{row:?}");
        assert_eq!(row.standby_ctid.is_none(), row.kind == DiffKind::Missing, "{row:?}");
    }

    let (_, rows, _) = pair.diff(&[&tables[..], &["--show-values"]].concat());
    let of = |key: &str| {
        let row = rows.iter().find(|row| row.key == key).unwrap();
        (row.primary_values.clone().unwrap_or_default(), row.standby_values.clone().unwrap_or_default())
    };
    assert_eq!(of("(7,k7)"), (r#"{"odd, name": "1.00"}"#.into(), r#"{"odd, name": "1.0"}"#.into()));
    let both = (r#"{"odd, name": "2", "secret": null}"#, format!(r#"{{"odd, name": "1.0", "secret": "{SECRET} 8"}}"#));
    assert_eq!(of("(8,k8)"), (both.0.into(), both.1));
    let new = format!(r#"{{"a": "2000", "b": "new", "odd, name": "1.0", "secret": "{SECRET} \"quoted\""}}"#);
    assert_eq!(of("(2000,new)"), (new, String::new()));

    let path = pair.lab.home().join("diff.csv").display().to_string();
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&path).unwrap());
    assert_eq!(mode & 0o777, 0o600, "what rows hold is for nobody else");
    let before = std::fs::read_to_string(&path).unwrap();
    let again = pair.verify(&["--diff", &path, "--table", "keyed"]);
    assert!(again.code == Some(2) && again.stderr.contains("nothing is ever overwritten"), "{}", again.stderr);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), before);
    assert_eq!(pair.verify(&["--show-values", "--table", "keyed"]).code, Some(2), "it is of no use alone");
}

/// As on a full disk: what was found is told all the same, and that the file is not whole.
#[test]
fn where_it_cannot_be_written_what_was_found_is_told_all_the_same() {
    let pair = Pair::new();
    pair.script("CREATE TABLE many (id int PRIMARY KEY); INSERT INTO many SELECT generate_series(1, 1000)");
    pair.script("CREATE TABLE same (id int PRIMARY KEY); INSERT INTO same SELECT generate_series(1, 1000)");
    pair.leave_behind(&["many"], "DELETE FROM many WHERE id > 100");
    let path = pair.lab.home().join("diff.csv").display().to_string();
    for (tables, code) in [(&["--table", "many", "--table", "same"][..], 1), (&["--table", "same"], 0)] {
        let said = pair.verify_with_files_of(4096, &[&["--diff", &path, "--indexes", "none"], tables].concat());
        assert_eq!((said.code, said.rows.len()), (Some(code), tables.len() / 2), "{}", said.stderr);
        assert_eq!(said.stderr.contains("--diff is not whole: "), code == 1, "{}", said.stderr);
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn catalogs_are_tables_there_too() {
    let pair = Pair::new();
    pair.script("CREATE TABLE noted (); COMMENT ON TABLE noted IS 'one'");
    pair.catch_up();
    let copy = pair.on("node2");
    assert!(copy.value::<bool>("SELECT pg_promote()", &[]).unwrap());
    copy.script("COMMENT ON TABLE noted IS 'another one'").unwrap();
    copy.script("CREATE VIEW more AS SELECT 1 AS one").unwrap();
    let (said, rows, _) = pair.diff(&["--at-rest"]);
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    let told = told(&rows);
    assert!(
        told.iter().any(|(kind, table, ..)| (*kind, *table) == (DiffKind::Extra, "pg_catalog.pg_class")),
        "{told:?}"
    );
    let comment = told.iter().find(|(_, table, ..)| *table == "pg_catalog.pg_description").unwrap();
    assert_eq!((comment.0, comment.3), (DiffKind::Different, Some("description")), "{told:?}");
}
