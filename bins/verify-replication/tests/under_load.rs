//! Against a real pair that is busy: differences are found, and nothing else is called one, while `write-load` writes as fast as it
//! can and other tables are rewritten.

#![allow(clippy::unwrap_used, reason = "the helpers of a test may panic as well as the test")]

#[path = "common/pair.rs"]
mod pair;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use report::verdict::Verdict::{Broken, Held};
use report::verify::VerifyRow;

use crate::pair::{Pair, session};

/// How many tables have a row that is another one on the standby.
const PLANTED: usize = 300;

/// `write-load`, until it is dropped.
struct Load(Child);

impl Load {
    fn begin(cluster: &Path) -> Load {
        let mut command =
            Command::new(Path::new(env!("CARGO_BIN_EXE_verify-replication")).with_file_name("write-load"));
        command.arg("--cluster").arg(cluster).args(["--rate", "max", "--clients", "4", "--duration", "10m", "--quiet"]);
        for name in ["UNDERSTUDY_CLUSTER", "UNDERSTUDY_RUN", "UNDERSTUDY_ORIGIN"] {
            command.env_remove(name);
        }
        Load(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The planted tables of which just the one row was found, and what else is called broken.
fn found(rows: &[VerifyRow]) -> (usize, Vec<&VerifyRow>) {
    let is_planted = |row: &&VerifyRow| row.table.starts_with("public.planted_");
    let of_one =
        |row: &&VerifyRow| (row.verdict, row.missing, row.extra, row.different) == (Broken, Some(0), Some(0), Some(1));
    let others = rows.iter().filter(|row| !is_planted(row) && row.verdict == Broken);
    (rows.iter().filter(is_planted).filter(of_one).count(), others.collect())
}

#[test]
fn differences_are_found_under_full_load_and_beside_rewrites_and_nothing_is_invented() {
    let pair = Pair::new();
    let each = |statement: &str| {
        format!("DO $$ BEGIN FOR n IN 1..{PLANTED} LOOP EXECUTE format($s${statement}$s$, n); END LOOP; END $$")
    };
    let create = "CREATE TABLE planted_%1$s (id int PRIMARY KEY, v text);
        INSERT INTO planted_%1$s SELECT i, 'v' || i FROM generate_series(1, 20) AS i";
    pair.primary.script(&each(create)).unwrap();
    pair.leave_behind("planted\\_%", &each("UPDATE planted_%1$s SET v = 'another' WHERE id = 1 + %1$s %% 20"));
    let moved = "CREATE TABLE moved (id int, v int); INSERT INTO moved SELECT i, 0 FROM generate_series(1, 500) AS i;
        CREATE INDEX up ON moved (id); CREATE INDEX down ON moved (id DESC)";
    pair.primary.script(moved).unwrap();

    let rewrites = ["CLUSTER moved USING up", "CLUSTER moved USING down", "VACUUM FULL moved", "REINDEX TABLE moved"];
    let updates = ["UPDATE moved SET v = v + 1 WHERE id % 10 = 3", "UPDATE moved SET v = v + 1 WHERE id % 10 = 7"];
    let stop = AtomicBool::new(false);
    let acked = || -> i64 { pair.primary.value("SELECT count(*) FROM understudy.ledger", &[]).unwrap() };
    let (outcomes, writes) = std::thread::scope(|scope| {
        let _load = Load::begin(pair.cluster());
        let begun = cluster::wait::until_true("the load", Duration::from_secs(30), Duration::from_millis(10), || {
            pair.primary.value::<bool>("SELECT count(*) > 100 FROM understudy.ledger", &[])
        });
        begun.unwrap();
        for statements in [&rewrites[..], &updates[..]] {
            let (session, stop) = (session(&pair.file, pair.primary.node()), &stop);
            scope.spawn(move || {
                for sql in statements.iter().cycle().take_while(|_| !stop.load(Ordering::Relaxed)) {
                    session.script(sql).unwrap();
                    std::thread::sleep(Duration::from_millis(20)); // on two cores the load is to have its share
                }
            });
        }
        let before = acked();
        let outcomes: Vec<_> = (0..3).map(|_| pair.verify(&["--recheck-for", "3s"])).collect();
        let writes = acked() - before;
        stop.store(true, Ordering::Relaxed);
        (outcomes, writes)
    });
    assert!(writes > 500, "there was hardly a load: {writes} writes");
    for (code, rows, stderr) in &outcomes {
        assert_eq!((*code, found(rows)), (Some(1), (PLANTED, Vec::new())), "{stderr}");
    }
    let (code, rows, stderr) = pair.verify(&[]);
    assert_eq!((code, found(&rows)), (Some(1), (PLANTED, Vec::new())), "{stderr}");
    assert!(rows.iter().all(|row| matches!(row.verdict, Held | Broken)), "at the end nothing is left open: {stderr}");
}
