//! Against a real pair: what a checker or a look-up says of an index of an honest standby, and what is no fault of it; and that
//! damage is found all the same.

#![allow(clippy::unwrap_used, reason = "the helpers of a test may panic as well as the test")]

#[path = "common/optional.rs"]
mod optional;
#[path = "common/pair.rs"]
mod pair;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cluster::args::Cluster;
use cluster::file::LoginKind;
use cluster::session::Session;
use report::verdict::Verdict::{Broken, Held, Unknown};
use report::verify::VerifyRow;

use crate::optional::has;
use crate::pair::{Pair, session};

/// Long enough for whatever a test waits for.
const SOON: Duration = Duration::from_secs(30);

/// An index whose entries depend on how bytes are printed.
const BYTES: &str = "CREATE TABLE bytes (id int PRIMARY KEY, b bytea, n int);
    INSERT INTO bytes SELECT i, decode(md5(i::text), 'hex'), 0 FROM generate_series(1, 3000) AS i;
    CREATE INDEX bytes_b ON bytes ((b::text));";

fn of<'a>(rows: &'a [VerifyRow], table: &str) -> &'a VerifyRow {
    rows.iter().find(|row| row.table == table).unwrap_or_else(|| panic!("{rows:#?}"))
}

/// A snapshot in another database of the standby, which keeps nothing from being replayed.
fn snapshot_elsewhere(pair: &Pair) -> Session {
    let cluster = Cluster::from_file(pair.file.clone()).in_database("postgres");
    let info = cluster.info(cluster.node(&pair.standby).unwrap(), LoginKind::Admin).unwrap();
    let session = Session::open(&pair.standby, &info, "test").unwrap();
    session.script("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class").unwrap();
    session
}

/// In recovery the checker goes by the snapshots of all databases.
#[test]
fn a_snapshot_in_another_database_makes_no_visibility_map_wrong_and_hides_no_damage() {
    let pair = Pair::new();
    let standby = session(&pair.file, &pair.standby);
    standby.script("ALTER SYSTEM SET hot_standby_feedback = off").unwrap();
    standby.script("SELECT pg_reload_conf()").unwrap();
    let has_checker = has(&pair.primary, "CREATE EXTENSION IF NOT EXISTS pg_visibility");
    let all_visible = "SELECT relallvisible = relpages FROM pg_class WHERE relname = 'shown'";
    pair.settle();
    let kept = snapshot_elsewhere(&pair);
    let script = "CREATE TABLE shown (id int PRIMARY KEY, w text);
        INSERT INTO shown SELECT i, repeat('w', 100) FROM generate_series(1, 200) AS i;";
    pair.primary.script(script).unwrap();
    cluster::wait::until_true("the pages to be all-visible", SOON, SOON / 300, || {
        pair.primary.script("VACUUM shown")?; // freezes none: the checker asks who wrote each row
        pair.primary.value::<bool>(all_visible, &[])
    })
    .unwrap();
    pair.settle_without_vacuum();
    let (code, rows, stderr) = pair.verify(&["--table", "shown"]);
    assert_eq!((code, rows[0].verdict, rows[0].index_faults), (Some(0), Held, Some(0)), "{stderr}");
    drop(kept);

    let file = pair.files("shown").remove(0).display().to_string() + "_vm";
    let before = fs::read(&file).unwrap();
    pair.primary.script("DELETE FROM shown WHERE id <= 100").unwrap();
    pair.primary.script("CREATE INDEX shown_after ON shown (id)").unwrap(); // it never had the entries of deleted rows
    pair.settle_without_vacuum();
    pair.while_stopped(|| fs::write(&file, &before).unwrap());
    let _kept = snapshot_elsewhere(&pair);
    let (code, rows, stderr) = pair.verify(&["--table", "shown"]);
    if has_checker {
        assert_eq!((code, rows[0].index_faults), (Some(1), Some(100)), "{stderr}");
    } else {
        // By whichever index the server has counted, the other one may show them.
        assert!(code == Some(1) || stderr.contains("; 0 of 1 visibility map"), "{stderr}");
    }
}

