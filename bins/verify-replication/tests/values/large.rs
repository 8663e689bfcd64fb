//! However many rows differ, and in whatever way, memory stays within its bound.

use std::time::{Duration, Instant};

use report::verdict::Verdict::{Broken, Held};

use crate::{Copies, Said, read};

/// What `verify-replication` may take, in kB.
const BOUND: u64 = 64 << 10;

/// Runs the program and sees how much memory it took at most, in kB.
fn watched(copies: &Copies, args: &[&str]) -> (Said, u64) {
    let child = copies.command(&[&["--at-rest", "--equal", "values"], args].concat()).spawn().unwrap();
    let (path, begun) = (format!("/proc/{}/status", child.id()), Instant::now());
    let watch = std::thread::spawn(move || {
        let mut most = 0;
        // Once it has ended, before it is waited for, there is no such line any more.
        while begun.elapsed() < Duration::from_secs(300) {
            let status = std::fs::read_to_string(&path).unwrap_or_default();
            let Some(line) = status.lines().find(|line| line.starts_with("VmHWM:")) else { break };
            most = line.split_whitespace().nth(1).unwrap().parse().unwrap();
            std::thread::sleep(Duration::from_millis(5));
        }
        most
    });
    (read(child), watch.join().unwrap())
}

#[test]
fn memory_stays_bounded_whatever_differs() {
    let copies = Copies::new();
    let make = |digits: &str, from: u32| {
        format!(
            "CREATE TABLE keyed AS SELECT i AS id, {digits} AS v, repeat('w', 200) AS w FROM generate_series({from}, {from} + 99999) AS i;
             ALTER TABLE keyed ADD PRIMARY KEY (id);
             CREATE TABLE bytes AS SELECT i + {digits} - {digits} AS id, 'x' AS v FROM generate_series(1, 100000) AS i;
             CREATE TABLE dups AS SELECT {digits} AS v FROM generate_series(1, 300000);
             CREATE TABLE unsorted AS SELECT (i % 150)::money + '{digits}'::money - '{digits}'::money AS v, {digits} AS w
               FROM generate_series(1, 3000) AS i"
        )
    };
    copies.primary.script(&make("1.0", 1)).unwrap();
    copies.copy.script(&make("1.00", 50_001)).unwrap();
    copies
        .copy
        .script(
            "UPDATE keyed SET v = 2 WHERE id % 2 = 0; DELETE FROM dups WHERE ctid IN (SELECT ctid FROM dups LIMIT 7)",
        )
        .unwrap();
    let diff = copies.lab.home().join("all.csv");
    let (said, most) = watched(&copies, &["--diff", &diff.display().to_string(), "--show-values"]);
    assert!(most > 4 << 10, "it was seen: {most}");
    assert!(most < BOUND, "{most} kB");
    let keyed = copies.counted("id", "trim_scale(v)", "keyed");
    assert_eq!((said.counts("public.keyed"), keyed), (keyed, [50_000, 50_000, 25_000]), "{}", said.stderr);
    assert_eq!(said.counts("public.dups"), [7, 0, 0], "{}", said.stderr);
    for (table, verdict) in [("bytes", Held), ("unsorted", Held), ("keyed", Broken), ("dups", Broken)] {
        assert_eq!(said.row(&format!("public.{table}")).verdict, verdict, "{table}: {}", said.stderr);
    }
    let lines = std::fs::read_to_string(&diff).unwrap().lines().count();
    assert_eq!(lines, 1 + 125_000 + 7);
    assert!(said.stderr.lines().count() < 40 && said.stderr.contains("and 49995 more"), "{}", said.stderr);
}

/// Compressed, a key of an index may be as long as this; and there are a hundred in each block.
#[test]
fn long_keys_are_neither_held_nor_shown_as_a_whole() {
    let copies = Copies::new();
    copies.both("CREATE TABLE long (k text PRIMARY KEY, v int)");
    // In parts: keys take long to compress, and a busy machine answers a statement for all of them too late.
    for first in (1..=1_000).step_by(100) {
        let last = first + 99;
        copies.both(&format!(
            "INSERT INTO long SELECT repeat('a', 200000) || i, i FROM generate_series({first}, {last}) AS i"
        ));
    }
    copies.copy.script("UPDATE long SET v = 0 WHERE v % 100 = 0; DELETE FROM long WHERE v = 7").unwrap();
    let (said, most) = watched(&copies, &["--table", "long"]);
    assert_eq!((said.code, said.counts("public.long")), (Some(1), [1, 0, 10]), "{}", said.stderr);
    assert!(most < BOUND, "{most} kB");
    assert!(said.stderr.len() < 5_000 && said.stderr.contains("aaa... (hash "), "{}", said.stderr);
}
