//! Against a real pair: whatever an index of the standby says otherwise than a scan is found, of every kind of index, by
//! amcheck and without it.

#![allow(clippy::unwrap_used, reason = "the helpers of a test may panic as well as the test")]

#[path = "common/optional.rs"]
mod optional;
#[path = "common/page.rs"]
mod page;
#[path = "common/pair.rs"]
mod pair;

use std::fs;
use std::path::Path;
use std::time::Duration;

use report::verdict::Verdict::{Broken, Held, Unknown};

use crate::optional::has;
use crate::page::{edit, edit_unseen};
use crate::pair::Pair;

/// Long enough for whatever a test waits for.
const SOON: Duration = Duration::from_secs(30);

/// A lab has it already, if the server has.
const AMCHECK: &str = "CREATE EXTENSION IF NOT EXISTS amcheck";

/// A table's column, filled from `i`, and an index on it.
struct Kind {
    needs: &'static str,
    value: &'static str,
    index: &'static str,
}

const fn kind(needs: &'static str, value: &'static str, index: &'static str) -> Kind {
    Kind { needs, value, index }
}

const KINDS: &[Kind] = &[
    kind("", "i", "UNIQUE INDEX {i} ON {t} (v)"),
    kind("", "i % 500", "INDEX {i} ON {t} (v)"),
    kind("", "CASE WHEN i % 3 > 0 THEN i END", "INDEX {i} ON {t} (v DESC NULLS LAST)"),
    kind("", "'K' || i", "INDEX {i} ON {t} (v text_pattern_ops)"),
    kind("", "'K' || i", "INDEX {i} ON {t} (lower(v)) WHERE id % 2 = 0"),
    kind("", "'K' || i", "INDEX {i} ON {t} (v DESC, id) INCLUDE (w)"),
    kind("", "'K' || i", "INDEX {i} ON {t} (v COLLATE \"POSIX\")"),
    kind("", "'K' || i", "INDEX {i} ON {t} (lower(v) COLLATE \"POSIX\", (v || w) COLLATE \"POSIX\")"),
    kind("", "'K' || i", "INDEX {i} ON {t} USING hash (v)"),
    kind("", "ARRAY[i, i + 1]", "INDEX {i} ON {t} USING gin (v)"),
    kind("", "jsonb_build_object('a', i)", "INDEX {i} ON {t} USING gin (v)"),
    kind("", "jsonb_build_object('a', i)", "INDEX {i} ON {t} USING gin (v jsonb_path_ops)"),
    kind("", "to_tsvector('simple', 'it''s \\a & b' || i)", "INDEX {i} ON {t} USING gin (v)"),
    kind("", "int4range(i, i + 3)", "INDEX {i} ON {t} USING gist (v)"),
    kind("", "point(i, i)", "INDEX {i} ON {t} USING gist (v)"),
    kind("", "inet '10.0.0.0' + i", "INDEX {i} ON {t} USING spgist (v)"),
    kind("", "i", "INDEX {i} ON {t} USING brin (v) WITH (pages_per_range = 2)"),
    kind("CREATE EXTENSION citext", "('K' || i)::citext", "INDEX {i} ON {t} (v)"),
    kind("CREATE EXTENSION ltree", "('k.' || i)::ltree", "INDEX {i} ON {t} USING gist (v)"),
    kind("CREATE EXTENSION pg_trgm", "'key ' || i", "INDEX {i} ON {t} USING gin (v gin_trgm_ops)"),
];

/// Fills a table for each kind from `from` to `to`.
fn fill(kinds: &[&Kind], from: u32, to: u32) -> String {
    let one = |(n, kind): (usize, &&Kind)| {
        let rows = format!("SELECT i, {} AS v, repeat('w', 60) FROM generate_series({from}, {to}) AS i;", kind.value);
        format!("INSERT INTO of_{n} {rows}")
    };
    kinds.iter().enumerate().map(one).collect()
}

/// A table with an index for each kind, 6,000 rows in each.
fn make(pair: &Pair) -> Vec<&'static Kind> {
    let is_there = |kind: &&Kind| kind.needs.is_empty() || has(&pair.primary, kind.needs);
    let kinds: Vec<&Kind> = KINDS.iter().filter(is_there).collect();
    for (n, kind) in kinds.iter().enumerate() {
        let (table, index) = (format!("of_{n}"), format!("of_{n}_index"));
        let create = kind.index.replace("{i}", &index).replace("{t}", &table);
        let columns = format!("SELECT i AS id, {} AS v, ''::text AS w FROM generate_series(1, 0) AS i", kind.value);
        pair.primary.script(&format!("CREATE TABLE {table} AS {columns}; CREATE {create};")).unwrap();
    }
    pair.primary.script(&fill(&kinds, 1, 6_000)).unwrap();
    kinds
}

