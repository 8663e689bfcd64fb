//! What `--replace` does to tables of ours: a small load is one transaction, a large one says what it costs.

use crate::Pair;

#[test]
fn a_small_load_that_fails_leaves_what_was_there() {
    let lab = Pair::new();
    assert_eq!(lab.seed(&["--rows", "1000"]).0, Some(0));
    let before = lab.content();
    let last = "SELECT last_value::text FROM understudy.orders_id_seq";
    let admin = lab.admin();
    let sequence: String = admin.value(last, &[]).unwrap();
    admin.script("ALTER TABLE understudy.orders ADD CONSTRAINT narrow CHECK (id <= 1500)").unwrap();

    let (code, rows, stderr) = lab.seed(&["--rows", "2000", "--replace"]);
    assert_eq!((code, rows.len()), (Some(2), 0), "{stderr}");
    assert!(stderr.contains("what the tables held is still there"), "{stderr}");
    assert_eq!(lab.content(), before);
    assert_eq!(admin.value::<String>(last, &[]).unwrap(), sequence);

    // The same into empty tables: no rows are left behind either.
    admin.script("TRUNCATE understudy.customers, understudy.users, understudy.orders").unwrap();
    assert_eq!(lab.seed(&["--rows", "2000"]).0, Some(2));
    assert!(lab.content().iter().all(|content| content.starts_with("0 ")), "{:?}", lab.content());
}

#[test]
fn a_large_load_says_what_it_costs_and_is_the_same_on_several_connections() {
    let lab = Pair::new();
    assert_eq!(lab.seed(&["--rows", "10"]).0, Some(0));
    let large = ["--rows", "160000", "--jobs", "4", "--replace"]; // 208,000 rows in all
    let (code, rows, stderr) = lab.seed(&large);
    assert_eq!((code, rows.iter().map(|row| row.rows).sum()), (Some(0), 208_000), "{stderr}");
    assert!(stderr.contains("are emptied now, and if the load fails, what they held is gone"), "{stderr}");
    let (code, rows, stderr) = lab.seed(&large[..2]);
    assert_eq!((code, rows.len()), (Some(0), 0), "{stderr}");
    assert!(stderr.contains("exactly these rows already"), "{stderr}");
}
