//! Many drills in a row, with clients and time-outs drawn at random: no verdict may be wrong, and nothing may be left.

use std::collections::BTreeSet;

use lab::conf::SyncMode;

use crate::independent::{Key, number};
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

#[test]
fn twenty_drills_in_a_row() {
    soak(&Lab::new(1, SyncMode::On), 20, 8);
}

#[test]
#[ignore = "needs a container engine; `cargo xtask test` runs it where one answers"]
fn compose_twenty_drills_in_a_row() {
    soak(&Lab::of_containers(1, SyncMode::On), 20, 9);
}