#[test]
fn rows_that_no_index_knows_of_are_found_by_every_kind_of_index() {
    let pair = Pair::new();
    let kinds = make(&pair);
    for args in [&["--indexes", "sample"][..], &["--indexes", "all"]] {
        let (code, rows, stderr) = pair.verify(args);
        assert_eq!(code, Some(0), "{stderr}");
        for (n, kind) in kinds.iter().enumerate() {
            let row = rows.iter().find(|row| row.table == format!("public.of_{n}")).unwrap();
            assert_eq!((row.indexes, row.index_faults), (Some(1), Some(0)), "{}: {stderr}", kind.index);
        }
        assert!(stderr.contains(" indexes: ") && !stderr.contains("\n  indexes not read"), "{stderr}"); // of catalogs there may be
    }
    pair.leave_behind("of\\_%\\_index", &fill(&kinds, 6_001, 8_000));
    // Without amcheck first, as on a cluster whose administrator did not give it.
    pair.primary.script("DROP EXTENSION IF EXISTS amcheck").unwrap();
    for (args, exact) in [(&["--seed", "3"][..], false), (&["--indexes", "all"], true)] {
        let (code, rows, stderr) = pair.verify(args);
        assert_eq!(code, Some(1), "{stderr}");
        for (n, kind) in kinds.iter().enumerate() {
            let row = rows.iter().find(|row| row.table == format!("public.of_{n}")).unwrap();
            let (index, faults) = (kind.index, row.index_faults.unwrap());
            if index.contains("brin") {
                assert_eq!((row.verdict, faults), (Held, 0), "it leads to all pages that it does not know: {stderr}");
                continue;
            }
            assert_eq!(
                (row.verdict, row.rows_standby, row.different),
                (Broken, Some(8_000), Some(0)),
                "{index} {stderr}"
            );
            let lost = match index {
                _ if index.contains("WHERE id % 2") => 1_000,
                _ if index.contains("NULLS LAST") => 1_334, // NULL is not looked up: it would only be missed in order
                _ => 2_000,
            };
            match exact {
                true => assert_eq!(faults, lost, "{index}: {stderr}"),
                false => assert!((5..=50).contains(&faults), "{faults} by {index}: {stderr}"), // of a hundred, a quarter
            }
            assert!(stderr.contains(&format!("index public.of_{n}_index: ")), "{index}: {stderr}");
        }
    }
}

#[test]
fn a_damaged_leaf_of_any_btree_is_found_in_full() {
    let pair = Pair::new();
    let script = "CREATE TABLE leaf (id int PRIMARY KEY, v int, w text UNIQUE);
        INSERT INTO leaf SELECT i, i, 'w' || i FROM generate_series(1, 20000) AS i;
        CREATE INDEX leaf_v ON leaf (v); CREATE INDEX leaf_expression ON leaf ((v + 1)) WHERE v > 0;
        CREATE TABLE sound AS SELECT * FROM leaf; CREATE INDEX sound_v ON sound (v);";
    pair.primary.script(script).unwrap();
    let (code, _, stderr) = pair.verify(&["--table", "leaf", "--table", "sound", "--indexes", "all"]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("5 of 5 indexes: 5 read in full;"), "{stderr}");
    pair.settle();
    let names = ["leaf_pkey", "leaf_v", "leaf_expression", "leaf_w_key"];
    let sound: Vec<_> = names.iter().map(|name| (*name, pair.files(name).remove(0))).collect();
    let before: Vec<_> = sound.iter().map(|(_, file)| fs::read(file).unwrap()).collect();
    type Harm = fn(&Path, u64);
    let exchange: Harm = |file, block| edit_unseen(file, block, |page| exchange_places(page, 20, 30));
    let damages: [(&str, u64, Harm); 4] = [
        ("a leaf is zeroed", 4, |file, block| edit(file, block, |page| page.fill(0))),
        ("a leaf has a wrong checksum", 4, |file, block| edit(file, block, |page| page[4000] ^= 1)),
        ("a leaf leads to two other rows", 4, exchange),
        ("the root leads to two other pages", 3, exchange),
    ];
    let amcheck = has(&pair.primary, AMCHECK);
    if amcheck {
        pair.primary.script("ALTER EXTENSION amcheck SET SCHEMA public").unwrap();
        let (_, _, stderr) = pair.verify(&["--table", "leaf", "--seed", "1"]);
        let said = "4 of 4 indexes: 0 read in full, 4 by amcheck, 4 by 400 of 80000 rows drawn at random (--seed 1)";
        assert!(stderr.contains(said), "amcheck does not search what it reads: {stderr}");
    }
    for by_amcheck in [amcheck, false] {
        if !by_amcheck {
            pair.primary.script("DROP EXTENSION IF EXISTS amcheck").unwrap();
            pair.settle();
        }
        for (damage, block, harm) in &damages[..if by_amcheck { 3 } else { 4 }] {
            pair.while_stopped(|| {
                for ((_, file), bytes) in sound.iter().zip(&before) {
                    fs::write(file, bytes).unwrap();
                    harm(file, *block);
                }
            });
            let args = if by_amcheck { ["--indexes", "sample"] } else { ["--indexes", "all"] };
            let (code, rows, stderr) = pair.verify(&args);
            let of = |table: &str| rows.iter().find(|row| row.table == format!("public.{table}")).unwrap();
            assert_eq!((code, of("sound").verdict), (Some(1), Held), "{damage}: {stderr}");
            let row = of("leaf");
            assert_eq!((row.verdict, row.different, row.corrupt), (Broken, Some(0), Some(0)), "{damage}: {stderr}");
            for (name, _) in &sound {
                let told = stderr.matches(&format!("on {}: index public.{name}: ", pair.standby)).count();
                assert_eq!(told, 1, "{damage} {name}, amcheck {by_amcheck}: {stderr}");
            }
        }
    }
}