/// What the last VACUUM on the primary knew says nothing of the standby's file.
#[test]
fn a_map_where_the_primary_has_none_is_found() {
    let pair = Pair::new();
    if !has(&pair.primary, "CREATE EXTENSION IF NOT EXISTS pg_visibility") {
        return; // without it the map is looked at only where VACUUM has left word of one
    }
    for table in ["donor", "none"] {
        let script = format!(
            "CREATE TABLE {table} (id int PRIMARY KEY, w text) WITH (autovacuum_enabled = off);
             INSERT INTO {table} SELECT i, repeat('w', 100) FROM generate_series(1, 200) AS i;"
        );
        pair.primary.script(&script).unwrap();
    }
    pair.primary.script("DELETE FROM none WHERE id <= 100").unwrap();
    cluster::wait::until_true("the donor's pages to be all-visible", SOON, SOON / 300, || {
        pair.primary.script("VACUUM donor")?;
        pair.primary.value::<bool>("SELECT relallvisible = relpages FROM pg_class WHERE relname = 'donor'", &[])
    })
    .unwrap();
    pair.settle_without_vacuum();
    let [donor, none] = ["donor", "none"].map(|table| pair.files(table).remove(0).display().to_string() + "_vm");
    pair.while_stopped(|| {
        fs::copy(&donor, &none).unwrap();
        let owner = fs::metadata(&donor).unwrap();
        chown(&none, Some(owner.uid()), Some(owner.gid())).unwrap();
    });
    let (code, rows, stderr) = pair.verify(&["--table", "none"]);
    assert_eq!((code, rows[0].verdict, rows[0].index_faults), (Some(1), Broken, Some(100)), "{stderr}");
}

/// Of an index that only amcheck may read: the primary's lacks an entry, too, but one of a later row.
#[test]
fn a_row_that_amcheck_misses_on_the_standby_before_that_on_the_primary_is_a_fault() {
    let pair = Pair::new();
    if !has(&pair.primary, "CREATE EXTENSION IF NOT EXISTS amcheck") {
        return; // nobody may read it then
    }
    let script = "CREATE FUNCTION same(i int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN i; END';
        CREATE TABLE by_code (id int, w text); INSERT INTO by_code SELECT i, 'w' FROM generate_series(1, 20000) AS i;
        CREATE INDEX by_code_i ON by_code (same(id));";
    pair.primary.script(script).unwrap();
    let more = "INSERT INTO by_code SELECT i, 'w' FROM generate_series(20001, 20500) AS i;
        INSERT INTO by_code VALUES (30000, 'w');
        CREATE OR REPLACE FUNCTION same(i int) RETURNS int IMMUTABLE LANGUAGE plpgsql
            AS 'BEGIN RETURN CASE i WHEN 30000 THEN -1 ELSE i END; END';";
    pair.leave_behind("by\\_code\\_i", more);
    let (code, rows, stderr) = pair.verify(&["--table", "by_code"]);
    assert_eq!((code, rows[0].verdict), (Some(1), Broken), "{stderr}");
}

/// The standby is two seconds behind, and each row is written anew each second: what it has the primary has no more.
#[test]
fn rows_that_no_index_leads_to_are_no_fault_also_where_the_primary_has_others_by_now() {
    let pair = Pair::new();
    let script = "SET bytea_output = 'escape';
        CREATE TABLE nan (id int PRIMARY KEY, c circle, n int);
        INSERT INTO nan SELECT i, CASE i % 3 WHEN 0 THEN '<(NaN,1),2>' ELSE circle(point(i, i), 2) END, 0
          FROM generate_series(1, 3000) AS i;
        CREATE INDEX nan_c ON nan USING gist (c);";
    pair.primary.script(&format!("{script}{BYTES}")).unwrap();
    has(&pair.primary, "CREATE EXTENSION IF NOT EXISTS amcheck");
    let standby = session(&pair.file, &pair.standby);
    standby.script("ALTER SYSTEM SET recovery_min_apply_delay = '2s'").unwrap();
    standby.script("SELECT pg_reload_conf()").unwrap();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                pair.primary.script("UPDATE nan SET n = n + 1, c = c; UPDATE bytes SET n = n + 1, b = b").unwrap();
                std::thread::sleep(Duration::from_millis(500));
            }
        });
        let said: Vec<_> =
            (0..3).map(|_| pair.verify(&["--table", "nan", "--table", "bytes", "--catch-up-timeout", "30s"])).collect();
        over.store(true, Ordering::Relaxed);
        for (code, rows, stderr) in said {
            let found =
                ["public.nan", "public.bytes"].map(|table| (of(&rows, table).verdict, of(&rows, table).index_faults));
            assert_eq!((code, found), (Some(0), [(Held, Some(0)); 2]), "{stderr}");
        }
    });
}

