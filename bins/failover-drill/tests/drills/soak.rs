//! Many drills in a row, with clients and time-outs drawn at random: no verdict may be wrong, and nothing may be left.

use std::collections::BTreeSet;

use lab::conf::SyncMode;

use crate::independent::{Key, check, number, rows_of};
use crate::support::Lab;

/// Numbers that are the same in each run of the test.
struct Drawn(u64);

impl Drawn {
    /// One of `from..=to`, each size of number as likely as the next.
    fn between(&mut self, from: u64, to: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let part = (self.0 >> 33) as f64 / (1_u64 << 31) as f64;
        (from as f64 * (to as f64 / from as f64).powf(part)).round() as u64
    }
}

/// Plays drills on one lab; a sync mode, and nobody cut off: nothing acknowledged may be lost, whoever is primary.
fn soak(lab: &Lab, drills: u32, seed: u64) {
    let mut drawn = Drawn(seed);
    let mut held = 0;
    for drill in 1..=drills {
        let (clients, timeout) = (drawn.between(1, 64).to_string(), format!("{}ms", drawn.between(5, 5_000)));
        let done = lab.drill(&["--before", "1s", "--after", "500ms", "--clients", &clients, "--op-timeout", &timeout]);
        let what = format!("drill {drill}: {clients} clients, --op-timeout {timeout}: {}", done.stderr);
        let row = done.row();
        // By hand: what the clients were told, minus what is there.
        let present: BTreeSet<Key> = lab.present(&lab.primary(), &done.run).into_keys().collect();
        let lost = done.ledger().with("acked").iter().filter(|key| !present.contains(key)).count();
        assert_eq!((lost, number(&row, "lost")), (0, Some(0)), "{what}");
        assert_ne!(row["verdict"], "broken", "{what}");
        held += u32::from(row["verdict"] == "held");
        assert_eq!(done.code, Some(if row["verdict"] == "held" { 0 } else { 2 }), "{what}");
        done.check_nothing_runs(lab);
        lab.check_redundant(&lab.primary());
    }
    // A load that times out all the time may be silent when it matters, and then the verdict is unknown; rarely.
    assert!(held * 4 >= drills * 3, "only {held} of {drills} drills held");
}

/// One run, one load, one ledger; whoever is primary is hit. Each takeover has its own figures.
#[test]
fn three_takeovers_back_and_forth_in_one_run() {
    let lab = Lab::new(1, SyncMode::On);
    let first = lab.primary();
    let done = lab.drill(&["--rounds", "3", "--before", "1s", "--after", "1s"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let (drills, ledger, events) = (rows_of(&done.stdout), done.ledger(), done.events());
    let victims: Vec<&String> = drills.iter().map(|row| &row["old_primary"]).collect();
    let second = &drills[0]["new_primary"];
    assert_eq!(victims, [&first, second, &first]);
    assert!(*second != first && drills.iter().all(|row| row["verdict"] == "held" && row["rejoin"] == "rewind"));
    assert_eq!(lab.primary(), *second);
    // By hand: what all clients were told in all of it, minus what is on the last primary.
    let present = lab.present(second, &done.run);
    let acked = ledger.with("acked");
    assert!(ledger.complete && acked.iter().all(|key| present.contains_key(key)));
    let told = drills.iter().map(|row| number(row, "acked").unwrap()).sum::<u64>();
    assert_eq!(told, acked.len() as u64, "each ack belongs to one takeover");
    let begun: Vec<u64> = events.all("step_begun").iter().map(|row| number(row, "at_us").unwrap()).collect();
    assert_eq!(begun.len(), 3);
    for (index, row) in drills.iter().enumerate() {
        let from = if index == 0 { 0 } else { begun[index] };
        let part = ledger.part(&(from..begun.get(index + 1).copied().unwrap_or(u64::MAX)));
        let timelines: BTreeSet<u64> = part.acks.iter().map(|ack| ack.timeline).collect();
        assert_eq!(timelines, [index as u64 + 1, index as u64 + 2].into());
        let there = present.iter().filter(|(key, _)| part.writes.contains_key(key));
        let there = there.map(|(key, rows)| (*key, rows.clone())).collect();
        check(row, &part, &events.of_step(&(index + 1).to_string()), &there);
    }
    done.check_nothing_runs(&lab);
    lab.check_redundant(second);
}

/// Slower than a look at the cluster takes: no ack falls between that and the fault, in no round.
#[test]
fn each_takeover_under_a_slow_load_has_an_outage_of_its_own() {
    let lab = Lab::new(1, SyncMode::On);
    let done = lab.drill(&["--rounds", "2", "--rate", "5", "--clients", "2", "--before", "2s", "--after", "1s"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let (drills, ledger, events) = (rows_of(&done.stdout), done.ledger(), done.events());
    assert_eq!(drills.len(), 2);
    let t0s: Vec<u64> = events.all("t0").iter().map(|row| number(row, "at_us").unwrap()).collect();
    for (index, row) in drills.iter().enumerate() {
        // By hand, from the acks of the whole run.
        let (old, end) = (index as u64 + 1, t0s.get(index + 1).copied().unwrap_or(u64::MAX));
        let acks = || ledger.acks.iter().filter(|ack| ack.at_us < end);
        let new = acks().filter(|ack| ack.timeline > old).map(|ack| ack.at_us).min().unwrap();
        let last = acks().filter(|ack| ack.timeline <= old && ack.at_us < new).map(|ack| ack.at_us).max().unwrap();
        assert_eq!((number(row, "outage_us"), row["outage_kind"].as_str()), (Some(new - last), "exact"), "{row:?}");
        // Ten writes were due before each fault.
        let gap = number(row, "longest_gap_before_us").unwrap();
        assert!((150_000..600_000).contains(&gap), "an ack every 200 ms: {gap}");
        assert_eq!((number(row, "stranded"), row["verdict"].as_str()), (Some(0), "held"), "{row:?}");
    }
}

/// With next to no load before a fault, it waits for an ack of its own.
#[test]
fn each_takeover_waits_for_an_ack_of_its_own_before_its_fault() {
    let lab = Lab::new(1, SyncMode::On);
    let done = lab.drill(&["--rounds", "2", "--rate", "5", "--clients", "2", "--before", "1ms", "--after", "1ms"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let (events, ledger) = (done.events(), done.ledger());
    let at = |mark: &str| number(events.all(mark)[1], "at_us").unwrap();
    let (begun, t0) = (at("step_begun"), at("t0"));
    assert!(ledger.acks.iter().any(|ack| (begun..t0).contains(&ack.at_us)), "none from {begun} to {t0}");
    assert!(rows_of(&done.stdout).iter().all(|row| row["outage_kind"] == "exact" && row["verdict"] == "held"));
}

#[test]
fn twenty_drills_in_a_row() {
    soak(&Lab::new(1, SyncMode::On), 20, 8);
}

#[test]
#[ignore = "needs a container engine; `cargo xtask test` runs it where one answers"]
fn compose_twenty_drills_in_a_row() {
    soak(&Lab::of_containers(1, SyncMode::On), 20, 9);
}
