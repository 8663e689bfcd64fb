//! Names that pass from one table or sequence to another one: what is compared is what had the name when the run began.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use report::verdict::Verdict::{self, Broken, Held};

use crate::{Lab, Said, Sets};

const MADE: &str = "CREATE TABLE one (id int PRIMARY KEY, v text); CREATE TABLE other (id int PRIMARY KEY, v text);
    INSERT INTO one SELECT i, 'one' FROM generate_series(1, 300) AS i;
    INSERT INTO other SELECT i, 'other' FROM generate_series(1, 300) AS i;
    CREATE SEQUENCE low; CREATE SEQUENCE high; SELECT setval('low', 5), setval('high', 1000)";

/// Compares so often while statements are run over and over.
fn beside(lab: &Lab, statements: &str, times: u32, args: &[&str]) -> Vec<Said> {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let session = lab.on("node1");
        scope.spawn(|| {
            let session = session;
            while !done.load(Ordering::Relaxed) {
                session.script(statements).unwrap();
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        let _sets = Sets(&done);
        (0..times).map(|_| lab.verify(args)).collect()
    })
}

fn held(said: &Said) -> usize {
    said.rows.iter().filter(|row| row.verdict == Held).count()
}

/// Two nodes show an exchange at two moments: then either reads another table by the same name.
#[test]
fn tables_and_sequences_that_exchange_their_names_over_and_over_are_never_broken() {
    let lab = Lab::new(1);
    lab.on("node1").script(MADE).unwrap();
    let exchange = "BEGIN; ALTER TABLE one RENAME TO third; ALTER TABLE other RENAME TO one; ALTER TABLE third RENAME TO other;
        ALTER SEQUENCE low RENAME TO third; ALTER SEQUENCE high RENAME TO low; ALTER SEQUENCE third RENAME TO high; COMMIT";
    let names = ["--table", "one", "--table", "other", "--table", "low", "--table", "high"];
    let all = beside(&lab, exchange, 10, &names);
    for said in &all {
        assert!(said.rows.iter().all(|row| row.verdict != Broken), "{:#?} {}", said.rows, said.stderr);
        let is_known = |verdict: Verdict| verdict == Held || said.stderr.contains("still changing after");
        assert!(said.rows.iter().all(|row| is_known(row.verdict)), "{:#?} {}", said.rows, said.stderr);
    }
    assert!(all.iter().map(held).sum::<usize>() > 0, "nothing was found out at all: {}", all[0].stderr);
}

#[test]
fn a_table_that_is_renamed_to_and_fro_is_looked_at_by_whatever_name_it_has() {
    let lab = Lab::new(1);
    lab.on("node1").script(MADE).unwrap();
    let renames =
        "ALTER TABLE other RENAME TO third; ALTER TABLE third RENAME TO other; ALTER SEQUENCE low RENAME TO lower;
        ALTER SEQUENCE lower RENAME TO low; ALTER TABLE other RENAME v TO w; ALTER TABLE other RENAME w TO v";
    // Those that the run begins with are there by their names in any case.
    let all = beside(&lab, renames, 5, &[]);
    for said in &all {
        assert!(said.rows.iter().all(|row| row.verdict != Broken), "{:#?} {}", said.rows, said.stderr);
        assert!(!said.stderr.contains("SQLSTATE"), "it was given up for a name: {}", said.stderr);
    }
}