#[test]
fn an_index_without_its_first_page_is_one_fault_though_nothing_can_be_read() {
    let pair = Pair::new();
    let script = "CREATE TABLE headless (id int PRIMARY KEY); INSERT INTO headless SELECT generate_series(1, 50000);";
    pair.primary.script(script).unwrap();
    pair.settle();
    let file = pair.files("headless_pkey").remove(0);
    let harms: [&dyn Fn(); 2] = [&|| edit(&file, 0, |page| page.fill(0)), &|| fs::remove_file(&file).unwrap()];
    for harm in harms {
        pair.while_stopped(harm);
        for args in [&["--table", "headless"][..], &["--table", "headless", "--indexes", "none"]] {
            let (code, rows, stderr) = pair.verify(args);
            assert_eq!((code, rows[0].index_faults, rows[0].rows_standby), (Some(1), Some(1), None), "{stderr}");
            assert!(stderr.contains("no statement on it can be planned"), "{stderr}");
        }
    }
}

#[test]
fn a_page_that_is_wrongly_called_all_visible_is_found() {
    let pair = Pair::new();
    let script = "CREATE TABLE shown (id int PRIMARY KEY, w text);
        INSERT INTO shown SELECT i, repeat('w', 100) FROM generate_series(1, 200) AS i;";
    pair.primary.script(script).unwrap();
    pair.settle();
    let all_visible = "SELECT relallvisible = relpages FROM pg_class WHERE relname = 'shown'";
    cluster::wait::until_true("no older snapshot to be left", SOON, SOON / 300, || {
        pair.settle(); // the standby tells once in a while what its oldest snapshot is
        pair.primary.value::<bool>(all_visible, &[])
    })
    .unwrap();
    let file = pair.files("shown").remove(0).display().to_string() + "_vm";
    let before = fs::read(&file).unwrap();
    pair.primary.script("DELETE FROM shown WHERE id <= 100").unwrap();
    pair.settle_without_vacuum();
    pair.while_stopped(|| fs::write(&file, &before).unwrap());
    has(&pair.primary, "CREATE EXTENSION IF NOT EXISTS pg_visibility"); // without it, the same is found by counts
    let by_extension = pair.verify(&["--table", "shown"]);
    pair.primary.script("DROP EXTENSION IF EXISTS pg_visibility").unwrap();
    for (code, rows, stderr) in [by_extension, pair.verify(&["--table", "shown"])] {
        assert_eq!((code, rows[0].index_faults), (Some(1), Some(100)), "{stderr}");
        assert!(stderr.contains("visibility map"), "{stderr}");
    }
}

#[test]
fn rows_without_a_value_are_found_by_an_index_that_knows_of_them() {
    let pair = Pair::new();
    let make = |n: usize, method: &str| {
        format!(
            "CREATE TABLE null_{n} (v int4range); CREATE INDEX null_{n}_i ON null_{n} USING {method} (v);
             INSERT INTO null_{n} SELECT int4range(i, i + 1) FROM generate_series(1, 500) AS i;"
        )
    };
    let methods = ["gist", "spgist", "btree"];
    pair.primary.script(&methods.iter().enumerate().map(|(n, method)| make(n, method)).collect::<String>()).unwrap();
    let (code, _, stderr) = pair.verify(&["--indexes", "all"]);
    assert_eq!(code, Some(0), "{stderr}");
    let more: String =
        (0..3).map(|n| format!("INSERT INTO null_{n} SELECT NULL FROM generate_series(1, 100);")).collect();
    pair.leave_behind("null\\_%\\_i", &more);
    if has(&pair.primary, AMCHECK) {
        let (code, rows, stderr) = pair.verify(&["--table", "null_2"]);
        assert_eq!((code, rows[0].index_faults), (Some(1), Some(1)), "{stderr}");
        pair.primary.script("DROP EXTENSION amcheck").unwrap();
    }
    let (code, rows, stderr) = pair.verify(&["--indexes", "all"]);
    for n in 0..3 {
        let row = rows.iter().find(|row| row.table == format!("public.null_{n}")).unwrap();
        assert_eq!((code, row.verdict, row.index_faults), (Some(1), Broken, Some(100)), "{n}: {stderr}");
    }
}

