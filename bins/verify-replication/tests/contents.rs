//! Against a real pair: an index holds values of its own, which an index-only scan shows, and they are the rows'.

#![allow(clippy::unwrap_used, reason = "the helpers of a test may panic as well as the test")]

#[path = "common/page.rs"]
mod page;
#[path = "common/pair.rs"]
mod pair;

use std::fs;
use std::path::Path;
use std::time::Duration;

use cluster::wait::until_true;
use report::verdict::Verdict::{Broken, Held};

use crate::page::{PAGE, edit_unseen};
use crate::pair::Pair;

/// Changes these bytes wherever they are in a file, under checksums that are right.
fn replace(file: &Path, from: &[u8], to: &[u8]) {
    let all = fs::read(file).unwrap();
    let mut found = 0;
    for (block, page) in (0..).zip(all.chunks(PAGE)) {
        let places = page.windows(from.len()).enumerate().filter(|(_, bytes)| *bytes == from);
        for (at, _) in places {
            edit_unseen(file, block, |page| page[at..at + to.len()].copy_from_slice(to));
            found += 1;
        }
    }
    assert!(found > 0, "{} holds no such bytes", file.display());
}

#[test]
fn an_included_column_that_an_index_holds_otherwise_is_found() {
    let pair = Pair::new();
    let script = "DROP EXTENSION IF EXISTS amcheck;
        CREATE TABLE tree (id int, v int, w text); CREATE UNIQUE INDEX tree_v ON tree (v) INCLUDE (w);
        CREATE TABLE places (id int, v point, w text); CREATE INDEX places_v ON places USING gist (v) INCLUDE (w);
        CREATE TABLE sound (id int, v int, w text); CREATE INDEX sound_v ON sound (v DESC) INCLUDE (w) WHERE id > 7;
        INSERT INTO tree SELECT i, i, 'included ' || i FROM generate_series(1, 3000) AS i;
        INSERT INTO places SELECT i, point(i, i), 'included ' || i FROM generate_series(1, 3000) AS i;
        INSERT INTO sound SELECT * FROM tree;";
    pair.primary.script(script).unwrap();
    pair.settle();
    let (code, _, stderr) = pair.verify(&["--indexes", "all"]);
    assert_eq!(code, Some(0), "{stderr}");
    let files = ["tree_v", "places_v"].map(|index| pair.files(index).remove(0));
    pair.while_stopped(|| files.iter().for_each(|file| replace(file, b"included 2999", b"INCLUDED 2999")));
    let shown = "SET enable_seqscan = off; SET enable_bitmapscan = off; SELECT w FROM tree WHERE v = 2999";
    let texts = pair::session(&pair.file, &pair.standby).texts(shown).unwrap();
    assert_eq!(texts, [[Some("INCLUDED 2999".to_owned())]], "this is what a query is told there");
    let (code, rows, stderr) = pair.verify(&["--indexes", "all"]);
    assert_eq!(code, Some(1), "{stderr}");
    for (table, verdict, faults) in [("tree", Broken, 1), ("places", Broken, 1), ("sound", Held, 0)] {
        let row = rows.iter().find(|row| row.table == format!("public.{table}")).unwrap();
        assert_eq!((row.verdict, row.different, row.index_faults), (verdict, Some(0), Some(faults)), "{stderr}");
    }
    assert!(stderr.contains("index public.tree_v: by itself it shows other values than its rows hold"), "{stderr}");
}

/// An expression over the whole row is printed with the name of its table, which our statements call otherwise.
#[test]
fn an_index_over_whole_rows_is_read_as_any_other() {
    let pair = Pair::new();
    let script = "DROP EXTENSION IF EXISTS amcheck;
        CREATE TABLE \"whole.* row\" (id int, v text);
        INSERT INTO \"whole.* row\" SELECT i, 'v' || i FROM generate_series(1, 500) AS i;
        CREATE INDEX hashed ON \"whole.* row\" (hash_record(\"whole.* row\"));
        CREATE INDEX parted ON \"whole.* row\" (id) WHERE \"whole.* row\" IS NOT NULL;
        CREATE INDEX named ON \"whole.* row\" (v) WHERE v <> '\"whole.* row\".*';";
    pair.primary.script(script).unwrap();
    for how in ["sample", "all"] {
        let (code, rows, stderr) = pair.verify(&["--table", "\"whole.* row\"", "--indexes", how]);
        assert_eq!((code, rows[0].indexes, rows[0].index_faults), (Some(0), Some(3), Some(0)), "{how}: {stderr}");
    }
    pair.leave_behind("hashed", "INSERT INTO \"whole.* row\" SELECT i, 'v' || i FROM generate_series(501, 700) AS i");
    let (code, rows, stderr) = pair.verify(&["--table", "\"whole.* row\"", "--indexes", "all"]);
    assert_eq!((code, rows[0].index_faults), (Some(1), Some(200)), "{stderr}");
}