/// Values are printed as the database says, and the entries of the index with them.
#[test]
fn an_index_is_asked_under_the_settings_of_its_database() {
    let pair = Pair::new();
    has(&pair.primary, "CREATE EXTENSION IF NOT EXISTS amcheck");
    let set =
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET bytea_output = %L', current_database(), 'escape'); END $$;
        SET bytea_output = 'escape';";
    pair.primary.script(&format!("{set}{BYTES}")).unwrap();
    for args in [&["--table", "bytes"][..], &["--table", "bytes", "--indexes", "all"]] {
        let (code, rows, stderr) = pair.verify(args);
        assert_eq!((code, rows[0].index_faults), (Some(0), Some(0)), "{stderr}");
        assert!(!stderr.contains("not read") && !stderr.contains("on both nodes"), "{stderr}");
    }
    let more = "INSERT INTO bytes SELECT i, decode(md5(i::text), 'hex'), 0 FROM generate_series(3001, 4000) AS i";
    pair.leave_behind("bytes\\_b", more);
    for args in [&["--table", "bytes"][..], &["--table", "bytes", "--indexes", "all"]] {
        let (code, rows, stderr) = pair.verify(args);
        assert_eq!((code, rows[0].verdict), (Some(1), Broken), "{stderr}");
    }
}

/// Some session's settings were others. Neither node's index leads to its rows by what they hold: nothing is known of it.
#[test]
fn an_index_that_leads_to_no_row_on_either_node_was_not_read() {
    let pair = Pair::new();
    has(&pair.primary, "CREATE EXTENSION IF NOT EXISTS amcheck");
    pair.primary.script(&format!("SET bytea_output = 'escape'; {BYTES}")).unwrap();
    let (code, rows, stderr) = pair.verify(&["--table", "bytes"]);
    assert_eq!((code, rows[0].verdict, rows[0].indexes), (Some(0), Held, Some(1)), "{stderr}");
    assert!(stderr.contains("1 of 2 indexes: ") && stderr.contains("indexes not read: public.bytes_b ("), "{stderr}");
    let (code, rows, stderr) = pair.verify(&["--table", "bytes", "--indexes", "all"]);
    assert_eq!((code, rows[0].verdict), (Some(2), Unknown), "{stderr}");
    assert!(stderr.contains("index public.bytes_b was not read in full"), "{stderr}");
}

/// PostgreSQL's own operators do not find them, nor does an index find what was computed under another setting.
#[test]
fn what_the_primarys_index_does_not_find_either_is_no_fault_of_the_standby() {
    let pair = Pair::new();
    let script = "CREATE TABLE nan (id int PRIMARY KEY, c circle, p point);
        INSERT INTO nan SELECT i, circle(point(i, i), i), point(i, i) FROM generate_series(1, 200) AS i;
        INSERT INTO nan VALUES (201, '<(3,5),NaN>', '(NaN,NaN)');
        CREATE INDEX nan_c ON nan USING gist (c); CREATE INDEX nan_p ON nan USING gist (p);
        CREATE TABLE shown (f float8); CREATE INDEX shown_f ON shown ((f::text));
        SET extra_float_digits = 0; INSERT INTO shown VALUES (0.1::float8 + 0.2::float8), (1); RESET extra_float_digits;";
    pair.primary.script(script).unwrap();
    for args in [&["--sample", "1000"][..], &["--indexes", "all"]] {
        let (code, rows, stderr) = pair.verify(args);
        let of = |table: &str| rows.iter().find(|row| row.table == table).unwrap();
        let found = [of("public.nan"), of("public.shown")].map(|row| (row.verdict, row.index_faults));
        // Of a btree all rows are seen in its order, too; the others are not read in full.
        let (all, nan) = if args.contains(&"all") { (2, Unknown) } else { (0, Held) };
        assert_eq!((code, found), (Some(all), [(nan, Some(0)), (Held, Some(0))]), "{stderr}");
        for index in ["nan_c", "nan_p", "shown_f"] {
            assert!(stderr.contains(&format!("index public.{index}: does not lead to the rows at (")), "{stderr}");
        }
        assert_eq!(stderr.matches("on the primary neither").count(), 3, "{stderr}");
    }
}

/// A scan of a gin index then returns some of its rows, at random.
#[test]
fn what_a_database_sets_for_searches_hides_no_row() {
    let pair = Pair::new();
    let script = "CREATE TABLE many (id int PRIMARY KEY, a int[]);
        INSERT INTO many SELECT i, ARRAY[i % 20] FROM generate_series(1, 60000) AS i;
        CREATE INDEX many_a ON many USING gin (a);
        DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET gin_fuzzy_search_limit = 190', current_database()); END $$;";
    pair.primary.script(script).unwrap();
    pair.primary.script("VACUUM many").unwrap(); // what waits in the pending list is always returned
    let (code, rows, stderr) = pair.verify(&["--table", "many", "--seed", "1"]);
    assert_eq!((code, rows[0].index_faults), (Some(0), Some(0)), "{stderr}");
}