#[test]
fn a_row_is_drawn_wherever_its_line_pointer_is() {
    let pair = Pair::new();
    let script =
        "CREATE TABLE few (id int PRIMARY KEY, v int); INSERT INTO few SELECT i, i FROM generate_series(1, 50) AS i;
        CREATE INDEX few_v ON few (v); DELETE FROM few WHERE id < 50; UPDATE few SET v = 0;
        DROP EXTENSION IF EXISTS amcheck;";
    pair.primary.script(script).unwrap();
    let (code, rows, stderr) = pair.verify(&["--table", "few"]);
    assert_eq!((code, rows[0].indexes), (Some(0), Some(2)), "{stderr}");
    assert!(stderr.contains("2 by 2 of 2 rows drawn at random"), "{stderr}");
}

#[test]
fn an_index_that_is_not_read_is_named_and_all_of_them_were_asked_for() {
    let pair = Pair::new();
    let script = "CREATE FUNCTION twice(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 2 * $1';
        CREATE TABLE called (id int); INSERT INTO called VALUES (1); CREATE INDEX called_twice ON called (twice(id));
        DROP EXTENSION IF EXISTS amcheck;";
    pair.primary.script(script).unwrap();
    let (code, rows, stderr) = pair.verify(&["--table", "called"]);
    assert_eq!((code, rows[0].verdict, rows[0].indexes), (Some(0), Held, Some(0)), "{stderr}");
    assert!(stderr.contains("indexes not read: public.called_twice (it calls functions"), "{stderr}");
    let (code, rows, stderr) = pair.verify(&["--table", "called", "--indexes", "all"]);
    assert_eq!((code, rows[0].verdict), (Some(2), Unknown), "{stderr}");
}

/// Of rows that share their value only the first few are followed, and most are not among them.
#[test]
fn an_index_of_which_no_row_could_be_told_from_the_others_is_named() {
    let pair = Pair::new();
    let script =
        "CREATE TABLE alike AS SELECT true AS v FROM generate_series(1, 50000); CREATE INDEX alike_v ON alike (v);
        DROP EXTENSION IF EXISTS amcheck;";
    pair.primary.script(script).unwrap();
    let mut read = 0;
    for seed in ["1", "2", "3", "4", "5"] {
        let (code, rows, stderr) = pair.verify(&["--table", "alike", "--sample", "1", "--seed", seed]);
        let is_named = stderr.contains("indexes not read: public.alike_v (some rows share their value");
        assert_eq!((code, rows[0].indexes), (Some(0), Some(u64::from(!is_named))), "{stderr}");
        read += rows[0].indexes.unwrap();
    }
    assert!(read < 5, "one row of 250 is followed");
}

/// Exchanges the places in the table that two entries of an index lead to. Line pointers count from 1.
fn exchange_places(page: &mut [u8], one: usize, other: usize) {
    let item = |pointer: usize| {
        let at = 24 + 4 * (pointer - 1);
        usize::from(u16::from_le_bytes([page[at], page[at + 1]]) & 0x7FFF)
    };
    let (one, other) = (item(one), item(other));
    (0..6).for_each(|byte| page.swap(one + byte, other + byte));
}

#[test]
fn an_index_that_the_server_passes_by_for_its_twin_is_unknown_without_amcheck_and_that_is_said() {
    let pair = Pair::new();
    let script = "CREATE TABLE twice AS SELECT i AS v FROM generate_series(1, 500) AS i;
                  CREATE INDEX one_of_two ON twice (v); CREATE INDEX other_of_two ON twice (v);
                  DROP EXTENSION IF EXISTS amcheck";
    pair.primary.script(script).unwrap();
    pair.settle();
    let (code, rows, stderr) = pair.verify(&["--table", "twice", "--indexes", "all"]);
    assert_eq!((code, rows[0].verdict, rows[0].index_faults), (Some(2), Unknown, Some(0)), "{stderr}");
    let said = "was not read in full: another index is over the same";
    assert_eq!(stderr.matches(said).count(), 1, "one of the two is read: {stderr}");
}
