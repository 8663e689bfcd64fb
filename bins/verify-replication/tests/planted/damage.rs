//! Damage of each kind is found, with its block and its node, and the rest of the chunk is compared as always.

use std::fs;
use std::time::{Duration, Instant};

use report::verdict::Verdict::Broken;

use crate::page::{PAGE, edit, edit_unseen};
use crate::pair::Pair;

/// A table of a few hundred blocks.
fn filled(table: &str) -> String {
    format!(
        "CREATE TABLE {table} (id int PRIMARY KEY, v text);
         INSERT INTO {table} SELECT i, 'value ' || i FROM generate_series(1, 20000) AS i;"
    )
}

fn in_blocks(table: &str, condition: &str) -> String {
    format!("SELECT count(*) FROM {table} WHERE (ctid::text::point)[0] {condition}")
}

#[test]
fn each_damaged_block_is_named_and_the_rest_of_its_chunk_is_compared() {
    let pair = Pair::new();
    for table in ["torn", "cut", "gone"] {
        pair.script(&filled(table));
    }
    pair.settle();
    let lost = pair.number(&in_blocks("torn", "= 40"));
    let behind = pair.number(&in_blocks("cut", ">= 30"));
    let [torn, cut, gone] = ["torn", "cut", "gone"].map(|table| pair.path("node2", table));
    pair.while_stopped("node2", || {
        for block in [20, 33, 34] {
            edit(&torn, block, |page| page[6000..6064].fill(0xFF));
        }
        edit(&torn, 40, |page| page.fill(0));
        edit_unseen(&torn, 50, |page| replace(page, b"value", b"Value"));
        let file = fs::OpenOptions::new().write(true).open(&cut).unwrap();
        file.set_len(30 * PAGE as u64 + 100).unwrap();
        fs::remove_file(&gone).unwrap();
    });
    let (said, rows, _) = pair.diff(&["--table", "torn", "--table", "cut", "--table", "gone", "--indexes", "none"]);
    let stderr = &said.stderr;
    assert_eq!(said.code, Some(1), "{stderr}");
    assert_eq!(said.counts("public.torn"), [lost, 0, 1, 3].map(Some), "{stderr}");
    assert!(stderr.contains("public.torn on node2: damaged on node2: blocks 20, 33 to 34\n"), "{stderr}");
    assert!(stderr.contains("invalid page in block 20"), "{stderr}");
    assert_eq!((said.row("public.torn").rows_primary, said.row("public.torn").rows_standby), (Some(20_000), None));

    assert_eq!(said.counts("public.cut"), [behind, 0, 0, 0].map(Some), "{stderr}");
    assert_eq!(said.row("public.cut").rows_standby, Some(20_000 - behind));

    assert_eq!(said.counts("public.gone"), [None, None, None, Some(1)], "{stderr}");
    let file = gone.display().to_string();
    let file = &file[file.find("base/").unwrap()..];
    assert!(stderr.contains("public.gone on node2: damaged on node2: ") && stderr.contains(file), "{stderr}");
    assert_eq!(said.row("public.gone").verdict, Broken);

    let mut corrupt: Vec<_> =
        rows.iter().filter(|row| row.kind.word() == "corrupt").map(|row| row.key.clone()).collect();
    corrupt.sort();
    assert_eq!(corrupt, ["block 20".to_owned(), "block 33".into(), "block 34".into(), format!("file {file}")]);
    assert_eq!(rows.len() as u64, 4 + 1 + lost + behind);
}

#[test]
fn values_that_cannot_be_read_are_damage_of_the_block_that_their_row_is_in() {
    let pair = Pair::new();
    pair.script(
        "CREATE TABLE long (id int PRIMARY KEY, pad text, v text);
         ALTER TABLE long ALTER pad SET STORAGE PLAIN, ALTER v SET STORAGE EXTERNAL;
         INSERT INTO long SELECT i, repeat('p', 1500), repeat(md5(i::text), 150) FROM generate_series(1, 50) AS i;
         CREATE TABLE lists (id int PRIMARY KEY, pad text, v int[]);
         INSERT INTO lists SELECT i, repeat('p', 1500), ARRAY[i, 77] FROM generate_series(1, 50) AS i;",
    );
    pair.settle();
    let lost = Some(pair.number(&in_blocks("long", "= 5")));
    let toast = pair.path("node2", "(SELECT reltoastrelid FROM pg_class WHERE relname = 'long')");
    let [long, lists] = ["long", "lists"].map(|table| pair.path("node2", table));
    pair.while_stopped("node2", || {
        edit(&toast, 0, |page| page.fill(0)); // what the first rows refer to
        edit(&long, 5, |page| page.fill(0));
        // The type of an array's elements: 23 is int.
        edit_unseen(&lists, 3, |page| replace(page, &[0, 0, 0, 0, 23, 0, 0, 0, 2, 0, 0, 0], &[0, 0, 0, 0, 23, 0xFF]));
    });
    let said = pair.verify(&["--table", "long", "--table", "lists"]);
    let stderr = &said.stderr;
    assert_eq!(said.counts("public.long"), [lost, Some(0), Some(0), Some(1)], "{stderr}");
    assert!(stderr.contains("public.long on node2: damaged on node2: block 0: "), "{stderr}");
    assert_eq!(said.counts("public.lists"), [Some(0), Some(0), Some(0), Some(1)], "{stderr}");
    assert!(stderr.contains("public.lists on node2: damaged on node2: block 3\n"), "{stderr}");
}

#[test]
fn damage_of_the_primary_is_called_its_own() {
    let pair = Pair::new();
    pair.script(&filled("torn"));
    pair.settle();
    let [here, there] = ["node1", "node2"].map(|node| pair.path(node, "torn"));
    let lost = Some(pair.number(&in_blocks("torn", "= 9")));
    pair.while_stopped("node1", || {
        edit(&here, 3, |page| page[6000..6064].fill(0xFF));
        edit(&here, 9, |page| page.fill(0));
    });
    pair.while_stopped("node2", || edit(&there, 3, |page| page[6000..6064].fill(0xFF)));
    let said = pair.verify(&["--table", "torn"]);
    assert_eq!(said.counts("public.torn"), [Some(0), lost, Some(0), Some(2)], "{}", said.stderr);
    for node in ["node1", "node2"] {
        assert!(said.stderr.contains(&format!("damaged on {node}: block 3\n")), "{}", said.stderr);
    }
}

#[test]
fn a_table_that_is_damaged_all_over_takes_no_long_time() {
    let pair = Pair::new();
    pair.script("CREATE TABLE ruin (id int, v text)");
    pair.script("INSERT INTO ruin SELECT i, repeat('v', 900) FROM generate_series(1, 24000) AS i");
    pair.settle();
    let file = pair.path("node2", "ruin");
    pair.while_stopped("node2", || {
        (0..3000).for_each(|block| edit(&file, block, |page| page[6000..6064].fill(0xFF)));
    });
    let begun = Instant::now();
    let said = pair.verify(&["--table", "ruin"]);
    assert_eq!(said.counts("public.ruin"), [Some(0), Some(0), Some(0), Some(1000)], "{}", said.stderr);
    assert!(said.stderr.contains("not looked into any more"), "{}", said.stderr);
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
}

/// Puts other bytes in the place of the first ones like these.
fn replace(page: &mut [u8], from: &[u8], to: &[u8]) {
    let at = page.windows(from.len()).position(|bytes| bytes == from).unwrap();
    page[at..at + to.len()].copy_from_slice(to);
}