/// Where one column of an index has no value, a row is looked up by the others.
#[test]
fn rows_without_a_value_in_one_column_are_looked_up_by_the_others() {
    let pair = Pair::new();
    let script = "DROP EXTENSION IF EXISTS amcheck;
        CREATE TABLE lists (id int, a int[], b int[]);
        CREATE INDEX lists_ab ON lists USING gin (a, b) WITH (fastupdate = off);
        CREATE TABLE spots (id int, a point, b point); CREATE INDEX spots_ab ON spots USING gist (a, b);
        INSERT INTO lists SELECT i, ARRAY[i], CASE i % 2 WHEN 0 THEN ARRAY[i] END FROM generate_series(1, 600) AS i;
        INSERT INTO spots SELECT i, point(i, i), CASE i % 2 WHEN 0 THEN point(i, i) END FROM generate_series(1, 600) AS i;";
    pair.primary.script(script).unwrap();
    pair.settle();
    let args = ["--table", "lists", "--table", "spots", "--indexes", "all"];
    let (code, rows, stderr) = pair.verify(&args);
    assert_eq!((code, rows.len()), (Some(0), 2), "{stderr}");
    let change = "UPDATE lists SET a = ARRAY[id + 100000] WHERE b IS NULL AND id < 40;
                  UPDATE spots SET a = point(id + 100000, 0) WHERE b IS NULL AND id < 40";
    pair.leave_behind("%_ab", change);
    let (code, rows, stderr) = pair.verify(&args);
    for row in &rows {
        assert_eq!((row.verdict, row.index_faults), (Broken, Some(20)), "{}: {stderr}", row.table);
    }
    assert_eq!(code, Some(1), "{stderr}");
}

/// An entry that leads to no row at all: a scan by the index passes it, and where the map calls the page all-visible an index-only
/// scan shows it.
#[test]
fn deleted_rows_that_only_the_index_still_shows_are_found() {
    let pair = Pair::new();
    let script = "CREATE TABLE ghosts (id int, v int); CREATE INDEX ghosts_v ON ghosts (v);
        INSERT INTO ghosts SELECT i, i FROM generate_series(1, 300) AS i;";
    pair.primary.script(script).unwrap();
    pair.settle();
    let file = pair.files("ghosts_v").remove(0);
    let before = fs::read(&file).unwrap();
    pair.primary.script("DELETE FROM ghosts WHERE id <= 100").unwrap();
    // The standby tells only now and then that it needs the deleted rows no more.
    until_true("the map to cover the table", Duration::from_secs(60), Duration::from_millis(200), || {
        pair.primary.script("VACUUM ghosts")?;
        pair.primary.value("SELECT relallvisible = relpages FROM pg_class WHERE relname = 'ghosts'", &[])
    })
    .unwrap();
    pair.settle_without_vacuum();
    pair.while_stopped(|| fs::write(&file, before).unwrap());
    let count = "SET enable_seqscan = off; SET enable_bitmapscan = off; SELECT count(*)::text FROM ghosts WHERE v > 0";
    let texts = pair::session(&pair.file, &pair.standby).texts(count).unwrap();
    assert_eq!(texts, [[Some("300".to_owned())]], "this is what a query is told there");
    let (code, rows, stderr) = pair.verify(&["--table", "ghosts", "--indexes", "all"]);
    assert_eq!((code, rows[0].index_faults), (Some(1), Some(1)), "{stderr}");
    assert!(stderr.contains("by itself it shows 300 rows where a scan finds 200"), "{stderr}");
}
